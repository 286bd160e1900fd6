"""Help of every verb and the exit codes, asked from the program and put into the documentation while it is built."""

from typing import Any

MARK_VERBS, MARK_EXIT_CODES = "<!-- verbs -->", "<!-- exit codes -->"


def on_page_markdown(markdown: str, **_: Any) -> str:
    """Replace the marks on a page."""
    if MARK_VERBS in markdown:
        markdown = markdown.replace(MARK_VERBS, verbs())
    return markdown.replace(MARK_EXIT_CODES, exit_codes()) if MARK_EXIT_CODES in markdown else markdown


def verbs() -> str:
    """Every verb with its help, in the order in which they are used."""
    from plausible.cli import main

    return "\n".join(f"## {name}\n\n{line}\n\n```text\n{help_of(name)}```\n" for name, line in main.VERBS.items())


def help_of(verb: str) -> str:
    """What `plausible VERB --help` prints."""
    from typer.testing import CliRunner

    from plausible.cli import main

    told = CliRunner().invoke(main.app, [verb, "--help"], catch_exceptions=False)
    if told.exit_code != 0:
        raise RuntimeError(f"plausible {verb} --help ends with {told.exit_code}: {told.output}")
    return told.output.lstrip()


def exit_codes() -> str:
    """Table of exit codes."""
    from plausible.cli import outcome

    lines = [f"| {code} | {text} |\n" for code, text in sorted(outcome.EXIT_CODES.items())]
    return "| code | means |\n|---|---|\n" + "".join(lines)
