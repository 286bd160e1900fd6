"""Dose metrics as people write them: D95%[Gy], D0.03cc[Gy], V20Gy[%], Mean[Gy], gEUD(a=8)[Gy].

D + number + (% or cc) + [Gy or %]; V + number + (Gy or %) + [% or cc]; Mean, Min, Max + [Gy or %]; gEUD(a=number) +
[Gy or %]; HI; Volume[cc]. A percentage of dose needs a prescription. Anything else is refused with the text that was
given. D0.03cc and D0.035cc are two metrics: the number belongs to the name.
"""

import math
import re
from dataclasses import dataclass

from plausible.core import InvalidInput, Problem
from plausible.dose.dvh import Dvh
from plausible.dose.metrics import DVH_METRICS

NUMBER = r"([0-9]+(?:\.[0-9]+)?|\.[0-9]+)"
FORMS = (
    (re.compile(rf"D{NUMBER}%(?:\[(Gy|%)\])?"), "dose_at_percent", "percent", "Gy"),
    (re.compile(rf"D{NUMBER}cc(?:\[(Gy|%)\])?"), "dose_at_volume", "volume_ml", "Gy"),
    (re.compile(rf"V{NUMBER}Gy(?:\[(%|cc)\])?"), "percent_at_dose", "dose_gy", "%"),
    (re.compile(rf"V{NUMBER}%(?:\[(%|cc)\])?"), "percent_at_dose", "dose_percent", "%"),
    (re.compile(r"gEUD\(a=(-?[0-9]+(?:\.[0-9]+)?)\)(?:\[(Gy|%)\])?"), "generalised_equivalent_uniform_dose", "a", "Gy"),
    (re.compile(r"Mean()(?:\[(Gy|%)\])?"), "mean_dose", "", "Gy"),
    (re.compile(r"Min()(?:\[(Gy|%)\])?"), "min_dose", "", "Gy"),
    (re.compile(r"Max()(?:\[(Gy|%)\])?"), "max_dose", "", "Gy"),
    (re.compile(r"HI()(?:\[(1)\])?"), "homogeneity_index", "", "1"),
    (re.compile(r"Volume()(?:\[(cc)\])?"), "volume", "", "cc"),
)
SMALL_ML = 0.5
"""Below this, planning systems disagree about volumes by 5 to 10 % (Eaton 2017)."""
FEW = 3
"""Fewer cells than this above the cut of D_x cc cannot resolve it."""


@dataclass(frozen=True, slots=True)
class MetricReading:
    """One metric of one DVH.

    Attributes:
        value: NaN if it is undefined; `flags` say why.
        unit: "Gy", "%", "cc" or "1".
        flags: what a reader must know: "empty", "volume < x", "resolution-limited", "small volume < 0.5 cc",
            "3.1 % outside the dose grid".
    """

    value: float
    unit: str
    flags: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class DoseMetric:
    """A metric of a DVH with its numbers.

    Attributes:
        text: canonical text, e.g. "D0.03cc[Gy]".
        name: its entry in `DVH_METRICS`.
        setting: name of its number; empty if it has none.
        number: the number; 0 if it has none.
        unit: of its values: "Gy", "%", "cc" or "1".
        prescription_gy: what 100 % of dose means; None if the metric needs none.
    """

    text: str
    name: str
    setting: str
    number: float
    unit: str
    prescription_gy: float | None = None

    @property
    def upper(self) -> float:
        """Largest possible value: 100 for a share of the volume in percent, else none."""
        of_volume = self.unit == "%" and self.setting in ("dose_gy", "dose_percent")
        return 100.0 if of_volume else math.inf

    def value(self, dvh: Dvh) -> float:
        """Value for a DVH; NaN if it is undefined."""
        settings = {self.setting: self.number} if self.setting else {}
        if self.setting == "dose_percent":
            settings = {"dose_gy": self.number / 100 * (self.prescription_gy or math.nan)}
        found = DVH_METRICS[self.name].function(dvh, **settings)
        of_dose = DVH_METRICS[self.name].unit == "Gy" and self.unit == "%"
        return 100 * found / (self.prescription_gy or math.nan) if of_dose else found

    def read(self, dvh: Dvh) -> MetricReading:
        """Value for a DVH with what a reader must know about it."""
        flags = []
        if not dvh.total_volume_ml:
            return MetricReading(math.nan, self.unit, ("empty",))
        if self.setting == "volume_ml":
            if dvh.total_volume_ml < self.number:
                flags.append("volume < x")
            elif self.number < FEW * dvh.cell_ml:
                flags.append("resolution-limited")
        if dvh.total_volume_ml < SMALL_ML:
            flags.append(f"small volume < {SMALL_ML} cc")
        if dvh.outside_ml > 1e-9 * dvh.total_volume_ml:
            flags.append(f"{100 * dvh.outside_ml / dvh.total_volume_ml:.2g} % outside the dose grid")
        return MetricReading(self.value(dvh), self.unit, tuple(flags))


def parse_metric(text: str, *, prescription_gy: float | None = None) -> DoseMetric:
    """Read a metric from its text, e.g. "D95%[Gy]"; without a unit in brackets, the usual one.

    Args:
        text: spaces are ignored.
        prescription_gy: what 100 % of dose means, for metrics that speak of it.

    Raises:
        InvalidInput: E703, a text that is no metric, a percentage above 100, or one of an unknown prescription.
    """
    compact = re.sub(r"\s", "", text)
    for form, name, setting, usual in FORMS:
        found = form.fullmatch(compact)
        if found:
            number, unit = float(found[1] or 0), found[2] or usual
            of_dose = setting == "dose_percent" or (usual == "Gy" and unit == "%")
            _check(text, name, number, needs_prescription=of_dose, prescription_gy=prescription_gy)
            named = "volume_at_dose" if unit == "cc" and name == "percent_at_dose" else name
            written = _canonical(compact, found[1], number, unit)
            return DoseMetric(written, named, setting, number, unit, prescription_gy if of_dose else None)
    raise _refused(f"the metric {text!r}")


def _check(text: str, name: str, number: float, *, needs_prescription: bool, prescription_gy: float | None) -> None:
    if name == "dose_at_percent" and number > 100:
        raise _refused(f"the metric {text!r}, of more than 100 % of a volume")
    if name == "generalised_equivalent_uniform_dose" and number == 0:
        raise _refused(f"the metric {text!r}, with an exponent of 0")
    if needs_prescription and not (prescription_gy and prescription_gy > 0):
        raise _refused(f"the metric {text!r}, in percent of a prescription that was not told")


def _canonical(compact: str, written: str, number: float, unit: str) -> str:
    head = compact.partition("[")[0]
    return f"{head.replace(written, f'{number:g}', 1) if written else head}[{unit}]"


def _refused(found: str) -> InvalidInput:
    return InvalidInput(
        Problem(
            code="E703",
            found=found,
            expected="D95%[Gy], D0.03cc[Gy], V20Gy[%], V20Gy[cc], Mean[Gy], Min[Gy], Max[Gy], gEUD(a=8)[Gy], HI[1] or "
            "Volume[cc]; with a prescription V95%[%] and doses in [%] as well",
            fix="write the metric in one of these forms, or tell the prescription",
        )
    )
