"""Results on disk: a case's folder of maps with sidecars, written so that a killed run is seen and continued.

```
OUT/CASE/ case.json  segmentation.nii.gz  probability.nii.gz  predictive_entropy.nii.gz ...  (a .json beside each)
```
`write_case` takes the old `case.json` away first and `finish_case` writes the new one last: where it lies, names the
key of its inputs and settings, and every file it lists is there, the case is done.
"""

import hashlib
import json
from collections.abc import Mapping, Sequence
from functools import lru_cache
from pathlib import Path
from typing import Any

import numpy as np

from plausible.core import Case, InvalidInput, LabelMap, Problem, ScalarMap, content_key, sha256_of
from plausible.io.atomic import remove_leftovers, write_json
from plausible.io.dicom_files import dicom_files
from plausible.io.nifti import describe, read_nifti, stem, write_label_map, write_scalar_map

CASE_JSON = "case.json"
SEGMENTATION = "segmentation.nii.gz"
PROBABILITY = "probability.nii.gz"
PROBABILITY_MAP = "mean_probability"


def write_case(
    folder: Path,
    *,
    maps: Sequence[ScalarMap],
    segmentation: LabelMap | None = None,
    sidecar: Mapping[str, Any],
) -> tuple[dict[str, Any], ...]:
    """Write the maps of a case and its segmentation, each with a sidecar; `finish_case` is still to come.

    The mean probability becomes `probability.nii.gz` (4-D, i j k c), every other map a file of its own name.

    Args:
        folder: the case's folder.
        maps: what was measured.
        segmentation: the label rule on the mean; None for regions that have no label map.
        sidecar: what all sidecars say besides the map itself: members, provenance, calibration.

    Returns:
        For each map its file, quantity, unit, definition, valid range and frames, as `case.json` lists maps.

    Raises:
        UnfitEnvironment: E903, the folder cannot be written to.
    """
    (folder / CASE_JSON).unlink(missing_ok=True)
    remove_leftovers(folder)
    if segmentation is not None:
        write_label_map(folder / SEGMENTATION, segmentation)
        write_json(folder / "segmentation.json", {**_describe_labels(segmentation), **sidecar})
    return tuple(_write_map(folder, scalar_map, sidecar) for scalar_map in maps)


def finish_case(folder: Path, content: Mapping[str, Any]) -> None:
    """Write `case.json`, the last file of a case; its provenance carries the key, its maps the files."""
    write_json(folder / CASE_JSON, content)


def is_complete(folder: Path, key: str) -> bool:
    """Whether the case was finished with these inputs and settings, and every file that `case.json` lists is there."""
    try:
        content = json.loads((folder / CASE_JSON).read_text(encoding="utf-8"))
        files = [str(listed["path"]) for listed in content["maps"]]
        same = content["provenance"]["key"] == key
    except (OSError, ValueError, KeyError, TypeError):
        return False
    sidecars = [stem(Path(name)) + ".json" for name in files]
    return bool(same and all((folder / name).is_file() for name in (*files, *sidecars)))


def read_scalar_map(path: Path) -> ScalarMap:
    """Read a map that was written here, with what its sidecar says.

    Raises:
        InvalidInput: E305, the file or its sidecar is damaged or missing.
    """
    values, geometry = read_nifti(path)
    told = _sidecar(path)
    frames = tuple(told["frames"]) or ("",)
    stacked = values[np.newaxis] if values.ndim == 3 else np.moveaxis(values, -1, 0)
    low, high = told["valid_range"]
    return ScalarMap(
        told["quantity"],
        np.ascontiguousarray(stacked, dtype=np.float32),
        geometry,
        told["unit"],
        (float(low), np.inf if high is None else float(high)),
        told["definition"],
        frames,
    )


def hash_file(path: Path) -> str:
    """SHA-256 of a file; read once per process as long as its size and time of change stay the same.

    Of a folder of DICOM, the hash of its files' hashes: neither their names nor their order count.
    """
    if path.is_dir():
        return sha256_of("".join(sorted(hash_file(file) for file in dicom_files(path))).encode())
    state = path.stat()
    return _hash(path, state.st_size, state.st_mtime_ns)


def case_inputs(case: Case) -> dict[str, str]:
    """SHA-256 of each input of a case, and what of DICOM was accepted: both decide what is read."""
    accepted = {"accept": content_key({"accept": sorted(case.accept)})} if case.accept else {}
    return {**hash_files(case.files), **accepted}


def hash_files(files: Mapping[str, str]) -> dict[str, str]:
    """SHA-256 of each input of a case (`Case.files`), for its provenance."""
    return {name: hash_file(Path(path)) for name, path in sorted(files.items())}


@lru_cache(maxsize=65536)
def _hash(path: Path, size: int, changed_ns: int) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()


def _write_map(folder: Path, scalar_map: ScalarMap, sidecar: Mapping[str, Any]) -> dict[str, Any]:
    name = PROBABILITY if scalar_map.name == PROBABILITY_MAP else f"{scalar_map.name}.nii.gz"
    write_scalar_map(folder / name, scalar_map, sidecar=sidecar)
    return {"path": name, **describe(scalar_map)}


def _describe_labels(labels: LabelMap) -> dict[str, Any]:
    classes = labels.classes
    names = {str(value[0]): name for name, value in zip(classes.names, classes.labels, strict=True)}
    if not classes.exclusive:
        names = {str(value): name for name, value in zip(classes.names, classes.label_order(), strict=True)}
    return {
        "quantity": "segmentation",
        "definition": "most probable class of the mean probability, the first of equals"
        if classes.exclusive
        else "regions whose mean probability is above 0.5, later ones on top",
        "unit": "label",
        "labels": names,
    }


def _sidecar(path: Path) -> dict[str, Any]:
    beside = path.with_name(stem(path) + ".json")
    try:
        told: dict[str, Any] = json.loads(beside.read_text(encoding="utf-8"))
        _ = told["quantity"], told["unit"], told["definition"], told["frames"], len(told["valid_range"]) == 2
        return told
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise InvalidInput(
            Problem(
                code="E305",
                file=beside.name,
                found=f"{type(error).__name__}: {str(error)[:200]}",
                expected="the sidecar that says what the map is",
                fix="run plausible assess again: it writes this case anew",
            )
        ) from error
