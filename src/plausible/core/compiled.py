"""How kernels are compiled. Kernels alone import this module: it loads numba, which everything else does without."""

from collections.abc import Callable
from typing import Any

from numba import njit


def compiled(*signatures: Any) -> Callable[[Any], Any]:
    """Compile now, and keep the result for the next process if there is a place for it."""

    def compile_function(function: Any) -> Any:
        try:
            return njit(list(signatures), nogil=True, cache=True)(function)
        except RuntimeError:  # in a container, neither the package nor the home may be writable
            return njit(list(signatures), nogil=True)(function)

    return compile_function
