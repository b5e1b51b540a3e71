"""Print the ledger: each claim of the publication, the values measured for it, and the verdict.

  python -m nmbench.claims                                          reads results/
  python -m nmbench.claims results/board results/claims my_results  reads several CSVs and folders
  python -m nmbench.claims results --format=html --out=claims.html  writes a page (needs nmbench[report])

Each claim is tested as published (protocol `paper`) and, except for claims on the authors' code, under equal conditions
(protocol `matched`), for the models' default sizes. The verdict is computed from the values printed with it: "holds", "more
than holds", "holds in part", "worse, size open", "no difference found", "does not hold", "cannot tell" if intervals or a
shortened training leave the claim undecided, or "no data". An entry that is a "documented difference" has no verdict. If the
models of a claim were not all trained fully, the ledger uses the length of training that most of them share, and the verdict
says so. Under `paper`, runs with another learning rate are not used, except by claims that name it. Each claim lists the
commands that produce its data. Claims on internal signals and on training curves need the files of the runs, in a results
folder or packed beside a CSV (FILE.safetensors). A run that occurs in several sources counts once; a source with its files
has priority.

The page shows the effects of each claim with their intervals and thresholds, and needs no other file. If there is a folder
figures/ beside it, drawn with `python -m nmbench.figures --out=figures`, the page shows these figures with their claims; the
figures must show rows of the given files and folders.

In Python: `nmbench.paper.ledger.publication.ledger(nmbench.paper.ledger.evidence.Evidence.read(paths, wanted()))`.
"""

from __future__ import annotations

import pathlib
import shlex
from collections.abc import Mapping
from typing import TYPE_CHECKING

from nmbench.support import cli, terminal
from nmbench.support.errors import NmbenchError, printable

if TYPE_CHECKING:
    from nmbench.report import captions

FLAGS = cli.new_flags()
cli.choice(
    FLAGS,
    "format",
    "auto",
    ["auto", "terminal", "markdown", "html"],
    "format of the ledger; auto: plain text in a terminal, Markdown in a pipe or a file",
)
cli.string(FLAGS, "only", "", "names of claims, such as selection,sizes; all if empty")
cli.string(FLAGS, "out", None, "file to write instead of printing; required for html")


def main(paths: list[str]) -> int:
    from nmbench.report import files
    from nmbench.report.tables import WIDTH

    paths = paths or ["results"]
    if FLAGS.out is not None and FLAGS.out.endswith(".html") and not FLAGS["format"].present:
        raise NmbenchError(f"--out={FLAGS.out} would contain Markdown; give --format=html, or --format=markdown to confirm")
    if FLAGS.format == "html" and FLAGS.out is None:
        raise NmbenchError("--out is missing; give the file of the page, e.g. --out=claims.html")
    out = None if FLAGS.out is None else files.check("out", FLAGS.out, paths)

    from nmbench.support import devices, libraries

    devices.start(1)

    from nmbench.paper.ledger import page, plain, publication
    from nmbench.paper.ledger.evidence import Evidence

    claims = publication.choose(FLAGS.only)
    if FLAGS.format == "html":
        libraries.check("the page needs", "jinja2")
    shown = _figures(out, paths) if FLAGS.format == "html" else {}
    entries = publication.ledger(Evidence.read(paths, publication.wanted()), claims)
    columns = terminal.width() if out is None else None
    if FLAGS.format == "terminal" or (FLAGS.format == "auto" and columns is not None):
        text = plain.text(entries, _command(paths), columns or WIDTH)
    elif FLAGS.format == "html":
        text = page.html(entries, _command(paths), shown)
    else:
        text = page.markdown(entries, _command(paths))
    if out is None:
        print(text, end="")
    else:
        files.write(out, text)
    return 0


def _figures(out: pathlib.Path | None, paths: list[str]) -> Mapping[str, captions.Shown]:
    """The figures in the folder figures/ beside the page; they must show rows of the inputs."""
    from nmbench.report import captions
    from nmbench.results import store

    folder = (out or pathlib.Path()).parent / "figures"
    return captions.check(folder, (row for path in paths for row in store.iterate(path))) if folder.is_dir() else {}


def _command(paths: list[str]) -> str:
    """The command line that produces this ledger."""
    flags = [f"--{name}={getattr(FLAGS, name)}" for name in ("only", "format", "out") if FLAGS[name].present]
    return printable(shlex.join(["python", "-m", "nmbench.claims", *paths, *flags]))


if __name__ == "__main__":
    cli.run(main, FLAGS, __doc__, "nmbench.claims", operands="[FILE.csv|FOLDER ...]")
