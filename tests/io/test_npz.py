"""Arrays of .npz files: read without unpickling, channel by channel, every damage told."""

import io
import os
import pickle
import zipfile
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from plausible.core import InvalidInput
from plausible.io.npz import read_array, read_channels, read_header
from tests.io.folders import code_of

KEYS = ("probabilities",)
SHAPE = (3, 5, 7, 11)


def saved(path: Path, *, dtype: type = np.float32, order: str = "C", key: str = "probabilities") -> np.ndarray:
    array = np.random.default_rng(0).random(SHAPE).astype(dtype)
    np.savez_compressed(path, **{key: np.asarray(array, order=order)})
    return array


@pytest.mark.parametrize("dtype", [np.float16, np.float32, np.float64, ">f4"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_an_array_is_what_numpy_reads(tmp_path: Path, dtype: type, order: str) -> None:
    array = saved(tmp_path / "x.npz", dtype=dtype, order=order)
    header = read_header(tmp_path / "x.npz", keys=KEYS)
    assert (header.shape, header.dtype, header.fortran_order) == (SHAPE, array.dtype, order == "F")
    np.testing.assert_array_equal(read_array(tmp_path / "x.npz", keys=KEYS), array)
    channels = list(read_channels(tmp_path / "x.npz", keys=KEYS))
    np.testing.assert_array_equal(np.stack(channels), array)


def test_channels_are_read_one_at_a_time(tmp_path: Path) -> None:
    array = saved(tmp_path / "x.npz")
    channels = read_channels(tmp_path / "x.npz", keys=KEYS)
    np.testing.assert_array_equal(next(channels), array[0])
    channels.close()


def refused(path: Path) -> str:
    for read in (read_array, lambda p, keys: list(read_channels(p, keys=keys))):
        with pytest.raises(InvalidInput) as error:
            read(path, keys=KEYS)
        assert error.value.problem.code == "E305"
        assert error.value.problem.file == path.name
    return error.value.problem.found


class Harmful:
    def __reduce__(self) -> tuple:
        return os.mkdir, ("harm",)


def test_objects_are_never_unpickled(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.chdir(tmp_path)
    data = np.empty(1, dtype=object)
    data[0] = Harmful()
    np.savez(tmp_path / "x.npz", probabilities=data)
    assert "Python objects" in refused(tmp_path / "x.npz")
    with zipfile.ZipFile(tmp_path / "y.npz", "w") as zipped:
        zipped.writestr("probabilities.npy", pickle.dumps(Harmful()))
    refused(tmp_path / "y.npz")
    assert not (tmp_path / "harm").exists()


def test_an_array_of_text_is_refused(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", probabilities=np.array(["a", "b"]))
    assert "not of numbers" in refused(tmp_path / "x.npz")


def test_another_key_is_told_with_those_that_are_there(tmp_path: Path) -> None:
    saved(tmp_path / "x.npz", key="data")
    assert "no array named probabilities; there are: data.npy" in refused(tmp_path / "x.npz")


@pytest.mark.parametrize("share", [0.0, 0.3, 0.99])
def test_a_file_that_ends_too_early_is_told(tmp_path: Path, share: float) -> None:
    saved(tmp_path / "x.npz")
    data = (tmp_path / "x.npz").read_bytes()
    (tmp_path / "x.npz").write_bytes(data[: int(share * len(data))])
    refused(tmp_path / "x.npz")


def test_an_array_shorter_than_its_header_says_is_told(tmp_path: Path) -> None:
    buffer = io.BytesIO()
    np.lib.format.write_array_header_1_0(buffer, {"descr": "<f4", "fortran_order": False, "shape": SHAPE})
    with zipfile.ZipFile(tmp_path / "x.npz", "w") as zipped:
        zipped.writestr("probabilities.npy", buffer.getvalue() + b"\0" * 40)
    assert "40 of" in refused(tmp_path / "x.npz")


def test_a_wrong_bit_in_the_values_is_told_by_the_check_sum(tmp_path: Path) -> None:
    np.savez(tmp_path / "x.npz", probabilities=np.zeros(SHAPE, np.float32))
    data = bytearray((tmp_path / "x.npz").read_bytes())
    data[len(data) // 2] ^= 1
    (tmp_path / "x.npz").write_bytes(data)
    assert "CRC" in refused(tmp_path / "x.npz")


@pytest.mark.parametrize("order", ["C", "F"])
def test_the_check_sum_of_a_compressed_array_is_compared(tmp_path: Path, order: str) -> None:
    saved(tmp_path / "x.npz", order=order)
    with zipfile.ZipFile(tmp_path / "x.npz") as zipped:
        noted = zipped.getinfo("probabilities.npy").CRC.to_bytes(4, "little")
    data = (tmp_path / "x.npz").read_bytes()
    (tmp_path / "x.npz").write_bytes(data.replace(noted, b"\0\1\2\3"))
    assert "CRC" in refused(tmp_path / "x.npz")


@settings(max_examples=60)
@given(data=st.data())
def test_no_damage_brings_up_anything_but_our_own_error(tmp_path: Path, data: st.DataObject) -> None:
    array = saved(tmp_path / "x.npz")
    content = bytearray((tmp_path / "x.npz").read_bytes())
    for _ in range(data.draw(st.integers(1, 3))):
        content[data.draw(st.integers(0, len(content) - 1))] = data.draw(st.integers(0, 255))
    (tmp_path / "x.npz").write_bytes(content)
    code = code_of(lambda: read_array(tmp_path / "x.npz", keys=KEYS))
    assert code in {None, "E305"}
    if code is None:
        np.testing.assert_array_equal(read_array(tmp_path / "x.npz", keys=KEYS), array)
