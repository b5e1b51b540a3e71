"""Describe a task (channels, sets, metrics, protocols) or a model (equations, hyperparameters, sizes)."""

from __future__ import annotations

import inspect

from nmbench import cli
from nmbench.catalog import BASELINES, TASKS
from nmbench.errors import NmbenchError, did_you_mean

FLAGS = cli.new_flags("plugin")


def main(names: list[str]) -> int:
    cli.load_plugins(FLAGS)
    known = [e.name for r in (TASKS, BASELINES) for e in r.entries()]
    if not names:
        raise NmbenchError(f"name a task or a model: {', '.join(known)}")
    for name in names:
        if name not in TASKS and name not in BASELINES:
            raise NmbenchError(f"unknown task or model {name!r}{did_you_mean(name, known)}")
    texts = []
    for name in names:
        texts += [_task(name)] if name in TASKS else []
        texts += [_model(name)] if name in BASELINES else []
    print("\n\n".join(texts))
    return 0


def _task(name: str) -> str:
    import tree

    entry, task = TASKS.entry(name), TASKS.get(name)
    doc = inspect.getdoc(inspect.getmodule(task.draw_set)) or ""
    lines = [f"task {name}, version {task.version}: {task.summary}", f"from {entry.origin}", ""]
    lines += [doc, ""] if doc and task.summary not in doc else []
    lines += [f"{task.spec.steps} time steps"]
    for path, leaf in tree.flatten_with_path(task.spec.inputs):
        lines.append(f"  input {'/'.join(map(str, path))}: {leaf.channels} channel(s), {leaf.dtype}")
    lines.append(f"  output: {task.spec.outputs.channels} channel(s), {task.spec.outputs.dtype}")
    kinds = {n: "fresh trials at every step" if hasattr(d, "sample") else "fixed" for n, d in task.training.items()}
    lines += [f"training data {n}: {kind}" for n, kind in kinds.items()]
    for split in task.set_sizes:
        frozen = task.frozen(split)
        lines.append(f"{split} set: {frozen.n} trials, sha256 {frozen.sha256}")
    lines.append("metrics:")
    for i, m in enumerate(task.metrics):
        facts = [f"floor {m.floor:.4g}", f"ceiling {m.ceiling:.4g}", "higher" if m.higher_is_better else "lower"]
        facts[-1] += " is better"
        facts += [f"solved at {m.threshold:g}"] if m.threshold is not None else []
        facts += ["also per condition"] if m.conditions else []
        lines.append(f"  {m.name}{' (primary)' if i == 0 else ''}: {', '.join(facts)}")
    lines += [f"default budget: {task.default_budget} learned parameters", "protocols:"]
    for i, p in enumerate(task.protocols):
        lines.append(f"  {p.name}{' (default)' if i == 0 else ''}: {p.summary}")
        for phase in p.phases:
            rate = "run's rate" if phase.learning_rate is None else f"rate {phase.learning_rate:g}"
            batch = f"{phase.batch_size} trials" if phase.batch_size else "all trials"
            clip = f", norm clipped at {phase.clip_norm:g}" if phase.clip_norm else ""
            clip += f", elements clipped at {phase.clip_value:g}" if phase.clip_value else ""
            lines.append(
                f"    {phase.steps} steps of {batch}, {phase.optimizer} {phase.optimizer_options or ''}, {rate}, "
                f"{phase.schedule}{clip}, moves {phase.partition}".replace(" ,", ",")
            )
        if p.learning_rate_grid:
            lines.append(
                f"    --tune tries {', '.join(f'{r:g}' for r in p.learning_rate_grid)}, {len(p.tuning_seeds)} seeds each"
            )
    lines += [f"reference rows: {', '.join(task.references)}"] if task.references else []
    lines.append(f"source: {task.citation}")
    return "\n".join(lines)


def _model(name: str) -> str:
    from nmbench import sizing

    entry, baseline = BASELINES.entry(name), BASELINES.get(name)
    lines = [f"model {name}: {baseline.summary}", f"from {entry.origin}", ""]
    lines += [inspect.getdoc(baseline.factory) or "", "", f"free size: {baseline.free_size}", "hyperparameters:"]
    lines += [f"  {k} = {v}" for k, v in baseline.hparams.items()]
    for key, values in baseline.settings.items():
        lines.append(f"on {key}: " + ", ".join(f"{k}={v}" for k, v in values.items()))
    lines.append(f"partitions: {', '.join(['learned', *baseline.partitions])}")
    for task_entry in TASKS.entries():
        task = TASKS.get(task_entry.name)
        hparams = baseline.defaults(task.name, task.protocols[0].name)
        try:
            sized = sizing.size_to_budget(baseline, task.spec, hparams, task.default_budget)
            at = f"{baseline.free_size}={sized.hparams[baseline.free_size]}, {sized.actual} parameters"
        except NmbenchError as error:
            at = str(error)
        lines.append(f"at the budget of {task.name} ({task.default_budget}): {at}")
        record = baseline.tuned(task.name, task.protocols[0].name)
        if record is not None:
            trials = len(record["grid"]) * len(record["seeds"])
            lines.append(f"  learning rate {record['chosen']:g}, tuned over {record['grid']} in {trials} trials")
    lines += [f"source: {baseline.citation}"] if baseline.citation else []
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(main, FLAGS, __doc__, "nmbench.describe", operands="NAME ...")
