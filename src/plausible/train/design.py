"""What the members of an ensemble share and what they differ in: seeds, folds, raters, recipes."""

from dataclasses import dataclass, field, replace
from typing import Any

from plausible.train.cases import Surveys
from plausible.train.coupled import check_diversity, check_in_step
from plausible.train.diversity_settings import DiversitySettings
from plausible.train.fingerprint import Fingerprint
from plausible.train.plan import Plan, plan
from plausible.train.recipes import Recipe, recipes_for, with_recipe
from plausible.train.settings import EnsembleKind, TrainingSettings
from plausible.train.split import MemberSplit, member_splits


@dataclass(frozen=True, slots=True, kw_only=True)
class Design:
    """What the members of an ensemble share and what they differ in.

    Raises:
        ValueError: members cannot be made to differ as asked.
    """

    members: int
    ensemble: EnsembleKind
    seed: int
    settings: TrainingSettings
    recipes: tuple[Recipe, ...]
    diversity: DiversitySettings = field(default_factory=DiversitySettings)

    def __post_init__(self) -> None:
        methods: set[str] = {self.settings_of(m).method for m in range(self.members)}
        check_diversity(self.diversity, ensemble=self.ensemble, members=self.members, methods=methods)
        check_in_step(self.diversity, self.settings)

    @property
    def asked(self) -> dict[str, Any]:
        """What decides the members, as plain JSON values; recipes and diversity only where they are used."""
        told: dict[str, Any] = {"members": self.members, "ensemble": self.ensemble, "seed": self.seed}
        told |= self.diversity.asked
        return {**told, "recipes": [dict(r) for r in self.recipes]} if self.ensemble == "heterogeneous" else told

    def parts(self, surveys: Surveys) -> tuple[MemberSplit, ...]:
        """Who sees what."""
        return member_splits(surveys.splits, members=self.members, ensemble=self.ensemble, seed=self.seed)

    def settings_of(self, member: int) -> TrainingSettings:
        """Settings of one member."""
        if self.ensemble != "heterogeneous":
            return self.settings
        return with_recipe(self.settings, recipes_for(self.members, self.recipes)[member])

    def plan_of(self, member: int, found: Fingerprint, shared: Plan) -> Plan:
        """Network of one member on the grid and the patch that all share."""
        settings = self.settings_of(member)
        return shared if settings == self.settings else plan(found, replace(settings, patch=shared.patch))
