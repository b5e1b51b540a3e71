"""Make a folder with a model, its rows, parameters and tuning records, to be sent in as a pull request.

  python -m nmbench.submit --plugin=my_model.py --results_dir=results --out=submissions/my_model

The rows must be complete and the model must pass `nmbench check`; the command names what is missing. The first time, it
writes submission.toml for you to fill in: title, authors, citation, licence, description. Then run the same command again.
About you and your machine, the folder holds nothing beyond this file and the rows. docs/submit.md has all steps from a model
to a row on the board.

Exit code 0: the folder is complete; 1: submission.toml must be filled in; 2: bad input, or the rows cannot be submitted.
"""

from __future__ import annotations

import os
import pathlib
import shutil
import sys

from nmbench.contracts import plugins
from nmbench.contracts.catalog import BASELINES
from nmbench.support import cli, devices
from nmbench.support.errors import NmbenchError

FLAGS = cli.new_flags("results_dir", "plugin")
cli.string(FLAGS, "package", None, "instead of a file: the installed package that registers them")
cli.string(FLAGS, "models", "", "names of the models, such as a,b; default: all that the file registers")
cli.string(FLAGS, "tasks", "", "submit only the rows of these tasks")
cli.string(FLAGS, "protocol", "matched", "submit the rows of this protocol")
cli.string(FLAGS, "out", None, "the folder to write, such as submissions/my_model")


def main() -> int:
    if not FLAGS.out:
        raise NmbenchError("--out is missing; give --out=submissions/NAME, the folder to write")
    if len(FLAGS.plugin) + bool(FLAGS.package) != 1:
        raise NmbenchError("give one --plugin=FILE.py, the file that registers your models, or --package=NAME")
    names = lambda text: list(dict.fromkeys(name.strip() for name in text.split(",") if name.strip()))
    before = {entry.name for entry in BASELINES.entries()}
    plugin = None
    for path in FLAGS.plugin:
        plugins.load(path)
        plugin = pathlib.Path(os.path.expanduser(path))
    models = names(FLAGS.models) or sorted({entry.name for entry in BASELINES.entries()} - before)
    if not models:
        raise NmbenchError("name your models with --models=NAME,...")
    for model in models:
        BASELINES.get(model)
    devices.start(None)

    from nmbench.submissions import making
    from nmbench.submissions.about import FILE
    from nmbench.support import files

    say = lambda line: print(f"nmbench.submit: {line}", file=sys.stderr)
    out = pathlib.Path(os.path.expanduser(FLAGS.out))
    said = making.check_out(out, models)
    about, complete = making.about(said, models, plugin, FLAGS.package or "")
    rows = making.choose_rows(FLAGS.results_dir, models, names(FLAGS.tasks), FLAGS.protocol, say)
    place = files.temporary_path(out.parent)
    try:
        out.parent.mkdir(parents=True, exist_ok=True)
        place.mkdir()
        making.write(place, about, rows, FLAGS.results_dir, plugin)
        problems = making.problems(place, plugin)
        for problem in problems:
            say(problem)
        if problems:
            return 2
        if complete:
            making.replace(out, place)
        else:
            out.mkdir(exist_ok=True)
            files.replace(out / FILE, making.template(said).encode())
    except OSError as error:
        raise NmbenchError(f"--out={out} cannot be written ({error.strerror or error})") from error
    finally:
        shutil.rmtree(place, ignore_errors=True)
    if not complete:
        print(f"The rows can be submitted. Fill in {out / FILE}, then run this command again.")
        return 1
    count = sum(map(len, rows.values()))
    print(
        f"{out}: {', '.join(models)}, {count} rows of {', '.join(rows)}. Check it with python -m nmbench.verify {out}, then "
        f"open a pull request that adds this folder."
    )
    return 0


if __name__ == "__main__":
    cli.run(main, FLAGS, __doc__, "nmbench.submit")
