"""A validation study told in a file: data, trainings, models, measures, aggregations and tasks.

Paths are relative to the file.

```toml
name = "toy"
seed = 0
measures = ["predictive_entropy", "expected_entropy", "mutual_information"]
aggregations = ["whole_image:mean", "foreground_ratio_quantile"]
tasks = ["segmentation", "separation", "out_of_distribution", "failure"]   # default: all
resamples = 1000                  # of each interval
tolerance_mm = 2.0                # of the surface Dice against references
agreement_tolerance_mm = 1.0      # of the one between members; without it only overlap is compared

[data.case_3b]
simulate = "3b"                   # a toy case, with the settings of plausible simulate: size, clean, share, data_seed
ambiguous = ["iid_blurred_*"]     # test images on which raters differ more than on the others; wildcards

[data.hippocampus]
dataset = "Dataset004_Hippocampus"    # or an nnU-Net raw dataset
split = "split.json"                  # train, validation, test (or iid, shifted): names of its cases
fractions = [120, 30, 45]            # or shares of its cases for training, validation and test, drawn by data_seed
artefacts = ["ghosting", "bias_field"]  # a copy of each test image with one of these: shifted
references = ["labelsTr"]             # one folder per rater; default: labelsTs_rater_* or labelsTs
patients = "patients.csv"             # subject, patient; default: each case is a patient

[training]                        # settings of plausible train for all trainings
iterations = 400
[training.deep]                   # and of this one
members = 5

[models.deep_ensemble]
training = "deep"
[models.softmax]
training = "deep"
networks = 1                      # use the first network only
[models.views]
training = "deep"
networks = 1
sampler = ["tta"]                 # settings of plausible predict
tta = ["flips"]
[models.nnunet]
model = "nnUNet_results/..."      # a trained model of any tool, for every data of the study
[models.saved]
members = "predictions"           # or what it predicted: one folder per member
```
"""

from collections.abc import Mapping
from dataclasses import dataclass, field, fields
from pathlib import Path
from typing import Any, get_args

from plausible.io.study_toml import read_toml
from plausible.runs.simulate import SimulateSettings
from plausible.runs.validation_case import CaseSettings
from plausible.sample.sampling import Sampling
from plausible.simulate import ARTEFACTS, TOY_CASES
from plausible.train import TrainingSettings
from plausible.train.settings import EnsembleKind
from plausible.validate import TASKS

MEASURES = ("predictive_entropy", "expected_entropy", "mutual_information")
AGGREGATIONS = ("whole_image:mean", "predicted_foreground:mean", "foreground_ratio_quantile", "boundary:mean")
RESAMPLES = 1000


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldData:
    """One dataset of a study.

    Attributes:
        simulate: toy case that is made; empty for a dataset that is there.
        simulated: how it is made.
        data_seed: of the toy case, or of the fractions.
        dataset: nnU-Net raw dataset.
        split: file with the names of the cases of each role; None for the dataset's own split.json.
        fractions: shares of the cases for training, validation and test, in place of a split.
        references: folders of the raters of the test images, inside the dataset; none finds them.
        artefacts: with which each test image is copied.
        shifted, ambiguous: wildcards of test images; none takes the role "shifted", and no image.
        patients: table of subject and patient.
    """

    name: str
    simulate: str = ""
    simulated: SimulateSettings = field(default_factory=SimulateSettings)
    data_seed: int = 0
    dataset: Path | None = None
    split: Path | None = None
    fractions: tuple[float, ...] = ()
    references: tuple[str, ...] = ()
    artefacts: tuple[str, ...] = ()
    shifted: tuple[str, ...] = ()
    ambiguous: tuple[str, ...] = ()
    patients: Path | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldTraining:
    """One training, made on every dataset for which a model needs it."""

    name: str
    members: int = 5
    ensemble: EnsembleKind = "deep"
    seed: int = 0
    settings: TrainingSettings = field(default_factory=TrainingSettings)


@dataclass(frozen=True, slots=True, kw_only=True)
class ToldModel:
    """One prediction model: a training of this study, a model that is there, or what one predicted.

    Attributes:
        data: datasets that it is for; none takes all.
        networks: how many of the networks are used; 0 uses all.
        overlap: share by which windows overlap.
    """

    name: str
    training: str = ""
    model: Path | None = None
    members: Path | None = None
    data: tuple[str, ...] = ()
    networks: int = 0
    overlap: float = 0.5
    sampling: Sampling = field(default_factory=Sampling)


@dataclass(frozen=True, slots=True, kw_only=True)
class ValidationStudy:
    """Everything that a study declares."""

    name: str
    data: Mapping[str, ToldData]
    trainings: Mapping[str, ToldTraining]
    models: Mapping[str, ToldModel]
    seed: int = 0
    measures: tuple[str, ...] = MEASURES
    aggregations: tuple[str, ...] = AGGREGATIONS
    tasks: tuple[str, ...] = TASKS.names
    resamples: int = RESAMPLES
    tolerance_mm: float = 2.0
    agreement_tolerance_mm: float | None = None

    def __post_init__(self) -> None:
        if self.resamples < 1 or not self.tolerance_mm >= 0 or not (self.agreement_tolerance_mm or 0.0) >= 0:
            raise ValueError(
                "resamples must be at least 1 and tolerances at least 0, got "
                f"{self.resamples}, {self.tolerance_mm} and {self.agreement_tolerance_mm}"
            )

    @property
    def case_settings(self) -> CaseSettings:
        """What is measured of every test image."""
        return CaseSettings(
            measures=self.measures,
            aggregations=self.aggregations,
            tolerance_mm=self.tolerance_mm,
            agreement_tolerance_mm=self.agreement_tolerance_mm,
        )

    def models_for(self, data: str) -> tuple[ToldModel, ...]:
        """Models that are judged on this dataset."""
        return tuple(model for model in self.models.values() if not model.data or data in model.data)


def read_validation_study(path: Path, *, folders: Mapping[str, Path] | None = None) -> ValidationStudy:
    """Read the file of a validation study.

    Args:
        path: the file.
        folders: where a dataset or a model lies on this machine, in place of what the file says: "data.NAME" an
            nnU-Net raw dataset, "models.NAME" a trained model, or a folder of saved members.

    Raises:
        InvalidInput: E110, not TOML, an unknown key, a value that is none of the choices, or a folder not there.
    """

    def parse(told: dict[str, Any]) -> ValidationStudy:
        for where, folder in (folders or {}).items():
            _put(told, where, folder)
        return _parse(told, path.parent, path.stem)

    return read_toml(
        path,
        parse,
        expected="TOML with measures, aggregations, tasks and the tables [data.NAME], [training.NAME] and "
        "[models.NAME]",
        fix="correct this line of the file; docs/methods/validate.md has a whole example",
    )


def _put(told: dict[str, Any], where: str, folder: Path) -> None:
    """Write a folder of this machine into what the file says."""
    table, _, name = where.partition(".")
    if table not in ("data", "models") or name not in told.get(table, {}):
        known = [f"{kind}.{one}" for kind in ("data", "models") for one in told.get(kind, {})]
        raise ValueError(f"no folder {where!r} in this study; there are: {', '.join(known)}")
    one = told[table][name]
    if table == "data":
        one["dataset"] = str(folder.resolve())
    else:
        saved = "members" in one or (folder / "members.json").exists()
        kept = {key: value for key, value in one.items() if key == "data"} if saved else one
        told[table][name] = {**kept, "members" if saved else "model": str(folder.resolve())}
        told[table][name].pop("training", None)


def _parse(told: dict[str, Any], folder: Path, name: str) -> ValidationStudy:
    own = ("name", "seed", "measures", "aggregations", "tasks", "resamples", "tolerance_mm", "agreement_tolerance_mm")
    _known(told, {*own, "data", "training", "models"}, "the file")
    trainings = _trainings(dict(told.get("training", {})))
    study = ValidationStudy(
        data={key: _data(key, dict(value), folder) for key, value in told["data"].items()},
        trainings=trainings,
        models={key: _model(key, dict(value), folder) for key, value in told["models"].items()},
        **{"name": name, **_typed(ValidationStudy, {key: told[key] for key in own if key in told}, "the file")},
    )
    _check(study)
    return study


def _check(study: ValidationStudy) -> None:
    from plausible.aggregate import AggregationSettings, chosen_reductions
    from plausible.measure import VOXEL_MEASURES

    for name in study.measures:
        VOXEL_MEASURES[name]
    for name in study.tasks:
        TASKS[name]
    chosen_reductions(study.aggregations, AggregationSettings())
    for model in study.models.values():
        if model.training and model.training not in study.trainings:
            raise ValueError(
                f"[models.{model.name}] training = {model.training!r}; there are: {', '.join(study.trainings)}"
            )
        n_networks = study.trainings[model.training].members if model.training else model.networks
        if not 0 <= model.networks <= n_networks:
            raise ValueError(f"[models.{model.name}] networks = {model.networks}, but {n_networks} are trained")
        unknown = set(model.data) - set(study.data)
        if unknown:
            raise ValueError(f"[models.{model.name}] data: no {', '.join(sorted(unknown))}")
    if not study.data or not study.models:
        raise ValueError("a study needs one [data.NAME] and one [models.NAME] at least")


def _data(name: str, told: dict[str, Any], folder: Path) -> ToldData:
    recipe = {f.name for f in fields(SimulateSettings)}
    known = {f.name for f in fields(ToldData)} - {"name", "simulated"} | recipe
    _known(told, known, f"[data.{name}]")
    if ("simulate" in told) == ("dataset" in told):
        raise ValueError(f"[data.{name}] needs simulate or dataset, one of the two; --folder gives a dataset only")
    if "simulate" in told and told["simulate"] not in TOY_CASES:
        raise ValueError(f"[data.{name}] simulate = {told['simulate']!r}; there are: {', '.join(TOY_CASES)}")
    if "split" in told and "fractions" in told:
        raise ValueError(f"[data.{name}] has a split and fractions; give one of them")
    for artefact in told.get("artefacts", ()):
        ARTEFACTS[artefact]
    simulated = SimulateSettings(**{key: told.pop(key) for key in recipe if key in told})
    if "fractions" in told:
        told["fractions"] = [float(one) for one in told["fractions"]]
        if len(told["fractions"]) != 3:
            raise ValueError(f"[data.{name}] fractions are those of training, validation and test, three numbers")
    for key in ("dataset", "split", "patients"):
        if key in told:
            told[key] = _there(folder, told[key], f"[data.{name}] {key}")
    return ToldData(name=name, simulated=simulated, **_typed(ToldData, told, f"[data.{name}]"))


def _trainings(told: dict[str, Any]) -> dict[str, ToldTraining]:
    """What stands in [training] itself holds for all trainings."""
    shared = {key: value for key, value in told.items() if not isinstance(value, dict)}
    return {key: _training(key, {**shared, **value}) for key, value in told.items() if isinstance(value, dict)}


def _training(name: str, told: dict[str, Any]) -> ToldTraining:
    settings = {f.name for f in fields(TrainingSettings)}
    own = {"members", "ensemble", "seed"}
    _known(told, settings | own, f"[training.{name}]")
    if told.get("ensemble", "deep") not in get_args(EnsembleKind):
        raise ValueError(
            f"[training.{name}] ensemble = {told['ensemble']!r}; there are: deep, cv, rater, heterogeneous"
        )
    where = f"[training.{name}]"
    chosen = TrainingSettings(**_typed(TrainingSettings, {k: told[k] for k in settings if k in told}, where))
    return ToldTraining(name=name, settings=chosen, **{key: told[key] for key in own if key in told})


def _model(name: str, told: dict[str, Any], folder: Path) -> ToldModel:
    sampling = {f.name for f in fields(Sampling)}
    known = {"training", "model", "members", "data", "networks", "overlap"}
    _known(told, known | sampling, f"[models.{name}]")
    if sum(key in told for key in ("training", "model", "members")) != 1:
        raise ValueError(f"[models.{name}] needs one of training, model and members")
    for key in ("model", "members"):
        if key in told:
            told[key] = _there(folder, told[key], f"[models.{name}] {key}")
    where = f"[models.{name}]"
    chosen = Sampling(**_typed(Sampling, {key: told[key] for key in sampling if key in told}, where))
    own = {key: told[key] for key in known if key in told}
    return ToldModel(name=name, sampling=chosen, **_typed(ToldModel, own, where))


def _typed(record: type, told: Mapping[str, Any], where: str) -> dict[str, Any]:
    """Values of a record's fields: lists become tuples, and a field that is a list must be told as one."""
    found = {}
    for one in fields(record):
        if one.name in told:
            value, listed = told[one.name], "tuple" in str(one.type)
            if isinstance(value, list) != listed and not (listed and value is None):
                raise ValueError(f"{where} {one.name} = {value!r} must be {'a list' if listed else 'a single value'}")
            found[one.name] = tuple(value) if listed else value
    return found


def without_folders(value: Any) -> Any:
    """What a study says, without the machine's folders: a path is its last part."""
    if isinstance(value, dict):
        return {key: without_folders(one) for key, one in value.items()}
    if isinstance(value, list | tuple):
        return [without_folders(one) for one in value]
    return value.name if isinstance(value, Path) else value


def _known(content: Mapping[str, Any], keys: set[str], where: str) -> None:
    unknown = sorted(set(content) - keys)
    if unknown:
        raise ValueError(f"{where}: unknown {', '.join(unknown)}; there are: {', '.join(sorted(keys))}")


def _there(folder: Path, told: str, where: str) -> Path:
    path = (folder / told).resolve()
    if not path.exists():
        raise ValueError(f"{where} = {told!r}: not there, seen from the study's file; --folder says where it lies")
    return path
