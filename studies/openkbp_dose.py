"""Is the dose interval of an ensemble worth trusting? Head-and-neck patients of OpenKBP, and three raters beside.

    python studies/openkbp_dose.py --data openkbp_hn --raters hn_multirater_dose --out OUT

Steps, each kept and resumed:

1. `train`: a deep ensemble of four networks on 33 patients (4 validate), CT to brainstem, cord, parotids and mandible.
2. `predict`: its members for the 38 held-out patients, and for the patients with three raters (none of them is in the
   other pack).
3. `dose`: what `plausible dose` says of all of them under their own dose, against the clinical contours or the raters'.
4. `table`: coverage and width of the members' intervals as they are and after calibration on other patients (random
   halves, repeated), undecided constraints, violations missed and caught, the rank correlation of each uncertainty
   with the true error of the dose, and the raters' spread of the same metrics beside the model's interval.

The dose is fixed: it was planned on the clinical contours. Held-out patients chose nothing.
"""

import argparse
import json
import shutil
from dataclasses import replace
from pathlib import Path
from typing import Any

from openkbp_dataset import ORGANS, prepare, write_labels
from openkbp_dose_tables import ambiguity_table, tables

from plausible.core import Score
from plausible.io import read_dataset_json, read_study
from plausible.io.atomic import write_text
from plausible.runs.assess import assess_study
from plausible.runs.dose import dose_study, plan_doses
from plausible.runs.dose_settings import DoseSettings
from plausible.runs.dose_tables import read_dose_results
from plausible.runs.evaluate import evaluate_study
from plausible.runs.evaluation import row_from_dict
from plausible.runs.pages import read_case
from plausible.runs.settings import EvaluateSettings
from plausible.sample import image_study, load_model, predict_study
from plausible.train import Split, TrainingSettings, train_ensemble

NETWORK = TrainingSettings(patch=(64, 64, 64), levels=4, width=16)
RATERS = ("clinical", "oncologist", "radiographer")


def main() -> None:
    """Run the steps that were asked for."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--data", type=Path, required=True, help="the pack openkbp_hn")
    parser.add_argument("--raters", type=Path, required=True, help="the pack hn_multirater_dose")
    parser.add_argument("--out", type=Path, required=True)
    parser.add_argument("--iterations", type=int, default=1200)
    parser.add_argument("--members", type=int, default=4)
    parser.add_argument("--workers", type=int, default=2)
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--repeats", type=int, default=500, help="random splits into calibration and test patients")
    parser.add_argument("--steps", nargs="+", default=["train", "predict", "dose", "table"])
    asked = parser.parse_args()
    for step in asked.steps:
        {"train": train, "predict": predict, "dose": dose, "table": table}[step](asked)


def train(asked: argparse.Namespace) -> None:
    """Train the ensemble."""
    if not (asked.out / "split.json").exists():
        prepare(asked.data, asked.out, seed=asked.seed)
    told = json.loads((asked.out / "split.json").read_text(encoding="utf-8"))
    done = train_ensemble(
        asked.out / "data",
        asked.out / "model",
        members=asked.members,
        settings=replace(NETWORK, iterations=asked.iterations),
        split=Split(tuple(told["train"]), tuple(told["validation"])),
        seed=asked.seed,
        workers=asked.workers,
        threads=1,
    )
    print([round(record.validation_dice or 0, 3) for record in done.info.members])


def predict(asked: argparse.Namespace) -> None:
    """Predict the members of both groups of patients."""
    model = load_model(asked.out / "model")
    _prepare_raters(asked.raters, asked.out / "raters")
    for group in ("heldout", "raters"):
        done = predict_study(model, image_study(asked.out / group / "img", model), asked.out / group / "members")
        print(f"{group}: {len(done.written)} patients predicted, {len(done.kept)} kept", *done.failures, sep="\n")


def _prepare_raters(pack: Path, out: Path) -> None:
    """Images of the patients with a CT, and each rater's five organs with the labels of the model."""
    classes = read_dataset_json(pack / "dataset.json").classes
    values = {int(classes.labels[classes.channel(organ)][0]): n for n, organ in enumerate(ORGANS, start=1)}
    for image in sorted((pack / "imagesTr").glob("*_0000.nii.gz")):
        subject = image.name.removesuffix("_0000.nii.gz")
        (out / "img").mkdir(parents=True, exist_ok=True)
        shutil.copyfile(image, out / "img" / image.name)
        for rater in RATERS:
            name = f"{subject}.nii.gz"
            write_labels(pack / f"labelsTr_{rater}" / name, out / "lab" / rater / name, values)


def dose(asked: argparse.Namespace) -> None:
    """Judge the dose of both groups, and score the segmentations."""
    for group, pack, references in _groups(asked):
        study = read_study(asked.out / group / "members", images=asked.out / group / "img", references=references)
        results = asked.out / group / "results"
        walked = [assess_study(study, results)]
        if group == "heldout":
            walked.append(evaluate_study(study, results, settings=EvaluateSettings(tolerance_mm=3.0)))
        settings = DoseSettings(dose_metrics=("Mean[Gy]", "D2%[Gy]", "D0.1cc[Gy]"))
        plan = plan_doses(study, pack / "doseTr", "openkbp")
        walked.append(dose_study(study, results, plan, settings=settings))
        for one in walked:
            print(group, f"{len(one.done)} done, {len(one.kept)} kept", *one.failures, sep="\n")


def _groups(asked: argparse.Namespace) -> list[tuple[str, Path, Any]]:
    theirs = {rater: asked.out / "raters" / "lab" / rater for rater in RATERS}
    return [("heldout", asked.data, asked.out / "heldout" / "lab"), ("raters", asked.raters, theirs)]


def table(asked: argparse.Namespace) -> None:
    """Write and print the tables."""
    heldout, raters = (read_dose_results(asked.out / group / "results") for group in ("heldout", "raters"))
    text = tables(heldout, _scores(asked.out / "heldout" / "results"), repeats=asked.repeats, seed=asked.seed)
    text += "\n\n" + ambiguity_table(raters, heldout, raters=RATERS, seed=asked.seed)
    write_text(asked.out / "table.md", text + "\n")
    print(text)


def _scores(results: Path) -> list[Score]:
    """Rows of every case, of the members and against the reference."""
    folders = [folder for folder in sorted(results.iterdir()) if (folder / "case.json").exists()]
    return [row_from_dict(row) for folder in folders for row in read_case(folder).scores]


if __name__ == "__main__":
    main()
