"""Time and memory of prediction: engines, windows at once, members together, preprocessing, and a whole CT.

    python benchmarks/sample.py                      # everything
    python benchmarks/sample.py --only engines       # one table
    python benchmarks/sample.py --only ct --shape 512 512 300 --members 10

Seconds are processor time with one thread, which a busy machine changes little; those of the CT are on the clock. Every
table and patch is made in a process of its own. openvino is timed where it is installed.
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
BATCHES = (1, 2, 4, 8)
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
        start = time.process_time()
        run()
        times.append(time.process_time() - start)
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


def time_engines(told: argparse.Namespace) -> dict:
    patch, net, found = PATCHES[told.patch], network(0), {}
    windows = windows_of(patch, 2)
    with tempfile.TemporaryDirectory() as folder:
        exact = engine(ENGINES[0], net, windows, folder)()
        for name in ENGINES:
            if name.startswith("openvino") and importlib.util.find_spec("openvino") is None:
                continue
            run = engine(name, net, windows, folder)
            first, seconds = median_seconds(run, told.repeats)
            apart = np.abs(run() - exact)
            found[name] = [seconds / len(windows), first, float(apart.max()), float(apart.mean())]
    return found


def time_windows(told: argparse.Namespace) -> dict:
    net = network(0)
    return {
        name: [
            median_seconds(engine(name, net, windows_of(PATCHES[told.patch], n), ""), told.repeats)[1] / n
            for n in BATCHES
        ]
        for name in ENGINES[:2]
    }


def time_members(told: argparse.Namespace) -> dict:
    """Five networks in turn, or as one batched function (vmap makes grouped convolutions of them)."""
    import torch
    from torch.func import functional_call, stack_module_state, vmap

    nets = [network(seed) for seed in range(5)]
    windows = windows_of(PATCHES[told.patch], 1)
    frame = network(0)  # a network of its own: DynUNet has weights under two names, which are not put back
    together = vmap(lambda p, b, x: functional_call(frame, (p, b), (x,)), in_dims=(0, 0, None))
    stacked = stack_module_state(nets)
    ways = {"loop": lambda: [net(windows) for net in nets], "vmap": lambda: together(*stacked, windows)}
    found = {}
    for precision in ("float32", "bfloat16"):
        with torch.no_grad(), torch.autocast("cpu", torch.bfloat16, enabled=precision == "bfloat16"):
            found[precision] = [median_seconds(run, told.repeats)[1] / len(nets) for run in ways.values()]
    return found


def ct(shape: tuple[int, int, int], spacing: tuple[float, float, float]):
    from plausible.core import Geometry, Image

    values = np.random.default_rng(0).integers(-1000, 1000, (1, *shape), dtype=np.int16)
    lps = np.diag([-spacing[0], -spacing[1], spacing[2], 1.0])
    return Image(values, Geometry(shape, lps), ("CT",))


def ct_model(members: int, spacing: tuple[float, float, float]):
    """Networks of one layer: what remains is the memory of everything around a network."""
    import torch

    from plausible.core import Classes, MemberInfo
    from plausible.sample.exported import CardGrid
    from plausible.sample.windowed import FunctionSource, WindowedModel
    from plausible.train.grid import ChannelFingerprint
    from plausible.train.hooks import OneFunction

    told = ChannelFingerprint(
        name="CT", scheme="ct", mean=0.0, sd=500.0, percentile_00_5=-900.0, percentile_99_5=900.0, zero_share=0.0
    )

    def layer(seed: int):
        torch.manual_seed(seed)
        return torch.nn.Conv3d(1, CLASSES, 3, padding=1)

    sources = tuple(
        FunctionSource(MemberInfo(id=f"member_{m}"), OneFunction(layer(m)), {"seed": m}, (128, 128, 64))
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
    start = time.process_time()
    prepare_image(image, model.grid)
    return {"seconds": time.process_time() - start}


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
    own = {"repeats": told.repeats, "members": told.members, **settings}
    line = [sys.executable, __file__, "--task", task]
    for name, value in own.items():
        line += [f"--{name}", *map(str, value if isinstance(value, tuple) else (value,))]
    done = subprocess.run(line, capture_output=True, text=True, check=True)
    return json.loads(done.stdout.splitlines()[-1])


def print_engines(told: argparse.Namespace) -> None:
    print("\n| patch | engine | s a window | first call s | largest difference | mean |")
    print("|---|---|---|---|---|---|")
    for patch in PATCHES:
        for name, (seconds, first, most, mean) in child(told, "engines", patch=patch).items():
            print(f"| {patch} | {name} | {seconds:.3f} | {first:.1f} | {most:.0e} | {mean:.0e} |", flush=True)


def print_windows(told: argparse.Namespace) -> None:
    print(f"\n| patch | engine | {' | '.join(f'{n} at once' for n in BATCHES)} |")
    print("|---|---|---|---|---|---|")
    for patch in PATCHES:
        for name, found in child(told, "windows", patch=patch).items():
            print(f"| {patch} | {name} | {' | '.join(f'{s:.3f}' for s in found)} |", flush=True)


def print_members(told: argparse.Namespace) -> None:
    print("\n| patch | precision | loop over 5 members | vmap (grouped) |")
    print("|---|---|---|---|")
    for patch in PATCHES:
        for precision, (loop, grouped) in child(told, "members", patch=patch).items():
            print(f"| {patch} | {precision} | {loop:.3f} | {grouped:.3f} |", flush=True)


def print_preprocessing(told: argparse.Namespace) -> None:
    seconds = child(told, "preprocessing", shape=tuple(told.shape))["seconds"]
    print(f"\npreparing a CT of {told.shape} once: {seconds:.1f} s; for each of {told.members} members: ", end="")
    print(f"{told.members * seconds:.1f} s")


def print_ct(told: argparse.Namespace) -> None:
    print("\n| CT of 0.9 × 0.9 × 2 mm | members | s | before MiB | peak of the process MiB |")
    print("|---|---|---|---|---|")
    for name, members in (("on its own grid", 1), ("on its own grid", told.members), ("resampled", 1)):
        r = child(told, "ct", name=name, shape=tuple(told.shape), members=members)
        print(f"| {name} | {members} | {r['seconds']:.0f} | {r['before']:.0f} | {r['peak']:.0f} |", flush=True)


def parse() -> argparse.Namespace:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--only", nargs="*", choices=TABLES, help="these tables; all by default")
    parser.add_argument("--shape", type=int, nargs=3, default=(512, 512, 300), help="of the CT")
    parser.add_argument("--members", type=int, default=10)
    parser.add_argument("--repeats", type=int, default=5)
    for hidden in ("--task", "--name", "--patch"):
        parser.add_argument(hidden, default="", help=argparse.SUPPRESS)
    return parser.parse_args()


def main() -> None:
    told = parse()
    if told.task:
        import torch

        torch.set_num_threads(1)
        timers = (time_engines, time_windows, time_members, time_preprocessing, stream_ct)
        tasks = dict(zip(TABLES, timers, strict=True))
        print(json.dumps(tasks[told.task](told)))
        return
    tables = dict(
        zip(TABLES, (print_engines, print_windows, print_members, print_preprocessing, print_ct), strict=True)
    )
    for name in told.only or TABLES:
        tables[name](told)


if __name__ == "__main__":
    main()
