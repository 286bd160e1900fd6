"""What is installed, and what works without torch."""

import ast
import re
import subprocess
import sys
import tomllib
import zipfile
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

from tests.docs.blocks import ROOT

WITHOUT_TORCH = """
from importlib.machinery import PathFinder
found = PathFinder.find_spec

def find_spec(name, path=None, target=None):
    return None if name.partition(".")[0] in ("torch", "monai") else found(name, path, target)

PathFinder.find_spec = find_spec
from plausible.cli.main import main
main()
"""
PINNED = re.compile(r"[A-Za-z0-9_.-]+==[0-9][A-Za-z0-9.]*")


def without_torch(*arguments: str, folder: Path) -> subprocess.CompletedProcess[str]:
    line = [sys.executable, "-c", WITHOUT_TORCH, *arguments]
    return subprocess.run(line, cwd=folder, capture_output=True, text=True, check=False, timeout=100)


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> list[str]:
    out = tmp_path_factory.mktemp("wheel")
    line = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--no-build-isolation", "-w", str(out), "."]
    subprocess.run(line, cwd=ROOT, check=True, capture_output=True)
    (built,) = out.glob("plausible-*.whl")
    return zipfile.ZipFile(built).namelist()


def shipped(pattern: str) -> set[str]:
    files = (path for path in (ROOT / "src").glob(pattern) if path.is_file() and "__pycache__" not in path.parts)
    return {path.relative_to(ROOT / "src").as_posix() for path in files}


@pytest.mark.parametrize(
    "pattern",
    [
        "plausible/**/*.py",
        "plausible/py.typed",
        "plausible/report/templates/**/*",
        "plausible/report/schemas/*",
        "plausible/demo_data/**/*",
    ],
)
def test_the_wheel_holds_what_the_package_reads(wheel: list[str], pattern: str) -> None:
    assert shipped(pattern)
    assert shipped(pattern) <= set(wheel)


def test_the_wheel_holds_nothing_else(wheel: list[str]) -> None:
    others = [name for name in wheel if not name.startswith("plausible/") and ".dist-info/" not in name]
    assert [*others, *(name for name in wheel if "__pycache__" in name or name.endswith(".nbc"))] == []


def test_the_program_starts_without_loading_torch(tmp_path: Path) -> None:
    code = "import plausible.cli.main, sys; print(sorted({'torch', 'monai', 'sklearn'} & set(sys.modules)))"
    done = subprocess.run([sys.executable, "-c", code], cwd=tmp_path, capture_output=True, text=True, check=True)
    assert done.stdout.strip() == "[]"


def test_help_and_doctor_answer_without_torch(tmp_path: Path) -> None:
    assert "assess" in without_torch("--help", folder=tmp_path).stdout
    assert 'pip install "plausible[train]"' in without_torch("doctor", folder=tmp_path).stdout


def test_training_without_torch_names_the_command_that_installs_it(tmp_path: Path) -> None:
    done = without_torch("demo", "-o", "demo", "-q", folder=tmp_path)
    assert done.returncode == 5, done.stderr
    assert 'pip install "plausible[train]"' in done.stderr


def test_constraints_pin_every_direct_dependency_and_name_no_place() -> None:
    lines = [line for line in (ROOT / "constraints.txt").read_text().splitlines() if not line.startswith("#")]
    assert [line for line in lines if not PINNED.fullmatch(line)] == []
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())
    extras = {name: group for name, group in told["project"]["optional-dependencies"].items() if name != "plan"}
    groups = [
        *extras.values(),
        *told["dependency-groups"].values(),
    ]  # planning needs an older numpy: its own environment
    wanted = {name_of(one) for group in (told["project"]["dependencies"], *groups) for one in group}
    assert wanted <= {name_of(line) for line in lines}


def imported() -> set[str]:
    trees = [ast.parse(path.read_text(encoding="utf-8")) for path in (ROOT / "src").rglob("*.py")]
    nodes = [node for tree in trees for node in ast.walk(tree)]
    names = [alias.name for node in nodes if isinstance(node, ast.Import) for alias in node.names]
    names += [node.module for node in nodes if isinstance(node, ast.ImportFrom) and node.module]
    return {name.partition(".")[0] for name in names} - set(sys.stdlib_module_names) - {"plausible"}


def test_every_package_that_is_imported_is_declared() -> None:
    told = tomllib.loads((ROOT / "pyproject.toml").read_text())["project"]
    groups = (told["dependencies"], *told["optional-dependencies"].values())
    declared = {name_of(one) for group in groups for one in group}
    distributions = packages_distributions()
    missing = {name for name in imported() if not {name_of(d) for d in distributions.get(name, [name])} & declared}
    assert missing == set()


def name_of(requirement: str) -> str:
    found = re.match(r"[A-Za-z0-9_.-]+", requirement)
    assert found is not None
    return re.sub(r"[-_.]+", "-", found[0]).lower()
