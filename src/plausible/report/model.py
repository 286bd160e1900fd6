"""What case.json and cohort.json hold. JSON is the truth; the pages are views of it.

`schema_version` grows by a minor step for additions only. NaN is written as null.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Annotated, Any, Literal, TypeAlias

from pydantic import BeforeValidator, WithJsonSchema

from plausible.core import INTENDED_USE, SCHEMA_VERSION

State = Literal["review", "pass", "cannot_tell"]
DoseState = Literal["pass", "fail", "undecided", "cannot_tell"]


def _undefined(value: Any) -> Any:
    return math.nan if value is None else value


Quantity: TypeAlias = Annotated[float, BeforeValidator(_undefined), WithJsonSchema({"type": ["number", "null"]})]
"""A number that may be undefined: NaN in memory, null in JSON."""


@dataclass(frozen=True, slots=True, kw_only=True)
class Interval:
    """A value with an interval, and how many things it rests on. `level` is None where there is no interval."""

    value: float | None
    low: float | None = None
    high: float | None = None
    level: float | None = None
    n: int = 0
    meaning: str = ""  # e.g. "range of the middle 90 % of members, not calibrated"


@dataclass(frozen=True, slots=True, kw_only=True)
class Verdict:
    """What to do with the case, and why in one sentence. Without a calibration no error rate is promised."""

    state: State
    reason: str
    measure: str = "mean_pairwise_dice"
    value: float | None = None
    limit: float | None = None
    structure: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class StructureSummary:
    """One organ or target: volume in ml, agreement of the members, the slice to see first, and why it is flagged."""

    name: str
    volume_ml: Interval
    member_volumes_ml: tuple[Quantity, ...]
    expected_volume_ml: Quantity  # sum of the mean probability
    volume_cv: float | None
    agreement: float | None  # mean pairwise Dice of the members
    agreement_matrix: tuple[tuple[float | None, ...], ...]  # pairwise Dice, member x member
    worst_slice: int | None
    touches_edge: bool
    flags: tuple[str, ...] = ()
    reference: Mapping[str, float | None] = field(default_factory=dict)  # scores against the reference, by measure
    reference_volume_ml: float | None = None
    outer_margin_mm: float | None = None  # calibrated: grown by it, the structure holds the true one as promised
    set_threshold: float | None = None  # calibrated: smallest mean probability of the voxel set


@dataclass(frozen=True, slots=True, kw_only=True)
class SliceProfile:
    """Uncertain area of one structure in every slice, in cm2: the soft area on which members disagree."""

    structure: str
    axis: int
    uncertain_area_cm2: tuple[Quantity, ...]
    area_cm2: tuple[Quantity, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class MapFile:
    """One map on disk, relative to the case's folder."""

    path: str
    quantity: str
    unit: str
    definition: str
    valid_range: tuple[float, float | None]
    frames: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseReport:
    """Everything the case page shows."""

    subject: str
    study: str
    verdict: Verdict
    structures: tuple[StructureSummary, ...]
    profiles: tuple[SliceProfile, ...]
    members: tuple[Mapping[str, Any], ...]  # MemberInfo as plain values
    ensemble: str  # what the members are together, e.g. "deep ensemble of 5"
    scores: tuple[Mapping[str, Any], ...]  # rows
    maps: tuple[MapFile, ...]
    shape: tuple[int, int, int]
    spacing_mm: tuple[float, float, float]
    exclusive: bool
    provenance: Mapping[str, Any]
    methods: str = ""
    hard_members: bool = False  # members are label maps: the mean probability is a share of votes
    image: tuple[str, ...] = ()  # image files, relative to the run's folder where possible
    channels: tuple[str, ...] = ()  # names of the image's channels; "CT" is shown in CT windows
    calibration: Mapping[str, Any] | None = None
    warnings: tuple[str, ...] = ()
    intended_use: str = INTENDED_USE
    schema_version: str = SCHEMA_VERSION


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortLine:
    """One case and structure in the triage table. `agreement` decides the order: the least agreed comes first."""

    subject: str
    structure: str
    state: State
    agreement: float | None
    volume_ml: Interval
    volume_cv: float | None
    worst_slice: int | None
    flags: tuple[str, ...] = ()
    page: str = ""  # relative link to the case page
    reference: Mapping[str, float | None] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class Reliability:
    """Reliability diagram of one class or of the top label: per bin the confidence, accuracy and share of voxels."""

    name: str
    confidence: tuple[Quantity, ...]
    accuracy: tuple[Quantity, ...]
    low: tuple[Quantity, ...]
    high: tuple[Quantity, ...]
    share: tuple[Quantity, ...]
    n_subjects: int
    ece: Interval


@dataclass(frozen=True, slots=True, kw_only=True)
class RiskCoverageCurve:
    """Mean risk of the cases kept, from the most to the least confident, at each coverage."""

    structure: str
    score: str
    risk: str
    coverage: tuple[float, ...]
    selective_risk: tuple[Quantity, ...]
    aurc: Interval
    aurc_optimal: float | None
    mean_risk: Quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class WorkingPoint:
    """What one threshold of a failure flag would cost, and what it would let through."""

    accepted: float  # share of the calibration patients that are not flagged
    n_accepted: int
    n_failed: int
    rate_high: float | None  # upper end of the failure rate among those
    certified: bool  # whether the promise holds there
    n_review: int  # new cases that would be flagged


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """A failure flag's thresholds, from few to many cases accepted, and the one in use."""

    structure: str
    score: str
    failure: str
    alpha: float
    delta: float
    n_patients: int
    n_new: int
    chosen: int | None
    points: tuple[WorkingPoint, ...]


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstraintLine:
    """One constraint of one case in the cohort's table."""

    subject: str
    structure: str
    text: str
    unit: str
    verdict: DoseState
    sure: bool
    nominal: Quantity
    nominal_violates: bool | None
    close: bool  # the limit lies inside the metric's 90 % interval
    probability: Quantity
    low: Quantity
    high: Quantity
    k: int
    n: int
    priority: int | None
    checked: bool
    review_slice: int | None
    page: str = ""


@dataclass(frozen=True, slots=True, kw_only=True)
class Failure:
    """One case that could not be done, and why."""

    subject: str
    stage: str
    code: str
    message: str
    fix: str


@dataclass(frozen=True, slots=True, kw_only=True)
class CohortReport:
    """Everything the cohort page shows."""

    study: str
    n_cases: int
    n_flagged: int
    lines: tuple[CohortLine, ...]
    failures: tuple[Failure, ...]
    provenance: Mapping[str, Any]
    ensemble: str = ""
    summary: tuple[Mapping[str, Any], ...] = ()  # measure, structure, mean, low, high, n, n_undefined, unit
    reliability: tuple[Reliability, ...] = ()
    risk_coverage: tuple[RiskCoverageCurve, ...] = ()
    workload: tuple[Workload, ...] = ()
    constraints: tuple[ConstraintLine, ...] = ()  # every constraint of every case with a dose
    methods: str = ""
    warnings: tuple[str, ...] = ()
    calibration: Mapping[str, Any] | None = None
    intended_use: str = INTENDED_USE
    schema_version: str = SCHEMA_VERSION
