"""Which processor computes. Apart from the network, because nnU-Net's models are read where MONAI is not installed."""

import torch

from plausible.core import Problem, UnfitEnvironment


def choose_device(device: str) -> str:
    """Resolve "auto" to CUDA where there is one, else the CPU.

    Raises:
        UnfitEnvironment: E901, a device this installation of torch cannot use.
    """
    if device == "auto":
        return "cuda" if torch.cuda.is_available() else "cpu"
    try:
        torch.empty(1, device=device)
    except (RuntimeError, AssertionError, NotImplementedError) as error:
        raise UnfitEnvironment(
            Problem(
                code="E901",
                found=f"device {device!r}: {str(error).splitlines()[0]}",
                expected="cpu, or a device that this torch was built for",
                fix="-device cpu, or install the torch build of your GPU (pytorch.org/get-started)",
            )
        ) from error
    return device
