"""Make a submission folder from a results folder."""

from __future__ import annotations

import hashlib
import json
import os
import pathlib
import shutil
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any

from nmbench.contracts.catalog import BASELINES, TASKS
from nmbench.experiments.configuration import Configuration
from nmbench.results import csv_files, packs, store, verification
from nmbench.submissions import about as about_files
from nmbench.submissions import asking, checks, folder, model_source, verifying
from nmbench.submissions.about import About
from nmbench.support import files
from nmbench.support.errors import NmbenchError, did_you_mean

Row = Mapping[str, Any]
_BLANK = "?"
_OWN = (folder.TUNING, verification.FILE)


def choose_rows(
    results: str,
    models: Collection[str],
    tasks: Collection[str],
    protocol: str,
    say: Callable[[str], None] = lambda line: None,
) -> dict[str, list[Row]]:
    """The rows to submit, by task.

    Of the runs of one model, task and budget, those that follow the protocol count, if there are any, and of these the ones
    of the model's present source. `say` is called with a line if rows of unknown tasks are left out.

    Raises:
      NmbenchError: the results folder cannot be read or has no such rows.
    """
    here = {entry.name for entry in TASKS.entries()}
    for task in sorted(set(tasks) - here):
        raise NmbenchError(f"{task!r} is not a task of nmbench{did_you_mean(task, here)}; other tasks have no board")
    rows = [row for row in store.iterate(results) if row["model"] in models and row["protocol"] == protocol]
    if rows and (others := {row["task"] for row in rows} - here):
        say(f"rows of {', '.join(sorted(others))} are left out: only tasks of nmbench have a board")
        rows = [row for row in rows if row["task"] in here]
    for what, names in (("model", models), ("task", tasks)):
        missing = sorted(set(names) - {row[what] for row in rows})
        if missing:
            raise NmbenchError(f"{results} has no rows of {what} {missing[0]!r} under protocol {protocol}")
    groups: dict[verification.SubmittedExperiment, list[Row]] = {}
    for row in rows:
        if not tasks or row["task"] in tasks:
            groups.setdefault(folder.experiment_of(row), []).append(row)
    chosen: dict[str, list[Row]] = {}
    follows = lambda found: any(not row["departures"] for row in found)
    followed = {(experiment.model, experiment.task) for experiment, found in groups.items() if follows(found)}
    for experiment, found in groups.items():
        if not follows(found) and (experiment.model, experiment.task) in followed:
            continue  # a try with other steps, another budget or other hyperparameters
        source = checks.fingerprint(pathlib.Path(BASELINES.get(experiment.model).path))
        following = [row for row in found if not row["departures"]] or found
        own = [row for row in following if Configuration.from_json(row["config_json"]).model_sha256 == source]
        chosen.setdefault(experiment.task, []).extend(own or following)
    order = lambda row: (row["model"], row["params_target"] or 0, row["seed"], row["run_id"])
    return {task: sorted(found, key=order) for task, found in sorted(chosen.items())}


def about(
    entries: Mapping[str, Any], models: Sequence[str], plugin: pathlib.Path | None, package: str
) -> tuple[About, bool]:
    """What the submitter says about the models, with their code; and whether nothing is missing.

    Args:
      entries: contents of an earlier submission.toml, {} if there is none.
      models: registered names.
      plugin: the file that registers them; None for a package.
      package: name of the package that registers them.

    Raises:
      NmbenchError: an entry is not valid, the package is not installed, or the plugin's name cannot be that of a module.
    """
    blank = {name: [_BLANK] if name == "authors" else _BLANK for name in about_files.REQUIRED if name != "models"}
    said = {name: value for name, value in entries.items() if value and name not in ("model_file", "package")}
    if plugin is not None:
        digest = hashlib.sha256(plugin.read_bytes()).hexdigest()
        code: dict[str, Any] = {"model_file": {"path": plugin.name, "sha256": digest}}
    else:
        version, digest = about_files.package_hash(package)
        code = {"package": {"name": package, "version": version, "sha256": digest}}
    complete = blank.keys() <= said.keys()
    return about_files.from_dict({**blank, **said, "models": list(models), **code}, about_files.FILE), complete


def template(entries: Mapping[str, Any]) -> str:
    """Text of a submission.toml to fill in, which keeps what was filled in before."""
    lines = []
    for name, hint in about_files.HINTS.items():
        value = entries.get(name) or ([] if name == "authors" else "")
        lines.append(f"{name} = {about_files.toml(value)}  # {hint}")
    return "\n".join(["# Fill this in, then run nmbench submit again.", *lines, ""])


def write(place: pathlib.Path, said: About, rows: Mapping[str, Sequence[Row]], results: str, plugin: pathlib.Path | None):
    """Write all files of a submission into an existing empty folder.

    Raises:
      NmbenchError: the files of a run are missing, or a file cannot be written.
    """
    try:
        files.write(place / about_files.FILE, said.to_toml().encode())
        if plugin is not None:
            files.write(place / plugin.name, plugin.read_bytes())
        for task, found in rows.items():
            files.write(place / f"{task}.csv", csv_files.to_csv(found).encode())
            packs.pack(found, pathlib.Path(os.path.expanduser(results)), packs.beside(place / f"{task}.csv"))
        for name, record in sorted(_tuning_records(rows).items()):
            (place / folder.TUNING).mkdir(exist_ok=True)
            files.write(place / folder.TUNING / name, (json.dumps(record, indent=1, sort_keys=True) + "\n").encode())
    except OSError as error:
        raise NmbenchError(f"cannot write {place}: {error.strerror or error}") from error


def _tuning_records(rows: Mapping[str, Sequence[Row]]) -> dict[str, dict[str, Any]]:
    """File name to the tuning record of each experiment that was tuned, from its rows."""
    found = {}
    for row in (row for task_rows in rows.values() for row in task_rows if row["tuning_trials"]):
        size = "sizes" if row["params_target"] is None else row["params_target"]
        record = {name: value for name, value in json.loads(row["tuning_json"]).items() if name != "source"}
        found[f"{row['model']}.{row['task']}.{row['protocol']}.{size}.json"] = record
    return found


def problems(place: pathlib.Path, plugin: pathlib.Path | None) -> list[str]:
    """What keeps a written submission from tier self-reported, one line for each experiment; [] if nothing does.

    Raises:
      NmbenchError: the folder is not a submission, or the model's file does what a submitted model may not do.
    """
    submission = folder.read_submission(place)
    if plugin is not None:
        model_source.check(plugin)
    with asking.this_process([] if plugin is None else [str(plugin)]) as model:
        outcomes = list(verifying.verify(submission, submission.experiments(), verification.SELF_REPORTED, model))
    return [f"{outcome.experiment}: {outcome.problem}" for outcome in outcomes if not outcome.tier]


def check_out(out: pathlib.Path, models: Sequence[str]) -> dict[str, Any]:
    """The contents of the submission.toml in a folder that will be replaced, {} if there is none.

    Args:
      out: the folder.
      models: registered names of the models to submit.

    Raises:
      NmbenchError: the folder holds something else than a submission, or a submission of other models.
    """
    if not out.exists():
        return {}
    if not out.is_dir():
        raise NmbenchError(f"--out={out} is a file; name a folder")
    path = out / about_files.FILE
    if not path.exists() and any(out.iterdir()):
        raise NmbenchError(f"--out={out} is not empty and has no {about_files.FILE}; name another folder")
    entries = about_files.read_toml(path) if path.exists() else {}
    earlier = entries.get("models")
    if isinstance(earlier, list) and earlier and not set(models) & set(map(str, earlier)):
        raise NmbenchError(f"--out={out} is a submission of {', '.join(map(str, earlier))}; name another folder")
    code = entries.get("model_file")
    own = {about_files.FILE, *_OWN, str(code.get("path")) if isinstance(code, dict) else ""}
    own |= {f"{task.name}{suffix}" for task in TASKS.entries() for suffix in (".csv", ".safetensors")}
    other = sorted(one.name for one in out.iterdir() if one.name not in own)
    if other:
        raise NmbenchError(f"--out={out} contains {other[0]}, which is no file of this submission; name another folder")
    return entries


def replace(out: pathlib.Path, place: pathlib.Path) -> None:
    """Put a finished folder into the place of `out`, which is removed; raises `NmbenchError`."""
    old = files.temporary_path(out.parent)
    try:
        if out.exists():
            out.rename(old)
        place.rename(out)
    except OSError as error:
        raise NmbenchError(f"cannot write {out}: {error.strerror}") from error
    shutil.rmtree(old, ignore_errors=True)
