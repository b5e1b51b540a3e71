"""Pictures of tuning: validation loss by learning rate, for every model with a tuning record."""

from __future__ import annotations

import pathlib
from collections import defaultdict
from collections.abc import Sequence
from typing import Any

from nmbench.report import pictures
from nmbench.report.axes import use_log_scale
from nmbench.report.model_styles import Style
from nmbench.report.text import size_name
from nmbench.results.ranking import RankingEntry, Table
from nmbench.results.tuned_intervals import TuningDraws
from nmbench.support.errors import NmbenchError

COLUMNS = 4


def write_picture(path: pathlib.Path, tables: Sequence[Table]) -> None:
    """Draw one panel per tuned model and table: every tuning run, and the geometric mean of each learning rate.

    A ring marks the chosen learning rate. A run that diverged is a cross at the largest loss of the panel.

    Args:
      path: ends in .png, .svg or .pdf; see `nmbench.report.pictures.check`.
      tables: tables with tuned models; the others are left out.

    Raises:
      NmbenchError: no model of the tables was tuned, there are too many models, or the picture cannot be written.
    """
    from matplotlib.figure import Figure

    panels: dict[str, list[tuple[RankingEntry, TuningDraws]]] = defaultdict(list)
    for table in tables:
        for entry in table.entries:
            if entry.tuning is not None:
                panels[f"{table.task}, {table.protocol}, {size_name(table.budget)}"].append((entry, entry.tuning))
    if not panels:
        raise NmbenchError("--plot_tuning: no row has a tuned learning rate; train with --tune")
    models = {entry.label: entry.model for members in panels.values() for entry, _ in members}
    styles = pictures.styles(models, "plot_tuning")
    rows = [(title, members[i : i + COLUMNS]) for title, members in panels.items() for i in range(0, len(members), COLUMNS)]
    with pictures.look():
        figure = Figure(figsize=(3.0 * COLUMNS, 2.8 * len(rows)), layout="constrained")
        axes = figure.subplots(len(rows), COLUMNS, squeeze=False)
        for line, (title, members) in zip(axes, rows, strict=True):
            for axis in line[len(members) :]:
                axis.set_axis_off()
            for axis, (entry, tuning) in zip(line, members, strict=False):
                _draw(axis, entry, tuning, styles[entry.label])
            line[0].set_ylabel("validation loss")
            # In the empty first line of the panel's title. It must not widen the panel.
            line[0].annotate(title, (0, 1.24), xycoords="axes fraction", fontweight="bold").set_in_layout(False)
        pictures.write(path, figure)


def _draw(axis: Any, entry: RankingEntry, tuning: TuningDraws, style: Style) -> None:
    finite = [loss for row in tuning.losses for loss in row if loss is not None]
    worst = max(finite)
    use_log_scale(axis, "x", tuning.rates, ratio=1)
    use_log_scale(axis, "y", finite)
    for rate, row in zip(tuning.rates, tuning.losses, strict=True):
        kept = [loss for loss in row if loss is not None]
        axis.plot([rate] * len(kept), kept, style.marker, color=style.colour, markersize=4, alpha=0.5, markeredgewidth=0)
        lost = len(row) - len(kept)
        axis.plot([rate] * min(lost, 1), [worst] * min(lost, 1), "x", color=style.colour, markersize=7)
    means = [10**mean for mean in tuning.means]
    axis.plot(tuning.rates, means, color=style.colour, linewidth=1.6)
    chosen = tuning.actual
    axis.plot([tuning.rates[chosen]], [means[chosen]], "o", markersize=12, markerfacecolor="none", color=style.colour)
    axis.set_title(
        f"\n{entry.label}\n{tuning.rates[chosen]:g}, chosen again in {tuning.stability:.0%}", fontsize=9, loc="left"
    )
    axis.set_xlabel("learning rate")
    axis.grid(axis="y")
