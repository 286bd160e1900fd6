"""DICOM in and out (extra `dicom`): image series, RTSTRUCT, RTDOSE, SEG, parametric maps."""
