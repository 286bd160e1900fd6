"""Files of torch: programs of `torch.export` (.pt2) and TorchScript (.ts, .pt), which torch 2.13 calls deprecated."""

import warnings
from pathlib import Path
from typing import Any

import torch

Module = Any


def open_program(path: Path, *, device: str, stochastic: bool) -> Module:
    """Module of an exported program; whether dropout is active in it was decided when it was exported."""
    program = torch.export.load(path)
    if device != "cpu":
        from torch.export.passes import move_to_device_pass

        program = move_to_device_pass(program, device)
    return program.module()


def open_torchscript(path: Path, *, device: str, stochastic: bool) -> Module:
    """Scripted or traced module in evaluation mode; the dropout of a scripted one can be switched on again."""
    with warnings.catch_warnings():
        warnings.filterwarnings("ignore", category=DeprecationWarning)
        module = torch.jit.load(path, map_location=device)
    module.eval()
    for part in module.modules() if stochastic else ():
        if "Dropout" in getattr(part, "original_name", ""):
            part.train()
    return module
