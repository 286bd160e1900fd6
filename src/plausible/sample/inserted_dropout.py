"""Dropout inserted into networks that were trained without it: members from any model, without training again.

A member is one mask of whole channels, the same in every window (`plausible.train.dropout`). Nothing in training told
the network to bear it, so that the rate decides what the members are worth: choose it on held-out cases
(`plausible.runs.insert_rate`) and say it, as `members.json` does.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any

import numpy as np
import torch

from plausible.core import InvalidInput, Problem
from plausible.sample.sampling import Sampling
from plausible.sample.windowed import FunctionSource, WindowedModel
from plausible.train.dropout import FixedDropout
from plausible.train.dropout_places import places_in, places_named
from plausible.train.hooks import Function, Functions, Place


@dataclass(frozen=True, slots=True)
class InsertedDropout:
    """Functions of a network, each with a dropout mask of its own.

    Attributes:
        inner: what is drawn from without dropout.
        network: the torch module that its functions go through.
        places: names of the modules after which channels are left out.
        inner_seed: of the draw from `inner`; None where its point prediction is taken.
    """

    inner: Functions
    network: Any
    places: tuple[str, ...]
    rate: float
    inner_seed: int | None = None

    def draw(self, seed: int | None, *, shape: tuple[int, int, int]) -> Function:
        """Draw one mask on top of the inner function; None leaves nothing out."""
        function = self.inner.draw(self.inner_seed, shape=shape)
        if seed is None:
            return function
        dropout = FixedDropout(self.network, self.places, self.rate, seed)

        def masked(windows: torch.Tensor, places: Sequence[Place]) -> torch.Tensor:
            with dropout.applied():
                return function(windows, places)

        return masked


def with_dropout(model: WindowedModel, sampling: Sampling) -> WindowedModel:
    """Return the model with dropout in each of its networks, and as many members of each as are asked for.

    Functions that are draws already (of MC dropout, SWAG, ...) keep their seeds and get one mask each.

    Raises:
        InvalidInput: E505, a member has no torch network, no place for dropout is known in it, or none is there.
    """
    sources = [
        masked
        for number, source in enumerate(model.sources)
        for masked in _masked(source, dropout_places(source.network, sampling, member=source.info.id), sampling, number)
    ]
    several = len(sources) > len(model.sources)
    name = f"{model.ensemble} x {sampling.draws} dropout masks" if several else f"{model.ensemble} with dropout masks"
    return replace(model, sources=tuple(sources), ensemble=name)


def dropout_places(network: Any, sampling: Sampling, *, member: str = "") -> tuple[str, ...]:
    """Names of the modules of a torch network after which channels are left out: those told, or those known for it.

    Raises:
        InvalidInput: E505, there is no torch network, or none of the modules.
    """
    if not isinstance(network, torch.nn.Module):
        raise InvalidInput(
            Problem(
                code="E505",
                member=member,
                found="no torch network behind it",
                expected="a network with modules to insert dropout after",
                fix="use another sampler, e.g. --sampler tta",
            )
        )
    return places_named(network, sampling.insert_at) if sampling.insert_at else places_in(network)


def dropout_record(places: Sequence[str], sampling: Sampling) -> Mapping[str, Any]:
    """What decides a mask but its seed, as plain JSON values; part of the identity of every member."""
    return {"rate": sampling.insert_rate, "after": list(places)}


def _masked(
    source: FunctionSource, places: tuple[str, ...], sampling: Sampling, number: int
) -> tuple[FunctionSource, ...]:
    functions = InsertedDropout(source.functions, source.network, places, sampling.insert_rate, source.seed)
    identity = {**source.identity, "inserted_dropout": dropout_record(places, sampling), "inner_seed": source.seed}
    told = replace(
        source.info, method=" + ".join(filter(None, (source.info.method, f"dropout {sampling.insert_rate:g}")))
    )
    whole = replace(source, functions=functions, identity=identity, info=told)
    if source.seed is not None:
        return (replace(whole, seed=_other_seed(source.seed)),)
    return tuple(
        replace(
            whole,
            info=replace(told, id=f"{told.id}.draw_{draw:02d}", kind="draw", draw=draw),
            seed=sampling.seed_of(number, draw),
        )
        for draw in range(sampling.draws)
    )


def _other_seed(seed: int) -> int:
    """Seed of the mask on top of a draw; not the draw's own, which may be a mask after the same modules."""
    return int(np.random.SeedSequence([seed, 1]).generate_state(1)[0])
