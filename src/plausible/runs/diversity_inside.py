"""The networks of a model compared inside, where their weights are at hand: features, weights, loss between two."""

from itertools import combinations, islice
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from plausible.core import Image, InvalidInput, LabelMap, Problem, Study
from plausible.diversity.summary import MeasuredMatrix
from plausible.diversity.weights import linear_cka, loss_barrier, weight_cosine

if TYPE_CHECKING:
    from plausible.sample.inside import Inside

N_CASES = 2
"""Cases whose patches networks are compared on."""
REGION = "middle patches"


def inside_matrices(model: Path, study: Study, *, seed: int = 0, n_cases: int = N_CASES) -> tuple[MeasuredMatrix, ...]:
    """Compare every two networks: alignment of their features, cosine of their weights, barrier of the loss.

    On a patch in the middle of each of the first cases that have an image; the barrier needs references too. Weights
    and losses are compared between members of one architecture only, others are NaN.

    Raises:
        InvalidInput: E411, other members than the study's; E502, see `Inside.open`.
        UnfitEnvironment: E901, torch or MONAI is missing.
        ValueError: no case has an image.
    """
    from plausible.sample.inside import Inside, features_of, middle_patch

    inside = Inside.open(model)
    with_image = list(islice((case for case in study if case.load_image), n_cases))
    if not with_image:
        raise ValueError("--model compares networks on images: give their folder with --images")
    _check_same(model, inside.members, tuple(info.id for info in with_image[0].members().infos))
    patches = []
    for case in with_image:
        image, raters = case.image(), case.raters()
        assert isinstance(image, Image), "it was chosen for its image"
        labels = None
        if raters is not None:
            first = next(iter(raters))
            labels = LabelMap(first.classes.decode(first.probabilities), first.geometry, first.classes)
        patches.append(middle_patch(image, labels, inside.info.plan, inside.info.plan.patch))
    features = features_of(inside, [image for image, _ in patches], seed=seed)
    cka = np.array([[linear_cka(features[a], features[b]) for b in inside.members] for a in inside.members])
    told = [("linear_cka", cka), ("weight_cosine", _cosines(inside))]
    labelled = [(image, labels) for image, labels in patches if labels is not None]
    if labelled:
        told.append(("loss_barrier", _barriers(inside, labelled)))
    return tuple(
        MeasuredMatrix(structure="", region=REGION, against="", measure=name, unit="1", members=inside.members,
                       values=values)
        for name, values in told
    )  # fmt: skip


def _cosines(inside: "Inside") -> np.ndarray:
    from plausible.sample.inside import weights_in_a_row

    rows = [weights_in_a_row(network) for network in inside.networks]
    return np.array([[weight_cosine(a, b) if a.shape == b.shape else np.nan for b in rows] for a in rows])


def _barriers(inside: "Inside", patches: list[tuple[np.ndarray, np.ndarray]]) -> np.ndarray:
    from plausible.sample.inside import losses_between

    values = np.zeros((len(inside.members), len(inside.members)))
    for a, b in combinations(range(len(inside.members)), 2):
        losses = losses_between(inside, inside.members[a], inside.members[b], patches)
        values[a, b] = values[b, a] = np.nan if losses is None else loss_barrier(losses)
    return values


def _check_same(model: Path, ours: tuple[str, ...], theirs: tuple[str, ...]) -> None:
    if set(ours) != set(theirs):
        raise InvalidInput(
            Problem(
                code="E411",
                file=model.name,
                found=f"members {', '.join(ours)}; compared are {', '.join(theirs)}",
                expected="the model that these members were predicted with",
                fix="give its folder with --model, or leave --model out",
            )
        )
