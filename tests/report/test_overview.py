"""A panel of the opening picture: logarithmic errors, percentages from chance to 100, better values on the right."""

import pytest
from matplotlib.figure import Figure

from nmbench.report import model_styles, overview
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
