"""Counting the numbers in a file of learned parameters: literal counts, and one line for each file without a count."""

import io
import json
import zipfile

import numpy as np
import pytest
import safetensors.numpy

from nmbench.exchange import parameter_files
from nmbench.support.errors import NmbenchError

ARRAYS = {
    "W": np.zeros((3, 4), np.float32),
    "half": np.zeros(5, np.float16),
    "scalar": np.zeros((), np.float64),
    "steps": np.arange(100),
    "mask": np.ones(7, bool),
}


def test_floats_count_and_integers_do_not(tmp_path):
    np.savez(tmp_path / "a.npz", **ARRAYS)
    np.savez_compressed(tmp_path / "b.npz", **ARRAYS)
    safetensors.numpy.save_file(ARRAYS, tmp_path / "c.safetensors")
    for name in ("a.npz", "b.npz", "c.safetensors"):
        assert parameter_files.count(str(tmp_path / name)) == (18, 3)
    np.savez(tmp_path / "d.npz", W=np.zeros((2, 3), np.complex64))
    assert parameter_files.count(str(tmp_path / "d.npz")) == (12, 1)


@pytest.mark.parametrize(
    ("dtype", "size", "numbers"), [("BF16", 2, 6), ("F8_E4M3", 1, 6), ("C64", 8, 12), ("BOOL", 1, 0), ("I8", 1, 0)]
)
def test_types_that_numpy_does_not_have_are_counted(tmp_path, dtype, size, numbers):
    header = {"x": {"dtype": dtype, "shape": [2, 3], "data_offsets": [0, 6 * size]}}
    header["one"] = {"dtype": "F32", "shape": [], "data_offsets": [6 * size, 6 * size + 4]}
    (tmp_path / "p.safetensors").write_bytes(in_safetensors(header, 6 * size + 4))
    assert parameter_files.count(str(tmp_path / "p.safetensors")).numbers == numbers + 1


def in_safetensors(header, size):
    text = json.dumps(header).encode()
    return len(text).to_bytes(8, "little") + text + bytes(size)


def npz(**arrays):
    file = io.BytesIO()
    np.savez(file, **arrays)
    return file.getvalue()


def promising():
    """A .npz whose header promises 10^12 numbers that are not there."""
    header = b"{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000)}\n"
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w") as archive:
        archive.writestr("W.npy", b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header)
    return file.getvalue()


BAD = {
    "another kind": ("p.pt", b"", "is neither a .safetensors nor a .npz file"),
    "no zip": ("p.npz", b"hello", "cannot be read; it is damaged or no .npz file"),
    "pickled objects": ("p.npz", npz(W=np.full(3, None)), "holds pickled Python objects"),
    "integers only": ("p.npz", npz(n=np.arange(3)), "has no array of floats"),
    "no array": ("p.npz", npz(), "has no array of floats"),
    "numbers that are not there": ("p.npz", promising(), "the size of the array 'W.npy' does not fit its shape"),
    "no header": ("p.safetensors", b"\x02\x00", "cannot be read; it is damaged or no .safetensors file"),
    "a file that was cut": (
        "p.safetensors",
        in_safetensors({"W": {"dtype": "F32", "shape": [1000], "data_offsets": [0, 4000]}}, 10),
        "cannot be read",
    ),
    "a shape that does not fit": (
        "p.safetensors",
        in_safetensors({"W": {"dtype": "F32", "shape": [1000], "data_offsets": [0, 4]}}, 4),
        "cannot be read",
    ),
}


@pytest.mark.parametrize("label", BAD)
def test_other_files_are_refused_in_one_line(tmp_path, label):
    name, content, message = BAD[label]
    (tmp_path / name).write_bytes(content)
    with pytest.raises(NmbenchError) as caught:
        parameter_files.count(str(tmp_path / name))
    assert "\n" not in str(caught.value) and message in str(caught.value)
