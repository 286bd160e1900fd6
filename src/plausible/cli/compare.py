"""`plausible evaluate --compare A B [C ...]`: the results of several methods over the same cases."""

from collections.abc import Mapping, Sequence
from pathlib import Path

from plausible.cli.outcome import say, say_json, warn
from plausible.runs.compare_settings import CompareSettings


def compare(
    told: Sequence[str], output: Path, *, settings: CompareSettings, seed: int, as_json: bool, dry_run: bool
) -> None:
    """Compare result folders, write the tables, and show the most read lines.

    Args:
        told: FOLDER or NAME=FOLDER of each method.
        output: folder of the comparison.
        settings: how methods are compared.
        seed: of the draws.
        as_json: one JSON object instead of text.
        dry_run: say what would be compared.
    """
    from plausible.runs.compare import COMPARISON, Comparison, compare_results, write_comparison
    from plausible.runs.compare_text import comparison_text, headlines

    folders = named_folders(told)
    if dry_run:
        _show_plan(folders, output, as_json=as_json)
        return
    found: Comparison = compare_results(folders, settings=settings, seed=seed)
    write_comparison(found, output, folders=folders)
    if as_json:
        problems = [problem.to_dict() for problem in found.problems]
        counts = {"compared": len(found.lines), "not_compared": len(found.not_compared)}
        say_json(
            {"output": str(output), "methods": found.methods, "cases": found.subjects, **counts}
            | {"problems": problems}
        )
        return
    warn(*found.problems)
    shown = headlines(found.lines)
    keys = {(one.measure, one.structure, one.region, one.reduction) for one in shown}
    ranking = [one for one in found.ranking if (one.measure, one.structure, one.region, one.reduction) in keys]
    say(comparison_text(shown, ranking).rstrip())
    if found.not_compared:
        say(f"{len(found.not_compared)} kinds of rows are not in all folders; {COMPARISON}.json names them")
    say(f"{len(found.lines)} lines: {output / COMPARISON}.csv, .json, .txt")


def named_folders(told: Sequence[str]) -> dict[str, Path]:
    """Folder of each method by its name, which is the folder's own unless told.

    Raises:
        ValueError: fewer than two, or a name twice.
    """
    pairs = [one.partition("=") if "=" in one and not Path(one).exists() else ("", "", one) for one in told]
    found = [(name or Path(folder).resolve().name, Path(folder)) for name, _, folder in pairs]
    if len(found) < 2:
        raise ValueError("a comparison takes at least 2 folders of results: plausible evaluate --compare A B -o OUT")
    if len(dict(found)) < len(found):
        raise ValueError("two folders of one name; name them: --compare one=FOLDER two=FOLDER")
    return dict(found)


def _show_plan(folders: Mapping[str, Path], output: Path, *, as_json: bool) -> None:
    if as_json:
        say_json({"methods": {name: str(folder) for name, folder in folders.items()}, "output": str(output)})
    else:
        say(f"would compare {', '.join(folders)}; would write to {output}")
