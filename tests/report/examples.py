"""Cases to show: a real or drawn label map, members made of it by shifting and smoothing, and reports of both."""

from dataclasses import dataclass
from pathlib import Path

import numpy as np
from scipy import ndimage

from plausible.core import Classes, Geometry, Image, LabelMap, ScalarMap
from plausible.report.model import (
    CaseReport,
    CohortLine,
    CohortReport,
    Failure,
    Interval,
    MapFile,
    Reliability,
    RiskCoverageCurve,
    SliceProfile,
    StructureSummary,
    Verdict,
)

N_MEMBERS = 5


@dataclass(frozen=True)
class Example:
    """Everything `case_page` takes."""

    report: CaseReport
    image: Image
    probability: ScalarMap
    segmentation: LabelMap
    maps: tuple[ScalarMap, ...]
    reference: LabelMap


def blob_labels(shape=(40, 48, 20), spacing=(1.0, 1.0, 1.0)) -> tuple[np.ndarray, Geometry]:
    """Two touching ellipsoids of labels 1 and 2."""
    axes = np.meshgrid(*[np.linspace(-1, 1, n) for n in shape], indexing="ij")
    first = (axes[0] / 0.4) ** 2 + ((axes[1] - 0.25) / 0.3) ** 2 + (axes[2] / 0.6) ** 2 < 1
    second = (axes[0] / 0.35) ** 2 + ((axes[1] + 0.3) / 0.28) ** 2 + (axes[2] / 0.5) ** 2 < 1
    labels = np.zeros(shape, np.uint8)
    labels[first], labels[second] = 1, 2
    return labels, Geometry(shape, np.diag([*spacing, 1.0]))


def drawn_image(labels: np.ndarray, geometry: Geometry, *, channel="MRI", seed=0) -> Image:
    """Grey values that follow the labels, with noise."""
    rng = np.random.default_rng(seed)
    values = 100 + 60 * ndimage.gaussian_filter(labels.astype(float), 1) + rng.normal(0, 12, labels.shape)
    return Image(values[None].astype(np.float32), geometry, (channel,))


def soft_members(labels: np.ndarray, *, n_classes=3, seed=0) -> np.ndarray:
    """Members m c i j k: each label map shifted, smoothed and normalised."""
    rng = np.random.default_rng(seed)
    members = []
    for _ in range(N_MEMBERS):
        shift, width = rng.normal(0, 0.6, 3), rng.uniform(0.6, 1.2)
        one_hot = [
            ndimage.gaussian_filter(ndimage.shift((labels == c).astype(float), shift, order=1, mode="nearest"), width)
            for c in range(n_classes)
        ]
        stacked = np.clip(np.stack(one_hot), 1e-6, 1)
        members.append(stacked / stacked.sum(axis=0))
    return np.stack(members).astype(np.float32)


def dice(a: np.ndarray, b: np.ndarray) -> float:
    total = a.sum() + b.sum()
    return float(2 * (a & b).sum() / total) if total else float("nan")


def entropy(p: np.ndarray, axis: int) -> np.ndarray:
    return -(p * np.log(np.maximum(p, 1e-12))).sum(axis=axis)


def scalar(name, values, geometry, upper, unit="nat", frames=("",)) -> ScalarMap:
    return ScalarMap(name, values.astype(np.float32), geometry, unit, (0.0, upper), f"{name} in one line", frames)


def example(
    labels: np.ndarray,
    geometry: Geometry,
    image: Image,
    *,
    subject="case_001",
    study="Hippocampus",
    names=("anterior", "posterior"),
    limit=0.9,
) -> Example:
    classes = Classes.exclusive_of({"background": 0, **{name: n + 1 for n, name in enumerate(names)}})
    members = soft_members(labels, n_classes=len(names) + 1)
    mean = members.mean(axis=0)
    total = entropy(mean, 0)
    expected = entropy(members, 1).mean(axis=0)
    top = float(np.log(len(names) + 1))
    maps = (
        scalar("predictive_entropy", total[None], geometry, top),
        scalar("mutual_information", np.maximum(total - expected, 0)[None], geometry, top),
    )
    probability = scalar("mean_probability", mean, geometry, 1.0, "1", classes.names)
    segmentation = LabelMap(mean.argmax(axis=0).astype(np.uint8), geometry, classes)
    reference = LabelMap(labels.astype(np.uint8), geometry, classes)
    hard = members.argmax(axis=1)
    summaries, profiles, scores = [], [], []
    for n, name in enumerate(names, start=1):
        summary, profile = structure_of(name, hard == n, members[:, n], geometry, labels == n, limit)
        summaries.append(summary)
        profiles.append(profile)
        inside = segmentation.values == n
        for measure, values in (
            ("predictive_entropy", total),
            ("expected_entropy", expected),
            ("mutual_information", total - expected),
        ):
            scores.append(
                {
                    "subject": subject,
                    "structure": name,
                    "measure": measure,
                    "region": "predicted_structure",
                    "reduction": "mean",
                    "value": float(values[inside].mean()) if inside.any() else None,
                    "unit": "nat",
                    "higher_is": "neither",
                    "n": int(inside.sum()),
                    "against": "",
                }
            )
        scores.append(
            {
                "subject": subject,
                "structure": name,
                "measure": "dice",
                "region": "",
                "reduction": "",
                "value": dice(inside, labels == n),
                "unit": "1",
                "higher_is": "better",
                "n": 1,
                "against": "reference",
            }
        )
    least = min(summaries, key=lambda s: s.agreement)
    report = CaseReport(
        subject=subject,
        study=study,
        verdict=Verdict(
            state="review" if least.flags else "pass",
            value=least.agreement,
            limit=limit,
            structure=least.name,
            reason=f"Members disagree on {least.name}, most in slice {least.worst_slice} "
            f"(pairwise Dice {least.agreement:.2f}, limit {limit:.2f}).",
        )
        if least.flags
        else Verdict(
            state="pass",
            value=least.agreement,
            limit=limit,
            structure=least.name,
            reason="All structures agree above the limit.",
        ),
        structures=tuple(summaries),
        profiles=tuple(profiles),
        members=tuple(
            {
                "id": f"seed_{n}",
                "kind": "seed",
                "seed": n,
                "fold": None,
                "architecture": "UNet",
                "checkpoint": f"{n}" * 64,
                "source": f"members/seed_{n}",
            }
            for n in range(N_MEMBERS)
        ),
        ensemble="deep ensemble of 5",
        scores=tuple(scores),
        maps=(
            MapFile(
                path="segmentation.nii.gz",
                quantity="segmentation",
                unit="1",
                definition="most probable class",
                valid_range=(0.0, 2.0),
            ),
            *(
                MapFile(
                    path=f"{m.name}.nii.gz",
                    quantity=m.name,
                    unit=m.unit,
                    definition=m.definition,
                    valid_range=m.valid_range,
                )
                for m in maps
            ),
        ),
        shape=geometry.shape,
        spacing_mm=geometry.spacing_mm,
        exclusive=True,
        provenance={
            "version": "0.1.0",
            "command": "assess -i MEMBERS -o OUT",
            "created": "2026-11-24T15:00:00+00:00",
            "python": "3.11.9",
            "settings": {"agreement_limit": limit},
            "inputs": {"image": "ab" * 32},
            "key": "cd" * 32,
        },
        methods="Five members were averaged as probabilities.\nPairwise Dice was taken between all pairs of members.",
        image=(f"images/{subject}_0000.nii.gz",),
        warnings=("Only 5 members: intervals are rough.",),
    )
    return Example(report, image, probability, segmentation, maps, reference)


def structure_of(name, masks, soft, geometry, truth, limit):
    ml = geometry.voxel_volume_ml
    volumes = sorted(float(m.sum()) * ml for m in masks)
    matrix = tuple(tuple(dice(a, b) for b in masks) for a in masks)
    pairs = [matrix[a][b] for a in range(len(masks)) for b in range(a)]
    agreement = float(np.mean(pairs))
    axis = geometry.axial_axis
    rest = tuple(a for a in range(3) if a != axis)
    pixel = float(np.prod([geometry.spacing_mm[a] for a in rest])) / 100
    share = masks.mean(axis=0)
    uncertain = (4 * share * (1 - share)).sum(axis=rest) * pixel
    area = soft.mean(axis=0).sum(axis=rest) * pixel
    summary = StructureSummary(
        name=name,
        volume_ml=Interval(
            value=float(np.mean(volumes)),
            low=volumes[0],
            high=volumes[-1],
            level=0.9,
            n=len(volumes),
            meaning="range of the middle 90 % of members, not calibrated",
        ),
        member_volumes_ml=tuple(volumes),
        expected_volume_ml=float(soft.mean(axis=0).sum()) * ml,
        volume_cv=float(np.std(volumes) / np.mean(volumes)) if np.mean(volumes) else None,
        agreement=agreement,
        agreement_matrix=matrix,
        worst_slice=int(np.argmax(uncertain)),
        touches_edge=False,
        flags=("low_agreement",) if agreement < limit else (),
        reference={"dice": dice(share >= 0.5, truth), "nsd_1mm": 0.97, "hd95_mm": 1.4},
        reference_volume_ml=float(truth.sum()) * ml,
    )
    return summary, SliceProfile(
        structure=name, axis=axis, uncertain_area_cm2=tuple(map(float, uncertain)), area_cm2=tuple(map(float, area))
    )


def hippocampus(shared_data: Path, subject: str, *, limit=0.9) -> Example:
    """A real case with members made of its label map."""
    from plausible.io.nifti import read_labels, read_nifti

    folder = shared_data / "hippocampus"
    labels, geometry = read_labels(folder / "labelsTr" / f"{subject}.nii.gz")
    values, _ = read_nifti(folder / "imagesTr" / f"{subject}_0000.nii.gz")
    image = Image(values[None], geometry, ("MRI",))
    return example(np.asarray(labels), geometry, image, subject=subject, limit=limit)


def drawn(*, subject="case_001") -> Example:
    labels, geometry = blob_labels()
    return example(labels, geometry, drawn_image(labels, geometry), subject=subject)


def cohort(n_cases: int = 12, *, references=True, structures=("anterior", "posterior"), seed=0) -> CohortReport:
    """A cohort with plausible numbers."""
    rng = np.random.default_rng(seed)
    lines = []
    for n in range(n_cases):
        for name in structures:
            agreement = float(1 - rng.gamma(2.0, 0.03))
            volume = float(rng.normal(1.8, 0.25))
            flagged = agreement < 0.87
            lines.append(
                CohortLine(
                    subject=f"case_{n:03d}",
                    structure=name,
                    state="review" if flagged else "pass",
                    agreement=agreement,
                    volume_ml=Interval(value=volume, low=volume * 0.95, high=volume * 1.06, level=0.9, n=5),
                    volume_cv=float(rng.uniform(0.01, 0.08)),
                    worst_slice=int(rng.integers(5, 30)),
                    flags=("low_agreement",) if flagged else (),
                    page=f"case_{n:03d}/case.html",
                    reference={"dice": agreement - 0.05, "hd95_mm": float(rng.uniform(1, 3))} if references else {},
                )
            )
    confidence = np.linspace(0.1, 0.95, 10)
    accuracy = np.clip(confidence + 0.05 * np.sin(6 * confidence), 0, 1)
    coverage = np.linspace(1 / n_cases, 1, n_cases) if n_cases else np.array([1.0])
    return CohortReport(
        study="Hippocampus",
        n_cases=n_cases,
        n_flagged=sum(any(x.flags for x in lines if x.subject == f"case_{n:03d}") for n in range(n_cases)),
        lines=tuple(lines),
        failures=(
            Failure(
                subject="case_900",
                stage="assess",
                code="E305",
                message="file is truncated or damaged",
                fix="copy or export this file again",
            ),
        ),
        provenance={
            "version": "0.1.0",
            "command": "assess -i MEMBERS -o OUT",
            "created": "2026-11-24T15:00:00+00:00",
            "settings": {},
            "inputs": {},
        },
        ensemble="deep ensemble of 5",
        summary=tuple(
            {
                "measure": m,
                "structure": s,
                "mean": v,
                "low": v - 0.02,
                "high": v + 0.02,
                "n": n_cases,
                "n_undefined": 0,
                "unit": "1",
            }
            for s in structures
            for m, v in (("dice", 0.88), ("nsd_1mm", 0.95))
        )
        if references
        else (),
        reliability=(
            Reliability(
                name="top label",
                confidence=tuple(map(float, confidence)),
                accuracy=tuple(map(float, accuracy)),
                low=tuple(map(float, accuracy - 0.04)),
                high=tuple(map(float, accuracy + 0.04)),
                share=(0.1,) * 10,
                n_subjects=n_cases,
                ece=Interval(value=0.021, low=0.015, high=0.03, level=0.95, n=n_cases),
            ),
        )
        if references
        else (),
        risk_coverage=(
            RiskCoverageCurve(
                structure="",
                score="mean_pairwise_dice",
                risk="1 - dice",
                coverage=tuple(map(float, coverage)),
                selective_risk=tuple(map(float, 0.08 + 0.06 * coverage**2)),
                aurc=Interval(value=0.1, low=0.08, high=0.12, level=0.95, n=n_cases),
                aurc_optimal=0.07,
                mean_risk=0.14,
            ),
        )
        if references
        else (),
        methods="Cases are ordered by the mean Dice between members.",
    )
