"""Which share of the channels should inserted dropout leave out? The one whose members explain held-out cases best.

Every rate is tried with the same seeds, so that the masks of a larger rate leave out what those of a smaller one do and
more; what differs is the rate. A rate is judged by the mean surprise of the **mean probability** about the reference
(negative log-likelihood, a proper score: it is best at the true probabilities), **near structures**: within a distance
of a structure or inside it. Over the whole image the sum is mostly background far from anything, in which every rate is
right; how much of it there is depends on how the image was cropped.
"""

import math
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Any, TypeAlias

import numpy as np
from jaxtyping import Bool, Float32

import plausible
from plausible.aggregate.regions import grown
from plausible.core import Case, InvalidInput, Member, Members, Problem, Study, content_key
from plausible.evaluate import ProbabilityScores, negative_log_likelihood, presence_scores, probability_scores
from plausible.evaluate.calibration import questions
from plausible.io.raw_dataset import find_labels, read_reference
from plausible.io.results import case_inputs
from plausible.sample import Sampling, SegmentationModel, image_study

RATES = (0.01, 0.02, 0.05, 0.1, 0.2, 0.3, 0.5)
NEAR_MM = 5.0

Opened: TypeAlias = Callable[[Sampling], SegmentationModel]
"""The model with the samplers that are asked for, e.g. `lambda sampling: open_model(folder, sampling=sampling)`."""

OnRate = Callable[[float, int, int], None]
"""Called after each rate with the rate, its number (from 1) and the number of rates."""


@dataclass(frozen=True, slots=True)
class RateScore:
    """How well the members of one rate explain the cases; rate 0 is the model without dropout.

    Attributes:
        near_nll: negative log-likelihood near structures, in nat, averaged over the cases; None without structures.
        whole_nll: the same over whole images.
    """

    rate: float
    near_nll: float | None
    whole_nll: float


@dataclass(frozen=True, slots=True, kw_only=True)
class ChosenRate:
    """The rate that was chosen, and what it was chosen by.

    Attributes:
        rate: the one with the smallest `near_nll`; of equal ones the smallest.
        table: every rate that was tried, without dropout first.
        key: of model, cases and settings; the same key gives the same choice.
    """

    rate: float
    table: tuple[RateScore, ...]
    subjects: tuple[str, ...]
    draws: int
    seed: int
    near_mm: float
    key: str

    @property
    def helps(self) -> bool:
        """Whether the chosen rate explains the cases better than the model without dropout."""
        without, *rest = self.table
        chosen = next(row for row in rest if row.rate == self.rate)
        return _comparable(chosen) < _comparable(without)

    def to_dict(self) -> dict[str, Any]:
        """Return the choice as plain JSON values."""
        return {**asdict(self), "helps": self.helps}

    @classmethod
    def from_dict(cls, content: Mapping[str, Any]) -> "ChosenRate":
        """Return the choice from plain JSON values."""
        told = {name: value for name, value in content.items() if name != "helps"}
        table = tuple(RateScore(**row) for row in content["table"])
        return cls(**{**told, "table": table, "subjects": tuple(content["subjects"])})


def choose_insert_rate(
    opened: Opened,
    study: Study,
    *,
    sampling: Sampling | None = None,
    rates: Sequence[float] = RATES,
    near_mm: float = NEAR_MM,
    before: ChosenRate | None = None,
    on_rate: OnRate | None = None,
) -> ChosenRate:
    """Choose the rate of inserted dropout on cases that the model was not trained on.

    Args:
        opened: gives the model with the samplers that are asked for.
        study: cases with images and references.
        sampling: draws, seed and places of the dropout; None takes the defaults. Views are left out.
        rates: what is tried, each above 0 and below 1.
        near_mm: how far from a structure a voxel still counts.
        before: an earlier choice; it is returned where nothing has changed since.
        on_rate: called after each rate.

    Raises:
        ValueError: no rate or no case, a case without references, or no structure in any of them.
        InvalidInput: E505, dropout cannot be inserted; and what reading an image raises.
    """
    if not rates or not len(study):
        raise ValueError(f"choosing a rate needs rates and cases, got {len(rates)} and {len(study)}")
    asked = replace(sampling or Sampling(), sampler=("dropout",))
    plain = opened(replace(asked, sampler=()))
    key = _key(plain, study, asked, rates=rates, near_mm=near_mm)
    if before is not None and before.key == key:
        return before
    table = []
    for n, rate in enumerate((0.0, *sorted(set(rates))), start=1):
        model = opened(replace(asked, insert_rate=rate)) if rate else plain
        table.append(_score(model, study, rate=rate, near_mm=near_mm))
        if on_rate:
            on_rate(rate, n, len(set(rates)) + 1)
    if table[0].near_nll is None:
        raise ValueError(f"{study.name}: no structure in any reference, so that nothing is near one")
    return ChosenRate(
        rate=min(table[1:], key=lambda row: (_comparable(row), row.rate)).rate,
        table=tuple(table),
        subjects=tuple(case.subject for case in study),
        draws=asked.draws,
        seed=asked.sampling_seed,
        near_mm=near_mm,
        key=key,
    )


def tuning_study(images: Path, labels: Path, model: SegmentationModel) -> Study:
    """Images of a folder with a label map each (`CASE.nii.gz` in another), in the classes of a model.

    Raises:
        InvalidInput: E108, no image; E106, one without a label map.
    """
    study, found = image_study(images, model), find_labels(labels)
    lacking = [case.subject for case in study if case.subject not in found]
    if lacking:
        raise InvalidInput(
            Problem(
                code="E106",
                file=labels.name,
                found=f"no label map for {', '.join(lacking[:5])}{', ...' if len(lacking) > 5 else ''}",
                expected="CASE.nii.gz for every CASE_0000.nii.gz",
                fix="give the folder of the label maps with --tune-labels, or leave these images out",
            )
        )
    return replace(study, cases=tuple(_referenced(case, found[case.subject]) for case in study))


def _referenced(case: Case, label: Path) -> Case:
    def load_raters() -> Members:
        source, geometry = read_reference(label, classes=case.classes, subject=case.subject)
        return Members(geometry, case.classes, (source,), case.subject, sliceable=True)

    return replace(case, load_raters=load_raters, files={**case.files, label.name: str(label)})


def _score(model: SegmentationModel, study: Study, *, rate: float, near_mm: float) -> RateScore:
    near, whole = zip(*(_case_scores(model, case, near_mm=near_mm) for case in study), strict=True)
    known = [value for value in near if not math.isnan(value)]
    return RateScore(rate, float(np.mean(known)) if known else None, float(np.mean(whole)))


def _case_scores(model: SegmentationModel, case: Case, *, near_mm: float) -> tuple[float, float]:
    """Negative log-likelihood of the mean probability near structures and everywhere, over all raters."""
    image, raters = case.image(), case.raters()
    if image is None or raters is None:
        raise ValueError(f"{case.subject}: choosing a rate needs an image and a reference")
    raters.geometry.check_matches(image.geometry, this="the reference", that="the image", subject=case.subject)
    mean = _mean(model.predict(image, range(len(model.infos)), subject=case.subject))
    near, whole = ProbabilityScores(0, 0.0, 0.0), ProbabilityScores(0, 0.0, 0.0)
    for rater in raters:
        near = near.merge(*_scores(mean, rater, within=_near(rater, near_mm)))
        whole = whole.merge(*_scores(mean, rater, within=None))
    return negative_log_likelihood(near), negative_log_likelihood(whole)


def _mean(members: Iterator[Member]) -> Float32[np.ndarray, "c i j k"]:
    total, n = next(members).probabilities.copy(), 1
    for member in members:
        total += member.probabilities
        n += 1
    return np.asarray(total / np.float32(n))


def _scores(
    mean: Float32[np.ndarray, "c i j k"], rater: Member, *, within: Bool[np.ndarray, "i j k"] | None
) -> Iterator[ProbabilityScores]:
    truth = rater.probabilities
    for question in questions(rater.classes):
        if question:
            yield presence_scores(mean, truth, channel=rater.classes.channel(question), within=within)
        else:
            yield probability_scores(mean, truth, within=within)


def _near(rater: Member, near_mm: float) -> Bool[np.ndarray, "i j k"]:
    marked = np.asarray(rater.classes.masks(rater.probabilities).any(axis=0))
    return grown(marked, margin_mm=near_mm, spacing_mm=rater.geometry.spacing_mm)


def _comparable(row: RateScore) -> float:
    return math.inf if row.near_nll is None else row.near_nll


def _key(plain: SegmentationModel, study: Study, sampling: Sampling, *, rates: Sequence[float], near_mm: float) -> str:
    files = {name: sha256 for case in study for name, sha256 in case_inputs(case).items()}
    asked = {**asdict(sampling), "insert_rate": sorted(set(rates)), "near_mm": near_mm}
    model = [dict(plain.identity(member)) for member in range(len(plain.infos))]
    return content_key({"version": plausible.__version__, "files": files, "asked": asked, "model": model})
