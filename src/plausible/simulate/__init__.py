"""Toy images with known aleatoric and epistemic truth."""

from plausible.simulate.objects import ToyObject, ball_profile, edge_profile
from plausible.simulate.raters import (
    aleatoric_entropy,
    masks_by_quantile,
    masks_by_radius,
    rater_fraction,
    rater_names,
    shares,
)
from plausible.simulate.toy import TOY_CASES, ToyCase, ToyGroup, raters_of_case, simulate, simulate_one

__all__ = [
    "TOY_CASES",
    "ToyCase",
    "ToyGroup",
    "ToyObject",
    "aleatoric_entropy",
    "ball_profile",
    "edge_profile",
    "masks_by_quantile",
    "masks_by_radius",
    "rater_fraction",
    "rater_names",
    "raters_of_case",
    "shares",
    "simulate",
    "simulate_one",
]
