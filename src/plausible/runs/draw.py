"""Plausible masks of saved soft predictions: the mean probability of every case, and draws of it to the member store.

The unit of work is one draw of one case, written whole or not at all under a key of inputs and settings. A run that was
killed is run again and draws what is missing.
"""

from dataclasses import asdict, dataclass
from pathlib import Path

import numpy as np

import plausible
from plausible.core import Case, Member, MemberInfo, Members, Problem, Study, content_key
from plausible.io import case_inputs, is_stored, store_path, write_member, write_members_json
from plausible.io.atomic import remove_leftovers
from plausible.io.store import StoredAs, refuse_other_members
from plausible.runs.walk import OnCase, attempted
from plausible.sample.copula import METHOD, CopulaSettings, draw_members


@dataclass(frozen=True, slots=True)
class Drawn:
    """What a run did: draws written and kept per case, why cases could not be drawn from, and what was warned of."""

    written: tuple[tuple[str, int], ...]
    kept: tuple[tuple[str, int], ...]
    failures: tuple[Problem, ...]
    warnings: tuple[Problem, ...] = ()


def draw_study(
    study: Study,
    store: Path,
    *,
    samples: int,
    seed: int,
    settings: CopulaSettings,
    stored_as: StoredAs = "uint16",
    overwrite: bool = False,
    on_case: OnCase | None = None,
) -> Drawn:
    """Draw plausible masks of every case into a store; a case that cannot be read is listed and stops nobody.

    Args:
        study: cases with soft members; their mean is what is drawn from.
        store: folder of the draws (`STORE/draw_0/CASE.zarr.zip`, `STORE/members.json`).
        samples: draws of each case.
        seed: of everything random.
        settings: correlation length and what else the law has.
        stored_as: type in the store.
        overwrite: draw again what is there already.
        on_case: called after each case.

    Raises:
        ValueError: no samples, or a store with other members, which would be read together with these.
    """
    if samples < 1:
        raise ValueError(f"samples must be at least 1, got {samples}")
    infos = tuple(MemberInfo(id=f"draw_{k}", kind="draw", method=METHOD, draw=k, seed=seed) for k in range(samples))
    refuse_other_members(store, infos)
    remove_leftovers(store)
    ensemble = describe(samples, settings)
    write_members_json(store, infos, classes=study.classes, ensemble=ensemble, copula=told(settings), of=study.ensemble)
    written, kept = list[tuple[str, int]](), list[tuple[str, int]]()
    failures, warned = list[Problem](), list[Problem]()

    def once(case: Case) -> int:
        return draw_case(
            case, store, samples=samples, seed=seed, settings=settings, stored_as=stored_as, overwrite=overwrite
        )

    cases = {case.subject: case for case in study}
    for one in attempted(cases, once, on_case=on_case, said=lambda new: "ok" if new else "kept"):
        warned += one.warnings
        if one.failure:
            failures.append(one.failure)
        if one.found is not None:
            written.append((one.subject, one.found))
            kept.append((one.subject, samples - one.found))
    return Drawn(tuple(written), tuple(kept), tuple(failures), tuple(warned))


def draw_case(
    case: Case,
    store: Path,
    *,
    samples: int,
    seed: int,
    settings: CopulaSettings,
    stored_as: StoredAs = "uint16",
    overwrite: bool = False,
) -> int:
    """Draw what the store lacks of one case; return how many draws were written.

    Raises:
        InvalidInput: E315, nothing but label maps that agree; and what the readers of the members find.
    """
    made = {"version": plausible.__version__, "inputs": case_inputs(case), "copula": told(settings)}
    keys = [content_key({**made, "seed": seed, "draw": k, "stored_as": stored_as}) for k in range(samples)]
    paths = [store_path(store, member=f"draw_{k}", subject=case.subject) for k in range(samples)]
    missing = [k for k in range(samples) if overwrite or not is_stored(paths[k], key=keys[k])]
    if missing:
        mean = mean_member(case.members())
        for member in draw_members(mean, draws=missing, seed=seed, settings=settings, subject=case.subject):
            key = keys[int(member.info.draw or 0)]
            write_member(store, member, subject=case.subject, key=key, stored_as=stored_as)
    return len(missing)


def mean_member(members: Members) -> Member:
    """Mean probability of the members, as a member; hard only if it is a label map still.

    Memory: the mean and one member at a time.
    """
    total, hard = np.zeros((len(members.classes.names), *members.geometry.shape), dtype=np.float32), True
    for member in members:
        total += member.probabilities
        hard = hard and member.hard
    total /= np.float32(len(members))
    open_ = hard and bool(((total > 0) & (total < 1)).any())
    return Member(total, members.geometry, members.classes, MemberInfo(id="mean"), hard=hard and not open_)


def describe(samples: int, settings: CopulaSettings) -> str:
    """What the draws are together."""
    return f"{samples} draws of a Gaussian-field copula, correlation length {settings.correlation_mm:g} mm"


def told(settings: CopulaSettings) -> dict[str, object]:
    """Settings as JSON values, which have no infinity."""
    return {name: str(value) if value == np.inf else value for name, value in asdict(settings).items()}
