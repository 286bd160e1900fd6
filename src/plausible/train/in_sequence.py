"""Train members one after another, each with a penalty that knows the members before it."""

from collections.abc import Callable

from plausible.train.checkpoint import loaded
from plausible.train.job import EnsembleJob, MemberJob
from plausible.train.member import train_member
from plausible.train.member_record import MemberRecord
from plausible.train.network import build_network
from plausible.train.orthogonal_filters import Filters, filters_among
from plausible.train.workers import Progress


def train_in_sequence(job: EnsembleJob, *, on_progress: Progress) -> None:
    """Train every member, or continue where a killed run stopped. The members before count as they were stored."""
    penalty = job.diversity.objective.load()
    earlier: list[Filters] = []
    for m, member in enumerate(job.members):
        told = _reporting(on_progress, m, member.settings.iterations)
        records = train_member(member, on_iteration=told, penalty=penalty(job.diversity.weight, tuple(earlier)))
        earlier.append(_stored_filters(member, records[-1]))


def _stored_filters(job: MemberJob, record: MemberRecord) -> Filters:
    weights = loaded((job.folder.parent / record.weights).read_bytes(), device=job.device)
    network = build_network(job.plan, channels=job.channels, outputs=len(job.classes.names), seed=0)
    return filters_among(weights, network)


def _reporting(tell: Progress, member: int, total: int) -> Callable[[int, float], None]:
    return lambda iteration, loss: tell(member, iteration, total, loss)
