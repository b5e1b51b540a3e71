"""Describe a task (channels, sets, metrics, protocols) or a model (equations, hyperparameters, sizes).

  python -m nmbench.describe mwg_rank3 --plot=mwg_rank3.png

With --plot, the command also plots inputs and targets of a few trials, with the epochs shaded.
"""

from __future__ import annotations

import inspect
import pathlib

from nmbench.contracts import plugins
from nmbench.contracts.catalog import BASELINES, TASKS
from nmbench.contracts.task import SQUARED_ERROR
from nmbench.support import cli, devices, terminal
from nmbench.support.errors import NmbenchError, did_you_mean

FLAGS = cli.new_flags("plugin")
cli.string(FLAGS, "plot", None, "plot test trials into this .png, .svg or .pdf file (needs nmbench[report])")


def main(names: list[str]) -> int:
    devices.check()
    plugins.load_all(FLAGS.plugin)
    registered = [e.name for r in (TASKS, BASELINES) for e in r.entries()]
    if not names:
        raise NmbenchError(f"name a task or a model: {', '.join(registered)}")
    for name in names:
        if name not in TASKS and name not in BASELINES:
            raise NmbenchError(f"unknown task or model {name!r}{did_you_mean(name, registered)}")
    path = None if FLAGS.plot is None else _check_plot(names)
    texts = []
    models = [BASELINES.get(name) for name in names if name in BASELINES]
    for name in names:
        texts += [_task(name)] if name in TASKS else []
        texts += [_model(name)] if name in BASELINES else []
    texts += [_common_budgets(models)] if len(models) > 1 else []
    print(terminal.fit("\n\n".join(texts), terminal.width()))
    if path is not None:
        from nmbench.report import pictures, trials

        pictures.write(path, trials.plot_trials(TASKS.get(names[0])))
        print(f"\ntrials drawn in {path}")
    return 0


def _common_budgets(models) -> str:
    """A line for each task with the budget closest to its own that suits all of these models."""
    from nmbench.experiments import resolution

    lines = [f"budgets that suit {', '.join(model.name for model in models)}:"]
    for entry in TASKS.entries():
        task = TASKS.get(entry.name)
        budget = resolution.suiting_budget(models, task, task.protocols[0], task.default_budget)
        lines.append(f"  {task.name}: {'none from half to twice its own' if budget is None else budget}")
    return "\n".join(lines)


def _check_plot(names: list[str]) -> pathlib.Path:
    from nmbench.report import pictures

    if len(names) != 1 or names[0] not in TASKS:
        raise NmbenchError(f"--plot draws the trials of one task, not of {', '.join(names)}")
    return pictures.check("plot", FLAGS.plot)


def _task(name: str) -> str:
    import tree

    from nmbench.report import text

    entry, task = TASKS.entry(name), TASKS.get(name)
    doc = _without(task.summary, inspect.getdoc(inspect.getmodule(task.draw_set)) or "")
    lines = [f"task {name}, version {task.version}: {task.summary}", f"from {entry.origin}", ""]
    lines += [terminal.fill(doc, terminal.width()), ""] if doc else []
    lines += [f"{task.spec.steps} time steps"]
    for path, leaf in tree.flatten_with_path(task.spec.inputs):
        lines.append(f"  input {'/'.join(map(str, path))}: {_channels(leaf)}")
    lines.append(f"  output: {_channels(task.spec.outputs)}")
    if task.epochs is not None:
        first = task.epochs(task.frozen("test").arrays, 0)
        lines.append("epochs of test trial 0: " + ", ".join(f"{n} {begin}..{end - 1}" for n, begin, end in first))
    for data, source in task.training.items():
        fresh = not hasattr(source, "make")
        kind = "fresh trials at every step" if fresh else f"{source.arrays().targets.shape[1]} fixed trials"
        lines.append(f"training data {data}: {kind}")
    for split in task.set_sizes:
        frozen = task.frozen(split)
        lines.append(f"{split} set: {frozen.n} trials, sha256 {frozen.sha256}")
    lines += [f"loss: {task.loss}; outputs are the logits of classes"] if task.loss != SQUARED_ERROR else []
    lines.append("metrics:")
    for i, m in enumerate(task.metrics):
        facts = [f"floor {m.floor:.4g}", f"ceiling {m.ceiling:.4g}", "higher" if m.higher_is_better else "lower"]
        facts[-1] += " is better"
        facts += [f"solved at {m.threshold:g}"] if m.threshold is not None else []
        facts += [f"also per {m.condition_name}"] if m.conditions else []
        facts += [f"also {', '.join(m.stages)}"] if m.stages else []
        facts += [f"some trials judged {', '.join(m.earlier)}"] if m.earlier else []
        lines.append(f"  {m.name}{' (primary)' if i == 0 else ''}: {', '.join(facts)}")
        lines += [f"    {m.meaning}"] if m.meaning else []
    lines += [f"default budget: {task.default_budget} learned parameters", "protocols:"]
    for i, p in enumerate(task.protocols):
        lines.append(f"  {p.name}{' (default)' if i == 0 else ''}: {p.summary}")
        for models, phases in [("", p.phases), *p.phases_by_model.items()]:
            if models:
                lines.append(f"    for {models} instead:")
            lines += [f"    {'  ' if models else ''}{text.phase_in_words(phase)}" for phase in phases]
        if p.learning_rate_grid:
            rates = ", ".join(f"{rate:g}" for rate in p.learning_rate_grid)
            lines.append(
                f"    --tune tries {rates}, {len(p.tuning_seeds)} seeds each; if the lowest or the highest wins, also those "
                f"beyond it"
            )
    lines += [f"reference rows: {', '.join(task.references)}"] if task.references else []
    lines.append(f"source: {task.citation}")
    return "\n".join(lines)


def _without(summary: str, doc: str) -> str:
    """The docstring without its first line if the summary, which is printed before it, says the same."""
    first, _, rest = doc.partition("\n")
    return rest.lstrip("\n") if first.strip() == summary.strip() else doc


def _channels(spec) -> str:
    names = f" ({', '.join(spec.names)})" if spec.names else ""
    return f"{spec.channels} channel{'' if spec.channels == 1 else 's'}{names}, {spec.dtype}"


def _model(name: str) -> str:
    from nmbench.experiments import resolution, sizing

    entry, baseline = BASELINES.entry(name), BASELINES.get(name)
    lines = [f"model {name}: {baseline.summary}", f"from {entry.origin}", ""]
    doc = terminal.fill(_without(baseline.summary, inspect.getdoc(baseline.factory) or ""), terminal.width())
    lines += [*([doc, ""] if doc else []), f"free size: {baseline.free_size}"]
    lines += ["hyperparameters:"] if baseline.hparams else ["hyperparameters: none"]
    lines += [f"  {k} = {v}" for k, v in baseline.hparams.items()]
    for key, values in baseline.settings.items():
        lines.append(f"on {key}: " + ", ".join(f"{k}={v}" for k, v in values.items()))
    lines.append(f"partitions: {', '.join(['learned', *baseline.partitions])}")
    for task_entry in TASKS.entries():
        task = TASKS.get(task_entry.name)
        protocol = task.protocols[0]
        hparams = baseline.defaults(task.name, protocol.name)
        record = baseline.tuned(task.name, protocol.name)
        try:
            sized = sizing.size_to_budget(baseline, task.spec, hparams, task.default_budget)
            at = f"{baseline.free_size}={sized.hparams[baseline.free_size]}, {sized.actual} parameters"
        except NmbenchError as error:
            sized, at = None, str(error)
        lines.append(f"at the budget of {task.name} ({task.default_budget}): {at}")
        if record is not None and sized is not None:
            rate = resolution.default_learning_rate(baseline, task, protocol, sized.hparams, record["steps"])
            tried = ", ".join(f"{one:g}" for one in record["grid"])
            how = f", chosen from {tried} in {rate.tuning_runs} tuning runs" if rate.tuning_runs else ""
            lines.append(f"  learning rate {rate.value:g} ({rate.record['source']}){how}")
    lines += [f"source: {baseline.citation}"] if baseline.citation else []
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(main, FLAGS, __doc__, "nmbench.describe", operands="NAME ...")
