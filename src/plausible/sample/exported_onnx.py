"""ONNX files, computed by onnxruntime with as many threads as torch has."""

from collections.abc import Callable
from pathlib import Path

import numpy as np
import torch

from plausible.core import missing_extra


def onnx_engine(path: Path, *, device: str, output_name: str = "") -> Callable[[torch.Tensor], torch.Tensor]:
    """Engine of one file; a file whose batch is fixed gets so many windows at a time.

    Raises:
        ValueError: it has several inputs, or several outputs and none is named.
        UnfitEnvironment: E901, onnxruntime is missing.
    """
    try:
        import onnxruntime
    except ImportError as error:
        raise missing_extra("onnxruntime", extra="onnx") from error
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads, options.inter_op_num_threads = torch.get_num_threads(), 1
    options.log_severity_level = 3
    providers = ["CUDAExecutionProvider"] if device.startswith("cuda") else ["CPUExecutionProvider"]
    try:
        session = onnxruntime.InferenceSession(path, options, providers=providers)
    except Exception as error:  # onnxruntime's errors share no other base
        raise ValueError(str(error)) from error
    (given,), names = session.get_inputs(), [output.name for output in session.get_outputs()]
    if output_name not in names and (output_name or len(names) > 1):
        raise ValueError(f"outputs {', '.join(names)}: set output_name to one of them")
    wanted = output_name or names[0]
    fixed = given.shape[0] if isinstance(given.shape[0], int) else 0

    def run(windows: torch.Tensor) -> torch.Tensor:
        parts = windows.split(fixed) if fixed else (windows,)
        found = [session.run([wanted], {given.name: _filled(part, fixed)})[0][: len(part)] for part in parts]
        return torch.from_numpy(np.concatenate(found)).to(windows.device)

    return run


def _filled(windows: torch.Tensor, size: int) -> np.ndarray:
    """Windows as an array; repeated up to a fixed batch."""
    values: np.ndarray = windows.cpu().numpy()
    return values if len(values) >= size else np.concatenate([values, np.repeat(values[-1:], size - len(values), 0)])
