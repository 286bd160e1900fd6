"""What must be learnt from in-distribution cases before it can be measured: thresholds of maps, usual aggregates.

Learnt from a folder that `plausible assess` wrote, case by case: of each map a histogram of 2 MB is kept, never the
map. `plausible assess --learned` then writes `mean_above_threshold` with these thresholds and one `meta_aggregator` row
a case.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np

from plausible.aggregate import GaussianMixture, MapHistogram, MetaAggregator, fit_meta_aggregator
from plausible.aggregate import threshold_of_validation as threshold_of
from plausible.core import InvalidInput, Problem, Score, provenance
from plausible.io import hash_file, read_labels, read_scalar_map
from plausible.io.atomic import write_json
from plausible.io.results import SEGMENTATION
from plausible.measure import VOXEL_MEASURES
from plausible.runs.assess_case import Assessment
from plausible.runs.evaluation import row_from_dict
from plausible.runs.layout import CASE_JSON, case_folders, read_record
from plausible.runs.pages import read_case
from plausible.runs.settings import AssessSettings
from plausible.runs.walk import OnCase

FORMAT = "plausible learned 1"
MEASURES = ("predictive_entropy", "expected_entropy", "mutual_information")
COMBINED = tuple(
    f"{measure}@{aggregation}"
    for measure in ("predictive_entropy", "mutual_information")
    for aggregation in ("whole_image:mean", "whole_image:max", "whole_image:foreground_ratio_quantile")
)


@dataclass(frozen=True, slots=True, kw_only=True)
class LearnSettings:
    """What is learnt.

    Attributes:
        measures: map of which a threshold is learnt; give it several times.
        combined: aggregate in the mixture, as MEASURE@REGION:REDUCTION; give it several times. It must be among the
            rows of the assessment, and there should be many more cases than aggregates.
        seed: of the starts of the mixture's fit.
    """

    measures: tuple[str, ...] = MEASURES
    combined: tuple[str, ...] = COMBINED
    seed: int = 0

    def __post_init__(self) -> None:
        for name in (*self.measures, *(one.partition("@")[0] for one in self.combined)):
            if name not in VOXEL_MEASURES or VOXEL_MEASURES[name].higher_is == "neither":
                known = [entry.name for entry in VOXEL_MEASURES if entry.higher_is != "neither"]
                raise ValueError(f"no measure of uncertainty {name!r}; there are: {', '.join(known)}")

    @property
    def keys(self) -> tuple[tuple[str, str, str, str, str], ...]:
        """Aggregates of the mixture, as `Score.key` names rows."""
        return tuple(_key(one) for one in self.combined)


@dataclass(frozen=True, slots=True, eq=False)
class Learned:
    """What was learnt, and from whom.

    Attributes:
        structures: of the assessed cases.
        subjects: cases it was learnt from.
        thresholds: value from which a voxel is uncertain, by map.
        background_share: mean share of the image without any predicted structure.
        mixture: of the aggregates; None if it was refused.
        refused: why there is no mixture; empty if there is one.
        sha256: of the file it was read from; empty if it was just made.
    """

    structures: tuple[str, ...]
    subjects: tuple[str, ...]
    thresholds: Mapping[str, float]
    background_share: float
    mixture: MetaAggregator | None
    refused: str
    provenance: Mapping[str, Any]
    sha256: str = ""

    def settings(self, settings: AssessSettings) -> AssessSettings:
        """Return settings with the learnt thresholds; one that was told on the command line goes before them."""
        told = {text.partition("=")[0] for text in settings.thresholds}
        learnt = tuple(f"{name}={value!r}" for name, value in self.thresholds.items() if name not in told)
        return replace(settings, thresholds=(*settings.thresholds, *learnt))

    def added(self, found: Assessment) -> Assessment:
        """Return an assessment with the row of the mixture.

        Raises:
            InvalidInput: E407, other structures or aggregates than those it was learnt on; E402, a case of those.
        """
        _check(self, found.masks.structures, found.members.subject, found.rows)
        rows = self.mixture.surprise(found.rows) if self.mixture else []
        return replace(found, rows=(*found.rows, *rows))

    def to_dict(self) -> dict[str, Any]:
        """Return the content of the file."""
        mixture = self.mixture
        return {
            "format": FORMAT,
            "structures": list(self.structures),
            "subjects": list(self.subjects),
            "thresholds": dict(self.thresholds),
            "background_share": self.background_share,
            "mixture": {
                "keys": [list(key) for key in mixture.keys],
                "centre": mixture.centre.tolist(),
                "scale": mixture.scale.tolist(),
                "weights": mixture.mixture.weights.tolist(),
                "means": mixture.mixture.means.tolist(),
                "covariances": mixture.mixture.covariances.tolist(),
                "n_cases": mixture.n_cases,
            }
            if mixture
            else None,
            "refused": self.refused,
            "provenance": dict(self.provenance),
        }


def learn(assessed: Path, *, settings: LearnSettings | None = None, on_case: OnCase | None = None) -> Learned:
    """Learn from the cases of a results folder, one map in memory at a time.

    Args:
        assessed: what `plausible assess` wrote for in-distribution cases, none of which is judged later.
        settings: what is learnt.
        on_case: called after each case.

    Raises:
        InvalidInput: E108, no assessed case; E305, a damaged file; E407, cases of different structures, or without one
            of the maps.
    """
    chosen = settings or LearnSettings()
    folders = [folder for folder in case_folders(assessed) if (folder / CASE_JSON).is_file()]
    if not folders:
        raise _nothing(assessed)
    histograms: dict[str, MapHistogram] = {}
    shares, rows, structures = list[float](), list[Score](), tuple[str, ...]()
    for number, folder in enumerate(folders, start=1):
        report = read_case(folder)
        here = tuple(one.name for one in report.structures)
        if structures and here != structures:
            raise _unfit(
                folder.name, f"the structures {', '.join(here)}", f"those of the first case: {', '.join(structures)}"
            )
        structures = here
        values, _ = read_labels(folder / SEGMENTATION)
        shares.append(1 - np.count_nonzero(values) / values.size)
        for name in chosen.measures:
            seen = MapHistogram.of(_map(folder, name))
            histograms[name] = histograms[name].merge(seen) if name in histograms else seen
        rows += [row for row in map(row_from_dict, report.scores) if row.key in chosen.keys]
        if on_case:
            on_case(folder.name, number, len(folders), "ok")
    mixture, refused = _mixture(rows, chosen)
    return Learned(
        structures,
        tuple(folder.name for folder in folders),
        {name: threshold_of(seen, shares) for name, seen in histograms.items()},
        float(np.mean(shares)),
        mixture,
        refused,
        provenance(
            "learn", settings=asdict(chosen), inputs={f.name: hash_file(f / CASE_JSON) for f in folders}
        ).to_dict(),
    )


def _map(folder: Path, name: str) -> np.ndarray:
    path = folder / f"{name}.nii.gz"
    if not path.is_file():
        raise _unfit(folder.name, f"no {path.name}", f"the map {name} of every case (plausible assess --maps {name})")
    values = read_scalar_map(path).values
    return values[~np.isnan(values)]


def _mixture(rows: Sequence[Score], settings: LearnSettings) -> tuple[MetaAggregator | None, str]:
    if not settings.combined:
        return None, "no aggregates were asked for"
    try:
        return fit_meta_aggregator(rows, settings.keys, seed=settings.seed), ""
    except ValueError as error:
        return None, str(error)


def write_learned(path: Path, learned: Learned) -> None:
    """Write what was learnt."""
    write_json(path, learned.to_dict())


def read_learned(path: Path) -> Learned:
    """Read what was learnt.

    Raises:
        InvalidInput: E404, it is not there, or not what `plausible learn` writes.
    """

    def parse(told: dict[str, Any], sha256: str) -> Learned:
        return Learned(
            tuple(told["structures"]),
            tuple(told["subjects"]),
            told["thresholds"],
            told["background_share"],
            _read_mixture(told["mixture"]) if told["mixture"] else None,
            told["refused"],
            told["provenance"],
            sha256,
        )

    return read_record(path, parse, form=FORMAT, verb="learn", fix="plausible learn OUT -o learned.json")


def _read_mixture(told: Mapping[str, Any]) -> MetaAggregator:
    arrays = {name: np.array(told[name], dtype=np.float64) for name in ("weights", "means", "covariances")}
    keys = tuple((str(a), str(b), str(c), str(d), str(e)) for a, b, c, d, e in told["keys"])
    centre, scale = (np.array(told[name], dtype=np.float64) for name in ("centre", "scale"))
    return MetaAggregator(keys, centre, scale, GaussianMixture(**arrays), int(told["n_cases"]))


def _check(learned: Learned, structures: Sequence[str], subject: str, rows: Iterable[Score]) -> None:
    if tuple(structures) != learned.structures:
        raise _unfit(
            subject,
            f"the structures {', '.join(structures)}",
            f"those it was learnt on: {', '.join(learned.structures)}",
        )
    if subject in learned.subjects:
        raise InvalidInput(
            Problem(
                code="E402",
                subject=subject,
                found="a case that was learnt from",
                expected="other cases: this one would look more usual than it is",
                fix="leave the case out, or learn from others",
            )
        )
    if learned.mixture is None:
        return
    missing = set(learned.mixture.keys) - {row.key for row in rows}
    if missing:
        named = ", ".join(":".join(filter(None, key)) for key in sorted(missing))
        raise _unfit(subject, f"no rows {named}", "the aggregates that were learnt (plausible assess --aggregations)")


def _key(text: str) -> tuple[str, str, str, str, str]:
    measure, at, aggregation = text.partition("@")
    region, colon, reduction = aggregation.partition(":")
    if not at or not colon:
        raise ValueError(f"combined aggregates are MEASURE@REGION:REDUCTION, got {text!r}")
    return "", measure, region, reduction, ""


def _unfit(subject: str, found: str, expected: str) -> InvalidInput:
    return InvalidInput(
        Problem(
            code="E407",
            subject=subject,
            found=found,
            expected=expected,
            fix="assess these cases with the same settings and members as those that were learnt from",
        )
    )


def _nothing(folder: Path) -> InvalidInput:
    return InvalidInput(
        Problem(
            code="E108",
            file=folder.name,
            found="no assessed case",
            expected="what plausible assess wrote: OUT/CASE/case.json and maps",
            fix=f"plausible assess -i MEMBERS -o {folder.name}",
        )
    )
