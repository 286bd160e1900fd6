"""Toy images with known aleatoric and epistemic truth, and artefacts that make a model fail."""

from plausible.simulate.artefacts import ARTEFACTS, with_artefact
from plausible.simulate.dose_phantom import DosePhantom, dose_phantom, probability_mean_dose_above
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
    "ARTEFACTS",
    "TOY_CASES",
    "DosePhantom",
    "ToyCase",
    "ToyGroup",
    "ToyObject",
    "aleatoric_entropy",
    "ball_profile",
    "dose_phantom",
    "edge_profile",
    "masks_by_quantile",
    "masks_by_radius",
    "probability_mean_dose_above",
    "rater_fraction",
    "rater_names",
    "raters_of_case",
    "shares",
    "simulate",
    "simulate_one",
    "with_artefact",
]
