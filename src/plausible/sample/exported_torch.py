"""Files of torch: programs of `torch.export` (.pt2) and TorchScript (.ts, .pt), which torch 2.13 calls deprecated."""

import warnings
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any

import torch

from plausible.core import InvalidInput, Problem

Module = Any

PER_VOXEL = ("dropout", "alpha_dropout", "native_dropout")
"""Operations that draw for every voxel; `feature_dropout` and its kin draw for whole channels."""


def open_program(path: Path, *, device: str, stochastic: bool) -> Module:
    """Module of an exported program; whether dropout is active in it was decided when it was exported."""
    program = torch.export.load(path)
    if stochastic:
        called = (node for node in program.graph.nodes if node.op == "call_function")
        _check_masks(path, ((str(node.target).removeprefix("aten.").split(".")[0], node.args) for node in called))
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
    if stochastic:
        _check_masks(path, _operations(module.inlined_graph))
    return module


def _operations(graph: Any) -> Iterator[tuple[str, Sequence[Any]]]:
    """Each operation of a TorchScript graph with those arguments that are constants (None for the others)."""
    for node in graph.nodes():
        yield node.kind().removeprefix("aten::").rstrip("_"), [given.toIValue() for given in node.inputs()]
        for block in node.blocks():
            yield from _operations(block)


def _check_masks(path: Path, operations: Iterable[tuple[str, Sequence[Any]]]) -> None:
    """Refuse dropout of voxels: its mask would be the same in every window, and so no function of the image."""
    for name, (_, *given) in ((name, given) for name, given in operations if name in PER_VOXEL):
        if given[0] == 0 or given[1] is False:
            continue
        raise InvalidInput(
            Problem(
                code="E505",
                file=path.name,
                found=f"{name}: it draws for each voxel of a window, so that a member would repeat its mask in every "
                "window and not be one function of the image",
                expected="dropout of whole channels (Dropout3d, Dropout2d, FeatureAlphaDropout)",
                fix="export it with Dropout3d in its place, or in evaluation mode with stochastic = false",
            )
        )
