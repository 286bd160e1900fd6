"""An inspection as plain text: what was recognised, the matrix of cases, and problems grouped by their code."""

import textwrap
from collections.abc import Iterator, Sequence
from itertools import groupby

from plausible.core import Classes, Problem
from plausible.runs.inspection import CaseLine, Inspection, Part
from plausible.runs.memory import MemoryNeed

TICKS = {"there": "✓", "missing": "–", "problem": "✗"}
MOST_LINES = 30
"""Cases shown at most; those that are whole are counted instead."""
MOST_ALIKE = 3
"""Problems of one code told in full; the others are named."""
LABEL = 12
SHORT = 14
NARROWEST = 60


def render(found: Inspection, *, width: int) -> str:
    """Return the text; no line is longer than `width`, but for single long words and a matrix of very many members."""
    read = "voxels read" if found.deep else "headers read; --deep reads the voxels too"
    title = f"{found.name}: {found.recognised}" + (f" ({read})" if found.cases else "")
    lines = [*wrapped(title, "", width=width), ""]
    for name, value in _facts(found):
        lines += wrapped(value, f"  {name:{LABEL}}", width=width)
    if found.cases:
        lines += ["", *_matrix(found, width=width)]
    lines += ["", *told_problems(found.problems, width=width)]
    return "\n".join(lines)


def wrapped(text: str, label: str, *, width: int) -> list[str]:
    """Break a text into lines under its label; names of files and commands stay whole, so that they can be copied."""
    wrapper = textwrap.TextWrapper(
        max(width, NARROWEST),
        initial_indent=label,
        subsequent_indent=" " * len(label),
        break_on_hyphens=False,
        break_long_words=False,
    )
    return wrapper.wrap(text) or [label.rstrip()]


def size(n_bytes: int) -> str:
    """Bytes as people say them, e.g. "1.5 GiB"."""
    for power, unit in enumerate(("bytes", "KiB", "MiB")):
        value = n_bytes / 1024**power
        if value < 1024:
            return f"{value:.0f} {unit}" if unit == "bytes" or value >= 10 else f"{value:.1f} {unit}"
    return f"{n_bytes / 2**30:.1f} GiB"


def _facts(found: Inspection) -> Iterator[tuple[str, str]]:
    for role, name in (("member", "members"), ("image", "images"), ("reference", "references")):
        parts = [part for part in found.parts if part.role == role]
        if parts:
            yield name, _described(parts)
    if found.classes:
        yield "classes", _classes(found.classes)
    if found.channels:
        yield "channels", ", ".join(found.channels)
    yield from found.facts.items()
    if found.cases:
        yield "cases", str(len(found.cases))
        yield "grids", _grids(found.cases)
    if found.memory:
        yield "memory", _memory(found.memory)


def _described(parts: Sequence[Part]) -> str:
    if parts[0].role == "image":
        return "; ".join(f"{part.n_cases} cases, {part.kind}" for part in parts)
    names = [f"{part.id} ({part.source})" if part.source else part.id for part in parts]
    kinds = ", ".join(dict.fromkeys(part.kind for part in parts))
    return f"{len(parts)}: {', '.join(names)} · {kinds}"


def _classes(classes: Classes) -> str:
    named = [f"{name} {'+'.join(map(str, labels))}" for name, labels in zip(classes.names, classes.labels, strict=True)]
    return ", ".join(named) + (" · exclude each other" if classes.exclusive else " · may overlap")


def _grids(cases: Sequence[CaseLine]) -> str:
    shapes = sorted({line.shape for line in cases if line.shape}, key=lambda s: s[0] * s[1] * s[2])
    spacings = sorted({tuple(round(s, 3) for s in line.spacing_mm) for line in cases if line.spacing_mm})
    if not shapes:
        return "none could be read"
    span = " to ".join(dict.fromkeys(_times(shape) for shape in (shapes[0], shapes[-1])))
    apart = " to ".join(dict.fromkeys(_times(spacing) for spacing in (spacings[0], spacings[-1])))
    return f"{len(shapes)} shape{'s' * (len(shapes) > 1)}, {span} voxels of {apart} mm"


def _memory(need: MemoryNeed) -> str:
    has = f"; this machine has {size(need.machine_bytes)}" if need.machine_bytes else ""
    return (
        f"about {size(need.total_bytes)} for the largest case ({need.subject}, {_times(need.shape)} voxels, "
        f"{need.n_channels} channels): one member {size(need.member_bytes)}, sums over members "
        f"{size(need.statistics_bytes)}, maps {size(need.maps_bytes)}; up to {size(need.peak_bytes)} while files are "
        f"read, whatever the number of members{has}"
    )


def _times(values: Sequence[int] | Sequence[float]) -> str:
    return "×".join(f"{value:g}" for value in values)


def _matrix(found: Inspection, *, width: int) -> list[str]:
    """Cases down, parts across; parts are numbered where their names are too long for the line."""
    names = list(dict.fromkeys(part.id for part in found.parts))
    subjects = max(len("case"), *(len(line.subject) for line in found.cases))
    short = all(len(name) <= SHORT for name in names) and subjects + sum(len(n) + 2 for n in names) + 2 <= width
    heads = names if short else [str(n) for n in range(1, len(names) + 1)]
    shown, whole = _worth_showing(found.cases)
    lines = ["  " + f"{'case':{subjects}}" + "".join(f"  {head}" for head in heads)]
    for line in shown:
        cells = "".join(
            f"  {TICKS.get(line.cells.get(n, ''), ' '):^{len(h)}}" for n, h in zip(names, heads, strict=True)
        )
        lines.append(f"  {line.subject:{subjects}}{cells}".rstrip())
    if whole:
        lines.append(f"  and {whole} more in which everything is {TICKS['there']}")
    used = {cell for line in found.cases for cell in line.cells.values()}
    meanings = {"there": "there", "missing": "missing", "problem": "with a problem"}
    lines += ["", "  " + "   ".join(f"{TICKS[cell]} {text}" for cell, text in meanings.items() if cell in used)]
    if not short:
        lines += wrapped(", ".join(f"{h} {name}" for h, name in zip(heads, names, strict=True)), "  ", width=width)
    return lines


def _worth_showing(cases: Sequence[CaseLine]) -> tuple[list[CaseLine], int]:
    """Lines to show, and how many whole ones are left out: all if they are few, else those that lack something."""
    if len(cases) <= MOST_LINES:
        return list(cases), 0
    odd = [line for line in cases if not line.whole]
    shown = odd or list(cases[:3])
    return shown, len(cases) - len(shown)


def told_problems(problems: Sequence[Problem], *, width: int) -> list[str]:
    """Lines that tell problems, those of one code together."""
    if not problems:
        return ["no problems found"]
    counted = {s: sum(p.severity == s for p in problems) for s in ("error", "warning", "note")}
    named = [f"{n} {severity}{'s' * (n > 1)}" for severity, n in counted.items() if n]
    lines = [f"found {', '.join(named)}"]
    ordered = sorted(problems, key=lambda p: (("error", "warning", "note").index(p.severity), p.code))
    for (severity, code), group in groupby(ordered, key=lambda p: (p.severity, p.code)):
        alike = list(group)
        title = f"{severity} {code}: {alike[0].title}" + (f" ({len(alike)} times)" if len(alike) > 1 else "")
        lines += ["", *wrapped(title, "", width=width)]
        for problem in alike[:MOST_ALIKE]:
            lines += _told(problem, width=width)
        if alike[MOST_ALIKE:]:
            others = ", ".join(dict.fromkeys(_where(problem) for problem in alike[MOST_ALIKE:]))
            lines += wrapped(f"and {others}", "  ", width=width)
    return lines


def _where(problem: Problem) -> str:
    return " ".join(part for part in (problem.subject, problem.member) if part) or problem.file or "the study"


def _told(problem: Problem, *, width: int) -> list[str]:
    file = f" ({problem.file})" if problem.file and problem.file != _where(problem) else ""
    lines = wrapped(f"{_where(problem)}{file}", "  ", width=width)
    for name, text in (("found", problem.found), ("expected", problem.expected), ("fix", problem.fix)):
        lines += wrapped(text, f"    {name:10}", width=width)
    return lines
