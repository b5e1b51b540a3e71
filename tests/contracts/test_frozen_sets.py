"""Frozen sets: the hash, verification at every load, refusal to overwrite."""

import json

import numpy as np
import pytest

from nmbench.contracts import frozen_sets
from nmbench.support.errors import NmbenchError

ARRAYS = {"a": np.arange(6, dtype=np.int16).reshape(2, 3), "b": np.array([1.5, -2.0])}


@pytest.fixture
def folder(tmp_path):
    frozen_sets.save(tmp_path, "t", 1, "test", ARRAYS, 3)
    return tmp_path


def test_round_trip(folder):
    frozen = frozen_sets.load(folder, "t", 1, "test")
    assert frozen.n == 3 and frozen.sha256 == frozen_sets.digest(ARRAYS)
    for name, array in ARRAYS.items():
        np.testing.assert_array_equal(frozen.arrays[name], array)
        assert frozen.arrays[name].dtype == array.dtype


def test_digest_follows_the_documented_format():
    """The documented format, written by hand: name, dtype, shape and bytes of each array, in order of names."""
    import hashlib

    sha = hashlib.sha256(b"a|<i2|(2, 3)|" + ARRAYS["a"].tobytes() + b"b|<f8|(2,)|" + ARRAYS["b"].tobytes())
    assert frozen_sets.digest(ARRAYS) == sha.hexdigest()


@pytest.mark.parametrize(
    "changed",
    [
        {"a": ARRAYS["a"] + 1, "b": ARRAYS["b"]},
        {"a": ARRAYS["a"].reshape(3, 2), "b": ARRAYS["b"]},
        {"a": ARRAYS["a"].astype(np.int32), "b": ARRAYS["b"]},
        {"c": ARRAYS["a"], "b": ARRAYS["b"]},
        {"a": ARRAYS["a"]},
    ],
)
def test_digest_depends_on_bytes_shape_dtype_and_name(changed):
    assert frozen_sets.digest(changed) != frozen_sets.digest(ARRAYS)


def test_digest_ignores_memory_order_and_endianness():
    same = {"a": np.asfortranarray(ARRAYS["a"]), "b": ARRAYS["b"].astype(">f8")}
    assert frozen_sets.digest(same) == frozen_sets.digest(ARRAYS)


def corrupt_bytes(path):
    data = bytearray(path.read_bytes())
    data[len(data) // 2] ^= 0xFF
    path.write_bytes(bytes(data))


def other_values(path):
    np.savez(path, a=ARRAYS["a"] + 1, b=ARRAYS["b"])


def objects(path):
    np.savez(path, a=np.array([{}], dtype=object), b=ARRAYS["b"])


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (corrupt_bytes, "corrupt"),
        (other_values, "does not match its manifest"),
        (objects, "corrupt"),
        (lambda path: path.write_bytes(path.read_bytes()[:100]), "corrupt"),
        (lambda path: path.write_bytes(b""), "corrupt"),
        (lambda path: path.unlink(), "missing"),
    ],
)
def test_damage_is_found_and_named(folder, damage, message):
    damage(folder / "t-v1-test.npz")
    with pytest.raises(NmbenchError, match=message) as caught:
        frozen_sets.load(folder, "t", 1, "test")
    assert "\n" not in str(caught.value) and "nmbench.freeze" in str(caught.value)


@pytest.mark.parametrize("text", ["{", "[]", '{"t-v1-test": 3}', '{"t-v1-test": {"sha256": 5, "n": 3}}', "{}"])
def test_bad_manifests_are_refused(folder, text):
    (folder / frozen_sets.MANIFEST).write_text(text)
    with pytest.raises(NmbenchError):
        frozen_sets.load(folder, "t", 1, "test")
    if text != "{}":
        with pytest.raises(NmbenchError, match="manifest.json"):
            frozen_sets.save(folder, "t", 1, "test", ARRAYS, 3)


def test_a_folder_that_cannot_be_written_is_named(tmp_path, monkeypatch):
    def refuse(*_):
        raise PermissionError(13, "Permission denied")

    monkeypatch.setattr(frozen_sets.files, "replace", refuse)
    with pytest.raises(NmbenchError, match=r"sets cannot be written \(Permission denied\); make it writable"):
        frozen_sets.save(tmp_path / "sets", "t", 1, "test", ARRAYS, 3)


def test_frozen_bytes_are_not_overwritten(folder):
    frozen_sets.save(folder, "t", 1, "test", ARRAYS, 3)
    with pytest.raises(NmbenchError, match="raise the task's version"):
        frozen_sets.save(folder, "t", 1, "test", {"a": ARRAYS["a"] + 1}, 3)
    frozen_sets.save(folder, "t", 2, "test", {"a": ARRAYS["a"] + 1}, 3)
    assert set(json.loads((folder / frozen_sets.MANIFEST).read_text())) == {"t-v1-test", "t-v2-test"}
