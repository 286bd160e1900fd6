"""The cases of a dataset that can be trained on, and why the others cannot."""

from collections.abc import Container, Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import numpy as np

from plausible.core import Case, Image, InvalidInput, LabelSource, Problem, Study
from plausible.io.raw_dataset import read_dataset
from plausible.io.results import case_inputs
from plausible.train.fingerprint import CaseFingerprint, case_fingerprint
from plausible.train.split import Split, split_cases


@dataclass(frozen=True, slots=True, eq=False)
class Surveyed:
    """The usable cases: their measures, the hashes of their files, and the problems of those left out."""

    study: Study
    split: Split
    measured: dict[str, CaseFingerprint]
    hashes: dict[str, str]
    left_out: tuple[Problem, ...]


def survey(study: Study, split: Split) -> Surveyed:
    """Read every case of a split once; what cannot be used is listed and left out.

    Raises:
        InvalidInput: E501, nobody is left to train on, or there is nothing to learn.
    """
    _check_known(study, split)
    measured: dict[str, CaseFingerprint] = {}
    hashes: dict[str, str] = {}
    problems = list(study.problems)
    for subject in sorted([*split.train, *split.validation]):
        case = study.case(subject)
        try:
            image, labels = read_pair(case)
        except InvalidInput as error:
            problems.append(error.problem)
            continue
        measured[subject] = case_fingerprint(image, labels)
        hashes |= case_inputs(case)
    usable = Split(_among(split.train, measured), _among(split.validation, measured))
    _check_trainable(study, usable, measured, problems)
    return Surveyed(study, usable, measured, hashes, tuple(problems))


@dataclass(frozen=True, slots=True, eq=False)
class Surveys:
    """The usable cases of every rater, or of the one under ""."""

    by_rater: Mapping[str, Surveyed]

    @property
    def first(self) -> Surveyed:
        """The cases that fingerprint and plan are made from."""
        return next(iter(self.by_rater.values()))

    @property
    def splits(self) -> dict[str, Split]:
        """Who trains and validates, by rater."""
        return {rater: surveyed.split for rater, surveyed in self.by_rater.items()}

    @property
    def hashes(self) -> dict[str, str]:
        """SHA-256 of every file; labels of a rater stand under its name."""
        return {
            f"{rater}/{name}" if rater else name: digest
            for rater, surveyed in self.by_rater.items()
            for name, digest in surveyed.hashes.items()
        }

    @property
    def left_out(self) -> tuple[Problem, ...]:
        """Problems of the cases that cannot be used, each rater's under its name."""
        return tuple(
            replace(problem, member=rater) if rater else problem
            for rater, surveyed in self.by_rater.items()
            for problem in surveyed.left_out
        )


def survey_dataset(
    dataset: Path, *, raters: Sequence[str], split: Split | None, validation_fraction: float, seed: int
) -> Surveys:
    """Read every case of a dataset once, for every rater.

    The split is chosen among the subjects that any rater drew; a subject that a rater did not draw is left out of the
    members of that rater.

    Raises:
        InvalidInput: E108, E311, an unreadable dataset; E501, nothing to train on.
    """
    studies = {rater: read_dataset(dataset, rater=rater) for rater in (raters or ("",))}
    if not raters:
        told = choose_split(studies[""], split=split, validation_fraction=validation_fraction, seed=seed)
        return Surveys({"": survey(studies[""], told)})
    drawn = {rater: {case.subject for case in study} for rater, study in studies.items()}
    everybody = sorted(set().union(*drawn.values()))
    chosen = split or split_by_seed(everybody, validation_fraction=validation_fraction, seed=seed)
    return Surveys({rater: survey(study, _drawn_by(chosen, drawn[rater])) for rater, study in studies.items()})


def _drawn_by(split: Split, drawn: set[str]) -> Split:
    return Split(_among(split.train, drawn), _among(split.validation, drawn))


def read_pair(case: Case) -> tuple[Image, np.ndarray]:
    """Read the image and the label map of a case, on one grid.

    Raises:
        InvalidInput: what the readers raise, and E201 or E202 where the two grids differ.
    """
    image, raters = case.image(), case.raters()
    if image is None or raters is None:
        raise ValueError(f"{case.subject}: training needs an image and a label map")
    raters.geometry.check_matches(image.geometry, this="the label map", that="the image", subject=case.subject)
    source = raters.sources[0]
    if isinstance(source, LabelSource):
        return image, source.values
    return image, raters.classes.decode(next(iter(raters)).probabilities)


def choose_split(study: Study, *, split: Split | None, validation_fraction: float, seed: int) -> Split:
    """Return the split told, or one by seed that keeps a fraction of the cases for validation (0 keeps none).

    Raises:
        InvalidInput: E501, there are too few cases to keep a fraction of them.
    """
    if split is not None:
        return split
    return split_by_seed([c.subject for c in study], validation_fraction=validation_fraction, seed=seed)


def split_by_seed(subjects: Sequence[str], *, validation_fraction: float, seed: int) -> Split:
    """Keep a fraction of the subjects for validation, by seed; 0 keeps none.

    Raises:
        InvalidInput: E501, there are too few of them.
    """
    if not validation_fraction:
        return Split(tuple(subjects))
    try:
        train, validation = split_cases(subjects, fractions=(1 - validation_fraction, validation_fraction), seed=seed)
    except ValueError as error:
        raise untrainable(str(error), fix="add cases, or train without validation cases (--validation 0)") from error
    return Split(train, validation)


def untrainable(
    found: str, *, fix: str, expected: str = "images with label maps of at least one structure"
) -> InvalidInput:
    """Return the error of a dataset that cannot be trained on."""
    return InvalidInput(Problem(code="E501", found=found, expected=expected, fix=fix))


def _check_known(study: Study, split: Split) -> None:
    known = {case.subject for case in study}
    unpaired = {problem.subject for problem in study.problems}
    unknown = sorted({*split.train, *split.validation} - known)
    if unknown:
        why = " (an image or a label is missing)" if set(unknown) & unpaired else ""
        raise untrainable(
            f"the split names subjects that the dataset lacks{why}: {', '.join(unknown)}",
            expected="names as in imagesTr, without _0000 and ending",
            fix="correct the split, or add these cases to imagesTr and labelsTr",
        )


def _check_trainable(study: Study, split: Split, measured: dict[str, CaseFingerprint], problems: list[Problem]) -> None:
    listed = "; ".join(f"{p.subject or p.file}: {p.code} {p.found}" for p in problems)
    if not study.classes.structures:
        raise untrainable(
            f"only one class: {', '.join(study.classes.names)}", fix='name the structures in dataset.json, "labels"'
        )
    if not split.train:
        raise untrainable(f"no usable case to train on. {listed}".strip(), fix="plausible inspect -i on the dataset")
    if not sum(measured[subject].foreground.shape[1] for subject in split.train):
        raise untrainable(
            f"not one voxel of {', '.join(study.classes.structures)} in {len(split.train)} training cases",
            fix="check that labelsTr holds the values of dataset.json",
        )


def _among(subjects: Iterable[str], measured: Container[str]) -> tuple[str, ...]:
    return tuple(sorted(subject for subject in subjects if subject in measured))
