"""Predictions of models trained elsewhere: every file is either read or refused with a one-line error."""

import dataclasses
import io
import warnings
import zipfile

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from nmbench.contracts.catalog import TASKS
from nmbench.exchange import external_rows
from nmbench.support.errors import NmbenchError

SHAPE = (5, 12, 1)


def npz(**arrays):
    file = io.BytesIO()
    np.savez_compressed(file, **arrays)
    return file.getvalue()


def npy(array):
    file = io.BytesIO()
    np.save(file, array)
    return file.getvalue()


def with_header(text):
    header = text.encode() + b"\n"
    return b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header


def flipped(data, at):
    return data[:at] + bytes([data[at] ^ 0xFF]) + data[at + 1 :]


def zipped(content, compression=zipfile.ZIP_STORED):
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", compression) as archive:
        archive.writestr("predictions.npy", content)
    return file.getvalue()


GOOD = npy(np.random.RandomState(0).randn(*SHAPE).astype(np.float32))
BAD_FILES = {
    "empty": (b"", "is neither a .npz nor a .npy file"),
    "text": (b"1,2,3\n", "is neither a .npz nor a .npy file"),
    "a pickle": (b"\x80\x04N.", "is neither a .npz nor a .npy file"),
    "another key": (npz(arr_0=np.zeros(SHAPE)), "has no array 'predictions' (arrays: 'arr_0'); save it with numpy.savez("),
    "no array": (npz(), "has no array 'predictions' (arrays: none)"),
    "half a zip": (npz(predictions=np.zeros(SHAPE))[:200], "neither"),
    "half an array": (GOOD[:200], "cannot be read"),
    "half an array in a zip": (zipped(GOOD[:200]), "cannot be read"),
    "an array and more": (GOOD + b"more", "followed by other bytes"),
    "an array and more in a zip": (zipped(GOOD + b"more"), "followed by other bytes"),
    "a byte of a zip flipped": (flipped(zipped(GOOD), 250), "cannot be read"),
    "a byte of a compressed zip flipped": (flipped(zipped(GOOD, zipfile.ZIP_DEFLATED), 150), "cannot be read"),
    "a zip of something else": (zipped(b"hello"), "cannot be read"),
    "a header that is no header": (with_header("{'descr': oops"), "cannot be read"),
    "a header that nests too deep": (with_header("(" * 9000), "cannot be read"),
    "a header that promises a terabyte": (
        with_header("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 1000000, 1)}"),
        "have shape (1000000, 1000000, 1)",
    ),
    "a version to come": (b"\x93NUMPY\x09\x00" + GOOD[8:], ".npy format (9, 0) is not a format of plain arrays"),
    "objects in a zip": (npz(predictions=np.full(SHAPE, None)), "pickled Python objects"),
}


@pytest.mark.parametrize("label", BAD_FILES)
def test_bad_files_are_refused_in_one_line(tmp_path, label):
    content, message = BAD_FILES[label]
    (tmp_path / "p.npz").write_bytes(content)
    with pytest.raises(NmbenchError) as caught:
        external_rows.read_predictions(str(tmp_path / "p.npz"), SHAPE)
    assert "\n" not in str(caught.value) and message in str(caught.value)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
@example(data=None)
def test_any_file_is_read_or_refused_in_one_line(tmp_path, data):
    path = tmp_path / "any"
    start = st.sampled_from([b"", b"\x93NUMPY\x01\x00", b"\x93NUMPY\x02\x00", b"PK\x03\x04", GOOD[:128], GOOD])
    if data is None:
        content = npz(predictions=np.zeros(SHAPE))
    elif data.draw(st.booleans()):
        content = data.draw(start) + data.draw(st.binary(max_size=300))
    else:
        content = bytearray(data.draw(st.sampled_from([GOOD, zipped(GOOD), npz(predictions=np.zeros(SHAPE)), npz()])))
        for _ in range(data.draw(st.integers(1, 4))):
            at = data.draw(st.integers(0, len(content)))
            content[at : at + data.draw(st.integers(0, 30))] = data.draw(st.binary(max_size=30))
    path.write_bytes(content)
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        try:
            array = external_rows.read_predictions(str(path), SHAPE)
        except NmbenchError as error:
            assert "\n" not in str(error) and len(str(error)) < 1000
        else:
            assert array.shape == SHAPE and array.dtype == np.float32 and np.isfinite(array).all()


@pytest.mark.parametrize("dtype", ["<f4", ">f4", "f2", "f8", "i1", "u8"])
@pytest.mark.parametrize("order", ["C", "F"])
def test_real_numbers_of_any_dtype_are_read_as_float32(tmp_path, dtype, order):
    array = np.asarray(np.arange(60).reshape(SHAPE), dtype, order=order)
    np.savez_compressed(tmp_path / "p.npz", predictions=array, other=np.zeros(3))
    np.save(tmp_path / "p.npy", array)
    for name in ("p.npz", "p.npy"):
        found = external_rows.read_predictions(str(tmp_path / name), SHAPE)
        assert found.dtype == np.float32 and found.flags.c_contiguous
        np.testing.assert_array_equal(found, np.arange(60, dtype=np.float32).reshape(SHAPE))


def test_the_validation_loss_is_weighted_by_the_mask():
    task = TASKS.get("element_finder")
    batch = task.unpack(task.frozen("validation").arrays)
    off = np.asarray(batch.targets + np.where(batch.mask > 0, 3, 100), np.float32)
    run = external_rows.ExternalRun(
        task=task, model="m", params=1, budget=1, seed=0, origin="", predictions=off, validation_predictions=off
    )
    assert external_rows._validation_loss(run) == pytest.approx(9, rel=1e-6)


def test_a_task_cannot_have_a_protocol_named_external(toy_task):
    (first, *_) = toy_task.protocols
    with pytest.raises(NmbenchError, match="the protocol 'external' is reserved for models trained elsewhere"):
        dataclasses.replace(toy_task, protocols=(dataclasses.replace(first, name="external"),))
