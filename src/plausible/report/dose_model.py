"""What dose.json holds of a case: metrics, constraints, curves and slices. JSON is the truth; pages are views of it."""

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from plausible.core import INTENDED_USE, SCHEMA_VERSION, DoseKind
from plausible.core.limits import Operator
from plausible.report.model import DoseState, MapFile, Quantity


@dataclass(frozen=True, slots=True, kw_only=True)
class Review:
    """The slice whose review would reduce the variance of a metric most, to first order."""

    slice_index: int | None
    share: Quantity  # part of the variance over members that would go
    sd: Quantity  # first-order SD of the metric, in its unit


@dataclass(frozen=True, slots=True, kw_only=True)
class MetricDose:
    """One metric of one structure over the members."""

    metric: str
    unit: str
    nominal: Quantity  # of the segmentation
    median: Quantity
    mean: Quantity
    sd: Quantity
    interval_50: tuple[Quantity, Quantity]  # where one further member would lie
    interval_90: tuple[Quantity, Quantity]
    method_50: str
    method_90: str
    n: int
    n_undefined: int
    members: tuple[Quantity, ...]
    flags: tuple[str, ...] = ()  # of the segmentation's reading, e.g. a volume too small for it
    review: Review | None = None
    reference: Mapping[str, Quantity] = field(default_factory=dict)  # by rater
    covered: int | None = None  # references inside interval_90, of those that are defined
    calibrated: tuple[Quantity, Quantity] | None = None  # holds the true value in `calibrated_level` of patients
    calibrated_level: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ConstraintDose:
    """One constraint and what the members say of it."""

    metric: str
    unit: str
    text: str  # e.g. "D2%[Gy] < 45"
    operator: Operator  # what must hold between metric and limit
    limit: float
    acceptable: float | None
    priority: int | None
    source: str
    checked: bool
    verdict: DoseState
    sure: bool  # the whole interval of the probability lies on the verdict's side
    probability: Quantity  # of a violation: k / n
    low: Quantity
    high: Quantity
    level: float
    interval: str
    k: int
    n: int
    k_acceptable: int | None
    n_undefined: int
    nominal: Quantity
    nominal_violates: bool | None  # None where the metric is undefined
    close: bool  # the limit lies inside the metric's 90 % interval
    at_dose_gy: Quantity  # where the limit lies in the figure of the DVH; a share is undefined for a mean dose
    at_share: Quantity
    reference_violates: Mapping[str, bool | None] = field(default_factory=dict)
    calibrated_pass: bool | None = None  # passes by the calibrated rule
    missed_at_most: float | None = None  # share of patients in whom it may pass although it is violated


@dataclass(frozen=True, slots=True, kw_only=True)
class NtcpDose:
    """Probability of one complication over the members."""

    endpoint: str
    td50_gy: float
    m: float
    n: float
    source: str
    checked: bool
    nominal: Quantity
    expected: Quantity
    jensen_gap: Quantity
    low: Quantity
    high: Quantity
    n_members: int


@dataclass(frozen=True, slots=True, kw_only=True)
class DvhCurves:
    """Curves of one structure: share of its volume that receives at least each dose."""

    dose_gy: tuple[float, ...]
    nominal: tuple[Quantity, ...]
    median: tuple[Quantity, ...]
    low_50: tuple[Quantity, ...]
    high_50: tuple[Quantity, ...]
    low_90: tuple[Quantity, ...]
    high_90: tuple[Quantity, ...]
    expected: tuple[Quantity, ...]  # mean of the members' curves
    of_mean_map: tuple[Quantity, ...]  # ratio of means: not the expected DVH
    method_50: str
    method_90: str
    reference: Mapping[str, tuple[Quantity, ...]] = field(default_factory=dict)
    sd: tuple[Quantity, ...] = ()  # of the members' curves
    low_calibrated: tuple[Quantity, ...] = ()  # band that holds the whole true curve in `calibrated_level` of patients
    high_calibrated: tuple[Quantity, ...] = ()
    calibrated_level: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class StructureDose:
    """One structure under the dose."""

    name: str
    standard_name: str
    n: int  # members that have it
    volume_ml: Quantity
    outside_share: Quantity  # of the segmentation, beyond the dose grid
    dvh_method: str
    uncertainty_gy: Quantity  # dose-aware uncertainty of the boundary
    metrics: tuple[MetricDose, ...]
    constraints: tuple[ConstraintDose, ...]
    curves: DvhCurves | None
    ntcp: tuple[NtcpDose, ...] = ()
    review_slice: int | None = None  # whose review would reduce the variance of the mean dose most


@dataclass(frozen=True, slots=True, kw_only=True)
class CaseDose:
    """Everything that is known of the dose to one case's structures."""

    subject: str
    structures: tuple[StructureDose, ...]
    constraint_set: str
    constraint_note: str
    not_there: tuple[str, ...]  # structures of the constraint file that the case does not have
    maximum_gy: Quantity
    dose_kind: DoseKind
    dose_shape: tuple[int, int, int]
    dose_spacing_mm: tuple[float, float, float]
    interpolation: str
    raters: tuple[str, ...]
    members: tuple[str, ...]
    scores: tuple[Mapping[str, Any], ...]
    maps: tuple[MapFile, ...]
    provenance: Mapping[str, Any]
    methods: str
    warnings: tuple[str, ...] = ()
    calibration: Mapping[str, Any] | None = None
    intended_use: str = INTENDED_USE
    schema_version: str = SCHEMA_VERSION
