"""Progress: a bar for people, plain lines for files, nothing where nothing is wanted; never on standard output."""

import io
import re
import sys

import pytest

from plausible.cli.progress import case_progress, training_progress


class Terminal(io.StringIO):
    def isatty(self) -> bool:
        return True


def walk(*, quiet: bool) -> None:
    with case_progress("assess", quiet=quiet) as progress:
        progress("case_a", 1, 2, "ok")
        progress("case_b", 2, 2, "E305")


def train(*, quiet: bool, total: int = 100) -> None:
    with training_progress(quiet=quiet) as progress:
        for member in range(2):
            for iteration in range(1, total + 1):
                progress(member, iteration, total, 1 / iteration)


def test_without_a_terminal_there_is_one_line_per_case(capsys):
    walk(quiet=False)
    out, err = capsys.readouterr()
    assert out == ""
    first, second = err.splitlines()
    assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d case_a assess 1/2 \d+\.\d s ok", first)
    assert second.endswith(" E305")


@pytest.mark.parametrize(("total", "lines"), [(100, 10), (7, 7), (1, 1)])
def test_without_a_terminal_a_training_says_at_most_about_ten_times_how_far_it_is(total, lines, capsys):
    train(quiet=False, total=total)
    shown = capsys.readouterr().err.splitlines()
    assert len(shown) == 2 * lines
    assert f"member_1 train {total}/{total} loss {1 / total:.4f}" in shown[-1]


@pytest.mark.parametrize("go", [walk, train])
def test_quiet_is_quiet(go, capsys, monkeypatch):
    go(quiet=True)
    assert capsys.readouterr() == ("", "")
    monkeypatch.setattr(sys, "stderr", Terminal())
    go(quiet=True)
    assert sys.stderr.getvalue() == ""


def test_on_a_terminal_there_is_a_bar(monkeypatch, capsys):
    monkeypatch.setattr(sys, "stderr", Terminal())
    walk(quiet=False)
    train(quiet=False)
    shown = sys.stderr.getvalue()
    assert "assess case_b" in shown
    assert "2/2" in shown
    assert "member_1 loss 0.010" in shown
    assert "100/100" in shown
    assert capsys.readouterr().out == ""
