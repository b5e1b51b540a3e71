"""The report of `nmbench.theory`: tables of the checks, and their plots."""

from __future__ import annotations

import pathlib
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, NamedTuple

import tabulate

from nmbench.contracts.catalog import BASELINES
from nmbench.paper.theory import rank1, synthetic, trained
from nmbench.report import pictures
from nmbench.support.errors import NmbenchError

if TYPE_CHECKING:
    from matplotlib.figure import Figure


class TheoryReport(NamedTuple):
    """Tables as text, the function that draws the plot, and remarks on code that has changed since the run, a line each."""

    text: str
    draw: Callable[[], Figure]
    remarks: tuple[str, ...] = ()

    def save_plot(self, path: pathlib.Path) -> None:
        """Draw the plot into a file; raises `NmbenchError` if it cannot be written."""
        pictures.write(path, self.draw())


def of_random_networks(instances: int, seed: int) -> TheoryReport:
    """The report on random networks; its plot shows ramps."""
    ramps = [synthetic.ramp(interval) for interval in synthetic.RAMPS]
    ends = [
        (r.interval, r.exact.min(), r.exact.max(), abs(r.output_exact[-1] - r.f[-1]), abs(r.output_continuous[-1] - r.f[-1]))
        for r in ramps
    ]
    parts = [
        f"Proposition 1: semilinear LSTM compared with linearised NM-RNN, float64, {synthetic.TRIALS} trials each",
        _table(["networks", "steps", "max error z", "max error y"], synthetic.proposition(instances, seed)),
        f"Rank-1 signal from the network's own output: discrete form, {instances} networks each, {synthetic.STEPS} steps;\n"
        f"s at the steps where it affects the output (|c^T L R^T phi(x)| at least {rank1.SENSITIVE:g})",
        _table(["phi", "inputs", "max error s", "max error x", "share of steps"], synthetic.signals(instances, seed)),
        f"Ramp from -1/2 to 1/2 by a linear rank-1 network without inputs: tau = {synthetic.RAMP_TAU:g}, "
        f"d = {synthetic.RAMP_D:g}, R^T L = 1; error of the output at the end of the ramp",
        _table(["steps", "least s", "largest s", "discrete form", "Eq. 16 at the steps"], ends),
        "\n".join(["No trained network was given. To train one (then pass its run id as --run):", *commands()]),
    ]

    def draw() -> Figure:
        from nmbench.paper.theory import plot

        return plot.ramps(ramps)

    return TheoryReport(_join(parts), draw)


def of_run(text: str, results_dir: str) -> TheoryReport:
    """The report on the trained network of a row (see `trained.load`); its plot shows signal and state.

    Raises:
      NmbenchError: the network cannot be loaded, or neither part of the theory applies to it.
    """
    found = trained.load(text, results_dir)
    sizes = ", ".join(f"{name}={size}" for name, size in found.network.sizes.items())
    parts = [f"{found.name}: {sizes}, tau_x={found.network.tau_x:g}, tau_z={found.network.tau_z:g}"]
    reasons = []
    try:
        errors, change = trained.proposition(found)
        parts += [
            f"Proposition 1: semilinear LSTM with H={errors.hidden}, float64, {found.inputs.shape[1]} test trials of "
            f"{len(found.inputs)} steps;\n"
            f"initial x projected onto the span of R, which changes the outputs by at most {change:.3g}",
            _table(["max error z", "max error y"], [(errors.z, errors.y)]),
        ]
    except NmbenchError as error:
        reasons.append(str(error))
        parts.append(f"Not shown: {error}")
    try:
        traces = trained.traces(found)
        rows = trained.predictions(found, traces)
        parts += [
            f"Rank-1 signal and state from the network's own output; s at the share of steps where it affects the output\n"
            f"(|c^T L R^T phi(x)| at least {rank1.SENSITIVE:g})",
            _table(
                [found.condition, "trials", "share of steps", "max error s", "max error x"],
                [(r.condition, r.trials, r.identifiable, r.own_s, r.own_x) for r in rows],
            ),
            "Rank-1 signal and state from the task's target, at the steps where it changes; s at the share of these steps\n"
            "where the required s is in (0, 1); w = L^T x / |L|, its error relative to the range of the network's own",
            _table(
                [found.condition, "share", "mean error s", "max error s", "mean by Eq. 16", "mean error w", "max error w"],
                [(r.condition, r.possible, r.target_s, r.target_s_max, r.law_s, r.target_w, r.target_w_max) for r in rows],
            ),
        ]
    except NmbenchError as error:
        reasons.append(str(error))
        parts.append(f"Not shown: {error}")
    if len(reasons) == 2:
        raise NmbenchError(f"neither part of the theory applies to {found.name}: {'; '.join(reasons)}")

    def draw() -> Figure:
        from nmbench.paper.theory import plot

        return plot.signal_and_state(found, trained.traces(found))

    return TheoryReport(_join(parts), draw, found.remarks)


def commands() -> list[str]:
    """Commands that train networks for both parts of the theory, and for the rank-1 signal alone.

    The models are those with the tags linear and neuromodulation; the tasks are those on which they have rank 1 by default.
    """
    lines = []
    for entry in BASELINES.entries():
        if not {"linear", "neuromodulation"} <= set(entry.tags):
            continue
        for key, values in BASELINES.get(entry.name).settings.items():
            if values.get("K") == 1:
                command = f"  python -m nmbench.run --model={entry.name} --task={key} --seeds=1"
                lines += [
                    f"{command} --hparams=tau_x=1,linear_z=true,feedback=true    # both",
                    f"{command}    # rank-1 signal",
                ]
    return lines


def _table(headers: list[str], rows: Any) -> str:
    return tabulate.tabulate([list(row) for row in rows], headers=headers, tablefmt="github", floatfmt=".3g")


def _join(parts: list[str]) -> str:
    return "\n\n".join(parts)
