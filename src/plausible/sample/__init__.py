"""From a model and an image to members: one function each, for the whole image, streamed to the member store."""

from plausible.sample.export import export_model
from plausible.sample.model import load_model
from plausible.sample.recognise import open_model
from plausible.sample.sampling import Sampling
from plausible.sample.source import SegmentationModel
from plausible.sample.study import Predicted, image_study, predict_case, predict_study
from plausible.sample.windowed import WindowedModel, predict_members

__all__ = [
    "Predicted",
    "Sampling",
    "SegmentationModel",
    "WindowedModel",
    "export_model",
    "image_study",
    "load_model",
    "open_model",
    "predict_case",
    "predict_members",
    "predict_study",
]
