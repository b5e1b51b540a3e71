"""Example trials of a task on the page, and the outputs of trained networks on them."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from nmbench.report import trials
from nmbench.report.page import svg, trial_figures
from nmbench.report.page.outputs import outputs
from nmbench.report.text import number, seeds
from nmbench.support.errors import NmbenchError

if TYPE_CHECKING:
    import pathlib

    from nmbench.contracts.task import Task
    from nmbench.report.model_styles import Style
    from nmbench.results.ranking import RankingEntry, Table

TRIALS = 3
MOST_ANSWERS = 12  # networks per table whose outputs are drawn
Row = Mapping[str, Any]


class TrialPanels:
    """Figures of a few test trials.

    Args:
      task: the registered task.
    """

    def __init__(self, task: Task):
        self.task = task
        arrays = task.frozen("test").arrays
        self.signals = trials.signals(task, arrays)
        self.chosen = trials.spread(self.signals[0].values.shape[1], TRIALS)
        conditions = trials.labels(task, arrays, self.chosen)
        self.titles = [f"trial {n}" + (f", {c}" if c else "") for n, c in zip(self.chosen, conditions, strict=True)]
        self.epochs = [[] if task.epochs is None else task.epochs(arrays, int(trial)) for trial in self.chosen]
        names = dict.fromkeys(name for epochs in self.epochs for name, _, _ in epochs)
        self.shades = {name: i for i, name in enumerate(names)}

    def examples(self, key: str) -> dict[str, Any]:
        """Figures of the trials, and legends of channels and epochs. key: start of the ids in the figures."""
        plots = [
            svg.plot(
                trial_figures.example(self.signals, trial, epochs, self.shades),
                f"{key}-trial-{trial}",
                title[:1].upper() + title[1:],
                "",
            )
            for trial, title, epochs in zip(self.chosen, self.titles, self.epochs, strict=True)
        ]
        channels = [
            {
                "name": s.name,
                "channels": [
                    (s.spec.names[c] if s.spec.names else str(c), svg.variable(svg.series(c)))
                    for c in range(s.spec.channels)
                ],
            }
            for s in self.signals
            if s.spec.channels > 1
        ]
        shades = [(name, svg.variable(svg.shade(i % trial_figures.SHADES))) for name, i in self.shades.items()]
        return {"plots": plots, "channels": channels, "shades": shades}

    def answers(
        self,
        table: Table,
        rows: Mapping[str, Row],
        folders: Mapping[str, pathlib.Path],
        key: str,
        styles: Mapping[str, Style],
    ) -> tuple[list[dict[str, Any]], list[str]]:
        """One figure per entry, for the seed closest to the median, and notes on outputs that cannot be drawn."""
        made, notes = [], []
        trained = [e for e in table.entries if any(run in folders and rows[run]["status"] == "ok" for run in e.run_ids)]
        for i, entry in enumerate(trained[:MOST_ANSWERS]):
            run = _median_run(entry, rows, folders)
            try:
                answered, remark = outputs(self.task, rows[run], folders[run], self.chosen)
            except NmbenchError as error:
                notes.append(f"No outputs of {entry.label}: {error}.")
                continue
            colour = styles[entry.label].colour
            figure = trial_figures.answers(
                self.signals[-1], answered, self.chosen, self.titles, self.epochs, self.shades, colour
            )
            row = rows[run]
            caption = (
                f"Seed {row['seed']}, {table.metric} {number(row['value'])}, is closest to the median of "
                f"{seeds(len(entry.run_ids))}. {remark}"
            )
            made.append(svg.plot(figure, f"{key}-{i}", entry.label, caption.strip()))
        if len(trained) > MOST_ANSWERS:
            notes.append(f"The figures show the outputs of the first {MOST_ANSWERS} of {len(trained)} models of the table.")
        return made, notes


def _median_run(entry: RankingEntry, rows: Mapping[str, Row], folders: Mapping[str, pathlib.Path]) -> str:
    """Run id of the finished run with the value closest to the median, among runs with a folder."""
    finished = [run for run in entry.run_ids if run in folders and rows[run]["status"] == "ok"]
    return min(finished, key=lambda run: (abs(rows[run]["value"] - entry.median.value), rows[run]["seed"]))
