"""Check the theory of the publication on random or trained networks: Proposition 1 and the exact signal of rank-1 networks.

  python -m nmbench.theory                                        random networks, float64, a few seconds
  python -m nmbench.theory --plot=theory.png                      also plots the two forms of the signal for a ramp
  python -m nmbench.theory --run=RUN_ID --results_dir=results     a trained network; FILE.csv:N and FILE.csv#RUN_ID also work

Proposition 1: the linearised NM-RNN of the supplement's Eqs. 1-3, with tied orthonormal factors, is a semilinear LSTM with
hidden size K + M + P (`nmbench.paper.theory.semilinear`). The tables show the largest differences in z and y.

Rank-1 signal: the output of a rank-1 network determines its neuromodulatory signal s and its state
(`nmbench.paper.theory.rank1`). If it is computed from the network's own output, the signal is exact. If it is computed from
the target, it is a prediction, and its accuracy depends on how well the network is trained.

Proposition 1 does not apply to trained networks with a leak or a tanh, and the signal needs rank 1. If a part does not
apply, the report gives the reason. In Python: nmbench.paper.theory.semilinear, .rank1, .network, .trained, .synthetic.
"""

from __future__ import annotations

import sys

from nmbench.contracts import plugins
from nmbench.support import cli, devices
from nmbench.support.errors import NmbenchError

FLAGS = cli.new_flags("results_dir", "plugin")
cli.string(
    FLAGS,
    "run",
    None,
    "row of a trained linearised NM-RNN instead of random networks: RUN_ID, FILE.csv:N or FILE.csv#RUN_ID",
)
cli.integer(FLAGS, "instances", 300, "number of random networks, up to 100000", lower=1)
cli.integer(FLAGS, "seed", 0, "seed of the random networks")
cli.string(FLAGS, "plot", None, "plot signal and state into this .png, .svg or .pdf file (needs nmbench[report])")


def main() -> int:
    for name, largest in (("instances", 100_000), ("seed", 2**32 - 1)):
        if getattr(FLAGS, name) > largest:
            raise NmbenchError(f"--{name} can be at most {largest}, got {getattr(FLAGS, name)}")
    if FLAGS.run == "":
        raise NmbenchError("--run is empty; give --run=RUN_ID, or omit it for random networks")
    path = None
    if FLAGS.plot is not None:
        from nmbench.report import pictures

        path = pictures.check("plot", FLAGS.plot)
    devices.check()
    plugins.load_all(FLAGS.plugin)
    from nmbench.paper.theory import report

    if FLAGS.run is None:
        found = report.of_random_networks(FLAGS.instances, FLAGS.seed)
    else:
        found = report.of_run(FLAGS.run, FLAGS.results_dir)
    for remark in found.remarks:
        print(f"nmbench.theory: {remark}", file=sys.stderr)
    print(found.text)
    if path is not None:
        found.save_plot(path)
        print(f"\nsignal and state plotted in {path}")
    return 0


if __name__ == "__main__":
    cli.run(main, FLAGS, __doc__, "nmbench.theory")
