"""Help: every verb shows an example whose options exist, and nothing heavy is loaded to say it."""

import inspect
import re
import resource
import shlex
from importlib import import_module

import pytest

import plausible
from plausible.cli.main import VERBS, Commands
from plausible.cli.records import attribute_texts
from plausible.cli.study_options import StudyOptions
from plausible.runs.settings import AssessSettings, EvaluateSettings
from plausible.train import TrainingSettings
from tests.cli.program import run, run_alone

SLOW = ("torch", "monai", "numba", "scipy.stats")
HEAVY = (*SLOW, "zarr", "nibabel", "numpy", "pydantic", "jinja2", "PIL")
WATCHED = """
import atexit, sys
atexit.register(lambda: print(*("loaded:" + name for name in sys.argv.pop().split(",") if name in sys.modules)))
from plausible.cli.main import main
names = sys.argv[-1]
sys.argv[:] = [*sys.argv[:-1]]
try:
    main()
finally:
    sys.argv.append(names)
"""
"""Runs the program and says which of the modules in the last argument are loaded at the end."""


def loaded(*arguments: str, names: tuple[str, ...]) -> list[str]:
    text = run_alone(*arguments, ",".join(names), before=("-c", WATCHED))
    return re.findall(r"loaded:(\S+)", text)


def children_s() -> float:
    """Processor time of finished child processes in seconds; unlike the clock it does not see what else is running."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime


def file_of(verb: str) -> str:
    """Name of a verb's file and function: a hyphen cannot stand in it."""
    return verb.replace("-", "_")


def test_the_help_lists_every_verb_in_a_line():
    text = run("--help").stdout
    assert "Research use only" in text
    for name, line in VERBS.items():
        assert re.search(rf"^  {name}\s+{re.escape(line[:40])}", text, re.MULTILINE), name


@pytest.mark.parametrize("verb", VERBS)
def test_a_verb_shows_what_it_does_and_an_example(verb):
    text = " ".join(run(verb, "--help").stdout.split())
    module = import_module(f"plausible.cli.{file_of(verb)}")
    assert f"Example: {module.EXAMPLE}" in text
    assert " ".join((inspect.getdoc(getattr(module, file_of(verb))) or "").splitlines()[0].split()) in text


@pytest.mark.parametrize("verb", VERBS)
def test_the_example_parses(verb):
    words = shlex.split(import_module(f"plausible.cli.{file_of(verb)}").EXAMPLE)
    assert words[:2] == ["plausible", verb]
    command = Commands()[verb]
    context = command.make_context(verb, words[2:])
    assert context.args == []
    flags = {flag for parameter in command.params for flag in (*parameter.opts, *parameter.secondary_opts)}
    assert {word for word in words[2:] if word.startswith("-")} <= flags


@pytest.mark.parametrize("verb", VERBS)
def test_options_that_all_verbs_share(verb):
    flags = {flag for parameter in Commands()[verb].params for flag in parameter.opts}
    assert "--json" in flags
    assert "--dry-run" in flags or verb in ("demo", "doctor", "inspect")
    for parameter in Commands()[verb].params:
        assert getattr(parameter, "help", "") or parameter.name == "help", parameter.name


@pytest.mark.parametrize("record", [StudyOptions, AssessSettings, EvaluateSettings, TrainingSettings])
def test_every_setting_is_described(record):
    assert set(attribute_texts(record)) == set(record.__dataclass_fields__)


def test_the_help_loads_nothing_heavy_and_answers_at_once():
    before = children_s()
    assert loaded("--help", names=HEAVY) == []
    assert children_s() - before < 1


@pytest.mark.parametrize("verb", ["assess", "diversity", "dose", "export", "select"])
def test_the_help_loads_no_compiler_and_no_networks(verb):
    assert loaded(verb, "--help", names=(*SLOW, "plausible.aggregate", "plausible.diversity")) == []


@pytest.mark.parametrize("verb", ["export", "replan"])
def test_the_help_loads_no_reports_and_no_statistics(verb):
    assert loaded(verb, "--help", names=(*SLOW, "plausible.report", "plausible.calibrate", "jinja2")) == []


def test_inspect_loads_no_compiler_and_no_networks(tmp_path):
    (tmp_path / "study").mkdir()
    text = run_alone("inspect", "-i", tmp_path / "study", ",".join(SLOW), before=("-c", WATCHED), code=4)
    assert "E108" in text
    assert "loaded:" not in text


def test_the_help_of_train_loads_no_networks():
    assert loaded("train", "--help", names=("torch", "monai")) == []


def test_the_version_is_printed():
    assert run("--version").stdout == run_alone("--version") == f"{plausible.__version__}\n"


def test_a_misspelt_verb_gets_a_suggestion():
    assert "Did you mean 'assess'?" in run("asses", code=2).stderr


def test_without_a_verb_there_is_the_help():
    assert "assess" in run(code=2).output
