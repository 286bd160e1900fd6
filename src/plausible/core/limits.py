"""What must hold between a quantity and its limit, and which values break it."""

from typing import Literal, TypeAlias

import numpy as np
from jaxtyping import Bool, Float

Operator: TypeAlias = Literal["<", "<=", ">", ">="]
"""What must hold between a quantity and its limit."""


def violates(values: Float[np.ndarray, " n"], operator: Operator, limit: float) -> Bool[np.ndarray, " n"]:
    """Whether each value breaks a limit; an undefined one breaks none."""
    broken = {"<": values >= limit, "<=": values > limit, ">": values <= limit, ">=": values < limit}
    return broken[operator]
