"""Post-hoc calibration: probabilities that are as often right as they say, learnt on held-out patients. No guarantee.

Fitted on the mean probability by default: pool first, then calibrate, because calibrated members do not give a
calibrated mean (Rahaman and Thiery 2021, Wu and Gales 2021). Fitted on the members instead (`of="members"` of
`sample_voxels`), one map for all of them, each member's own entropy changes, and with it what expected entropy and
mutual information mean; `calibrated_members` then gives members to measure again.

Each patient weighs the same, each voxel by the share of its patient's image that it stands for. With `edges_mm` there
is a map for each band of distance to the predicted boundary, with `per_structure` one for each class of exclusive
classes (present or absent, then divided by their sum, so that the most probable class may change).

Where nobody disagrees with a confident network nothing is learnt: temperatures are those of the voxels near
boundaries. Conformal thresholds belong to the probability on which they were fitted, not to the calibrated one.

Sources: Rahaman and Thiery 2021, arXiv:2007.08792; Wu and Gales 2021, arXiv:2101.05397; Ding et al. 2021,
arXiv:2008.05105 (temperature that depends on the place).
"""

from collections.abc import Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from typing import Any, Protocol, runtime_checkable

import numpy as np
from jaxtyping import Float, Float32
from pydantic import TypeAdapter

from plausible.calibrate.patients import check_unique
from plausible.calibrate.posthoc_maps import PROBABILITY_CALIBRATIONS, RIDGE, Answers, LogMap, log_floored
from plausible.calibrate.subsample import Of, VoxelSample, band_of, boundary_distance_mm, layers_of
from plausible.core import InvalidInput, MemberInfo, Members, MemberSource, Problem, content_key


@runtime_checkable
class TransformsProbabilities(Protocol):
    """What calibrates probabilities: `ProbabilityCalibrator`, `FiducioTransform`, or anything else."""

    def transform(self, probabilities: np.ndarray) -> np.ndarray:
        """Return calibrated probabilities `c i j k` of probabilities `c i j k`."""
        ...


@dataclass(frozen=True, slots=True, kw_only=True)
class ProbabilityCalibrator:
    """A fitted post-hoc calibration.

    Attributes:
        method: "temperature", "vector" or "dirichlet".
        names: of the channels.
        exclusive: whether channels exclude each other.
        per_structure: whether exclusive classes were calibrated one by one.
        of: whose probabilities it calibrates, the mean of the members or the members themselves.
        edges_mm: where one band of distance to the predicted boundary ends and the next begins; empty for one band.
        maps: per band and question.
        nll_before: mean negative log-likelihood per voxel of the calibration patients, in nat.
        nll_after: the same after calibration, on the same patients: too good by a little.
        population: which patients these are, in words.
        subjects: patients it was fitted on.
        date: day of the calibration.
        seed: of the draw of voxels.
        data_hash: SHA-256 of the voxels.
    """

    method: str
    names: tuple[str, ...]
    exclusive: bool
    per_structure: bool
    of: Of
    edges_mm: tuple[float, ...]
    maps: tuple[tuple[LogMap, ...], ...]
    nll_before: float
    nll_after: float
    population: str
    subjects: tuple[str, ...]
    date: str
    seed: int
    data_hash: str

    @property
    def statement(self) -> str:
        """What was done, in one sentence."""
        parts = "per voxel, patients weighing the same"
        return (
            f"{self.method} calibration of the {'mean probability' if self.of == 'mean' else 'members'}"
            f"{self._where}, fitted on {len(self.subjects)} patients ({self.population}): negative log-likelihood "
            f"{self.nll_before:.4g} before and {self.nll_after:.4g} after on these patients ({parts}); no guarantee"
        )

    @property
    def _where(self) -> str:
        where = ", each structure by itself" if self.per_structure or not self.exclusive else ""
        bands = f", in {len(self.maps)} bands of distance to the predicted boundary" if self.edges_mm else ""
        if self.method == "temperature" and len(self.maps) == len(self.maps[0]) == 1:
            return f" (T = {self.maps[0][0].temperature:.4g})"
        return where + bands

    def transform(
        self, probabilities: Float[np.ndarray, "c i j k"], *, spacing_mm: Sequence[float] = ()
    ) -> Float32[np.ndarray, "c i j k"]:
        """Return calibrated probabilities of a whole image.

        Raises:
            ValueError: other channels, or no spacing where the calibration knows bands of distance.
        """
        if len(probabilities) != len(self.names):
            raise ValueError(f"{len(probabilities)} channels; calibrated were {', '.join(self.names)}")
        if self.edges_mm and len(spacing_mm) != 3:
            raise ValueError("this calibration knows bands of distance: give spacing_mm, and the whole image")
        flat = probabilities.reshape(len(probabilities), -1).T
        bands = self._bands(probabilities, spacing_mm)
        found = np.empty(flat.shape, dtype=np.float32)
        step = 1 << 18
        for start in range(0, len(flat), step):
            part = slice(start, start + step)
            found[part] = self._calibrated(flat[part], bands[part])
        return np.ascontiguousarray(found.T).reshape(probabilities.shape)

    def check_unseen(self, subject: str) -> None:
        """Refuse a patient it was fitted on.

        Raises:
            InvalidInput: E402.
        """
        if subject in self.subjects:
            raise InvalidInput(
                Problem(
                    code="E402",
                    subject=subject,
                    found=f"a patient that {self.method} calibration was fitted on ({self.date})",
                    expected="patients that the calibration has not seen",
                    fix="leave this case out, or calibrate on other patients: split them before you calibrate",
                )
            )

    def to_dict(self) -> dict[str, Any]:
        """Return plain JSON values, the statement included."""
        return {**asdict(self), "statement": self.statement}

    @staticmethod
    def from_dict(values: Mapping[str, Any]) -> "ProbabilityCalibrator":
        """Return the record that `to_dict` wrote.

        Raises:
            ValueError: something else.
        """
        known = {key: value for key, value in values.items() if key != "statement"}
        return TypeAdapter(ProbabilityCalibrator).validate_python(known)

    def _bands(self, probabilities: np.ndarray, spacing_mm: Sequence[float]) -> np.ndarray:
        """Band of each voxel, one column for exclusive classes, otherwise one per region."""
        layers = 1 if self.exclusive else len(self.names)
        if not self.edges_mm:
            return np.broadcast_to(np.uint8(0), (probabilities[0].size, layers))
        found = layers_of(probabilities, exclusive=self.exclusive)
        distances = [boundary_distance_mm(layer, spacing_mm=spacing_mm).ravel() for layer in found]
        return np.stack([band_of(one, self.edges_mm) for one in distances], axis=1)

    def _calibrated(self, flat: np.ndarray, bands: np.ndarray) -> np.ndarray:
        joint = self.exclusive and not self.per_structure
        found = np.empty(flat.shape, dtype=np.float64)
        for question in range(len(self.maps[0])):
            answers = flat if joint else _two(flat[:, question])
            band = bands[:, 0 if self.exclusive else question]
            for number, maps in enumerate(self.maps):
                inside = band == number
                changed = maps[question].transform(answers[inside])
                if joint:
                    found[inside] = changed
                else:
                    found[inside, question] = changed[:, 1]
        return found / found.sum(axis=1, keepdims=True) if self.exclusive else found


def fit_probabilities(
    samples: Sequence[VoxelSample],
    *,
    method: str,
    population: str,
    date: str,
    edges_mm: Sequence[float] = (),
    per_structure: bool = False,
    ridge: float = RIDGE,
) -> ProbabilityCalibrator:
    """Fit a post-hoc calibration on voxels of held-out patients.

    Args:
        samples: one per patient.
        method: of `PROBABILITY_CALIBRATIONS`.
        population: which patients these are, in words.
        date: day of the calibration.
        edges_mm: where bands of distance to the predicted boundary end, ascending; none for one band.
        per_structure: calibrate exclusive classes one by one. Overlapping regions always are.
        ridge: pull towards the identity, at least 0.

    Raises:
        ValueError: no samples, a patient twice, samples of different classes, members or seeds, or an unknown method.
    """
    fit, first = PROBABILITY_CALIBRATIONS[method].function, _first(samples)
    edges = tuple(float(edge) for edge in edges_mm)
    if any(b <= a for a, b in zip((0.0, *edges), edges, strict=False)):
        raise ValueError(f"edges_mm must be above 0 and ascend, got {edges}")
    joint = first.classes.exclusive and not per_structure
    maps = list[tuple[LogMap, ...]]()
    before = after = 0.0
    for number in range(len(edges) + 1):
        fitted = list[LogMap]()
        for question in range(1 if joint else len(first.classes.names)):
            answers, share = _answers(samples, question, joint=joint, edges=edges, number=number, ridge=ridge)
            fitted.append(fit(answers) if share else LogMap.identity(answers.k))
            before += share * answers.nll(LogMap.identity(answers.k))
            after += share * answers.nll(fitted[-1])
        maps.append(tuple(fitted))
    return ProbabilityCalibrator(
        method=method,
        names=first.classes.names,
        exclusive=first.classes.exclusive,
        per_structure=per_structure,
        of=first.of,
        edges_mm=edges,
        maps=tuple(maps),
        nll_before=before,
        nll_after=after,
        population=population,
        subjects=tuple(sorted(sample.subject for sample in samples)),
        date=date,
        seed=first.seed,
        data_hash=content_key({"samples": sorted(sample.key for sample in samples)}),
    )


def calibrated_members(members: Members, calibrator: TransformsProbabilities) -> Members:
    """Members whose probabilities are calibrated as they are read, each by itself.

    Raises:
        ValueError: a calibration with bands of distance, which needs the whole image, or one of the mean.
    """
    if isinstance(calibrator, ProbabilityCalibrator) and (calibrator.edges_mm or calibrator.of == "mean"):
        raise ValueError(
            "members are read in slabs and one by one: fit on of='members' and without bands of distance for this"
        )
    return replace(members, sources=tuple(CalibratedSource(one, calibrator) for one in members.sources))


@dataclass(frozen=True, slots=True, eq=False)
class CalibratedSource:
    """A member whose probabilities are calibrated when it is read."""

    source: MemberSource
    calibrator: TransformsProbabilities

    @property
    def info(self) -> MemberInfo:
        """Where the member comes from."""
        return self.source.info

    @property
    def hard(self) -> bool:
        """Whether the member was a label map; it is none any more."""
        return False

    def read(self, start: int, stop: int, *, axis: int) -> Float32[np.ndarray, "c i j k"]:
        """Calibrated part of the member."""
        raw = self.source.read(start, stop, axis=axis)
        return np.asarray(self.calibrator.transform(raw), dtype=np.float32)


def _first(samples: Sequence[VoxelSample]) -> VoxelSample:
    if not samples:
        raise ValueError("there are no samples to calibrate on")
    check_unique([sample.subject for sample in samples])
    first = samples[0]
    for sample in samples:
        if (sample.classes, sample.of, sample.seed) != (first.classes, first.of, first.seed):
            raise ValueError(f"{sample.subject}: other classes, members or seed than {first.subject}")
    return first


def _answers(
    samples: Sequence[VoxelSample], question: int, *, joint: bool, edges: Sequence[float], number: int, ridge: float
) -> tuple[Answers, float]:
    """Voxels of one question and band, and their share of all voxels."""
    logs, targets, weights = [], [], []
    for sample in samples:
        layer = 0 if sample.classes.exclusive else question
        inside = band_of(sample.distances_mm[:, layer], edges) == number
        p, t = sample.probabilities[inside], sample.targets[inside]
        logs.append(log_floored(p if joint else _two(p[:, question])))
        targets.append(t if joint else _two(t[:, question]))
        weights.append(sample.weights[inside] / len(samples))
    weight = np.concatenate(weights)
    share = float(weight.sum())
    every = np.concatenate(targets).astype(np.float64)
    return Answers(np.concatenate(logs), every, weight / (share or 1.0), ridge), share


def _two(present: np.ndarray) -> Float[np.ndarray, "n 2"]:
    """Absent and present."""
    return np.stack([1 - present, present], axis=1)
