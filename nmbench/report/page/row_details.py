"""Provenance and commands of the rows of an entry as plain data for the page's template."""

from __future__ import annotations

import json
import urllib.parse
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Protocol

from nmbench.report.text import column_number, number_or_blank
from nmbench.results import schema, verification

if TYPE_CHECKING:
    from nmbench.results.ranking import RankingEntry
    from nmbench.results.verification import Verifications

Row = Mapping[str, Any]

# Columns about the origin of a row.
PROVENANCE = (
    "task_version",
    "testset_sha256",
    "n_test",
    "model_origin",
    "data_seed",
    "learning_rate",
    "tuning_trials",
    "departures",
    "train_steps",
    "seeds_together",
    *(column.name for column in schema.COLUMNS if column.name.endswith("_version") and column.name != "task_version"),
    "git_sha",
    "git_dirty",
    "platform",
    "device_kind",
    "processor",
    "n_cpu",
    "n_devices",
    "x64",
    "prng_impl",
    "xla_flags",
    "started_utc",
)


class Command(Protocol):
    """How to repeat the runs of one experiment (see `nmbench.experiments.row_commands.RowCommand`)."""

    @property
    def exact(self) -> bool: ...
    @property
    def note(self) -> str: ...
    def command(self, first_seed: int, seeds: int = 1) -> str: ...


Commands = Callable[[Row], Command]


def row_details(entry: RankingEntry, rows: Mapping[str, Row], commands: Commands, verified: Verifications) -> dict[str, Any]:
    """Values that all rows of an entry share, and the differing values of each seed.

    Args:
      entry: entry of a table, not a reference.
      rows: run id to row.
      commands: function from a row to its command.
      verified: the records of verification.
    """
    members = [rows[run_id] for run_id in entry.run_ids]
    found = [commands(row) for row in members]
    shared = [name for name in PROVENANCE if len({repr(row[name]) for row in members}) == 1]
    varying = [name for name in PROVENANCE if name not in shared]
    seeds = [row["seed"] for row in members]
    consecutive = len(seeds) > 1 and seeds == list(range(seeds[0], seeds[0] + len(seeds)))
    one_command = consecutive and len({command.command(0) for command in found}) == 1
    show = column_number(row["value"] for row in members)
    settings = json.dumps(json.loads(entry.config), indent=1, sort_keys=True, ensure_ascii=False)
    return {
        "label": entry.label,
        "command": found[0].command(seeds[0], len(seeds)) if one_command else "",
        "notes": sorted({command.note for command in found} - {""}),
        "exact": all(command.exact for command in found),
        "trained_here": any(command.command(0) for command in found),
        "shared": [(name, schema.BY_NAME[name].meaning, _text(members[0][name])) for name in shared],
        "varying": varying,
        "config": settings,
        "verification": _verification(entry, members, verified) if entry.tier else None,
        "rows": [
            {
                "seed": row["seed"],
                "status": row["status"],
                "error": row["error"] or "",
                "value": number_or_blank(row["value"], show),
                "score": "" if row["score"] is None else f"{row['score']:.1f}",
                "selected": "" if row["selected_step"] is None else str(row["selected_step"]),
                "varying": [_text(row[name]) for name in varying],
                "run_id": row["run_id"],
                "command": command.command(row["seed"]),
            }
            for row, command in zip(members, found, strict=True)
        ],
    }


def _verification(entry: RankingEntry, members: Sequence[Row], verified: Verifications) -> dict[str, Any]:
    """What was verified of an entry: that of the record with the lowest tier, and all records for download."""
    records = list({id(found): found for row in members if (found := verified.of(row)) is not None}.values())
    record = min(records, key=lambda one: verification.rank(one.tier))
    machine = record.surroundings
    text = json.dumps([one.to_dict() for one in records], indent=1, ensure_ascii=False)
    return {
        "tier": entry.tier,
        "when": record.verified_utc.replace("T", " ").replace("+00:00", " UTC"),
        "machine": ", ".join(
            f"{name} {_text(machine[column])}" if name else _text(machine[column])
            for name, column in (("", "processor"), ("nmbench", "nmbench_version"), ("jax", "jax_version"))
            if machine.get(column)
        ),
        "duration": f"{record.duration_s:.0f} s",
        "steps": [
            {
                "tier": step.tier,
                "compared": step.compared,
                "difference": "" if step.difference is None else f"{step.difference:.2g}",
                "tolerance": "" if step.tolerance is None else f"{step.tolerance:g}",
            }
            for step in record.steps
        ],
        "name": f"verification.{entry.model}.json",
        "address": f"data:application/json;charset=utf-8,{urllib.parse.quote(text)}",
    }


def _text(value: Any) -> str:
    if value is None:
        return "–"
    if isinstance(value, bool):
        return "yes" if value else "no"
    return f"{value:g}" if isinstance(value, float) else str(value)
