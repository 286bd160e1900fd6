"""One calibration per group of patients, or per structure, so that the promise holds in each: Mondrian conformal.

A promise for all patients together may be kept by being too cautious at a large site and broken at a small one. Fitting
each group by itself keeps it everywhere; the price is that every group needs enough patients. Groups are known without
the reference (site, scanner, size class of the *predicted* volume), and were not chosen by looking at the errors.

Source: Vovk 2012, doi:10.1007/s10994-013-5355-6 (conditional validity); Vovk, Gammerman and Shafer 2005, chapter 4.
"""

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Protocol, runtime_checkable

from plausible.calibrate.guarantee import CALIBRATIONS, Calibration, record, validated
from plausible.core import InvalidInput, Problem, content_key


@runtime_checkable
class OfPatient(Protocol):
    """A row or a curve: it knows whose it is."""

    @property
    def subject(self) -> str:
        """The patient."""
        ...

    @property
    def structure(self) -> str:
        """The structure; empty if none."""
        ...


@record
@dataclass(frozen=True, slots=True, kw_only=True)
class GroupedCalibration(Calibration):
    """A calibration for each group.

    Attributes:
        by: what groups are, e.g. "site" or "structure".
        groups: the record of each group.
    """

    by: str
    groups: Mapping[str, Calibration]

    def __getitem__(self, group: str) -> Calibration:
        """Return the record of a group.

        Raises:
            InvalidInput: E401, a group that no calibration patient belongs to.
        """
        if group not in self.groups:
            raise InvalidInput(
                Problem(
                    code="E401",
                    found=f"no calibration patient with {self.by} {group!r}",
                    expected=f"one of {', '.join(self.groups)}",
                    fix=f"calibrate with patients of this {self.by}, or use a calibration that is not by {self.by}",
                )
            )
        return self.groups[group]

    def to_dict(self) -> dict[str, Any]:
        """Return the records of all groups as plain JSON values."""
        shell = GroupedCalibration(guarantee=self.guarantee, by=self.by, groups={})
        values = Calibration.to_dict(shell)
        return {**values, "groups": {name: one.to_dict() for name, one in self.groups.items()}}

    @classmethod
    def restore(cls, values: Mapping[str, Any]) -> "Calibration":
        """Return the record from its plain values."""
        groups = {name: Calibration.from_dict(one) for name, one in values["groups"].items()}
        return replace(validated(cls, {**values, "groups": {}}), groups=groups)


@CALIBRATIONS.add(
    unit="of the row", higher_is="neither", source="Vovk 2012, doi:10.1007/s10994-013-5355-6", label="by group"
)
def fit_by_group(
    fit: Callable[..., Calibration],
    *columns: Sequence[OfPatient],
    group_of: Mapping[str, str],
    by: str,
) -> GroupedCalibration:
    """Fit each group of patients by itself.

    Args:
        fit: a fit of this family with its settings, e.g. `partial(fit_interval, alpha=0.1, ...)`.
        *columns: rows or curves, as the fit takes them.
        group_of: group of each patient.
        by: what groups are, in one word, e.g. "site".

    Raises:
        InvalidInput: E401, a group with too few patients; the message names it.
        ValueError: a patient without a group.
    """
    alone = sorted({item.subject for column in columns for item in column} - group_of.keys())
    if alone:
        raise ValueError(f"{len(alone)} patients have no {by}: {', '.join(alone[:5])}")
    return _fit_parts(fit, columns, by, lambda item: group_of[item.subject])


@CALIBRATIONS.add(
    unit="of the row", higher_is="neither", source="Vovk 2012, doi:10.1007/s10994-013-5355-6", label="by structure"
)
def fit_by_structure(fit: Callable[..., Calibration], *columns: Sequence[OfPatient]) -> GroupedCalibration:
    """Fit each structure by itself: organs share no quantile.

    Every structure keeps its own promise; that all organs of one patient are right at once is not promised.

    Args:
        fit: a fit of this family with its settings.
        *columns: rows or curves of all structures, as the fit takes them.

    Raises:
        InvalidInput: E401, a structure with too few patients; the message names it.
    """
    return _fit_parts(fit, columns, "structure", lambda item: item.structure)


def _fit_parts(
    fit: Callable[..., Calibration],
    columns: Sequence[Sequence[OfPatient]],
    by: str,
    group: Callable[[OfPatient], str],
) -> GroupedCalibration:
    names = sorted({group(item) for column in columns for item in column})
    if not names:
        raise ValueError("there is nothing to calibrate on")
    fitted = {name: _fit_one(fit, columns, by, name, group) for name in names}
    first = next(iter(fitted.values())).guarantee
    subjects = sorted({subject for one in fitted.values() for subject in one.guarantee.subjects})
    shared = replace(
        first,
        n_patients=len(subjects),
        claim=f"the promise of the {by} holds in every {by} ({', '.join(names)})",
        population=first.population.removesuffix(_of(by, names[0])),
        subjects=tuple(subjects),
        structure="",
        data_hash=content_key({name: one.guarantee.data_hash for name, one in fitted.items()}),
    )
    return GroupedCalibration(guarantee=shared, by=by, groups=fitted)


def _fit_one(
    fit: Callable[..., Calibration],
    columns: Sequence[Sequence[OfPatient]],
    by: str,
    name: str,
    group: Callable[[OfPatient], str],
) -> Calibration:
    parts: Iterator[list[OfPatient]] = ([item for item in column if group(item) == name] for column in columns)
    try:
        fitted = fit(*parts)
    except InvalidInput as error:
        problem = replace(error.problem, found=f"{by} {name}: {error.problem.found}")
        raise InvalidInput(problem) from error
    if by == "structure":
        return fitted
    guarantee = replace(fitted.guarantee, population=fitted.guarantee.population + _of(by, name))
    return replace(fitted, guarantee=guarantee)


def _of(by: str, name: str) -> str:
    return f", {by} {name}"
