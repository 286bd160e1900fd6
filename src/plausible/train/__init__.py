"""Train ensembles: nnU-Net's preprocessing and planning, MONAI's network, loss and transforms."""

from plausible.train.diversity_objectives import DIVERSITY_OBJECTIVES, DiversityName, DiversityObjective
from plausible.train.diversity_settings import DiversitySettings
from plausible.train.ensemble import Trained, plan_training, train_ensemble
from plausible.train.member_record import MemberRecord
from plausible.train.methods import METHODS, MethodName, TrainingMethod
from plausible.train.model import ModelInfo, read_model
from plausible.train.naming import ensemble_name
from plausible.train.random_recipes import random_recipes
from plausible.train.recipes import RECIPES, Recipe
from plausible.train.settings import EnsembleKind, TrainingSettings
from plausible.train.split import Split, split_cases

__all__ = [
    "DIVERSITY_OBJECTIVES",
    "METHODS",
    "RECIPES",
    "DiversityName",
    "DiversityObjective",
    "DiversitySettings",
    "EnsembleKind",
    "MemberRecord",
    "MethodName",
    "ModelInfo",
    "Recipe",
    "Split",
    "Trained",
    "TrainingMethod",
    "TrainingSettings",
    "ensemble_name",
    "plan_training",
    "random_recipes",
    "read_model",
    "split_cases",
    "train_ensemble",
]
