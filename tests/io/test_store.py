"""The member store: small errors that are bounded, whole files or none, every damage told."""

import zipfile
from pathlib import Path

import numpy as np
import pytest
import zarr
from hypothesis import given, settings
from hypothesis import strategies as st

from plausible.core import Classes, Geometry, InvalidInput, Member, MemberInfo
from plausible.io import check_whole, is_stored, read_members_json, write_member, write_members_json
from plausible.io.store import StoreSource, read_attributes
from tests.conftest import SHAPE
from tests.io.folders import code_of, probabilities

INFO = MemberInfo(id="member_3", kind="seed", seed=3, architecture="DynUNet", checkpoint="ab" * 32)


def member(geometry: Geometry, classes: Classes, p: np.ndarray | None = None, *, hard: bool = False) -> Member:
    values = probabilities(classes, geometry.shape, seed=1) if p is None else p
    return Member(values.astype(np.float32), geometry, classes, INFO, hard)


def stored(folder: Path, one: Member, **how: str) -> tuple[Path, StoreSource]:
    path = write_member(folder, one, subject="case_a", **how)
    return path, StoreSource(path, INFO)


@pytest.mark.parametrize("which", ["classes", "regions"])
def test_uint16_is_right_to_half_a_step(
    tmp_path: Path, geometry: Geometry, which: str, request: pytest.FixtureRequest
) -> None:
    one = member(geometry, request.getfixturevalue(which))
    _, source = stored(tmp_path, one)
    error = np.abs(source.read(0, SHAPE[0], axis=0).astype(np.float64) - one.probabilities)
    assert error.max() <= 1 / 131070 + np.finfo(np.float32).eps
    assert error.max() > 0


def test_zero_one_and_the_smallest_step_are_exact(tmp_path: Path, geometry: Geometry) -> None:
    classes = Classes.overlapping_of({"a": [1]})
    p = np.zeros((1, *SHAPE), np.float32)
    p[0, 0, 0, :3] = (1, 1 / 65535, 1 / 131080)
    read = stored(tmp_path, member(geometry, classes, p))[1].read(0, SHAPE[0], axis=0)
    assert read[0, 0, 0, 0] == 1
    assert read[0, 0, 0, 1] == np.float32(1 / 65535)
    assert np.count_nonzero(read) == 2  # less than half a step is 0


def test_float16_keeps_small_probabilities_to_eleven_bits(tmp_path: Path, geometry: Geometry) -> None:
    classes = Classes.overlapping_of({"a": [1]})
    p = np.float32(10) ** np.linspace(-4, 0, 385, dtype=np.float32).reshape(1, *SHAPE)
    _, source = stored(tmp_path, member(geometry, classes, p), stored_as="float16")
    read = source.read(0, SHAPE[0], axis=0)
    assert read.dtype == np.float32
    np.testing.assert_allclose(read, p, rtol=2**-11)


def test_a_file_knows_its_grid_its_classes_and_what_made_it(
    tmp_path: Path, geometry: Geometry, regions: Classes
) -> None:
    path, _ = stored(tmp_path, member(geometry, regions, hard=True), key="k")
    assert path == tmp_path / "member_3" / "case_a.zarr.zip"
    grid, classes, attributes = read_attributes(path)
    assert grid.matches(geometry)
    np.testing.assert_array_equal(grid.affine, geometry.affine)
    assert classes == regions
    assert MemberInfo(**attributes["info"]) == INFO
    assert (attributes["hard"], attributes["key"]) == (True, "k")


def test_large_arrays_are_cut_so_that_a_slab_touches_its_chunks_only(tmp_path: Path, classes: Classes) -> None:
    grid = Geometry((40, 128, 64), np.eye(4))
    path, source = stored(tmp_path, member(grid, classes))
    with zipfile.ZipFile(path) as zipped:
        chunks = [name for name in zipped.namelist() if not name.endswith("zarr.json")]
    assert len(chunks) == 4 * 2  # 32 slices of 128 x 64 make 2**18 voxels
    (tmp_path / "half").mkdir()
    with zipfile.ZipFile(path) as old, zipfile.ZipFile(tmp_path / "half" / "x.zarr.zip", "w") as new:
        for name in old.namelist():
            data = bytearray(old.read(name))
            if name.rsplit("/", 4)[-3:-2] == ["1"]:
                data[:] = b"not zstd"
            new.writestr(name, data)
    half = StoreSource(tmp_path / "half" / "x.zarr.zip", INFO)
    np.testing.assert_array_equal(half.read(0, 32, axis=0), source.read(0, 32, axis=0))
    assert code_of(lambda: half.read(31, 33, axis=0)) == "E305"


def test_it_is_an_array_that_zarr_opens(tmp_path: Path, geometry: Geometry, classes: Classes) -> None:
    one = member(geometry, classes)
    path, _ = stored(tmp_path, one)
    with zarr.storage.ZipStore(path, mode="r") as store:
        array = zarr.open_array(store, mode="r")
        assert (array.shape, array.dtype) == ((4, *SHAPE), np.uint16)
        np.testing.assert_allclose(np.asarray(array[...]) / 65535, one.probabilities, atol=1e-5)


@pytest.mark.parametrize(("value", "code"), [(np.nan, "E309"), (5.0, "E302"), (0.0, "E301")])
def test_what_is_no_probability_is_not_written(
    tmp_path: Path, geometry: Geometry, classes: Classes, value: float, code: str
) -> None:
    one = member(geometry, classes)
    one.probabilities[:, 2, 3, 4] = value
    with pytest.raises(InvalidInput) as error:
        write_member(tmp_path, one, subject="case_a")
    assert (error.value.problem.code, error.value.problem.subject) == (code, "case_a")
    assert not list(tmp_path.rglob("*.zip"))


def test_a_member_is_kept_only_under_its_key_and_whole(tmp_path: Path, geometry: Geometry, classes: Classes) -> None:
    path, _ = stored(tmp_path, member(geometry, classes), key="k1")
    assert is_stored(path, key="k1")
    assert not is_stored(path, key="k2")
    assert not is_stored(tmp_path / "none.zarr.zip", key="k1")
    data = bytearray(path.read_bytes())
    data[200] ^= 1
    path.write_bytes(data)
    assert not is_stored(path, key="k1")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_file_that_ends_too_early_is_told(tmp_path: Path, geometry: Geometry, classes: Classes, share: float) -> None:
    path, source = stored(tmp_path, member(geometry, classes))
    data = path.read_bytes()
    path.write_bytes(data[: int(share * len(data))])
    for run in (lambda: read_attributes(path), lambda: source.read(0, 2, axis=0), lambda: check_whole(path)):
        assert code_of(run) == "E305"


def test_another_zarr_array_is_no_member(tmp_path: Path) -> None:
    with zarr.storage.ZipStore(tmp_path / "x.zarr.zip", mode="w") as store:
        zarr.create_array(store, shape=(2, 3, 4, 5), chunks=(1, 3, 4, 5), dtype="uint16")[...] = 1
    assert code_of(lambda: read_attributes(tmp_path / "x.zarr.zip")) == "E305"


@settings(max_examples=60)
@given(data=st.data())
def test_no_damage_brings_up_anything_but_our_own_error(
    tmp_path: Path, geometry: Geometry, classes: Classes, data: st.DataObject
) -> None:
    path, source = stored(tmp_path, member(geometry, classes))
    before = source.read(0, SHAPE[0], axis=0)
    content = bytearray(path.read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    path.write_bytes(content)
    assert code_of(lambda: read_attributes(path)) in {None, "E204", "E305"}
    code = code_of(lambda: check_whole(path))
    assert code in {None, "E305"}
    if code is None and code_of(lambda: source.read(0, SHAPE[0], axis=0)) is None:
        np.testing.assert_array_equal(source.read(0, SHAPE[0], axis=0), before)


def test_members_json_says_what_the_members_are(tmp_path: Path, regions: Classes) -> None:
    write_members_json(tmp_path, (INFO,), classes=regions, ensemble="deep ensemble of 1")
    told = read_members_json(tmp_path)
    assert MemberInfo(**told["members"][0]) == INFO
    assert told["ensemble"] == "deep ensemble of 1"
    assert told["classes"]["names"] == ["whole", "core", "enhancing"]
