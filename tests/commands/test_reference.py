"""What is shipped is true: tuning records follow the declared grid, tables are those that the shipped rows make."""

import json
import pathlib

import numpy as np
import pytest

from nmbench.contracts.catalog import BASELINES, TASKS
from nmbench.experiments import resolution
from nmbench.experiments.request import Request
from nmbench.paper.ledger import page, publication
from nmbench.paper.ledger.evidence import Evidence
from nmbench.paper.ledger.verdicts import Verdict
from nmbench.report import leaderboard
from nmbench.results import ranking, schema
from support.rows import tables_of

ROOT = pathlib.Path(__file__).parents[2]
RECORDS = sorted((ROOT / "baselines" / "tuned").glob("*.json"))


@pytest.mark.parametrize("task", ["element_finder", "mwg_rank3"])
def test_every_paper_baseline_ships_its_tuning(task):
    names = {e.name for e in BASELINES.entries("paper")}
    assert {f"{name}.{task}.matched.json" for name in names} <= {p.name for p in RECORDS}


@pytest.mark.parametrize("path", RECORDS, ids=lambda p: p.stem)
def test_a_tuning_record_follows_the_declared_grid(path):
    record = json.loads(path.read_text())
    assert path.name == f"{record['model']}.{record['task']}.{record['protocol']}.json"
    task = TASKS.get(record["task"])
    protocol = task.protocol(record["protocol"])
    assert record["task_version"] == task.version
    assert record["validation_sha256"] == {name: task.frozen(name).sha256 for name in record["validation_sha256"]}
    assert tuple(record["grid"]) == protocol.learning_rate_grid
    assert tuple(record["seeds"]) == protocol.tuning_seeds
    losses = np.array([[np.inf if v is None else v for v in row] for row in record["validation_losses"]])
    assert losses.shape == (len(record["grid"]), len(record["seeds"]))
    assert record["chosen"] == record["grid"][int(np.argmin(losses.mean(axis=1)))]
    cell = resolution.resolve(Request(model=record["model"], task=record["task"], protocol=record["protocol"]))
    assert cell.sizing.hparams == record["hparams"] and cell.sizing.actual == record["params"]
    assert cell.tuning.rate == record["chosen"] and cell.tuning.trials == losses.size


def test_reference_rows_are_valid_and_of_todays_test_sets():
    rows = schema.read_csv(ROOT / "results" / "reference.csv")
    for row in rows:
        task = TASKS.get(row["task"])
        assert (row["task_version"], row["testset_sha256"]) == (task.version, task.frozen("test").sha256)
        assert row["git_dirty"] is False
    assert {row["model"] for row in rows} == {e.name for e in BASELINES.entries("paper")}


def test_reference_runs_are_those_that_a_user_would_make_today():
    """The configuration of every reference row is what `run` resolves to; only the text of a model's file may have moved."""
    for row in schema.read_csv(ROOT / "results" / "reference.csv"):
        request = Request(model=row["model"], task=row["task"], protocol=row["protocol"])
        then, now = json.loads(row["config_json"]), resolution.resolve(request).config(row["seed"])
        assert {**then, "model_sha256": ""} == {**json.loads(schema.canonical_json(now)), "model_sha256": ""}


def test_the_published_tables_are_those_of_the_reference_rows():
    tables = tables_of(schema.read_csv(ROOT / "results" / "reference.csv"))
    text = leaderboard.render(tables, ranking.overall(tables), "markdown", wide=True)
    assert text in (ROOT / "results" / "LEADERBOARD.md").read_text()
    readme = (ROOT / "README.md").read_text()
    matched = [table for table in tables if table.protocol == "matched"]
    assert {table.task for table in matched} == {"element_finder", "mwg_rank3"}
    for table in matched:
        assert leaderboard.render([table], [], "markdown").split("\n\n")[1] in readme
    overall = leaderboard.render([], ranking.overall(matched), "markdown").split("\n\n")[1]
    assert overall in readme


def test_the_published_ledger_is_that_of_its_rows():
    """All but what needs parameters, which no CSV holds."""
    rows = [str(ROOT / "results" / name) for name in ("reference.csv", "claims/rows.csv", "claims/long_rows.csv")]
    evidence = Evidence.read(rows, publication.wanted())
    text = (ROOT / "results" / "claims" / "CLAIMS.md").read_text()
    entries = publication.ledger(evidence, [c for c in publication.CLAIMS if c.name not in ("signal", "proposition")])
    for entry in entries:
        assert page.section(entry) in text, entry.claim.name
        assert Verdict.NO_DATA not in {finding.verdict for finding in entry.findings.values()}
    html = (ROOT / "results" / "claims" / "index.html").read_text()
    assert all(f'id="{claim.name}"' in html for claim in publication.CLAIMS)
