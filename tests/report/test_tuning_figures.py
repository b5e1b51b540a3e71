"""Pictures of tuning: what a panel shows, and what is refused."""

import numpy as np
import pytest

from nmbench.report import pictures, tuning_figures
from nmbench.support.errors import NmbenchError
from support.rows import make_row, tables_of, tuned

LOSSES = {0.003: [5.0, 6.0, None], 0.01: [1.0, 2.0, 4.0]}


def tables(**changes):
    return tables_of([make_row(seed=seed, value=1.0 + seed / 10, **changes) for seed in range(6)])


def test_a_panel_shows_every_run_the_means_and_the_choice(tmp_path, monkeypatch):
    drawn = []
    monkeypatch.setattr(pictures, "write", lambda path, figure: drawn.append(figure))
    tuning_figures.write_picture(tmp_path / "t.png", tables(**tuned(LOSSES)))
    panel, *empty = drawn[0].axes
    assert len(empty) == tuning_figures.COLUMNS - 1 and not any(axis.axison for axis in empty)
    assert panel.get_title(loc="left") == "\nnmrnn\n0.01, chosen again in 100%"
    low, failed, high, none, means, ring = (np.transpose(line.get_data()).tolist() for line in panel.lines)
    assert low == [[0.003, 5.0], [0.003, 6.0]] and high == [[0.01, 1.0], [0.01, 2.0], [0.01, 4.0]]
    assert failed == [[0.003, 6.0]] and none == []  # the run that diverged, at the largest loss
    # Geometric means; the run that diverged counts as the largest loss.
    np.testing.assert_allclose(means, [[0.003, 180 ** (1 / 3)], [0.01, 2.0]])
    np.testing.assert_allclose(ring, [[0.01, 2.0]])


def test_the_picture_is_written(tmp_path):
    tuning_figures.write_picture(tmp_path / "t.png", tables(**tuned(LOSSES)))
    assert (tmp_path / "t.png").read_bytes().startswith(b"\x89PNG")


def test_rows_without_tuning_are_refused(tmp_path):
    with pytest.raises(NmbenchError, match="--plot_tuning: no row has a tuned learning rate; train with --tune"):
        tuning_figures.write_picture(tmp_path / "t.png", tables())
