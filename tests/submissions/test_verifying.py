"""Tiers self-reported and re-scored: an honest submission passes, and changed files are noticed."""


def test_an_honest_submission_is_re_scored(submitted, verify):
    outcome = verify(submitted)
    assert (outcome.tier, outcome.problem) == ("re-scored", "")
