"""`plausible demo`: everything on bundled real data, offline, in less than a minute."""

from dataclasses import asdict
from pathlib import Path
from typing import Annotated

import typer

from plausible.cli.options import Device, Json, Quiet, Seed
from plausible.cli.outcome import guarded, say
from plausible.cli.progress import case_progress
from plausible.cli.results import finish_run
from plausible.runs.assess import assess_study
from plausible.runs.cohort import write_cohort
from plausible.runs.demo import unpack_demo
from plausible.runs.dose import dose_study, plan_doses
from plausible.runs.dose_tables import read_dose_results
from plausible.runs.evaluate import evaluate_study
from plausible.runs.layout import CASE_PAGE
from plausible.runs.phantom import headline, write_phantom
from plausible.runs.record import write_run
from plausible.runs.report import draw_pages
from plausible.sample import image_study, load_model, predict_study

EXAMPLE = "plausible demo -o plausible_demo"


def demo(
    output: Annotated[Path, typer.Option("-o", "--output", help="Folder of the demonstration.")] = Path(
        "plausible_demo"
    ),
    device: Device = "auto",
    seed: Seed = 0,
    as_json: Json = False,
    quiet: Quiet = False,
) -> None:
    """Predict bundled hippocampus images with a bundled deep ensemble, assess them, score them, draw the pages.

    Real data and a real model, no network; the same as predict and assess --references by hand. A small phantom whose
    dose uncertainty is known shows the dose (OUT/phantom).
    """

    def run() -> None:
        shown = unpack_demo(output)
        model = load_model(shown.model, device=device)
        if not as_json:
            say(f"{model.ensemble}, {shown.about['data']}")
        with case_progress("predict", quiet=quiet) as progress:
            predict_study(model, image_study(shown.images, model), shown.members, on_case=progress)
        study = shown.study()
        with case_progress("assess", quiet=quiet) as progress:
            walked = assess_study(study, shown.results, settings=shown.settings, on_case=progress)
        with case_progress("evaluate", quiet=quiet) as progress:
            scored = evaluate_study(study, shown.results, settings=shown.scoring, on_case=progress)
        _show_phantom(shown.folder / "phantom", quiet=quiet, silent=as_json)
        write_run(shown.results, "demo", asdict(shown.settings), [walked, scored], study=study)
        finish_run(shown.results, study, [walked, scored], whole=True, seed=seed, quiet=quiet, as_json=as_json)

    guarded(run, as_json=as_json)


def _show_phantom(folder: Path, *, quiet: bool, silent: bool) -> None:
    """Judge the dose of a phantom with known truth, and say how far the members come to it."""
    files = write_phantom(folder)
    study = files.study()
    with case_progress("dose phantom", quiet=quiet) as progress:
        walked = [assess_study(study, files.results)]
        plan = plan_doses(study, files.doses, str(files.constraints))
        walked.append(dose_study(study, files.results, plan, on_case=progress))
    write_run(files.results, "dose", {}, walked, study=study)
    draw_pages(files.results)
    write_cohort(files.results, study="Dose phantom", seed=0)
    (found,) = read_dose_results(files.results)
    if not silent:
        say(f"dose of a phantom with known truth: {headline(found)}; page: {files.results / found.subject / CASE_PAGE}")
