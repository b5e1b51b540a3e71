"""The shipped results: tuning records follow the declared grids, and the published tables agree with the shipped rows."""

import functools
import importlib.util
import json
import pathlib
import re

import pytest

from nmbench.contracts import tuning_record
from nmbench.contracts.catalog import BASELINES, TASKS
from nmbench.experiments import loading, resolution
from nmbench.experiments.request import Request
from nmbench.paper import runs
from nmbench.paper.figures import gallery
from nmbench.paper.ledger import page, publication, summary
from nmbench.paper.ledger.evidence import Evidence
from nmbench.paper.ledger.verdicts import Verdict
from nmbench.questions import catalogue, findings, text
from nmbench.report import captions, leaderboard
from nmbench.results import experiment_rows, ranking, schema, store, verification
from nmbench.results.overall import overall_rankings
from nmbench.submissions import asking, folder, verifying

ROOT = pathlib.Path(__file__).parents[2]
BOARD, CLAIMS, RANK = (ROOT / "results" / name for name in ("board", "claims", "rank"))
# Submissions on the board: every one of their experiments is verified.
SUBMITTED = sorted(path.parent for path in (ROOT / "submissions").glob("*/submission.toml"))
RECORDS = sorted((ROOT / "baselines" / "tuned").glob("*.json"))


@pytest.mark.parametrize("path", RECORDS, ids=lambda p: p.stem)
def test_a_tuning_record_follows_the_declared_grid(path):
    record = tuning_record.check(json.loads(path.read_text()))  # recomputes the choice from the losses
    assert path.name == f"{record['model']}.{record['task']}.{record['protocol']}.json"
    task = TASKS.get(record["task"])
    protocol = task.protocol(record["protocol"])
    assert record["task_version"] == task.version
    assert record["validation_sha256"] == {name: task.frozen(name).sha256 for name in record["validation_sha256"]}
    assert set(protocol.learning_rate_grid) <= set(record["grid"])
    assert tuple(record["seeds"]) == protocol.tuning_seeds
    assert tuning_record.next_rate(protocol.learning_rate_grid, record["grid"], record["validation_losses"]) is None
    experiment = resolution.resolve(Request(model=record["model"], task=record["task"], protocol=record["protocol"]))
    assert experiment.sizing.hparams == record["hparams"] and experiment.sizing.actual == record["params"]
    assert experiment.learning_rate.value == record["chosen"]
    assert experiment.learning_rate.tuning_runs == len(record["grid"]) * len(record["seeds"])
    assert experiment.departures == ""


def published():
    """The rows of the board and those for the claims."""
    return [row for path in (BOARD, CLAIMS / "rows.csv") for row in store.read(str(path))]


def test_reference_rows_are_valid_and_use_the_current_test_sets():
    rows = store.read(str(BOARD))
    for row in rows:
        task = TASKS.get(row["task"])
        assert (row["task_version"], row["testset_sha256"]) == (task.version, task.frozen("test").sha256)
        assert row["git_dirty"] is False
    assert {row["model"] for row in rows} >= {e.name for e in BASELINES.entries("paper")}


def test_the_shipped_parameters_are_small():
    packs = [path for place in (BOARD, CLAIMS, RANK) for path in place.glob("*.safetensors")]
    assert packs and sum(path.stat().st_size for path in packs) < 50e6


def test_run_resolves_to_the_configurations_of_the_reference_rows():
    """The configuration of every reference row is that of `run`, except for fingerprints of source code."""

    @functools.cache
    def resolve(model, task, protocol, rate):
        return resolution.resolve(Request(model=model, task=task, protocol=protocol, learning_rate=rate))

    for row in store.read(str(BOARD)):
        given = row["learning_rate"] if row["departures"] == "learning rate not tuned" else None
        now = resolve(row["model"], row["task"], row["protocol"], given).configuration(row["seed"]).to_dict()
        assert row["config_json"] == schema.canonical_json(now)


@pytest.mark.exact  # compiled as users compile it, which is faster here
@pytest.mark.parametrize("path", sorted(BOARD.glob("*.safetensors")), ids=lambda p: p.stem)
def test_the_board_is_re_scored(path):
    """The rows of each task with parameters pass the first two tiers of `nmbench verify`."""
    board = folder.read_submission(BOARD)
    experiments = {experiment: rows for experiment, rows in board.experiments().items() if experiment.task == path.stem}
    assert experiments
    with asking.this_process() as models:
        for outcome in verifying.verify(board, experiments, verification.RE_SCORED, models):
            assert outcome.tier == verification.RE_SCORED, f"{outcome.experiment}: {outcome.problem}"


@pytest.mark.exact
def test_rows_with_other_ranks_are_re_scored():
    """The first seed of each model and rank. Only the rank and its learning rate depart from the board."""
    rows = store.read(str(RANK))
    found = {(row["model"], json.loads(row["config_json"])["hparams"]["K"]): row for row in reversed(rows)}
    assert set(found) == {(model, rank) for model in ("lrrnn", "nmrnn") for rank in (4, 6)} and len(rows) == 4 * 20
    assert {row["departures"] for row in rows} == {"learning rate not tuned"}
    for row in found.values():
        run = loading.load_run(f"{RANK / 'flip_flop.csv'}#{row['run_id']}")
        assert run.score() == pytest.approx(row["value"], rel=1e-3) and run.remarks == ()


@pytest.mark.parametrize("place", [BOARD, *SUBMITTED], ids=lambda path: path.name)
def test_verification_records_are_those_of_the_rows(place):
    hashes = {row["run_id"]: verification.row_hash(row) for row in store.read(str(place))}
    records = verification.read(place / verification.FILE)
    for record in records:
        assert record.runs.items() <= hashes.items(), f"{record.experiment}: verify {place} again"
    if place in SUBMITTED:
        assert {run for record in records for run in record.runs} == hashes.keys()


def test_the_leaderboard_file_is_current():
    tables = ranking.rank_tables(experiment_rows.read_all([str(BOARD), str(ROOT / "submissions"), str(CLAIMS / "rows.csv")]))
    text = leaderboard.render(tables, overall_rankings(tables), "markdown", wide=True)
    assert text in (ROOT / "results" / "LEADERBOARD.md").read_text()


def test_the_tables_of_the_readme_are_current(tmp_path, monkeypatch, capsys):
    spec = importlib.util.spec_from_file_location("generated_tables", ROOT / "docs" / "generated_tables.py")
    script = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(script)
    text = script.README.read_text(encoding="utf-8")
    assert text.count("<!-- table: ") + text.count("<!-- text: ") == text.count("<!-- end -->") >= 2
    assert script.main(["--check"]) == 0
    stale = tmp_path / "README.md"
    stale.write_text(text.replace("| nmrnn ", "| rnn ", 1), encoding="utf-8")
    monkeypatch.setattr(script, "README", stale)
    assert script.main(["--check"]) == 1 and "run python docs/generated_tables.py" in capsys.readouterr().err
    assert script.main([]) == 0 and stale.read_text(encoding="utf-8") == text


def test_the_published_findings_are_current():
    """The page, the CSV and the rows of the pictures follow from the board; `results/README.md` has the command."""
    folder = ROOT / "results" / "findings"
    asked = catalogue.read()
    found = findings.compute(asked, experiment_rows.read_all([str(BOARD)]))
    shown = captions.check(folder, store.read(str(BOARD)))
    again = "python -m nmbench.findings results/board --out=results/findings"
    said = {
        question.name: shown[name].caption.text
        for question in asked.questions
        if (name := text.picture_name(question)) in shown
    }
    assert (folder / "findings.md").read_text(encoding="utf-8") == text.markdown(found, asked, again, said, [])
    assert (folder / "findings.csv").read_text(encoding="utf-8") == text.csv(found)
    for question in asked.questions:
        answers = [a for one in found for f in one.findings if f.question == question for a in f.answers if not a.missing]
        compared = [rows for answer in answers for rows in (answer.model, answer.rival)]
        ids = {i for rows in compared for i, lost in zip(rows.run_ids, rows.sample.lost, strict=True) if not lost}
        picture = shown.get(text.picture_name(question))
        assert ids == (set(picture.caption.rows) if picture else set())


@pytest.mark.slow
def test_the_published_ledger_is_current():
    evidence = Evidence.read([str(BOARD), str(CLAIMS)], publication.wanted())
    text = (CLAIMS / "CLAIMS.md").read_text()
    for entry in publication.ledger(evidence, publication.CLAIMS):
        assert page.section(entry) in text and summary.sentences(entry) in text, entry.claim.name
        assert Verdict.NO_DATA not in {finding.verdict for finding in entry.findings.values()}
    html = (CLAIMS / "index.html").read_text()
    assert all(f'id="{claim.name}"' in html for claim in publication.CLAIMS)


def test_the_published_figures_show_published_rows():
    """Run ids and values in every figure are those of committed rows; the page shows every figure, and no other picture."""
    shown = captions.check(CLAIMS / "figures", published())
    assert {"5B", "intervals"} <= set(shown) <= {figure.name for figure in gallery.FIGURES}
    pictures = re.findall('<img src="([^"]+)"', (CLAIMS / "index.html").read_text())
    assert sorted(pictures) == sorted(
        path.relative_to(CLAIMS).as_posix() for figure in shown.values() for path in figure.files
    )
    (rows_only,) = [figure for figure in gallery.FIGURES if figure.name == "5B"]
    found = runs.find(rows_only.needs, runs.Recipe(str(BOARD)))
    assert dict(shown["5B"].caption.rows) == {r.row["run_id"]: r.row["value"] for each in found.values() for r in each}
