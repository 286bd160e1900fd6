"""Logits to probabilities, where a user says that a file holds logits."""

from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Float, Float32

from plausible.core import Classes, InvalidInput, Problem

Values: TypeAlias = Literal["labels", "probabilities", "logits"]


def activate(logits: Float[np.ndarray, "c i j k"], *, classes: Classes) -> Float32[np.ndarray, "c i j k"]:
    """Softmax over exclusive classes, a sigmoid for each overlapping region.

    Raises:
        InvalidInput: E309, logits that are not finite.
    """
    values = np.asarray(logits, dtype=np.float32)
    if not np.isfinite(values).all():
        raise InvalidInput(
            Problem(
                code="E309",
                found=f"{int(np.count_nonzero(~np.isfinite(values)))} logits that are NaN or infinite",
                expected="finite logits",
                fix="predict this case again; a network that gives NaN met an overflow (try float32) or a NaN image",
            )
        )
    if not classes.exclusive:
        return sigmoid(values)
    shifted = values - values.max(axis=0)
    np.exp(shifted, out=shifted)
    shifted /= shifted.sum(axis=0)
    return np.asarray(shifted)


def sigmoid(logits: Float32[np.ndarray, "*shape"]) -> Float32[np.ndarray, "*shape"]:
    """1 / (1 + exp(-x)), written so that it cannot overflow."""
    half = np.float32(0.5)
    return np.asarray(half * (np.tanh(half * logits) + np.float32(1)), dtype=np.float32)
