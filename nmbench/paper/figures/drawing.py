"""Draw figures: find their runs in a results folder or train them, write files and captions, and report missing runs."""

from __future__ import annotations

import dataclasses
import pathlib
import sys
from collections.abc import Iterable, Mapping, Sequence

from nmbench.contracts.catalog import TASKS
from nmbench.paper import runs
from nmbench.paper.figures import style
from nmbench.paper.figures.gallery import PaperFigure
from nmbench.paper.runs import FinishedRun, Need, Recipe
from nmbench.report import captions, files, pictures
from nmbench.report.captions import Caption
from nmbench.support import errors
from nmbench.support.errors import NmbenchError
from nmbench.support.interrupts import SignalWatch

Runs = Mapping[Need, Sequence[FinishedRun]]


def draw_all(
    figures: Sequence[PaperFigure],
    recipe: Recipe,
    out: str,
    *,
    formats: Sequence[str],
    seeds: int | None,
    train: bool,
    watch: SignalWatch,
) -> bool:
    """Draw figures into a folder, print their files and runs, and print the commands that train missing runs.

    Args:
      figures: the figures to draw.
      recipe: results folder or CSV, protocol and steps of the runs.
      out: folder for the figures; created if needed.
      formats: suffixes of the files, see `choose_formats`.
      seeds: largest number of seeds per model; None for as many as a figure shows.
      train: whether to train missing runs first.
      watch: stops training if the user interrupts the command.

    Returns:
      Whether all figures are drawn and have all their runs.

    Raises:
      NmbenchError: the protocol is unknown, there are no results, or a folder cannot be written.
    """
    if seeds:
        figures = [_with_seeds(figure, seeds) for figure in figures]
    for task in {need.task for figure in figures for need in figure.needs}:
        TASKS.get(task).protocol(recipe.protocol)
    runs.check_results(recipe.results, train)
    folder = files.check_folder("out", out)
    wanted = _largest({need for figure in figures for need in figure.needs})
    if train:
        for need in wanted:
            if len(runs.find([need], recipe)[need]) < need.seeds:
                runs.train(runs.with_lost(need, recipe), recipe, watch)
    found = runs.find({need for figure in figures for need in figure.needs}, recipe)
    files.make_folder(folder)
    drawn, failed = [], False
    for figure in figures:
        try:
            drawn.append(_draw(figure, found, folder, recipe, formats))
        except NmbenchError as error:  # the other figures are still drawn
            print(f"{figure.name}: not drawn, {error}", file=sys.stderr)
            failed = True
    captions.write(folder, filter(None, drawn))
    return _report_missing(figures, wanted, found, recipe) and not failed


def choose_formats(text: str) -> list[str]:
    """The suffixes of a comma-separated list such as "png,svg", all for ""; raises `NmbenchError` for another one."""
    return errors.choose("format", text, {kind: kind for kind in pictures.FORMATS})


def _with_seeds(figure: PaperFigure, seeds: int) -> PaperFigure:
    needs = tuple(need._replace(seeds=min(need.seeds, seeds), most=seeds) for need in figure.needs)
    return dataclasses.replace(figure, needs=needs)


def _draw(figure: PaperFigure, found: Runs, folder: pathlib.Path, recipe: Recipe, formats: Sequence[str]) -> Caption | None:
    """Draw one figure from its runs; returns its caption, None if there are no runs."""
    from matplotlib import rc_context

    available = {need: found[need] for need in figure.needs if found[need]}
    if not available:
        tasks = ", ".join(sorted({need.task for need in figure.needs}))
        print(f"{figure.name}: not drawn, there are no runs of its models on {tasks}, protocol {recipe.protocol}")
        return None
    described = runs.describe(available.values())
    if missing := [need.model for need in figure.needs if need not in available]:
        described += f"; there are none of {', '.join(missing)}"
    rows = {run.row["run_id"]: run.row["value"] for members in available.values() for run in members if not run.lost}
    caption = Caption(figure.name, f"{figure.caption} Runs: {described}.", rows)
    with rc_context(style.STYLE):
        written = style.save(figure.draw(available), folder, caption, formats)
    print(f"{figure.name}: {', '.join(map(str, written))}\n    {described}")
    return caption


def _report_missing(figures: Sequence[PaperFigure], wanted: Sequence[Need], found: Runs, recipe: Recipe) -> bool:
    """Print which runs are missing and the commands that train them; returns whether none is missing."""
    incomplete = [f for f in figures if any(len(found[need]) < need.seeds for need in f.needs)]
    if not incomplete:
        return True
    print(
        f"incomplete: {', '.join(figure.name for figure in incomplete)}; these commands train the missing runs:",
        file=sys.stderr,
    )
    missing = {(need.model, need.task) for figure in incomplete for need in figure.needs if len(found[need]) < need.seeds}
    for need in wanted:
        if (need.model, need.task) in missing:
            print(f"  {recipe.command(runs.with_lost(need, recipe))}", file=sys.stderr)
    return False


def _largest(needs: Iterable[Need]) -> list[Need]:
    """One need per task and model: the need with the most seeds."""
    largest: dict[tuple[str, str], Need] = {}
    for need in needs:
        key = need.task, need.model
        largest[key] = max(largest.get(key, need), need, key=lambda n: n.seeds)
    return [largest[key] for key in sorted(largest)]
