"""A trained model on disk: `model.json` says what made each member, `member_<m>/weights.pt` holds its weights.

What the members are together is derived from what each of them saw and never typed in: members that saw the same cases
and differ by their seeds are a deep ensemble, members that left out a fold each are a cross-validation ensemble.
"""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any

from plausible.core import Classes, InvalidInput, MemberInfo, Problem
from plausible.io.store import classes_from_dict, classes_to_dict
from plausible.train.member_record import MemberRecord, record_from_dict
from plausible.train.naming import ensemble_name
from plausible.train.plan import Plan

FORMAT = "plausible model 1"


@dataclass(frozen=True, slots=True, kw_only=True)
class ModelInfo:
    """Everything `model.json` holds."""

    classes: Classes
    channels: tuple[str, ...]
    plan: Plan
    members: tuple[MemberRecord, ...]
    ensemble: str
    provenance: Mapping[str, Any]
    fingerprint: Mapping[str, Any]
    environment: Mapping[str, Any]
    left_out: tuple[Mapping[str, Any], ...] = ()  # cases that could not be used, as problems

    def __post_init__(self) -> None:
        derived = ensemble_name(self.members)
        if self.ensemble != derived:
            raise ValueError(
                f"these members are a {derived}, not a {self.ensemble}: see what each of them was trained on"
            )

    @property
    def infos(self) -> tuple[MemberInfo, ...]:
        """The members as the rest of the library knows them."""
        return tuple(record.info for record in self.members)

    def to_dict(self) -> dict[str, Any]:
        """Return the content of `model.json`."""
        content = asdict(self)
        return {"format": FORMAT, **content, "classes": classes_to_dict(self.classes), "plan": self.plan.to_dict()}


def read_model(model: Path) -> ModelInfo:
    """Read `model.json`.

    Raises:
        InvalidInput: E502, there is none, it is not ours, or its members are not what it says they are.
    """
    path = model / "model.json"
    try:
        content = json.loads(path.read_text(encoding="utf-8"))
        if content["format"] != FORMAT:
            raise ValueError(f"format {content['format']!r}")
        return ModelInfo(
            classes=classes_from_dict(content["classes"]),
            channels=tuple(content["channels"]),
            plan=Plan.from_dict(content["plan"]),
            members=tuple(record_from_dict(member) for member in content["members"]),
            ensemble=content["ensemble"],
            provenance=content["provenance"],
            fingerprint=content["fingerprint"],
            environment=content["environment"],
            left_out=tuple(content["left_out"]),
        )
    except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
        raise unusable_model(model, f"{type(error).__name__}: {error}") from error


def unusable_model(model: Path, found: str) -> InvalidInput:
    """Return the error of a folder that is not a finished model."""
    return InvalidInput(
        Problem(
            code="E502",
            file=model.name,
            found=found.replace(str(model), model.name)[:300],
            expected=f"a folder with model.json ({FORMAT}) and the weights of every member",
            fix="run plausible train again with the same settings (it continues), or choose another folder",
        )
    )
