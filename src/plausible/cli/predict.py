"""`plausible predict`: the members of every image, streamed to the member store."""

from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Annotated, Any

import typer

from plausible.cli.options import Accepted, Device, DryRun, Json, NumParts, Output, Overwrite, PartId, Quiet
from plausible.cli.outcome import finish, guarded, say, say_json, warn
from plausible.cli.progress import case_progress
from plausible.cli.records import takes
from plausible.core import Study
from plausible.io.dicom_files import accepted
from plausible.io.store import StoredAs
from plausible.sample import Predicted, Sampling, SegmentationModel, image_study, open_model, predict_study
from plausible.train.settings import Precision

EXAMPLE = "plausible predict MODEL -i imagesTs -o MEMBERS"


@takes(Sampling)
def predict(
    model: Annotated[Path, typer.Argument(help="Folder of a trained model.")],
    images: Annotated[
        Path,
        typer.Option(
            "-i", "--images", help="Folder of the images, CASE_0000.nii.gz, or a folder CASE with a DICOM series."
        ),
    ],
    output: Output,
    device: Device = "auto",
    precision: Annotated[Precision, typer.Option(help="auto: bfloat16 where the processor computes in it.")] = "auto",
    overlap: Annotated[float, typer.Option(min=0.0, max=0.9, help="Share by which windows overlap.")] = 0.5,
    batch: Annotated[int, typer.Option(min=1, help="Windows computed at once.")] = 2,
    stored_as: Annotated[StoredAs, typer.Option(help="Type of the probabilities in the store.")] = "uint16",
    tune_images: Annotated[
        Path | None,
        typer.Option(help="Choose the rate of inserted dropout on these images (instead of --insert-rate)."),
    ] = None,
    tune_labels: Annotated[Path | None, typer.Option(help="Their label maps, CASE.nii.gz.")] = None,
    folds: Annotated[
        list[str] | None, typer.Option(help="Folds of an nnU-Net model, by number or all; every one by default.")
    ] = None,
    checkpoint: Annotated[
        list[str] | None, typer.Option(help="Weights in each fold of an nnU-Net model, e.g. checkpoint_best.pth.")
    ] = None,
    trust_bundle: Annotated[
        bool, typer.Option("--trust-bundle", help="Let the configuration of a MONAI bundle, which is code, run.")
    ] = False,
    accept: Accepted = None,
    num_parts: NumParts = 1,
    part_id: PartId = 0,
    overwrite: Overwrite = False,
    as_json: Json = False,
    dry_run: DryRun = False,
    quiet: Quiet = False,
    *,
    sampling: Sampling,
) -> None:
    """Predict each member's own probabilities for every image; nothing is averaged.

    A run that was killed is run again with the same line and predicts what is missing.
    """

    def run() -> None:
        def opened(sampling: Sampling) -> SegmentationModel:
            return open_model(
                model,
                device=device,
                precision=precision,
                sampling=sampling,
                overlap=overlap,
                batch=batch,
                folds=folds or (),
                checkpoint=checkpoint or (),
                trust_bundle=trust_bundle,
            )

        tuning = _tuning(tune_images, tune_labels, sampling)
        loaded = opened(sampling)
        _check_draws(loaded, sampling)
        study = image_study(images, loaded, accept=accepted(accept or ())).part(part_id, num_parts=num_parts)
        if dry_run:
            _show_images(loaded, study, output, as_json=as_json)
            return
        record: dict[str, Any] = {}
        if tuning:
            from plausible.cli.insert_rate import choose

            record = {"insert_rate": choose(opened, *tuning, sampling, output, quiet=quiet)}
            loaded = opened(replace(sampling, insert_rate=record["insert_rate"]["rate"]))
        with case_progress("predict", quiet=quiet) as progress:
            done = predict_study(
                loaded, study, output, stored_as=stored_as, overwrite=overwrite, on_case=progress, record=record
            )
        _show(done, loaded.ensemble, images, output, record, as_json=as_json)
        finish(failures=len(done.failures), done=len(done.written))

    guarded(run, as_json=as_json)


def _tuning(images: Path | None, labels: Path | None, sampling: Sampling) -> tuple[Path, Path] | None:
    """Images and labels that the rate of inserted dropout is chosen on, if they are told."""
    if images is None and labels is None:
        return None
    if images is None or labels is None or "dropout" not in sampling.sampler:
        raise ValueError("--tune-images and --tune-labels go together, with --sampler dropout")
    return images, labels


def _check_draws(model: SegmentationModel, sampling: Sampling) -> None:
    """Refuse a number of draws, told for a model without chance, before hours are spent on fewer members."""
    if sampling.draws != Sampling().draws and all(info.draw is None for info in model.infos):
        raise ValueError("--draws: nothing is drawn in this model; leave it out, or add --sampler dropout")


def _show_images(model: SegmentationModel, study: Study, output: Path, *, as_json: bool) -> None:
    cases, members = [case.subject for case in study], [info.id for info in model.infos]
    if as_json:
        say_json({"ensemble": model.ensemble, "members": members, "cases": cases, "output": str(output)})
    else:
        say(f"{model.ensemble}, {len(cases)} images; would write {len(members)} members each to {output}")


def _show(
    done: Predicted, ensemble: str, images: Path, output: Path, record: Mapping[str, Any], *, as_json: bool
) -> None:
    written, kept = sum(n for _, n in done.written), sum(n for _, n in done.kept)
    if as_json:
        failures = [problem.to_dict() for problem in done.failures]
        say_json({"ensemble": ensemble, "written": written, "kept": kept, "failures": failures, **record})
        return
    warn(*done.failures)
    say(f"{ensemble}: {written} members predicted, {kept} kept from before, {len(done.failures)} cases failed")
    say(f"next: plausible assess -i {output} -o OUT --images {images}")
