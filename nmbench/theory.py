"""Check the theory: Proposition 1 and the exact signal of rank-1 networks, on made or on trained networks.

  python -m nmbench.theory                                        made networks, float64, a few seconds
  python -m nmbench.theory --plot=theory.png                      and what the two forms of the signal make of a ramp
  python -m nmbench.theory --run=RUN_ID --results_dir=results     a trained network; FILE.csv:N and FILE.csv#RUN_ID also do

Proposition 1: the linearised NM-RNN of the supplement's Eqs. 1-3, with tied orthonormal factors, is a semilinear LSTM of
hidden size K + M + P (`nmbench.paper.theory.semilinear`). The tables show the largest differences in z and y between the two.

Rank-1 signal: what a rank-1 network puts out determines its neuromodulatory signal s and its state
(`nmbench.paper.theory.rank1`). Given the network's own output this is exact. Given the target instead, it is a prediction, as
good as the network's training.

A trained network of another form, with a leak or a tanh, say, has no part in Proposition 1, one of higher rank none in the
other; the tables say so. In Python: nmbench.paper.theory.semilinear, .rank1, .network, .trained, .synthetic.
"""

from __future__ import annotations

import pathlib
import sys

from nmbench.contracts import plugins
from nmbench.support import cli
from nmbench.support.errors import NmbenchError

FLAGS = cli.new_flags("results_dir", "plugin")
cli.string(FLAGS, "run", None, "row of a trained network, instead of made ones: RUN_ID, FILE.csv:N or FILE.csv#RUN_ID")
cli.integer(FLAGS, "instances", 300, "random networks to make, up to 100000", lower=1)
cli.integer(FLAGS, "seed", 0, "of the random networks")
cli.string(FLAGS, "plot", None, "draw signal and state into this .png, .svg or .pdf (needs nmbench[report])")


def main() -> int:
    for name, most in (("instances", 100_000), ("seed", 2**32 - 1)):
        if getattr(FLAGS, name) > most:
            raise NmbenchError(f"--{name} can be at most {most}, got {getattr(FLAGS, name)}")
    if FLAGS.run == "":
        raise NmbenchError("--run is empty; give --run=RUN_ID, or leave it out for made networks")
    path = None if FLAGS.plot is None else pathlib.Path(FLAGS.plot)
    if path is not None:
        from nmbench.report.trials import check_picture

        check_picture(path)
    plugins.load_all(FLAGS.plugin)
    from nmbench.paper.theory import report

    if FLAGS.run is None:
        text, draw = report.made(FLAGS.instances, FLAGS.seed)
    else:
        from nmbench.paper.theory import trained

        found = trained.load(FLAGS.run, FLAGS.results_dir)
        for remark in found.remarks:
            print(f"nmbench.theory: {remark}", file=sys.stderr)
        text, draw = report.of(found)
    print(text)
    if path is not None:
        try:
            draw().savefig(path, dpi=150)
        except OSError as error:
            raise NmbenchError(f"cannot write {path}: {error.strerror or error}") from error
        print(f"\nsignal and state drawn in {path}")
    return 0


if __name__ == "__main__":
    cli.run(main, FLAGS, __doc__, "nmbench.theory")
