"""Text that fits the width of a terminal, and progress with and without one."""

import io

import numpy as np
import pytest

from nmbench.support import progress, terminal

PROSE = f"  {'word ' * 20}end.\n  {'more ' * 3}end."


class FakeTerminal(io.StringIO):
    def isatty(self):
        return True


def test_only_a_terminal_has_a_width(monkeypatch):
    monkeypatch.setenv("COLUMNS", "72")
    assert terminal.width() is None
    monkeypatch.setattr("sys.stdout", FakeTerminal())
    assert terminal.width() == 72


def test_prose_is_filled_and_short_lines_stay():
    assert terminal.fit(PROSE, None) == terminal.fill(PROSE, None) == PROSE
    listed = terminal.fit(f"  {'item, ' * 8}\nend", 40).splitlines()
    assert listed == ["  item, item, item, item, item, item,", "    item, item,", "end"]
    equations = terminal.fill(f"y = {'b + ' * 30}b\nx = {'a + ' * 12}a", 70).splitlines()
    assert [line[:5] for line in equations] == ["y = b", "    +", "x = a"]
    text = terminal.fill(f"x = 1\n{PROSE}\n\n{'item, ' * 8}", 40)
    assert text.splitlines() == [
        "x = 1",
        *[f"  {'word ' * 7}".rstrip()] * 2,
        f"  {'word ' * 6}end.",
        f"  {'more ' * 3}end.",
        "",
        "item, item, item, item, item, item,",
        "item, item,",
    ]


@pytest.mark.parametrize(
    ("seconds", "text"),
    [(0, "about 5 s left"), (43, "about 45 s left"), (100, "about 2 min left"), (9000, "about 2.5 h left")],
)
def test_remaining_time_in_words(seconds, text):
    assert progress.about(seconds) == text


def test_without_a_terminal_there_is_a_line_every_so_often(monkeypatch, capsys):
    with progress.Progress("a model, 2 seeds", 100) as report:
        report(10, np.array([1.0, np.nan]))
        assert capsys.readouterr().err == ""
        monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
        report(50, np.array([1.0, 0.5]))
    assert capsys.readouterr().err == "a model, 2 seeds: step 50 of 100, loss 0.75 (best 0.5), about 5 s left\n"


def test_the_remaining_time_starts_anew_with_the_next_runs(monkeypatch, capsys):
    """As in the second round of tuning: it took 100 s to step 90 of the first, then 10 s to step 20 of the second."""
    times = iter([0.0, 0.0, 100.0, 200.0, 210.0])
    monkeypatch.setattr(progress.time, "monotonic", lambda: next(times))
    monkeypatch.setattr(progress, "LINE_EVERY_S", 0.0)
    with progress.Progress("tuning", 100) as report:
        for step in (10, 90, 10, 20):
            report(step, np.array([1.0]))
    assert capsys.readouterr().err.splitlines()[-1] == "tuning: step 20 of 100, loss 1 (best 1), about 80 s left"


def test_the_bar_fits_eighty_columns(monkeypatch):
    screen = FakeTerminal()
    monkeypatch.setattr("sys.stderr", screen)
    monkeypatch.setattr(progress, "_columns", lambda: 80)
    with progress.Progress("a_model_with_a_long_name, 10 seeds", 20_000) as report:
        report(10_000, np.array([0.0123, 0.00456]))
        report._bar.refresh()
    last = [line for line in screen.getvalue().split("\r") if "50%" in line][-1]
    assert len(last) <= 80 and "loss 0.00843 (best 0.00456)" in last and "left" in last
