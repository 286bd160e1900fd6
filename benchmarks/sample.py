"""Time and memory of prediction: engines, windows at once, members together, preprocessing, and a whole CT.

    python benchmarks/sample.py                      # everything
    python benchmarks/sample.py --only engines       # one table
    python benchmarks/sample.py --only ct --shape 512 512 300 --members 10

Every figure is made in a process of its own. openvino is timed where it is installed.
"""

import argparse
import importlib.util
import json
import statistics
import subprocess
import sys
import tempfile
import time
import warnings
from collections.abc import Callable
from pathlib import Path

import numpy as np

warnings.simplefilter("ignore")
TABLES = ("engines", "windows", "members", "preprocessing", "ct")
PATCHES = {"hippocampus": (40, 56, 40), "CT": (96, 96, 96)}
ENGINES = ("eager float32", "eager bfloat16", "torch.compile", "onnxruntime", "openvino", "openvino bfloat16")
CLASSES, WIDTHS = 3, (16, 32, 64)


def network(seed: int, widths: tuple[int, ...] = WIDTHS):
    import torch
    from monai.networks.nets.dynunet import DynUNet

    torch.manual_seed(seed)
    levels = len(widths)
    made = DynUNet(
        spatial_dims=3,
        in_channels=1,
        out_channels=CLASSES,
        kernel_size=[3] * levels,
        strides=[1, *[2] * (levels - 1)],
        upsample_kernel_size=[2] * (levels - 1),
        filters=widths,
        norm_name=("instance", {"affine": True}),
    )
    return made.eval().requires_grad_(False)


def windows_of(patch: tuple[int, int, int], n: int):
    import torch

    values = np.random.default_rng(0).standard_normal((n, 1, *patch), dtype=np.float32)
    return torch.from_numpy(values)


def median_seconds(run: Callable[[], object], repeats: int) -> tuple[float, float]:
    """Of the first call, and the median of the others."""
    times = []
    for _ in range(repeats + 1):
        start = time.perf_counter()
        run()
        times.append(time.perf_counter() - start)
    return times[0], statistics.median(times[1:])


def onnx_file(net, windows, folder: str) -> Path:
    import torch

    path = Path(folder) / "net.onnx"
    program = torch.export.export(net, (windows,))
    torch.onnx.export(program, (), path, external_data=False, verbose=False)
    return path


def engine(name: str, net, windows, folder: str) -> Callable[[], np.ndarray]:
    import torch

    if name.startswith("eager"):
        context = torch.autocast("cpu", torch.bfloat16, enabled=name.endswith("bfloat16"))

        def eager() -> np.ndarray:
            with torch.inference_mode(), context:
                return torch.softmax(net(windows).float(), dim=1).numpy()

        return eager
    if name == "torch.compile":
        compiled = torch.compile(net)

        def run() -> np.ndarray:
            with torch.inference_mode():
                return torch.softmax(compiled(windows), dim=1).numpy()

        return run
    path = onnx_file(net, windows, folder)
    if name == "onnxruntime":
        from plausible.sample.exported_onnx import onnx_engine

        session = onnx_engine(path, device="cpu")
        return lambda: torch.softmax(session(windows), dim=1).numpy()
    import openvino

    precision = "bf16" if name.endswith("bfloat16") else "f32"
    options = {"INFERENCE_PRECISION_HINT": precision, "INFERENCE_NUM_THREADS": torch.get_num_threads()}
    loaded = openvino.Core().compile_model(str(path), "CPU", options)
    return lambda: torch.softmax(torch.from_numpy(loaded(windows.numpy())[0]), dim=1).numpy()


def time_engine(told: argparse.Namespace) -> dict:
    patch, net = PATCHES[told.patch], network(0)
    windows = windows_of(patch, told.batch)
    with tempfile.TemporaryDirectory() as folder:
        run = engine(told.name, net, windows, folder)
        first, seconds = median_seconds(run, told.repeats)
        apart = np.abs(run() - engine("eager float32", net, windows, folder)())
    return {"first": first, "seconds": seconds / told.batch, "max": float(apart.max()), "mean": float(apart.mean())}


def time_members(told: argparse.Namespace) -> dict:
    """Five networks in turn, or as one batched function (vmap makes grouped convolutions of them)."""
    import torch
    from torch.func import functional_call, stack_module_state, vmap

    nets = [network(seed) for seed in range(told.members)]
    windows = windows_of(PATCHES[told.patch], told.batch)
    context = torch.autocast("cpu", torch.bfloat16, enabled=told.precision == "bfloat16")
    together = vmap(lambda p, b, x: functional_call(nets[0], (p, b), (x,)), in_dims=(0, 0, None))
    stacked = stack_module_state(nets)

    def run() -> object:
        with torch.inference_mode(), context:
            return together(*stacked, windows) if told.name == "vmap" else [net(windows) for net in nets]

    _, seconds = median_seconds(run, told.repeats)
    return {"seconds": seconds / told.members / told.batch}


def ct(shape: tuple[int, int, int], spacing: tuple[float, float, float]):
    from plausible.core import Geometry, Image

    values = np.random.default_rng(0).integers(-1000, 1000, (1, *shape), dtype=np.int16)
    return Image(values, Geometry(shape, np.diag([*spacing, 1.0])), ("CT",))


def ct_model(members: int, spacing: tuple[float, float, float]):
    from plausible.core import Classes, MemberInfo
    from plausible.sample.exported import CardGrid
    from plausible.sample.windowed import FunctionSource, WindowedModel
    from plausible.train.grid import ChannelFingerprint
    from plausible.train.hooks import OneFunction

    told = ChannelFingerprint(
        name="CT", scheme="ct", mean=0.0, sd=500.0, percentile_00_5=-900.0, percentile_99_5=900.0, zero_share=0.0
    )
    sources = tuple(
        FunctionSource(MemberInfo(id=f"member_{m}"), OneFunction(network(m, (2, 4, 8))), {"seed": m}, (128, 128, 64))
        for m in range(members)
    )
    return WindowedModel(
        classes=Classes.exclusive_of({"background": 0, "organ": 1, "target": 2}),
        channels=("CT",),
        ensemble="tiny networks",
        grid=CardGrid(spacing, (told,)),
        sources=sources,
        overlap=0.0,
        precision="float32",
    )


def time_preprocessing(told: argparse.Namespace) -> dict:
    from plausible.train.preprocess import prepare_image

    image, model = ct(tuple(told.shape), (0.9, 0.9, 2.0)), ct_model(1, (1.5, 1.5, 2.0))
    start = time.perf_counter()
    prepare_image(image, model.grid)
    return {"seconds": time.perf_counter() - start}


def stream_ct(told: argparse.Namespace) -> dict:
    """Members of a synthetic CT to the store, as `plausible predict` does."""
    from plausible.core import Case
    from plausible.sample import predict_case

    spacing = (1.5, 1.5, 2.0) if told.name == "resampled" else (0.9, 0.9, 2.0)
    model = ct_model(told.members, spacing)
    before = status_mib("VmRSS")
    case = Case("case", model.classes, load_image=lambda: ct(tuple(told.shape), (0.9, 0.9, 2.0)))
    start = time.perf_counter()
    with tempfile.TemporaryDirectory() as folder:
        predict_case(model, case, Path(folder))
    seconds = time.perf_counter() - start
    return {"seconds": seconds, "before": before, "peak": status_mib("VmHWM")}


def status_mib(name: str) -> float:
    """VmRSS or VmHWM of this process (Linux)."""
    (line,) = (line for line in Path("/proc/self/status").read_text().splitlines() if line.startswith(name))
    return int(line.split()[1]) / 1024


def child(told: argparse.Namespace, task: str, **settings: object) -> dict:
    """Run one task in a process of its own."""
    own = {"threads": told.threads, "repeats": told.repeats, "members": told.members, **settings}
    line = [sys.executable, __file__, "--task", task]
    for name, value in own.items():
        line += [f"--{name}", *map(str, value if isinstance(value, tuple) else (value,))]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def print_engines(told: argparse.Namespace) -> None:
    print(f"\n| patch | engine ({told.threads} threads) | s a window | first call s | max difference | mean |")
    print("|---|---|---|---|---|---|")
    for patch in PATCHES:
        for name in ENGINES:
            if name.startswith("openvino") and importlib.util.find_spec("openvino") is None:
                print(f"| {patch} | {name} | not installed | | | |")
                continue
            r = child(told, "engine", name=name, patch=patch, batch=2)
            print(
                f"| {patch} | {name} | {r['seconds']:.3f} | {r['first']:.1f} | {r['max']:.1e} | {r['mean']:.1e} |",
                flush=True,
            )


def print_windows(told: argparse.Namespace) -> None:
    print("\n| patch | engine | s a window with 1, 2, 4, 8 at once |")
    print("|---|---|---|")
    for patch in PATCHES:
        for name in ENGINES[:2]:
            found = [child(told, "engine", name=name, patch=patch, batch=n)["seconds"] for n in (1, 2, 4, 8)]
            print(f"| {patch} | {name} | {', '.join(f'{s:.3f}' for s in found)} |", flush=True)


def print_members(told: argparse.Namespace) -> None:
    print("\n| patch | precision | s a member and window in a loop | vmap (grouped) |")
    print("|---|---|---|---|")
    for patch in PATCHES:
        for precision in ("float32", "bfloat16"):
            loop, grouped = (
                child(told, "members", name=name, patch=patch, precision=precision, members=5, batch=1)["seconds"]
                for name in ("loop", "vmap")
            )
            print(f"| {patch} | {precision} | {loop:.3f} | {grouped:.3f} |", flush=True)


def print_preprocessing(told: argparse.Namespace) -> None:
    seconds = child(told, "preprocessing", shape=tuple(told.shape))["seconds"]
    print(f"\npreparing a CT of {told.shape} once: {seconds:.1f} s; for each of {told.members} members: ", end="")
    print(f"{told.members * seconds:.1f} s")


def print_ct(told: argparse.Namespace) -> None:
    print("\n| CT of 0.9 × 0.9 × 2 mm | members | s | before MiB | peak of the process MiB |")
    print("|---|---|---|---|---|")
    for name, members in (("on its own grid", 1), ("on its own grid", told.members), ("resampled", told.members)):
        r = child(told, "ct", name=name, shape=tuple(told.shape), members=members)
        print(f"| {name} | {members} | {r['seconds']:.0f} | {r['before']:.0f} | {r['peak']:.0f} |", flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=TABLES, help="these tables; all by default")
    parser.add_argument("--shape", type=int, nargs=3, default=(512, 512, 300), help="of the CT")
    parser.add_argument("--members", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=5)
    parser.add_argument("--threads", type=int, default=1)
    for hidden in ("--task", "--name", "--patch", "--precision"):
        parser.add_argument(hidden, default="", help=argparse.SUPPRESS)
    parser.add_argument("--batch", type=int, default=1, help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    told = parse()
    if told.task:
        import torch

        torch.set_num_threads(told.threads)
        tasks = {"engine": time_engine, "members": time_members, "preprocessing": time_preprocessing, "ct": stream_ct}
        print(json.dumps(tasks[told.task](told)))
        return
    tables = dict(
        zip(TABLES, (print_engines, print_windows, print_members, print_preprocessing, print_ct), strict=True)
    )
    for name in told.only or TABLES:
        tables[name](told)


if __name__ == "__main__":
    main()
