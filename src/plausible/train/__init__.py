"""Train ensembles: nnU-Net's preprocessing and planning, MONAI's network, loss and transforms."""

from plausible.train.ensemble import Trained, train_ensemble
from plausible.train.model import MemberRecord, ModelInfo, ensemble_name, read_model
from plausible.train.settings import TrainingSettings
from plausible.train.split import Split, split_cases

__all__ = [
    "MemberRecord",
    "ModelInfo",
    "Split",
    "Trained",
    "TrainingSettings",
    "ensemble_name",
    "read_model",
    "split_cases",
    "train_ensemble",
]
