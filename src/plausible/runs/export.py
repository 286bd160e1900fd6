"""Assessed cases out to other programs: DICOM objects beside their image series, NIfTI, BIDS.

```
DIR/  bids/
      CASE/ export.json  rtstruct.dcm  seg.dcm  seg_fractional.dcm  parametric_map/  rtdose/  nifti/
```
Patient data goes from the series into the DICOM objects and nowhere else; the series itself is only read.
"""

import csv
from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from plausible.core import InvalidInput, Problem, provenance
from plausible.io import hash_file
from plausible.io.atomic import write_json
from plausible.io.dicom.folder import sort_folder
from plausible.io.dicom.series import read_series
from plausible.io.dicom.source import SourceSeries, deidentified, source_of
from plausible.io.dicom.uids import UidMap
from plausible.io.rows import ENCODING
from plausible.runs import export_nifti
from plausible.runs.export_case import ResultOfCase, read_result
from plausible.runs.export_dicom import DICOM_TARGETS, Written
from plausible.runs.export_settings import BIDS, NIFTI, TARGETS, ExportSettings
from plausible.runs.layout import CASE_JSON, case_folders, make_folder
from plausible.runs.walk import OnCase, attempted

EXPORT_JSON = "export.json"


@dataclass(frozen=True, slots=True)
class Exported:
    """What an export did.

    Attributes:
        done: for each case, its files, relative to the output folder.
        failures: cases that could not be exported.
        warnings: what somebody should look at.
    """

    done: Mapping[str, tuple[str, ...]]
    failures: tuple[Problem, ...]
    warnings: tuple[Problem, ...]


def export_cases(
    cases: Mapping[str, Path | None],
    results: Path,
    output: Path,
    *,
    to: Sequence[str],
    settings: ExportSettings | None = None,
    series_uid: str | None = None,
    uids: UidMap | None = None,
    on_case: OnCase | None = None,
) -> Exported:
    """Export cases that were assessed; one that cannot be exported stops nobody.

    Args:
        cases: each case with the folder of its image series (None where nothing of DICOM is asked for).
        results: folder that plausible assess wrote.
        output: folder of what is written.
        to: names of `TARGETS`.
        settings: how it is written.
        series_uid: SeriesInstanceUID, where a folder holds several series.
        uids: replacements of identifiers so far, for `settings.deidentify`; new ones are added.
        on_case: called after each case.

    Raises:
        ValueError: an unknown target, or cases of one name in BIDS.
        UnfitEnvironment: E901 without the extra `dicom`; E903, the output cannot be written.
    """
    chosen, known = settings or ExportSettings(), uids if uids is not None else UidMap()
    _check(to, list(cases))
    make_folder(output)
    done, failures, warned = dict[str, tuple[str, ...]](), list[Problem](), list[Problem]()

    def once(subject: str) -> Written:
        case = read_result(results / subject, calibrated=chosen.calibrated)
        source = _source(cases[subject], output, series_uid) if set(to) & set(DICOM_TARGETS) else None
        if source and chosen.deidentify:
            source = deidentified(source, known, pseudonym=subject)
        return _export(case, source, output, to, chosen)

    for one in attempted({subject: subject for subject in cases}, once, on_case=on_case):
        warned += one.warnings
        if one.failure:
            failures.append(one.failure)
        if one.found:
            warned += one.found.warnings
            done[one.subject] = tuple(path.relative_to(output).as_posix() for path in one.found.files)
    return Exported(done, tuple(failures), tuple(warned))


def _check(to: Sequence[str], subjects: Sequence[str]) -> None:
    unknown = [one for one in to if one not in TARGETS]
    if unknown or not to:
        raise ValueError(f"--to {', '.join(unknown) or 'nothing'}: choose from {', '.join(TARGETS)}")
    labels = ["".join(filter(str.isalnum, subject)) for subject in subjects]
    if BIDS in to and len(set(labels)) < len(labels):
        raise ValueError("two cases have one name in BIDS, which allows letters and digits only; export them apart")


def _source(series: Path | None, output: Path, series_uid: str | None) -> SourceSeries:
    """Read the series of a case."""
    if series is None:
        raise _no_series("no --image-series", "the folder of the image series that the case was made from")
    if series.resolve() in (output.resolve(), *output.resolve().parents):
        raise InvalidInput(
            Problem(
                code="E624",
                found="the output folder is the folder of the image series, or lies in it",
                expected="a folder of its own",
                fix="choose another folder with -o",
            )
        )
    found = sort_folder(series)
    read = read_series(
        found,
        series_uid=series_uid,
        drawn_on=() if series_uid else found.drawn_on,
        fill_missing=True,
        resample_uneven=True,
        resample_tilt=True,
    )
    return source_of(read)  # says what can be done where slices were interpolated


def _export(
    case: ResultOfCase, source: SourceSeries | None, output: Path, to: Sequence[str], settings: ExportSettings
) -> Written:
    """Write everything that is asked for, and export.json last."""
    folder = output / case.subject
    written = list[Written]()
    if source is not None:
        turned = case.on(source.geometry)
        written += [DICOM_TARGETS[one](turned, source, folder, settings) for one in to if one in DICOM_TARGETS]
    if NIFTI in to:
        written.append(Written(export_nifti.nifti(case, folder), {}))
    if BIDS in to:
        written.append(Written(export_nifti.bids(case, output / BIDS), {}))
    files = tuple(path for one in written for path in one.files)
    warnings = tuple(problem for one in written for problem in one.warnings)
    contours = {name: told for one in written for name, told in one.contours.items()}
    write_json(folder / EXPORT_JSON, _record(case, output, files, contours, warnings, to, settings))
    return Written((*files, folder / EXPORT_JSON), contours, warnings)


def _record(
    case: ResultOfCase,
    output: Path,
    files: Sequence[Path],
    contours: Mapping[str, Any],
    warnings: Sequence[Problem],
    to: Sequence[str],
    settings: ExportSettings,
) -> dict[str, Any]:
    """What was written from what: names and numbers of ours only, nothing of the series."""
    made = provenance(
        "export",
        settings={**asdict(settings), "to": list(to)},
        inputs={CASE_JSON: hash_file(case.folder / CASE_JSON)},
    )
    return {
        "subject": case.subject,
        "members": case.members,
        "n_members": case.n_members,
        "hard_members": case.hard,
        "files": {path.relative_to(output).as_posix(): hash_file(path) for path in files},
        "contours": contours,
        "warnings": [problem.to_dict() for problem in warnings],
        "provenance": made.to_dict(),
    }


def series_of(
    results: Path, image_series: Path | None, *, case: str | None = None
) -> tuple[dict[str, Path | None], tuple[Problem, ...]]:
    """Match assessed cases with their image series.

    Args:
        results: folder that plausible assess wrote.
        image_series: folder of the series of the one case; or a folder with a folder for each case, of its name; or a
            table with the columns case and series, whose folders are relative to the table.
        case: only this one.

    Returns:
        Folder of each case's series (None for all where there is no `image_series`), and cases without one (E621).

    Raises:
        InvalidInput: E621, no such case, no results at all, or an unreadable table.
    """
    known = [folder.name for folder in case_folders(results) if (folder / CASE_JSON).is_file()]
    wanted = known if case is None else [case]
    if not known or any(one not in known for one in wanted):
        raise _no_series(
            f"no results of case {case}" if case and known else "no assessed case",
            f"one of {', '.join(known[:10])}" if known else "a folder that plausible assess wrote",
        )
    if image_series is None:
        return dict.fromkeys(wanted), ()
    told = _table(image_series) if image_series.is_file() else {}
    found: dict[str, Path | None] = {}
    lost = list[Problem]()
    for one in wanted:
        own = told.get(one) if image_series.is_file() else _folder(image_series, one, only=len(wanted) == 1)
        if own is None or not own.is_dir():
            lost.append(_no_series("none", "its line in the table, or a folder of its name", subject=one).problem)
        else:
            found[one] = own
    return found, tuple(lost)


def _folder(image_series: Path, case: str, *, only: bool) -> Path | None:
    """Folder of a case: of its name, or the folder itself for the only one."""
    own = image_series / case
    return own if own.is_dir() or not only else image_series


def _table(path: Path) -> dict[str, Path]:
    try:
        with path.open(encoding=ENCODING, newline="") as file:
            return {row["case"].strip(): path.parent / row["series"].strip() for row in csv.DictReader(file)}
    except (OSError, KeyError, ValueError, AttributeError, csv.Error) as error:
        raise _no_series(
            f"{type(error).__name__}: {error} in the table", "a table with the columns case and series"
        ) from error


def _no_series(found: str, expected: str, *, subject: str = "") -> InvalidInput:
    return InvalidInput(
        Problem(
            code="E621",
            subject=subject,
            found=found,
            expected=expected,
            fix="plausible export -i OUT --case ID --image-series FOLDER -o DIR --to rtstruct; or a table case,series",
        )
    )
