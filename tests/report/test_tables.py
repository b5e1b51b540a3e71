"""Tables as text: literal output of each renderer."""

import pytest

from nmbench.report.tables import WIDTH, Section, TextTable, latex_table, markdown_table, render, terminal_table
from nmbench.report.text import column_number, interval, number, one_decimal, percent, probability
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


@pytest.mark.parametrize(
    ("values", "texts"),
    [
        ([1.0, 3.0, 0.0], ["1", "3", "0"]),
        ([1.0, 1.5, 1.125], ["1.000", "1.500", "1.125"]),
        ([0.010312, 3.42, 11.7], ["0.010", "3.420", "11.700"]),
        ([36.66667, None, float("inf")], ["36.67", "", "inf"]),
        ([2e-7, 0.0, 1.0], ["2.000e-07", "0", "1.000e+00"]),
        ([1234567.0, 1.0], ["1.235e+06", "1.000e+00"]),
        ([], []),
    ],
)
def test_numbers_of_a_column_have_one_format(values, texts):
    show = column_number(values)
    assert ["" if value is None else show(value) for value in values] == texts


@pytest.mark.parametrize("columns", [60, 80, 200])
def test_tables_fit_the_terminal(columns):
    """Cells are wrapped between words. If that is not enough, the table is split, and each part names the model."""
    headers = ["rank", "model", "95%", "a long heading", *(f"metric_{i:02}" for i in range(9))]
    table = TextTable(headers, [["1", "a_model", "0.123 .. 0.456", "x y z", *["12345"] * 9]], left=("model",))
    parts = render([Section(f"Title {'word ' * 30}", [table], [f"{'note ' * 30}", "end"], "key")], "terminal", columns)
    assert max(len(line) for part in parts for line in part.splitlines()) <= columns
    grids = [part for part in parts if "---" in part]
    assert (len(grids) == 1) == (columns == 200) and all(grid.startswith("rank  model") for grid in grids)
    words = " ".join(grids).split()
    assert words.count("12345") == 9 and any("0.123 .. 0.456" in grid for grid in grids) and {*headers[4:]} <= {*words}
    assert all(word in words for word in ("a", "long", "heading"))


def test_intervals():
    assert interval(Estimate(1.0, 0.5, 1.25)) == "0.5 .. 1.25"
    assert interval(Estimate(1.0, 0.5, 1.25), one_decimal, " to ") == "0.5 to 1.2"
    assert interval(Estimate(1.0, None, None)) == interval(None) == ""


def test_shares_are_not_rounded_to_none_or_all():
    assert [percent(value) for value in (0.0, 0.004, 0.01, 0.5, 0.99, 0.9975, 1.0)] == (
        ["0%", "<1%", "1%", "50%", "99%", ">99%", "100%"]
    )
    assert [probability(value) for value in (0.0, 0.004, 0.123, 0.996, 1.0)] == ["0.00", "<0.01", "0.12", ">0.99", "1.00"]
    assert [number(value) for value in (9999.4, 12345.6, 0.001, 0.00099)] == ["9999", "1.235e+04", "0.001", "9.900e-04"]
