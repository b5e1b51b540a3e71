"""Print the ledger of claims: what the publication claims, what was measured, and the verdict that follows.

  python -m nmbench.claims                                          of the results folder and the rows in it
  python -m nmbench.claims results/reference.csv my_results         of several CSVs and results folders
  python -m nmbench.claims results --format=html --out=claims.html  a page that needs no other file (needs nmbench[report])

Each claim is judged as published (protocol `paper`) and under equal conditions (protocol `matched`), on the models' default
sizes. A verdict is computed from the values printed below it: "holds", "more than holds", "holds in part", "does not hold",
"cannot tell" where intervals or a shortened training leave it open, "no data". Networks trained for another number of steps
than the protocol asks for are used where there are no others, all models of a claim equally long, and the verdict says so; a
run of protocol `paper` with another learning rate is not used. Every claim names the commands that test it. Claims on the
insides of networks need the results folder: a CSV does not hold parameters. A run that is in several sources counts once;
the one in a folder goes before that in a CSV.

In Python: `nmbench.paper.ledger.publication.ledger(nmbench.paper.ledger.evidence.Evidence.read(paths, wanted()))`.
"""

from __future__ import annotations

import shlex

from nmbench.support import cli
from nmbench.support.errors import NmbenchError, printable

FLAGS = cli.new_flags()
cli.choice(FLAGS, "format", "markdown", ["markdown", "html"], "form of the ledger")
cli.string(FLAGS, "only", "", "names of claims, as selection,sizes; all by default")
cli.string(FLAGS, "out", None, "file to write instead of printing; html needs it")


def main(paths: list[str]) -> int:
    from nmbench.report import files

    paths = paths or ["results"]
    if FLAGS.out is not None and FLAGS.out.endswith(".html") and not FLAGS["format"].present:
        raise NmbenchError(
            f"--out={FLAGS.out} would hold Markdown; give --format=html, or --format=markdown if that is meant"
        )
    if FLAGS.format == "html" and FLAGS.out is None:
        raise NmbenchError("--out is missing; give the file that the page is written to, e.g. --out=claims.html")
    out = None if FLAGS.out is None else files.check("out", FLAGS.out, paths)

    from nmbench.support import devices

    devices.prepare(1)

    from nmbench.paper.ledger import page, publication
    from nmbench.paper.ledger.evidence import Evidence

    claims = publication.choose(FLAGS.only)
    if FLAGS.format == "html":
        page.check_library()
    entries = publication.ledger(Evidence.read(paths, publication.wanted()), claims)
    text = (page.html if FLAGS.format == "html" else page.markdown)(entries, _command(paths))
    if out is None:
        print(text, end="")
    else:
        files.write(out, text)
    return 0


def _command(paths: list[str]) -> str:
    """The line that made this."""
    flags = [f"--{name}={getattr(FLAGS, name)}" for name in ("only", "format", "out") if FLAGS[name].present]
    return printable(shlex.join(["python", "-m", "nmbench.claims", *paths, *flags]))


if __name__ == "__main__":
    cli.run(main, FLAGS, __doc__, "nmbench.claims", operands="[FILE.csv|FOLDER ...]")
