"""The prediction models of a validation study: trained where needed, and what they predict for the test images.

Folders carry a part of the hash of what is told of them, so that a changed study makes anew what changed and keeps the
rest.
"""

from collections.abc import Callable
from dataclasses import asdict, replace
from pathlib import Path

from plausible.core import Case, InvalidInput, Problem, Study
from plausible.io.images import read_image
from plausible.io.study import read_study
from plausible.runs.validation_data import HeldOut, PreparedData, short_key
from plausible.runs.validation_toml import ToldModel, ToldTraining, ValidationStudy, without_folders
from plausible.sample import SegmentationModel, WindowedModel, open_model, predict_study
from plausible.sample.study import OnCase
from plausible.train import Trained, train_ensemble

Progress = Callable[[int, int, int, float], None]


def training_folder(output: Path, data: PreparedData, told: ToldTraining) -> Path:
    """Folder of a model that a training of the study makes on one dataset."""
    return output / "models" / data.name / f"{told.name}-{short_key([asdict(told), data.key])}"


def train_model(
    told: ToldTraining,
    data: PreparedData,
    output: Path,
    *,
    device: str = "auto",
    workers: int = 1,
    threads: int = 0,
    on_progress: Progress | None = None,
) -> Trained:
    """Train on one dataset; a finished training is kept, one that was killed continues.

    Raises:
        InvalidInput: E110, nobody was told to train; and as `train_ensemble`.
        UnfitEnvironment: as `train_ensemble`.
    """
    if data.split is None:
        raise _unfit(
            f"[data.{data.name}]",
            "a split without train",
            '"train" beside the test cases: a training that drew its own would see them',
        )
    return train_ensemble(
        data.dataset,
        training_folder(output, data, told),
        members=told.members,
        ensemble=told.ensemble,
        settings=told.settings,
        split=data.split,
        seed=told.seed,
        device=device,
        workers=workers,
        threads=threads,
        on_progress=on_progress,
    )


def model_key(told: ToldModel, study: ValidationStudy) -> str:
    """Hash of everything that is told of a model, its training included."""
    training = asdict(study.trainings[told.training]) if told.training else {}
    return short_key(without_folders({**asdict(told), "training": training}))


def predicted(
    told: ToldModel,
    study: ValidationStudy,
    data: PreparedData,
    output: Path,
    *,
    device: str = "auto",
    on_case: OnCase | None = None,
) -> tuple[Study, tuple[Problem, ...]]:
    """Return the test images of a dataset with the members of a model; what was predicted before is kept.

    Returns:
        The images that could be predicted, and the problems of the others.

    Raises:
        InvalidInput: E502 or E504 for the model, E101 to E105 for members, E110 for too few networks.
    """
    if told.members is not None:
        return read_study(told.members), ()
    folder = output / "members" / data.name / f"{told.name}-{model_key(told, study)}"
    model = _opened(told, study, data, output, device=device)
    done = predict_study(model, _images(data), folder, on_case=on_case)
    failed = {problem.subject for problem in done.failures}
    predicted_cases = [one.subject for one in data.held_out if one.subject not in failed]
    return read_study(folder, allow_missing=bool(failed)).only(predicted_cases), done.failures


def _opened(
    told: ToldModel, study: ValidationStudy, data: PreparedData, output: Path, *, device: str
) -> SegmentationModel:
    """Return the model with as many of its networks as were asked for."""
    where = told.model or training_folder(output, data, study.trainings[told.training])
    model = open_model(where, device=device, sampling=told.sampling, overlap=told.overlap)
    if not told.networks:
        return model
    if not isinstance(model, WindowedModel):
        raise _unfit(f"[models.{told.name}]", f"networks of {where.name}, which is of another tool", "one of ours")
    per_network = _members_per_network(model)
    if told.networks * per_network > len(model.sources):
        n = len(model.sources) // per_network
        raise _unfit(f"[models.{told.name}]", f"networks = {told.networks}", f"{n} or fewer, as {where.name} has")
    return replace(model, sources=model.sources[: told.networks * per_network])


def _members_per_network(model: WindowedModel) -> int:
    firsts = sum(source.info.draw in (None, 0) for source in model.sources)
    return len(model.sources) // max(firsts, 1)


def _images(data: PreparedData) -> Study:
    return Study(data.name, data.classes, tuple(_case(one, data) for one in data.held_out))


def _case(one: HeldOut, data: PreparedData) -> Case:
    return Case(
        one.subject,
        data.classes,
        load_image=lambda: read_image(one.images, channels=data.told.channels, subject=one.subject),
        files={path.name: str(path) for path in one.images},
    )


def _unfit(where: str, found: str, expected: str) -> InvalidInput:
    problem = Problem(code="E110", file=where, found=found, expected=expected, fix="correct this table of the study")
    return InvalidInput(problem)
