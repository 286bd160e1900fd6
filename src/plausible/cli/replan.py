"""`plausible replan`: plans on plausible contours, each read on every contour, and what a fixed dose would say."""

from pathlib import Path
from typing import TYPE_CHECKING, Annotated

import typer

from plausible.cli.options import DryRun, Json, Output, Quiet
from plausible.cli.outcome import finish, guarded, say, say_json, warn
from plausible.cli.records import takes
from plausible.cli.replan_options import FixedMasks, Goals
from plausible.cli.study_options import StudyOptions
from plausible.core import Problem, Study
from plausible.core.problems import collecting
from plausible.dose.plan import BeamSettings, SearchSettings
from plausible.runs.replan_settings import NoiseSettings, ReplanSettings

if TYPE_CHECKING:
    from plausible.report.replan import LoopLine
    from plausible.runs.replan import Replan, Replanned
    from plausible.runs.replan_fixed import FixedStructures

EXAMPLE = "plausible replan -i MEMBERS -o OUT --images IMAGES --references LABELS"


@takes(StudyOptions, ReplanSettings, BeamSettings, SearchSettings, NoiseSettings, leave_out=("name",))
def replan(
    members: Annotated[
        Path, typer.Option("-i", "--members", help="Predictions of any tool, or study.toml; with noise, label maps.")
    ],
    output: Output,
    fixed_structures: FixedMasks = None,
    vary_fixed: Annotated[bool, typer.Option("--vary-fixed", help="Put noise on the fixed structures too.")] = False,
    goals: Goals = None,
    as_json: Json = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    *,
    options: StudyOptions,
    settings: ReplanSettings,
    beams: BeamSettings,
    search: SearchSettings,
    noise: NoiseSettings,
) -> None:
    """Plan on every plausible contour and see what the reference receives. Research use only, not for treatment.

    A run that was killed continues with the same line.
    """

    def run() -> None:
        from plausible.cli.progress import case_progress
        from plausible.runs.replan import Replan, replan_study
        from plausible.runs.replan_fixed import checked
        from plausible.runs.replan_goals import read_goals

        told = Replan(
            settings=settings,
            beams=beams,
            search=search,
            noise=noise,
            goals=read_goals(goals),
            vary_fixed=vary_fixed,
        )
        study, fixed = options.study(members), checked(fixed_structures)
        if dry_run:
            _plan(study, told, fixed, as_json=as_json)
            return
        with case_progress("replan", quiet=quiet) as progress:
            done = replan_study(study, output, replan=told, fixed=fixed, on_plan=progress)
        warn(*done.failures, *done.warnings)
        _show(done, output, as_json=as_json)
        finish(failures=len(done.failures), done=len(done.done) + len(done.kept))

    guarded(run, as_json=as_json)


def _plan(study: Study, told: "Replan", fixed: "FixedStructures | None", *, as_json: bool) -> None:
    from plausible.runs.replan import estimate_case

    odd = list[Problem]()
    with collecting(odd):
        sizes = {case.subject: estimate_case(case, replan=told, fixed=fixed) for case in study}
    warn(*dict.fromkeys(odd))
    if as_json:
        say_json({subject: {"plans": size.n_plans, "beamlets": size.n_beamlets, "nonzeros": size.n_nonzeros,
                            "bytes": size.n_bytes} for subject, size in sizes.items()})  # fmt: skip
        return
    for subject, size in sizes.items():
        say(f"{subject}: {size.n_plans} plans, {size.n_beamlets} beamlets, about {size.n_nonzeros / 1e6:.1f} million "
            f"non-zeros and {size.n_bytes / 1e9:.2f} GB")  # fmt: skip


def _show(done: "Replanned", output: Path, *, as_json: bool) -> None:
    if as_json:
        lines = [_plain(line) for line in done.lines]
        say_json({"done": done.done, "kept": done.kept, "lines": lines, "output": str(output)})
        return
    from plausible.report.text import number
    from plausible.runs.replan import PAGE

    for line in done.lines:
        interval = f"({number(line.low, 2)} to {number(line.high, 2)})"
        say(f"{line.subject:12} {line.structure:14} {line.metric:12} loop {number(line.closed_mean):>6} of "
            f"{number(line.nominal):>6}, fixed {number(line.fixed_mean):>6}; correlation {number(line.correlation, 2)} "
            f"{interval} n {line.n}")  # fmt: skip
    say(f"page: {output / PAGE}")


def _plain(line: "LoopLine") -> dict[str, object]:
    from plausible.runs.replan_record import plain

    return {name: plain(getattr(line, name)) for name in ("subject", "structure", "metric", "nominal", "fixed_mean",
            "closed_mean", "correlation", "low", "high", "opposite_sign", "n")}  # fmt: skip
