"""Values of trials in packs: one byte, or half precision with an exponent. Whole packs: tests/commands/test_reproduce.py."""

import numpy as np
import pytest
import safetensors.numpy

from nmbench.results import packs, store
from nmbench.support.errors import NmbenchError
from support.rows import diverged

RUN_ID = "rnn.element_finder.matched.s0.0123456789ab"


def trials_of(tmp_path, arrays):
    """The values of trials in a run folder that is unpacked from these arrays."""
    path = tmp_path / "board.safetensors"
    path.write_bytes(safetensors.numpy.save({f"{RUN_ID}/per_trial/{name}": array for name, array in arrays.items()}))
    folder = packs.run_folder(path, RUN_ID)
    assert folder is not None
    with np.load(folder / "per_trial.npz", allow_pickle=False) as stored:
        return dict(stored)


@pytest.mark.parametrize(
    "values, expected",
    [
        ([0.0, 1.0, 0.5, 100.0], [0.0, 1.0, 0.5, 100.0]),  # shares and percentages are exact
        ([-3.0, 2.0, np.nan], [-3.0, 2.0, np.nan]),
        ([3e-12, 1e-12], [3e-12, 1e-12]),  # below the range of float16
        ([3e8, 3e2], [3e8, 3e2]),  # above it
        ([1.0, 1e-14], [1.0, 0.0]),  # too small to change a mean
    ],
)
def test_trials_have_half_precision_at_any_scale(tmp_path, values, expected):
    arrays = packs._small("mse", np.array(values))
    assert arrays["mse"].dtype == np.float16 and arrays["mse"].shape == (len(values),)
    (found,) = trials_of(tmp_path, arrays).values()
    np.testing.assert_allclose(found, expected, rtol=2**-11, atol=0)


@pytest.mark.parametrize("values", [[0.0, 1.0, 1.0], [0.0, 255.0], []])
def test_whole_numbers_have_one_byte(tmp_path, values):
    arrays = packs._small("error", np.array(values))
    assert arrays["error"].dtype == np.uint8
    (found,) = trials_of(tmp_path, arrays).values()
    np.testing.assert_array_equal(found, values)


@pytest.mark.parametrize("values", [[0.0, 256.0], [-1.0, 0.0], [0.0, 0.5], [1.0, np.nan]])
def test_other_numbers_do_not(values):
    assert packs._small("error", np.array(values))["error"].dtype == np.float16


def test_packs_of_older_versions_have_no_exponent(tmp_path):
    found = trials_of(tmp_path, {"mse": np.array([0.1, 0.2], np.float32)})
    np.testing.assert_array_equal(found["mse"], np.array([0.1, 0.2], np.float32))


def test_lost_runs_are_unpacked_as_rows(tmp_path):
    """So that they are not trained again."""
    path = tmp_path / "board.safetensors"
    path.write_bytes(safetensors.numpy.save({}))
    lost = diverged(run_id=RUN_ID)
    assert packs.unpack([lost], path, tmp_path / "r") == 1 and packs.unpack([lost], path, tmp_path / "r") == 0
    assert store.Store(tmp_path / "r").row(RUN_ID) == lost


@pytest.mark.parametrize("points", [np.full((2, 3), np.nan), np.full((2, 3), np.inf), np.ones((2, 4)), np.ones(3)])
def test_a_false_curve_is_refused(tmp_path, points):
    path = tmp_path / "board.safetensors"
    path.write_bytes(safetensors.numpy.save({f"{RUN_ID}/curve/points": points}))
    with pytest.raises(NmbenchError, match="cannot read .*board.safetensors"):
        packs.run_folder(path, RUN_ID)


@pytest.mark.parametrize("exponent", [np.array([1, 2]), np.array([1.5]), np.zeros(0, np.int32)])
def test_a_false_exponent_is_refused(tmp_path, exponent):
    with pytest.raises(NmbenchError, match="cannot read .*board.safetensors"):
        trials_of(tmp_path, {"mse": np.ones(3, np.float16), "mse.exponent": exponent})
