"""Answer questions about models for every task: which model is ahead of which, computed from rows and never written by hand.

  python -m nmbench.findings results/board results                    prints a table for each task
  python -m nmbench.findings results/board --out=results/findings     writes a page (needs nmbench[report])
  python -m nmbench.findings results/board --missing                  prints only the commands that train what is missing

A comparison of two models on a task is "ahead", "behind", "no difference found" or "open": no rows, or not enough seeds,
with the number of seeds that would be needed. Each question follows from its comparisons: "yes", "no" or "open". Only rows
without departures from the protocol count: the task's default budget, with tuned learning rates. A run that is in several
sources counts once.

--out writes findings.md, findings.csv (a line for each comparison), a picture for each question, and captions.md with the
rows of the pictures. --questions names a TOML file with questions of your own, in the format of
nmbench/questions/questions.toml.
"""

from __future__ import annotations

import os
import shlex

from nmbench.contracts import plugins
from nmbench.support import cli, terminal
from nmbench.support.errors import NmbenchError, printable

FLAGS = cli.new_flags("plugin")
cli.string(FLAGS, "questions", None, "TOML file with questions; those of nmbench by default")
cli.boolean(FLAGS, "missing", False, "print only the commands that train the models and seeds that the answers lack")
cli.string(FLAGS, "out", None, "folder for the page, instead of printing; created if needed")


def main(paths: list[str]) -> int:
    from nmbench.questions import catalogue, figures
    from nmbench.report import files, pictures

    paths = paths or ["results"]
    asked = catalogue.read(FLAGS.questions)
    if FLAGS.missing and FLAGS.out is not None:
        raise NmbenchError("--missing prints commands and writes no page; leave out --out")
    out = None if FLAGS.out is None else files.check_folder("out", FLAGS.out)
    if out is not None:
        pictures.check_library()
    plugins.load_all(FLAGS.plugin)

    from nmbench.support import devices

    devices.start(1)

    from nmbench.questions import findings, missing, text
    from nmbench.results import experiment_rows

    sources = experiment_rows.read_all(paths)
    if FLAGS.questions is not None:
        catalogue.check_models(asked, {one.model for source in sources for one in source.experiments})
    found = findings.compute(asked, sources)
    if not found:
        raise NmbenchError(f"no task has the protocol {asked.protocol!r} of the questions")
    extra = [*(f"--plugin={path}" for path in FLAGS.plugin), *_results_dir(paths)]
    if FLAGS.missing:
        print("\n".join(missing.all_commands(found, asked.models, extra)))
    elif out is None:
        print(text.terminal(found, asked, terminal.width(), extra), end="")
    else:
        files.make_folder(out)
        drawn = {question.name: figures.write(out, question, found) for question in asked.questions}
        made = {name: caption for name, caption in drawn.items() if caption is not None}
        figures.write_captions(out, list(made.values()))
        said = {name: caption.text for name, caption in made.items()}
        files.write(out / "findings.csv", text.csv(found))
        files.write(out / "findings.md", text.markdown(found, asked, _command(paths), said, extra))
        print(out / "findings.md")
    return 0


def _results_dir(paths: list[str]) -> list[str]:
    """The flag with which training goes on in the first results folder of these paths; [] for the default folder."""
    from nmbench.results.store import Store

    home = next((path for path in paths if Store(path).runs.is_dir()), "results")
    return [] if os.path.normpath(home) == "results" else [f"--results_dir={home}"]


def _command(paths: list[str]) -> str:
    """The command line that makes this page."""
    flags = [f"--{name}={getattr(FLAGS, name)}" for name in ("questions", "out") if FLAGS[name].present]
    flags += [f"--plugin={path}" for path in FLAGS.plugin]
    return printable(shlex.join(["python", "-m", "nmbench.findings", *paths, *flags]))


if __name__ == "__main__":
    cli.run(main, FLAGS, __doc__, "nmbench.findings", operands="[FILE.csv|FOLDER ...]")
