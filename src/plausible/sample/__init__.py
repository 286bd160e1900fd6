"""From a model and an image to members: each network's own probabilities, streamed to the member store."""

from plausible.sample.model import TrainedModel, load_model
from plausible.sample.predict import predict_members
from plausible.sample.study import Predicted, image_study, predict_case, predict_study

__all__ = [
    "Predicted",
    "TrainedModel",
    "image_study",
    "load_model",
    "predict_case",
    "predict_members",
    "predict_study",
]
