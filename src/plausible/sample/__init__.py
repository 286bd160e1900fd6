"""From a model and an image to members: one function each, for the whole image, streamed to the member store."""

from plausible.sample.copula import CopulaSettings, GaussianField, draw_members
from plausible.sample.copula_fit import CopulaFit, VolumeSpread, fit_correlation_length
from plausible.sample.export import export_model
from plausible.sample.model import load_model
from plausible.sample.nnunet import NnunetModel, load_nnunet_model
from plausible.sample.nnunet_deep_ensemble import DeepEnsemble, prepare_deep_ensemble
from plausible.sample.recognise import open_model
from plausible.sample.sampling import Sampling
from plausible.sample.source import SegmentationModel
from plausible.sample.study import Predicted, image_study, predict_case, predict_study
from plausible.sample.windowed import WindowedModel, predict_members

__all__ = [
    "CopulaFit",
    "CopulaSettings",
    "DeepEnsemble",
    "GaussianField",
    "NnunetModel",
    "Predicted",
    "Sampling",
    "SegmentationModel",
    "VolumeSpread",
    "WindowedModel",
    "draw_members",
    "export_model",
    "fit_correlation_length",
    "image_study",
    "load_model",
    "load_nnunet_model",
    "open_model",
    "predict_case",
    "predict_members",
    "predict_study",
    "prepare_deep_ensemble",
]
