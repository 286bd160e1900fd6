"""Train ensembles: nnU-Net's preprocessing and planning, MONAI's network, loss and transforms."""

from plausible.train.ensemble import Trained, plan_training, train_ensemble
from plausible.train.model import MemberRecord, ModelInfo, ensemble_name, read_model
from plausible.train.settings import EnsembleKind, TrainingSettings
from plausible.train.split import Split, split_cases

__all__ = [
    "EnsembleKind",
    "MemberRecord",
    "ModelInfo",
    "Split",
    "Trained",
    "TrainingSettings",
    "ensemble_name",
    "plan_training",
    "read_model",
    "split_cases",
    "train_ensemble",
]
