"""A panel of the opening picture: logarithmic errors, percentages from chance to 100, better values on the right."""

import pytest
from matplotlib.figure import Figure

from nmbench.report import model_styles, overview, pictures
from nmbench.support.errors import NmbenchError
from support.claimed import make_rows
from support.rows import tables_of

ERRORS = {"gru": [1e-5] * 5 + [3e-5], "nmrnn": [0.1] * 6, "rnn": [9.0] * 5 + [30.0]}
PERCENT = {"gru": [98.0] * 6, "rnn": [60.0] * 6}


def drawn(task, values):
    """The axis of a panel, and its description."""
    (table,) = tables_of([row for model, each in values.items() for row in make_rows(model, task, each)])
    axis = Figure().subplots()
    styles = model_styles.styles({entry.label: entry.model for entry in table.models})
    return axis, overview.draw(axis, table, styles, ink="black", scores=True)


@pytest.mark.parametrize(("task", "values", "scale"), [("element_finder", ERRORS, "log"), ("multitask", PERCENT, "linear")])
def test_better_models_are_on_the_right(task, values, scale):
    axis, said = drawn(task, values)
    assert axis.get_xscale() == scale and said.startswith("gru: rank 1, score")
    assert [label.get_text() for label in axis.get_yticklabels()] == list(values)
    at = {model: axis.transData.transform((values[model][0], 0))[0] for model in values}
    assert list(values) == sorted(at, key=at.get, reverse=True)
    assert ("logarithmic" in axis.get_xlabel()) == (scale == "log") and "better →" in axis.get_xlabel()
    assert {text.get_text() for text in axis.texts} >= {"score", "a", "b"}


def test_a_picture_has_a_panel_for_each_table_and_says_how_it_departs(tmp_path, monkeypatch):
    figures = []
    monkeypatch.setattr(pictures, "write", lambda path, figure: figures.append(figure))
    rows = [
        *(row for model, each in ERRORS.items() for row in make_rows(model, "element_finder", each)),
        *(row for model, each in PERCENT.items() for row in make_rows(model, "multitask", each, "paper")),
        *make_rows("rnn", "mwg_rank3", [1.0] * 6, departures="steps 5, not 6"),
        *make_rows("rnn", "flip_flop", [1.0] * 6, params_target=450, params_dev=1.0),
    ]
    overview.write_picture(tmp_path / "p.png", overview.main_tables(tables_of(rows)))
    titles = [axis.get_title(loc="left") for axis in figures[0].axes]
    assert titles == [
        "element_finder",
        "flip_flop, budget 450",
        "multitask, paper",
        "mwg_rank3 (steps 5, not 6)",
    ]
    with pytest.raises(NmbenchError, match="--plot: there is no model to draw"):
        overview.write_picture(tmp_path / "p.png", [])


def test_references_near_the_seeds_are_dashed():
    axis, _ = drawn("element_finder", ERRORS)
    (chance,) = [line for line in axis.lines if line.get_linestyle() == "--"]
    assert chance.get_xdata()[0] == pytest.approx(36.63, abs=0.01)
    axis, _ = drawn("element_finder", {"gru": ERRORS["gru"], "nmrnn": ERRORS["nmrnn"]})
    assert not [line for line in axis.lines if line.get_linestyle() == "--"]


def test_a_linear_axis_reaches_from_chance_to_the_perfect_answer():
    axis, _ = drawn("multitask", PERCENT)
    low, high = axis.get_xlim()
    assert low < 15 and 100 < high < 105
