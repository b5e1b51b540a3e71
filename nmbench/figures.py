"""Draw the figures of the publication and its supplement from trained networks in a results folder.

  python -m nmbench.figures --results=results --out=figures
  python -m nmbench.figures --results=results --out=figures --only=S1,S2 --train=short
  python -m nmbench.figures --results=results/board --out=figures --only=5B,5C,S5 --formats=png
  python -m nmbench.figures --results=results --out=figures --only=modulation

The command writes NAME.png, NAME.svg and NAME.pdf for each figure, and captions.md with the captions and the rows shown.
The files contain the run ids and values of their rows as well, which `python -m nmbench.validate --figures` compares with
rows. Figures are drawn from the available runs. "5B", "intervals" and "percent" need rows only and show all seeds; the other
figures need the files of the runs, in run folders or packed beside a CSV, and show the first seeds, not the best (3B: the
first that solves the task). If runs are missing, the command prints how to train them, or trains them with --train: `smoke`
(seconds per model, to check that it works), `short` (3,000 steps) or `full` (the protocol's steps; hours for all figures).
If a model was trained in several configurations, one with enough seeds is drawn: that with the model's own hyperparameters,
otherwise the longest training.

--only=modulation draws what is not in the publication: what the NM-RNN and its controls (the models with the tag `control`)
change in their networks over time, such as signals, gains and efficacies of synapses. It writes modulation_TASK.png, .svg
and .pdf for each task with runs of these models.

Exit code 0: all runs are available; 1: some runs are missing; 2: bad input.
"""

from __future__ import annotations

from nmbench.support import cli, devices, interrupts
from nmbench.support.errors import NmbenchError

FLAGS = cli.new_flags()
cli.string(FLAGS, "results", "results", "results folder, with runs/; or a results CSV, or a folder of CSVs")
cli.string(FLAGS, "out", None, "folder for the figures; created if needed")
cli.string(
    FLAGS, "only", "", "names of figures, such as S1,5B or modulation; all of the publication and its supplement if empty"
)
cli.string(FLAGS, "formats", "", "formats of the files, such as png,svg; png, svg and pdf if empty")
cli.choice(
    FLAGS, "train", "no", ["no", "smoke", "short", "full"], "length of training for missing runs; no: do not train them"
)
cli.string(FLAGS, "protocol", "matched", "protocol of the runs; --train=smoke always uses smoke")
cli.integer(FLAGS, "seeds", None, "largest number of seeds per model; default: as many as a figure shows", lower=1)


def main() -> int:
    training = "" if FLAGS.train == "no" else FLAGS.train
    if not FLAGS.out:
        raise NmbenchError("--out is missing; give --out=FOLDER")
    with interrupts.watch_signals() as watch:
        devices.start()

        from nmbench.paper.figures import drawing, gallery
        from nmbench.paper.runs import Recipe
        from nmbench.report import pictures

        pictures.check_library()
        recipe = Recipe.of(FLAGS.results, FLAGS.protocol, training)
        complete = drawing.draw_all(
            gallery.choose(FLAGS.only, recipe),
            recipe,
            FLAGS.out,
            formats=drawing.choose_formats(FLAGS.formats),
            seeds=FLAGS.seeds,
            train=bool(training),
            watch=watch,
        )
    return 0 if complete else 1


if __name__ == "__main__":
    cli.run(main, FLAGS, __doc__, "nmbench.figures")
