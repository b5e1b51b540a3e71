"""Principal components and ranks of states with known answers."""

import numpy as np
import pytest

from nmbench.analysis import dimensionality, effective_rank, participation_ratio, principal_components
from nmbench.support.errors import NmbenchError


def rotation():
    """States `[40, 3, 5]` on a circle of radius 2 in a tilted plane, plus 0.01 along a third direction; and the basis."""
    basis = np.linalg.qr(np.random.RandomState(0).randn(5, 5))[0].T
    angle = 2 * np.pi * np.arange(40)[:, None] / 40 + np.array([0.0, 0.3, 1.0])[None]
    other = np.broadcast_to((-1.0) ** np.arange(40)[:, None], angle.shape)
    flat = np.stack([2 * np.cos(angle), 2 * np.sin(angle), 0.01 * other], axis=-1)
    return flat @ basis[:3] + 7, basis


def test_components_of_a_rotation():
    states, basis = rotation()
    found = principal_components(states, 4)
    # A circle of radius r has variance r^2 / 2 along both axes; the estimate from 120 samples is 120 / 119 of that.
    np.testing.assert_allclose(found.variance, [2 * 120 / 119] * 2 + [1e-4 * 120 / 119, 0], rtol=1e-9, atol=1e-12)
    np.testing.assert_allclose(found.explained[:2], [2 / 4.0001] * 2, rtol=1e-9)
    np.testing.assert_allclose(np.abs(found.directions[2] @ basis[2]), 1, rtol=1e-9)
    np.testing.assert_allclose(found.mean, 7 + 0 * states[0, 0], atol=1e-9)
    np.testing.assert_allclose(np.linalg.norm(found.scores[..., :2], axis=-1), 2, rtol=1e-9)
    np.testing.assert_allclose(found.scores[..., :3] @ found.directions[:3] + found.mean, states, atol=1e-9)
    assert (found.directions[np.arange(4), np.abs(found.directions).argmax(axis=1)] > 0).all()
    assert principal_components(-states, 4).directions == pytest.approx(found.directions, abs=1e-6)


def test_components_are_the_eigenvectors_of_the_masked_covariance():
    states = np.random.RandomState(1).randn(6, 5, 4) * [3, 1, 2, 0.5]
    mask = np.arange(6)[:, None] < np.array([6, 3, 4, 5, 2])[None]
    found = principal_components(states, mask=mask)
    values, vectors = np.linalg.eigh(np.cov(states[mask].T))
    np.testing.assert_allclose(found.variance, values[::-1], rtol=1e-9)
    np.testing.assert_allclose(np.abs(np.sum(found.directions * vectors[:, ::-1].T, axis=1)), 1, rtol=1e-9)
    assert found.scores.shape == (6, 5, 4)
    few = principal_components(states[:1, :2])  # two states, fewer than features, lie on a line
    np.testing.assert_allclose(few.explained, [1, 0, 0, 0], atol=1e-12)


def test_effective_ranks():
    assert participation_ratio([5, 5, 5, 0]) == pytest.approx(3)
    assert participation_ratio([1e-200, 1e-200]) == pytest.approx(2)
    assert participation_ratio([0, 0]) == 0
    assert participation_ratio([3, 1]) == pytest.approx(16 / 10)
    assert effective_rank(np.outer([1, 2, 3], [4, 5])) == pytest.approx(1)
    assert effective_rank(np.diag([1.0, 1, 1, 1, 0])) == pytest.approx(4)
    states, _ = rotation()
    # Variances 2, 2 and 1e-4.
    assert dimensionality(states) == pytest.approx(4.0001**2 / (8 + 1e-8))
    assert dimensionality(states, np.arange(40)[:, None] * np.ones(3) < 2) < 2


@pytest.mark.parametrize(
    "call",
    [
        lambda: principal_components(np.zeros((3, 4))),
        lambda: principal_components(np.zeros((3, 4, 2)), 3),
        lambda: principal_components(np.zeros((3, 4, 2)), 1, np.zeros((3, 4), bool)),
        lambda: principal_components(np.zeros((3, 4, 2)), 1, np.zeros((4, 3), bool)),
        lambda: principal_components(np.full((3, 4, 2), np.nan)),
        lambda: principal_components(np.zeros((3, 4, 2)), 1.0),
        lambda: principal_components([[[1.0], [2.0]], [[1.0]]]),
        lambda: effective_rank(np.full((3, 3), np.inf)),
        lambda: effective_rank(np.ones((2, 3, 3))),
        lambda: participation_ratio([-1, 2]),
        lambda: participation_ratio([np.nan]),
        lambda: dimensionality(np.zeros((3, 4, 2)), np.zeros((3, 4), bool)),
        lambda: dimensionality(np.full((3, 4, 2), np.nan)),
    ],
)
def test_refusals(call):
    with pytest.raises(NmbenchError) as caught:
        call()
    assert "\n" not in str(caught.value)
