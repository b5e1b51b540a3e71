"""The start of a training curve identifies its seed, unless the seed loses its identity too soon."""

import numpy as np
import pytest

from nmbench.submissions import training_starts


@pytest.fixture
def here():
    """Losses `[10, 2]` at the start of ten seeds."""
    return np.random.default_rng(1).uniform(1.0, 2.0, (10, 2))


def test_the_same_seeds_are_recognised(here):
    found = training_starts.compare(here * (1 + 1e-6), here, here * (1 - 1e-6))
    assert (found.judged, found.matches, found.passed) == (10, 10, True)


def test_renumbered_seeds_are_noticed(here):
    submitted = here.copy()
    submitted[[0, 1, 2]] = here[[1, 2, 0]]
    found = training_starts.compare(submitted, here, here)
    assert (found.matches, found.passed) == (7, False)
    assert np.flatnonzero(~found.recognised).tolist() == [0, 1, 2]


def test_two_exceptions_in_ten_are_allowed(here):
    submitted = here.copy()
    submitted[[0, 1]] = here[[1, 0]]
    assert training_starts.compare(submitted, here, here).passed


def test_other_seeds_are_noticed(here):
    submitted = np.random.default_rng(2).uniform(1.0, 2.0, (10, 2))
    found = training_starts.compare(submitted, here, here)
    assert found.matches <= 4 and not found.passed


def test_a_seed_that_a_nudge_changes_is_not_judged(here):
    nudged = here.copy()
    nudged[3] += 0.3
    submitted = here.copy()
    submitted[3] = here[4]
    found = training_starts.compare(submitted, here, nudged)
    assert not found.steady[3] and found.judged == 9 and found.matches == 9


def test_too_few_steady_seeds_give_no_verdict(here):
    nudged = here + np.linspace(0.3, 0.5, 20).reshape(10, 2)
    found = training_starts.compare(here[::-1], here, nudged)
    assert found.judged < training_starts.FEWEST and found.passed


def test_losses_that_are_not_finite(here):
    here[0], submitted = np.nan, here.copy()
    submitted[1] = np.nan
    found = training_starts.compare(submitted, here, here)
    assert not found.steady[0] and found.steady[1] and not found.recognised[1]
