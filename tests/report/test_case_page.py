import json
import math
import re
from dataclasses import replace

import numpy as np
import pytest

from plausible.core import Geometry, InvalidInput
from plausible.report import CASE_PANELS, CaseView, Verdict
from plausible.report.case_panels import against_reference, decomposition, launch_lines, worst_slices
from tests.report.conftest import page_of
from tests.report.examples import blob_labels, drawn_image, example, scalar

EVIL = "<script>alert(1)</script>"


def viewer_data(html: str) -> dict:
    return json.loads(re.search(r'id="viewer-data">(.*?)</script>', html, re.DOTALL)[1])


def addresses(html: str) -> list[str]:
    markup = re.sub(r"<script>.*?</script>", "", html, flags=re.DOTALL)
    return re.findall(r"""\s(?:src|href|action|poster|srcset)\s*=\s*["']?([^"'\s>]+)""", markup)


def check_loads_nothing(html: str) -> None:
    for address in addresses(html):
        assert re.match(r"data:|#|[\w./%-]+(#slice-\d+)?$", address), address
        assert "//" not in address or address.startswith("data:"), address
    for word in (
        "url(",
        "@import",
        "fetch(",
        "XMLHttpRequest",
        "import(",
        "WebSocket",
        "sendBeacon",
        "<iframe",
        '<link rel="stylesheet',
    ):
        assert word not in html, word
    assert set(re.findall(r"https?://[^\s\"'<]+", html)) <= {"http://www.w3.org/2000/svg"}


def test_the_page_loads_nothing_from_anywhere(case_html: str) -> None:
    check_loads_nothing(case_html)


def test_panels_come_in_the_order_of_the_catalogue(case_html: str) -> None:
    found = re.findall(r'<section id="(\w+)"', case_html)
    assert tuple(found) == CASE_PANELS.names
    assert found[:3] == ["verdict", "structures", "slices"]


@pytest.mark.parametrize(
    ("state", "word", "sign"), [("review", "Review", "!"), ("pass", "Pass", "✓"), ("cannot_tell", "Cannot tell", "?")]
)
def test_the_verdict_has_a_word_and_a_sign_besides_its_colour(case_example, state, word, sign) -> None:
    report = replace(case_example.report, verdict=Verdict(state=state, reason="because"))
    html = page_of(replace(case_example, report=report))
    strip = html[html.index('<div class="verdict') : html.index('<section id="structures"')]
    assert f'<span class="sign" aria-hidden="true">{sign}</span><span class="word">{word}</span>' in strip
    assert "no error rate is promised" in strip


def test_a_calibration_is_named(case_example) -> None:
    report = replace(case_example.report, calibration={"set": "site A", "n_subjects": 120})
    html = page_of(replace(case_example, report=report))
    assert "Calibrated: set site A, n subjects 120" in html
    assert "no error rate is promised" not in html


def test_research_use_is_said(case_html: str) -> None:
    assert "research use only" in case_html.split("<main", maxsplit=1)[0]


def test_names_are_escaped_everywhere(case_example) -> None:
    report = case_example.report
    evil = replace(
        report,
        subject=EVIL,
        study=EVIL,
        methods=EVIL,
        ensemble=EVIL,
        warnings=(EVIL,),
        image=(EVIL,),
        verdict=replace(report.verdict, reason=EVIL, structure=EVIL, measure=EVIL),
        members=tuple({"id": EVIL, EVIL: EVIL} for _ in report.members),
        provenance={"version": EVIL, EVIL: EVIL, "settings": {EVIL: EVIL}, "inputs": {EVIL: EVIL}},
        structures=tuple(replace(s, flags=(EVIL,), reference={EVIL: 1.0}) for s in report.structures),
        maps=tuple(replace(m, path=EVIL, definition=EVIL) for m in report.maps),
        scores=tuple({**row, "region": EVIL, "against": EVIL} for row in report.scores),
    )
    maps = tuple(replace(m, definition=EVIL) for m in case_example.maps)
    html = page_of(replace(case_example, report=evil, maps=maps))
    assert EVIL not in html
    assert "&lt;script&gt;alert(1)" in html


def test_structure_names_are_escaped_in_the_viewer_too(case_example) -> None:
    labels, geometry = blob_labels((12, 14, 9))
    html = page_of(example(labels, geometry, drawn_image(labels, geometry), names=(EVIL, "b\"'&")))
    assert EVIL not in html
    assert viewer_data(html)["structures"][0]["name"] == EVIL


def test_the_structures_table_has_values_intervals_and_their_meaning(case_html: str, case_example) -> None:
    for structure in case_example.report.structures:
        assert f"{structure.agreement:.3f}" in case_html
        assert f'href="#slice-{structure.worst_slice}"' in case_html
    assert "range of the middle 90 % of members, not calibrated" in case_html
    assert "touches the edge" in case_html


def test_every_slice_is_there_with_its_pictures_and_contours(case_html: str, case_example) -> None:
    data = viewer_data(case_html)
    assert [one["index"] for one in data["slices"]] == list(range(case_example.report.shape[2]))
    middle = data["slices"][case_example.report.structures[0].worst_slice]
    assert middle["bases"][0].startswith("data:image/webp")
    assert len(middle["overlays"]) == 2
    assert len(middle["contours"]) == 2
    assert all(len(levels) == 3 for levels in middle["contours"])
    assert middle["reference"][0].startswith("M")
    assert [x["key"] for x in data["levels"]] == ["p05", "p50", "p95"]
    assert data["overlays"][0]["high"] == pytest.approx(math.log(3))


def test_worst_slices_start_with_the_least_agreed_structure(case_example) -> None:
    report = case_example.report
    first, second = report.structures
    report = replace(
        report,
        structures=(replace(first, agreement=0.9, worst_slice=11), replace(second, agreement=0.4, worst_slice=7)),
    )
    found = worst_slices(report)
    assert found[:2] == (7, 11)
    assert len(set(found)) == len(found)


def test_without_a_script_the_worst_slices_are_shown(case_html: str) -> None:
    static = case_html[case_html.index('<div class="contact">') : case_html.index("<dialog")]
    assert static.count("<figure") == 6
    assert static.count('<image href="data:image/webp') == 6
    assert '<path class="p50"' in static
    assert '<div id="viewer" class="viewer" hidden>' in case_html


def test_votes_of_hard_members_are_named_for_what_they_are(case_example) -> None:
    html = page_of(replace(case_example, report=replace(case_example.report, hard_members=True)))
    assert [x["label"] for x in viewer_data(html)["levels"]] == ["any member", "at least half", "all members"]


def test_missing_data_say_what_they_need_or_are_left_out(case_example) -> None:
    report = replace(
        case_example.report,
        scores=(),
        profiles=(),
        methods="",
        structures=tuple(
            replace(
                s,
                agreement_matrix=((1.0,),),
                agreement=None,
                reference={},
                member_volumes_ml=(),
                volume_ml=replace(s.volume_ml, value=None, low=None, high=None),
                reference_volume_ml=None,
                worst_slice=None,
            )
            for s in case_example.report.structures
        ),
    )
    html = page_of(replace(case_example, report=report, maps=()), image=None, reference=None)
    for need in (
        "two members or more",
        "a reference segmentation",
        "a profile per structure",
        "the members&#39; volumes",
        "rows of predictive_entropy",
    ):
        assert f"Not shown: this needs {need}" in html, need
    assert "No image was given" in html
    assert viewer_data(html)["overlays"] == []
    assert viewer_data(html)["slices"][0]["bases"] == []


def test_a_case_without_structures_is_shown(case_example) -> None:
    html = page_of(replace(case_example, report=replace(case_example.report, structures=(), profiles=())))
    assert "Not shown: this needs at least one structure" in html


def test_an_absent_structure_is_shown(case_example) -> None:
    probability = replace(
        case_example.probability, values=case_example.probability.values * np.float32([1, 0, 1])[:, None, None, None]
    )
    html = page_of(replace(case_example, probability=probability))
    assert all(paths[0] == ["", "", ""] for paths in (one["contours"] for one in viewer_data(html)["slices"]))


def test_another_grid_is_refused_by_name(case_example) -> None:
    shifted = case_example.probability.geometry.affine.copy()
    shifted[0, 3] += 2
    moved = replace(case_example.maps[1], geometry=Geometry(case_example.report.shape, shifted))
    with pytest.raises(InvalidInput, match=r"E201.*case_001") as caught:
        page_of(replace(case_example, maps=(case_example.maps[0], moved)))
    assert "mutual_information differs from the segmentation by up to 2 mm" in caught.value.problem.found


def test_an_anisotropic_oblique_grid_is_drawn(geometry) -> None:
    labels = np.zeros(geometry.shape, np.uint8)
    labels[1:4, 2:5, 3:8] = 1
    labels[2, 5, 5] = 2
    html = page_of(example(labels, geometry, drawn_image(labels, geometry)))
    data = viewer_data(html)
    assert (data["width"], data["height"]) == (5, 7)
    assert data["pixel_mm"] == pytest.approx([0.7, 1.1])


def test_ct_gets_three_windows(case_example) -> None:
    data = viewer_data(page_of(replace(case_example, image=replace(case_example.image, channels=("CT",)))))
    assert data["windows"] == ["CT soft tissue", "CT bone", "CT lung"]
    assert len(data["slices"][0]["bases"]) == 3


def test_launch_lines_name_the_files(case_example) -> None:
    lines = dict(launch_lines(replace(case_example.report, image=("images/a b_0000.nii.gz",))))
    assert (
        lines["ITK-SNAP"]
        == "itksnap -g '../images/a b_0000.nii.gz' -s segmentation.nii.gz -o predictive_entropy.nii.gz"
    )
    assert set(lines) == {"3D Slicer", "ITK-SNAP", "FSLeyes", "napari"}
    assert "loadSegmentation" in lines["3D Slicer"]
    alone = dict(launch_lines(replace(case_example.report, image=())))
    assert alone["ITK-SNAP"] == "itksnap -g predictive_entropy.nii.gz -s segmentation.nii.gz"


def test_the_same_case_gives_the_same_page(case_example, case_html: str) -> None:
    assert page_of(case_example) == case_html


@pytest.mark.parametrize("max_mb", [0.45, 0.25])
def test_over_budget_slices_go_first_and_the_page_says_so(case_example, max_mb: float) -> None:
    rng = np.random.default_rng(0)
    noisy = replace(case_example.image, values=rng.normal(size=(1, *case_example.report.shape)).astype(np.float32))
    assert len(page_of(replace(case_example, image=noisy)).encode()) > 0.5e6
    html = page_of(replace(case_example, image=noisy), max_mb=max_mb)
    assert len(html.encode()) <= max_mb * 1e6
    assert f"To keep this page below {max_mb:g} MB" in html
    shown = {one["index"] for one in viewer_data(html)["slices"]}
    assert {s.worst_slice for s in case_example.report.structures} <= shown


def test_a_large_ct_stays_in_its_budget() -> None:
    shape = (512, 512, 200)
    geometry = Geometry(shape, np.diag([0.98, 0.98, 2.5, 1.0]))
    labels, _ = blob_labels((80, 80, 60))
    small = example(labels, Geometry(labels.shape, geometry.affine), drawn_image(labels, geometry, channel="CT"))
    place = (slice(200, 280), slice(220, 300), slice(70, 130))

    def spread(values: np.ndarray) -> np.ndarray:
        wide = np.zeros((*values.shape[:-3], *shape), dtype=values.dtype)
        wide[(..., *place)] = values
        return wide

    rng = np.random.default_rng(0)
    image = replace(
        small.image,
        geometry=geometry,
        values=spread(small.image.values) + rng.integers(-30, 30, (1, *shape), dtype=np.int16),
    )
    maps = tuple(scalar(m.name, spread(m.values), geometry, m.valid_range[1]) for m in small.maps)
    report = replace(small.report, shape=shape)
    large = replace(
        small,
        report=report,
        image=image,
        maps=maps,
        probability=replace(small.probability, values=spread(small.probability.values), geometry=geometry),
        segmentation=replace(small.segmentation, values=spread(small.segmentation.values), geometry=geometry),
        reference=replace(small.reference, values=spread(small.reference.values), geometry=geometry),
    )
    html = page_of(large)
    assert len(html.encode()) <= 8e6
    assert {s.worst_slice for s in report.structures} <= {one["index"] for one in viewer_data(html)["slices"]}


def test_overlapping_regions_have_a_map_each(case_example) -> None:
    two = np.concatenate([case_example.maps[0].values, case_example.maps[1].values])
    maps = (scalar("predictive_entropy", two, case_example.maps[0].geometry, math.log(2), frames=("whole", "core")),)
    data = viewer_data(page_of(replace(case_example, maps=maps)))
    assert [one["label"] for one in data["overlays"]] == ["predictive entropy, whole", "predictive entropy, core"]


def test_undefined_numbers_are_dashes(case_example) -> None:
    nan = math.nan
    undefined = tuple(
        replace(
            s,
            agreement=nan,
            volume_cv=nan,
            expected_volume_ml=nan,
            member_volumes_ml=(nan, 1.0),
            reference={"dice": nan},
            volume_ml=replace(s.volume_ml, value=nan, low=nan, high=nan),
            reference_volume_ml=nan,
            agreement_matrix=((1.0, nan), (nan, 1.0)),
        )
        for s in case_example.report.structures
    )
    html = page_of(replace(case_example, report=replace(case_example.report, structures=undefined)))
    shown = re.sub(r"<script>.*?</script>|base64,[^\"]+", "", html, flags=re.DOTALL)
    assert not re.search(r"\bnan\b", shown, re.IGNORECASE)


def test_only_reductions_for_which_the_parts_add_up_are_shown(case_example) -> None:
    rows = [
        {"measure": measure, "structure": "anterior", "region": "boundary", "reduction": reduction, "value": value,
         "unit": "nat", "against": ""}
        for reduction, values in (("max", (0.9, 0.8, 0.7)), ("mean", (0.3, 0.2, 0.1)))
        for measure, value in zip(
            ("predictive_entropy", "expected_entropy", "mutual_information"), values, strict=True
        )
    ]  # fmt: skip
    report = replace(case_example.report, scores=tuple(rows))
    content = decomposition(CaseView(report, {}, ""))
    assert content is not None
    assert [(row["total"], row["expected"], row["mutual"]) for row in content["rows"]] == [(0.3, 0.2, 0.1)]


def test_scores_of_single_members_are_counted_not_listed(case_example) -> None:
    row = {"measure": "dice", "structure": "anterior", "value": 0.9, "unit": "1", "against": "rater"}
    rows = ({**row, "reduction": "ensemble"}, {**row, "reduction": "member:a"}, {**row, "reduction": "member:b"})
    content = against_reference(CaseView(replace(case_example.report, scores=rows), {}, ""))
    assert content == {"rows": [rows[0]], "n_more": 2}
