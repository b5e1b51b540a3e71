"""Tables as text: literal output of each renderer."""

import pytest

from nmbench.report.tables import WIDTH, Section, TextTable, latex_table, markdown_table, render, terminal_table
from nmbench.report.text import interval, number, one_decimal
from nmbench.results.statistics import Estimate

TABLE = TextTable(["rank", "model", "95%"], [["1", "a_b", "-1.5 .. 2e-05"], ["", "<c>", ""]])


def test_terminal_table():
    assert terminal_table(TABLE).splitlines() == [
        "rank  model  95%",
        "----  -----  -------------",
        "   1  a_b    -1.5 .. 2e-05",
        "      <c>",
    ]


def test_markdown_table():
    assert markdown_table(TABLE).splitlines() == [
        "|   rank | model       | 95%           |",
        "|--------|-------------|---------------|",
        "|      1 | a\\_b        | -1.5 .. 2e-05 |",
        "|        | &#60;c&#62; |               |",
    ]


def test_latex_table():
    text = latex_table(TABLE, "Of a_b.", "x")
    assert r"\caption{Of a\_b.}" in text and r"\label{tab:x}" in text and r"\begin{tabular}{rll}" in text
    assert r"1 & a\_b & [$-1.5$, $2 \times 10^{-5}$] \\" in text
    assert r" & \ensuremath{<}c\ensuremath{>} &  \\" in text


def test_long_cells_are_wrapped_in_a_terminal():
    assert terminal_table(TextTable(["model"], [["one two three"]]), longest=8).splitlines() == [
        "model",
        "-------",
        "one two",
        "three",
    ]


def test_wide_tables_are_split_in_a_terminal_and_repeat_the_first_column():
    headers = ["model", *(f"metric_{i:02}" for i in range(30))]
    table = TextTable(headers, [["a", *map(str, range(30))]], "Metrics")
    parts = render([Section("Title", [table], ["note"], "key")], "terminal")
    assert parts[0] == "Title" and parts[-1] == "note"
    assert parts[1:-1:2] == ["Metrics:", "Metrics, continued:", "Metrics, continued:"]
    grids = [part.splitlines() for part in parts[2:-1:2]]
    assert all(len(line) <= WIDTH for grid in grids for line in grid)
    assert [cell for grid in grids for cell in grid[0].split()[1:]] == headers[1:] and {g[0][:5] for g in grids} == {"model"}


def test_labels_in_latex_are_unique():
    sections = [
        Section("T", [TABLE, TextTable(["model"], [["a"]], "Other metrics")], ["A note."], key) for key in ("a_b", "a-b")
    ]
    first, second, third, _ = render(sections, "latex")
    assert r"\label{tab:a-b}" in first and r"\label{tab:a-b-other}" in second and r"\label{tab:a-b-2}" in third
    assert r"\caption{T. A note.}" in first and r"\caption{T. Other metrics.}" in second


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (0.0, "0"),
        (12.3456, "12.35"),
        (36.66667, "36.67"),
        (0.00123456, "0.001235"),
        (1e-7, "1.000e-07"),
        (123456.0, "1.235e+05"),
    ],
)
def test_numbers_have_four_digits(value, text):
    assert number(value) == text


def test_intervals():
    assert interval(Estimate(1.0, 0.5, 1.25)) == "0.5 .. 1.25"
    assert interval(Estimate(1.0, 0.5, 1.25), one_decimal, " to ") == "0.5 to 1.2"
    assert interval(Estimate(1.0, None, None)) == interval(None) == ""
