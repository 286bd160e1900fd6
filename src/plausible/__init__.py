"""plausible: calibrated uncertainty for medical image segmentation, from the voxel to the dose.

Research use only: not a medical device, not for clinical decisions.
"""

__version__ = "0.1.0"
