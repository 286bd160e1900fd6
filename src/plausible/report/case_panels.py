"""Panels of the case page, from the verdict to the provenance."""

import math
import posixpath
import shlex
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from plausible.report.case_charts import gradient, interval_meaning, profile_chart, share_bar, volume_chart
from plausible.report.dose_model import CaseDose
from plausible.report.dose_panels import dose_content, review_slices
from plausible.report.model import CaseReport, StructureSummary
from plausible.report.page import made_by, script_json
from plausible.report.panels import Content, Panels
from plausible.report.text import known, words

STRUCTURE_COLOURS = ("#56b4e9", "#e69f00", "#009e73", "#f0e442", "#cc79a7", "#0072b2", "#d55e00")
"""Okabe and Ito 2008, in the order that reads best on grey images."""

N_WORST = 8
N_DOSE = 4
ADDITIVE = ("", "mean")
N_THUMBNAILS = 6


@dataclass(frozen=True, slots=True, eq=False)
class CaseView:
    """What the panels read: the report, the slice viewer's content, what was left out of it, and the dose."""

    report: CaseReport
    viewer: Mapping[str, Any]
    note: str
    dose: CaseDose | None = None


CASE_PANELS: Panels[CaseView] = Panels("case")


def colours_of(report: CaseReport) -> tuple[str, ...]:
    """One colour per structure, in order; they repeat after seven."""
    return tuple(STRUCTURE_COLOURS[n % len(STRUCTURE_COLOURS)] for n in range(len(report.structures)))


def worst_slices(report: CaseReport, dose: CaseDose | None = None) -> tuple[int, ...]:
    """Slices to look at first: the worst of each structure, least agreed first, then those most uncertain next.

    With a dose, the slices whose review would settle most of it follow those.
    """
    ordered = sorted(report.structures, key=lambda s: s.agreement if known(s.agreement) else math.inf)
    chosen = list(dict.fromkeys(s.worst_slice for s in ordered if s.worst_slice is not None))
    ranked = sorted(
        ((area, n) for profile in report.profiles for n, area in enumerate(profile.uncertain_area_cm2) if area > 0),
        reverse=True,
    )
    for _, n in ranked:
        if len(chosen) >= N_WORST:
            break
        if all(abs(n - other) > 1 for other in chosen):
            chosen.append(n)
    found = chosen[: max(N_WORST, len(report.structures))]
    return tuple(dict.fromkeys([*found, *(review_slices(dose)[:N_DOSE] if dose else ())]))


@CASE_PANELS.add(title="Verdict", shows="What to do with this case, and why.")
def verdict(view: CaseView) -> Content:
    """REVIEW, PASS or CANNOT TELL, with the reason and what the word rests on."""
    report = view.report
    word, sign = {"review": ("Review", "!"), "pass": ("Pass", "✓"), "cannot_tell": ("Cannot tell", "?")}[
        report.verdict.state
    ]
    flagged = [s.name for s in report.structures if s.flags]
    return {"report": report, "verdict": report.verdict, "word": word, "sign": sign, "flagged": flagged}


@CASE_PANELS.add(
    title="Structures",
    shows="Each structure's volume, how well the members agree on it, and the slice to look at first.",
    good="Agreement close to 1, a narrow interval, nothing flagged.",
    bad="Low agreement or a wide interval: the members drew different things.",
    do="Go to the worst slice. A structure that touches the edge of the image has a volume cut short.",
    needs="at least one structure besides the background",
)
def structures(view: CaseView) -> Content:
    """Return the table of structures."""
    rows = view.report.structures
    if not rows:
        return None
    measures = list(dict.fromkeys(name for row in rows for name in row.reference))
    entries = [
        {"row": row, "colour": colour, "key": n + 1 if n < 9 else ""}
        for n, (row, colour) in enumerate(zip(rows, colours_of(view.report), strict=True))
    ]
    return {
        "entries": entries,
        "measures": measures,
        "has_reference": any(row.reference_volume_ml is not None for row in rows),
        "has_margin": any(row.outer_margin_mm is not None for row in rows),
        "has_set": any(row.set_threshold is not None for row in rows),
        "meanings": interval_meaning(rows),
    }


@CASE_PANELS.add(
    title="Slices",
    shows="The image with contours at three levels of probability, and a map of uncertainty on a fixed scale.",
    good="The three lines lie a voxel or two apart; the map is a thin rim on the boundary.",
    bad="The lines lie wide apart or run into a neighbour; the map has a thick patch inside or far outside.",
    do="Look at that slice. Check the window and the contrast; a patch far outside is often a false positive. "
    "Each band is voxel by voxel: 5 % to 95 % does not hold the whole contour with a probability of 90 %.",
)
def slices(view: CaseView) -> Content:
    """Return the slice viewer, and the slices to look at first for those who have no script."""
    shown = {one["index"]: one for one in view.viewer["slices"]}
    first = [shown[n] for n in view.viewer["worst"] if n in shown][:N_THUMBNAILS]
    names = {s.worst_slice: s.name for s in reversed(view.report.structures)}
    return {
        "viewer": view.viewer,
        "note": view.note,
        "thumbnails": [(one, names.get(one["index"], "")) for one in first or list(shown.values())[:1]],
        "data": script_json({**view.viewer, "profiles": _profiles(view.report)}),
        "gradient": gradient(),
        "calibrated": view.report.calibration is not None,
        "hard": view.report.hard_members,
    }


@CASE_PANELS.add(
    title="Profile",
    shows="Along the slices, the area on which members disagree; below it the structure's own area. Click to go there.",
    good="A low plateau with a small rise at both ends.",
    bad="A peak in the middle.",
    do="Go to the peak and compare the contours there.",
    needs="a profile per structure (plausible assess writes it)",
)
def profile(view: CaseView) -> Content:
    """Return one figure per structure."""
    colours = dict(zip((s.name for s in view.report.structures), colours_of(view.report), strict=True))
    worst = {s.name: s.worst_slice for s in view.report.structures}
    charts = [
        (
            one.structure,
            profile_chart(one, colour=colours.get(one.structure, "#56b4e9"), worst=worst.get(one.structure)),
        )
        for one in view.report.profiles
    ]
    return {"charts": charts} if charts else None


@CASE_PANELS.add(
    title="Volumes",
    shows="A dot is one member's volume, the bar is the interval, the upright line the reported volume.",
    good="Dots close together, and the reference (diamond) inside the bar where there is one.",
    bad="Two groups of dots: the members found different objects.",
    do="Look at the worst slice of that structure with the contours of 5 % and 95 %.",
    needs="the members' volumes",
)
def volumes(view: CaseView) -> Content:
    """Return one figure per structure."""
    drawn = [
        (s, volume_chart(s, colour=colour))
        for s, colour in zip(view.report.structures, colours_of(view.report), strict=True)
    ]
    drawn = [(s, figure) for s, figure in drawn if figure]
    return {"charts": drawn, "meanings": interval_meaning(view.report.structures)} if drawn else None


@CASE_PANELS.add(
    title="Agreement",
    shows="Dice of every member with every other member, 1 is identical. The scale is the same on every page.",
    good="Even and high.",
    bad="One row is lower than all others: a broken member. Blocks: groups of members differ, for instance folds.",
    do="Look at that member alone; leave it out if it is broken.",
    needs="two members or more",
)
def agreement(view: CaseView) -> Content:
    """Return one matrix per structure."""
    ids = [str(member.get("id", n)) for n, member in enumerate(view.report.members)]
    matrices = [(s, _cells(s)) for s in view.report.structures if len(s.agreement_matrix) > 1]
    return {"matrices": matrices, "ids": ids} if matrices else None


@CASE_PANELS.add(
    title="Decomposition",
    shows="Predictive entropy, split into what every member is unsure of (expected entropy) and what the members "
    "disagree on (mutual information).",
    good="Mutual information close to 0 where entropy is high: human readers would hesitate there too.",
    bad="Mutual information is a large part over a whole structure: the case is unlike the training data.",
    do="Distrust the whole structure then, not only its boundary.",
    needs="rows of predictive_entropy, expected_entropy and mutual_information (plausible assess writes them)",
)
def decomposition(view: CaseView) -> Content:
    """Return the three numbers per structure and region; only of reductions for which the parts add up."""
    found: dict[tuple[str, str, str], dict[str, Any]] = {}
    for row in view.report.scores:
        parts = ("predictive_entropy", "expected_entropy", "mutual_information")
        if row.get("measure") in parts and row.get("reduction") in ADDITIVE:
            key = (str(row.get("structure", "")), str(row.get("region", "")), str(row.get("reduction", "")))
            found.setdefault(key, {"unit": row.get("unit", "")})[str(row["measure"])] = row.get("value")
    if not found:
        return None
    return {"rows": [_split(key, values) for key, values in found.items()]}


@CASE_PANELS.add(
    title="Dose",
    shows="What the structures receive if any of the members is the true contour: constraints, DVHs with bands, and "
    "where the boundary matters for the dose.",
    good="Bands clear of the limits; every constraint settled.",
    bad="A band that straddles a limit: the contour decides whether the plan is acceptable.",
    do="Review the slice named beside the constraint, or plan with a margin that covers the members.",
    needs="a dose (plausible dose, or plausible assess --dose)",
)
def dose(view: CaseView) -> Content:
    """Return constraints, figures and the slice where the dose is most in doubt."""
    if view.dose is None:
        return None
    names = [structure.name for structure in view.report.structures]
    return dose_content(view.dose, view.viewer, dict(zip(names, colours_of(view.report), strict=True)))


@CASE_PANELS.add(
    title="Reference",
    shows="Scores of the segmentation against a person's contours.",
    good="High overlap and distances within what raters differ by.",
    bad="A poor score where the members agree: a silent failure, which uncertainty does not show.",
    do="Add the case to those that the model is tested on.",
    needs="a reference segmentation (plausible evaluate, or plausible assess --references)",
)
def against_reference(view: CaseView) -> Content:
    """Return the rows that were scored against somebody's contours, those of single members left out."""
    scored = [row for row in view.report.scores if row.get("against")]
    rows = [row for row in scored if not str(row.get("reduction", "")).startswith("member:")]
    if not rows:
        rows = [
            {"structure": s.name, "measure": name, "value": value, "unit": "", "against": "reference"}
            for s in view.report.structures
            for name, value in s.reference.items()
        ]
    return {"rows": rows, "n_more": len(scored) - len(rows) if scored else 0} if rows else None


@CASE_PANELS.add(title="About", shows="What made these numbers, and how to open the files in a viewer.")
def about(view: CaseView) -> Content:
    """Return members, files, launch lines, provenance, warnings and the methods paragraph."""
    report = view.report
    columns = [
        c
        for c in dict.fromkeys(key for m in report.members for key in m)
        if any(m.get(c) not in (None, "") for m in report.members)
    ]
    return {
        "report": report,
        "columns": columns,
        "made": made_by(report.provenance),
        "settings": report.provenance.get("settings") or {},
        "inputs": report.provenance.get("inputs") or {},
        "launch": launch_lines(report),
    }


def launch_lines(report: CaseReport) -> list[tuple[str, str]]:
    """Command that opens image, segmentation and first map in each viewer, to be run in the case's folder."""
    image = [posixpath.normpath(p if p.startswith("/") else posixpath.join("..", p)) for p in report.image[:1]]
    labels = [m.path for m in report.maps if m.quantity == "segmentation"][:1] or ["segmentation.nii.gz"]
    maps = [m.path for m in report.maps if "entropy" in m.quantity or "information" in m.quantity][:1]
    background, seg, over = ([shlex.quote(p) for p in group] for group in (image, labels, maps))
    slicer = [f"slicer.util.loadVolume({p!r})" for p in (*image, *maps)]
    slicer += [f"slicer.util.loadSegmentation({p!r})" for p in labels]
    return [
        ("3D Slicer", f"Slicer --python-code {_double_quoted('; '.join(slicer))}"),
        (
            "ITK-SNAP",
            " ".join(
                ["itksnap -g", *(background or over)[:1], "-s", *seg, *(["-o", *over] if background and over else [])]
            ),
        ),
        ("FSLeyes", " ".join(["fsleyes", *background, *seg, "-ot label", *(f"{p} -cm hot -a 50" for p in over)])),
        ("napari", " ".join(["napari", *background, *seg, *over]) + "   # with a NIfTI reader plugin"),
    ]


def _double_quoted(code: str) -> str:
    """Quote for a shell; double quotes, known to Windows too, unless the code holds what they do not protect."""
    return shlex.quote(code) if set(code) & set('"$`\\!%') else f'"{code}"'


def _profiles(report: CaseReport) -> list[list[float | None] | None]:
    by_name = {p.structure: p for p in report.profiles}
    return [
        [round(v, 3) if math.isfinite(v) else None for v in by_name[s.name].uncertain_area_cm2]
        if s.name in by_name
        else None
        for s in report.structures
    ]


def _cells(structure: StructureSummary) -> list[list[dict[str, Any]]]:
    """Value and step of the colour scale (0: 0.5 or less, 9: 1) of each pair; None on the diagonal."""
    return [
        [{"value": value, "step": _step(value), "self": r == c} for c, value in enumerate(row)]
        for r, row in enumerate(structure.agreement_matrix)
    ]


def _step(value: float | None) -> int | None:
    return min(max(int((value - 0.5) * 20), 0), 9) if known(value) else None


def _split(key: Sequence[str], values: Mapping[str, Any]) -> dict[str, Any]:
    total, expected, mutual = (values.get(n) for n in ("predictive_entropy", "expected_entropy", "mutual_information"))
    where = " ".join(words(part) for part in key[1:] if part)
    return {
        "structure": key[0],
        "where": where,
        "unit": values["unit"],
        "total": total,
        "expected": expected,
        "mutual": mutual,
        "bar": share_bar(expected, mutual, top=total or 0.0),
    }
