"""Dropout inserted into nnU-Net's networks, which have none: members of a trained-model folder from a single fold.

The network, its windows and its views stay nnU-Net's own. A member is one mask of whole channels, the same in every
window and in every view (`plausible.train.dropout`).
"""

from contextlib import AbstractContextManager
from dataclasses import replace

from plausible.sample.inserted_dropout import dropout_places, dropout_record
from plausible.sample.nnunet import NnunetModel
from plausible.sample.nnunet_members import NnunetMember
from plausible.sample.sampling import Sampling
from plausible.train.dropout import FixedDropout


def with_nnunet_dropout(model: NnunetModel, sampling: Sampling) -> NnunetModel:
    """Return the model with `sampling.draws` masks of every checkpoint, each seen in all its views.

    Raises:
        InvalidInput: E505, no place for dropout is known in this network, or none of those told is there.
    """
    places = dropout_places(model.stock.network, sampling)

    def masked(seed: int) -> AbstractContextManager[None]:
        return FixedDropout(model.stock.network, places, sampling.insert_rate, seed).applied()

    return replace(
        model,
        members=tuple(_drawn(m, draw, sampling) for m in model.members for draw in range(sampling.draws)),
        described={**model.described, "inserted_dropout": dropout_record(places, sampling)},
        ensemble=f"{model.ensemble} x {sampling.draws} dropout masks",
        dropout=masked,
    )


def _drawn(member: NnunetMember, draw: int, sampling: Sampling) -> NnunetMember:
    """One mask on top of a member; views of one checkpoint share the masks."""
    told, view = member.info, member.info.view
    own = told.id.removesuffix(f".{view}") if view else told.id
    name = f"{own}.draw_{draw:02d}" + (f".{view}" if own != told.id else "")
    method = f"{told.method} + dropout {sampling.insert_rate:g}"
    info = replace(told, id=name, kind=told.kind if own != told.id else "draw", method=method, draw=draw)
    return replace(member, info=info, mask=sampling.seed_of(member.checkpoint, draw))
