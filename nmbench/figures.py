"""Draw the figures of the publication and its supplement from trained networks in a results folder.

  python -m nmbench.figures --results=results --out=figures
  python -m nmbench.figures --results=results --out=figures --only=S1,S2 --train=short

Each figure becomes NAME.png and NAME.svg, and captions.md says what each shows and of which runs. A figure is drawn of the
runs that are there; the command that trains those that are missing is printed, or done with --train: `smoke` (seconds per
model, to see that it works), `short` (3,000 steps) or `full` (the protocol's steps; hours for all of them). Of several
configurations of a model, the longest trained one that has enough seeds is drawn. Seeds are the first ones, not the best.

Exit code 0: all figures are whole; 1: some runs are missing; 2: bad input.
"""

from __future__ import annotations

import dataclasses
import os
import pathlib
import sys

from nmbench.support import cli, devices, interrupts
from nmbench.support.errors import NmbenchError

FLAGS = cli.new_flags()
cli.string(FLAGS, "results", "results", "results folder, with runs/")
cli.string(FLAGS, "out", None, "folder for the figures; made if need be")
cli.string(FLAGS, "only", "", "names of figures, as S1,5B; all by default")
cli.choice(FLAGS, "train", "no", ["no", "smoke", "short", "full"], "train the runs that are missing")
cli.string(FLAGS, "protocol", "matched", "protocol of the runs; with --train=smoke it is smoke")
cli.integer(FLAGS, "seeds", None, "seeds per model at most, instead of as many as a figure shows", lower=1)


def main() -> int:
    with interrupts.watched() as watch:
        return _figures(watch)


def _figures(watch: interrupts.Watch) -> int:
    training = "" if FLAGS.train == "no" else FLAGS.train
    if not FLAGS.out:
        raise NmbenchError("--out is missing; give --out=FOLDER")
    devices.prepare(None)

    from nmbench.contracts.catalog import TASKS
    from nmbench.paper import runs
    from nmbench.paper.figures import gallery
    from nmbench.report import files
    from nmbench.report.trials import check_matplotlib

    check_matplotlib()
    chosen = gallery.choose(FLAGS.only)
    recipe = runs.Recipe.of(FLAGS.results, FLAGS.protocol, training)
    if FLAGS.seeds:
        fewer = lambda need: need._replace(seeds=min(need.seeds, FLAGS.seeds))
        chosen = [dataclasses.replace(f, needs=tuple(map(fewer, f.needs))) for f in chosen]
    for task in {need.task for figure in chosen for need in figure.needs}:
        TASKS.get(task).protocol(recipe.protocol)
    runs.check_folder(FLAGS.results, training)
    out = _folder(FLAGS.out)
    wanted = _most({need for figure in chosen for need in figure.needs})
    if training:
        for need in wanted:
            if len(runs.find([need], recipe)[need]) < need.seeds:
                runs.train(need, recipe, watch)
    found = runs.find({need for figure in chosen for need in figure.needs}, recipe)
    captions = [_draw(figure, found, out, recipe) for figure in chosen]
    files.write(out / "captions.md", "\n\n".join(["# Figures", *filter(None, captions)]) + "\n")
    return _missing(chosen, wanted, found, recipe)


def _draw(figure, found, out: pathlib.Path, recipe) -> str:
    """Draw one figure if it can be; returns its caption, "" if it cannot."""
    from matplotlib import rc_context

    from nmbench.paper import runs
    from nmbench.paper.figures import style

    there = {need: found[need] for need in figure.needs if found[need]}
    if not there:
        print(f"{figure.name}: not drawn, there are no runs of protocol {recipe.protocol}")
        return ""
    told = "; ".join(runs.told(members) for members in there.values())
    caption = f"{figure.caption} Runs: {told}."
    with rc_context(style.STYLE):
        written = style.save(figure.draw(there), out, figure.name, caption)
    print(f"{figure.name}: {', '.join(map(str, written))}\n    {told}")
    return f"**{figure.name}.** {caption} ![{figure.name}]({figure.name}.png)"


def _missing(chosen, wanted, found, recipe) -> int:
    """Say which runs are missing and what trains them; returns the exit code."""
    lacking = [f for f in chosen if any(len(found[need]) < need.seeds for need in f.needs)]
    if not lacking:
        return 0
    print(f"not whole: {', '.join(figure.name for figure in lacking)}; what is missing is trained by", file=sys.stderr)
    needed = {(need.model, need.task) for figure in lacking for need in figure.needs if len(found[need]) < need.seeds}
    for need in wanted:
        if (need.model, need.task) in needed:
            print(f"  {recipe.command(need)}", file=sys.stderr)
    return 1


def _most(needs):
    """One need per model and task, with the most seeds."""
    most = {}
    for need in needs:
        key = need.task, need.model
        most[key] = max(most.get(key, need), need, key=lambda n: n.seeds)
    return [most[key] for key in sorted(most)]


def _folder(text: str) -> pathlib.Path:
    """The folder of figures, made and proved writable."""
    import tempfile

    path = pathlib.Path(os.path.expanduser(text))
    try:
        path.mkdir(parents=True, exist_ok=True)
        with tempfile.TemporaryFile(dir=path):
            pass
    except (OSError, ValueError) as error:
        raise NmbenchError(f"--out={text} cannot be written ({getattr(error, 'strerror', None) or error})") from error
    return path


if __name__ == "__main__":
    cli.run(main, FLAGS, __doc__, "nmbench.figures")
