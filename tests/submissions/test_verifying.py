"""Tiers self-reported and re-scored: an honest submission passes, and changed files are noticed."""

import dataclasses
import hashlib
import json
import pathlib
import shutil

import numpy as np
import pytest

from nmbench.contracts.catalog import TASKS
from nmbench.contracts.metrics import Metric
from nmbench.results import store, verification
from nmbench.submissions import asking, board_seeds, checks, folder, isolation, rescoring, verifying
from nmbench.support.errors import NmbenchError
from support import toys
from support.submissions import LEAKY, arrays_of, change_values, reconfigure, register_toy, repack, rewrite, rows_of


def test_an_honest_submission_is_re_scored(submitted, verify):
    outcome = verify(submitted)
    assert (outcome.tier, outcome.problem) == ("re-scored", "")
    assert [step.tier for step in outcome.steps] == ["self-reported"] * 7 + ["re-scored"]
    scored = outcome.steps[-1]
    assert scored.compared == "12 values of trials of each of 4 runs: computed from the parameters, and stored"
    assert scored.difference < 2**-11  # stored values have half precision
    assert verify(submitted, "self-reported").tier == "self-reported"


def test_parameters_of_another_seed_are_noticed(submitted, verify):
    ids, arrays = [row["run_id"] for row in rows_of(submitted)], arrays_of(submitted)
    swapped = {ids[0]: ids[1], ids[1]: ids[0]}
    mine = lambda name: name.split("/")[0] in swapped and "/params/" in name
    other = {
        f"{swapped[name.split('/')[0]]}/{name.partition('/')[2]}": array for name, array in arrays.items() if mine(name)
    }
    repack(submitted, arrays | other)
    outcome = verify(submitted)
    assert outcome.tier == "" and outcome.steps[-1].tier == "re-scored"
    assert f"run {ids[0]}: its parameters give a mean of" in outcome.problem


def test_parameters_of_another_size_are_noticed(submitted, verify):
    arrays = arrays_of(submitted)
    repack(submitted, {n: np.concatenate([a, a]) if n.endswith("|W") else a for n, a in arrays.items()})
    assert "has 160 learned parameters, but its row says 96" in verify(submitted).problem


@pytest.mark.parametrize(("trials", "message"), [(False, "but the mean over its trials is"), (True, "its parameters give")])
def test_edited_scores_are_noticed(submitted, verify, trials, message):
    change_values(submitted, 0.5, trials)
    outcome = verify(submitted)
    assert outcome.tier == "" and message in outcome.problem


def test_edited_values_by_condition_are_noticed(submitted, verify):
    rows = rows_of(submitted)
    rows[2]["conditions_json"] = '{"mse":{"0":0.0,"1":0.0}}'
    rewrite(submitted, rows)
    assert "column 'conditions_json'" in verify(submitted).problem


def test_an_edited_validation_loss_is_noticed(submitted, verify):
    rewrite(submitted, [{**row, "validation_loss": row["validation_loss"] / 2} for row in rows_of(submitted)])
    assert "its training curve does not have its validation loss at the selected step" in verify(submitted).problem


def test_seeds_that_were_left_out_are_noticed(submitted, verify):
    rows = rows_of(submitted)
    left = rows.pop(1)["run_id"]
    rewrite(submitted, rows)
    repack(submitted, {name: a for name, a in arrays_of(submitted).items() if not name.startswith(left)})
    assert "seed 1 is missing; seeds must be 0, 1, 2 and so on" in verify(submitted).problem
    rows = rows[:1]
    rewrite(submitted, rows)
    repack(submitted, {name: a for name, a in arrays_of(submitted).items() if name.startswith(rows[0]["run_id"])})
    assert verify(submitted).problem == "1 seed, but the board asks for 4: train them with --seeds=4"


def test_another_test_set_is_noticed(submitted, verify):
    reconfigure(submitted, testset_sha256="f" * 64)
    assert f"was trained with testset_sha256 {'f' * 40}..., not" in verify(submitted).problem


def test_rows_of_an_older_version_of_the_task_are_noticed(submitted, verify, toy_maker, tmp_path):
    TASKS._entries.pop("toy")
    register_toy(toy_maker, tmp_path / "testsets", version=2)
    assert "was trained with task_version 1, not 2" in verify(submitted).problem


def test_rows_that_were_trained_longer_are_noticed(submitted, verify):
    """Their configuration says so, or else their training curve."""
    arrays = arrays_of(submitted)
    repack(submitted, {n: np.concatenate([a, a + np.array([40, 0, 0])]) if "/curve/" in n else a for n, a in arrays.items()})
    assert "its training curve ends at step 80, but its row says 40" in verify(submitted).problem
    protocol = json.loads(rows_of(submitted)[0]["config_json"])["protocol"]
    protocol["phases"][0]["steps"] = 80
    reconfigure(submitted, protocol=protocol)
    assert "was trained with protocol.phases.0.steps 80, not 40" in verify(submitted).problem


def test_rows_that_depart_from_their_protocol_are_refused(submitted, verify):
    rows = rows_of(submitted)
    rewrite(submitted, [{**row, "departures": "steps 80, not 40"} for row in rows])
    assert "its rows depart from protocol matched (steps 80, not 40)" in verify(submitted).problem


def test_rows_of_protocol_smoke_are_refused(submitted):
    with pytest.raises(NmbenchError, match="protocol smoke only checks that everything runs"):
        checks.check_seeds([{**row, "protocol": "smoke"} for row in rows_of(submitted)])


def test_a_learning_rate_without_tuning_is_refused(submitted, verify):
    reconfigure(submitted, tuning_trials=0)
    rewrite(submitted, [{**row, "tuning_json": '{"source":"given"}'} for row in rows_of(submitted)])
    assert verify(submitted).problem == "its learning rate was not tuned; train with --tune"


def test_a_tuning_record_of_other_seeds_is_refused(submitted, verify):
    rows = rows_of(submitted)
    record = {**json.loads(rows[0]["tuning_json"]), "seeds": [7, 8]}
    rewrite(submitted, [{**row, "tuning_json": json.dumps(record)} for row in rows])
    assert "its tuning record has seeds [7, 8], not [1000, 1001]" in verify(submitted).problem
    rewrite(submitted, rows)
    (file,) = (submitted / "tuning").iterdir()
    file.write_text(json.dumps({**json.loads(file.read_text()), "train_s": 0.5}))
    assert "no file in tuning/ is the tuning record of its rows" in verify(submitted).problem


def test_a_size_off_the_budget_is_refused(submitted, verify):
    rows = rows_of(submitted)
    rewrite(submitted, [{**row, "params_actual": 108, "params_dev": 0.08} for row in rows])
    assert "108 parameters are +8.0% off the budget of 100" in verify(submitted).problem
    rewrite(submitted, [{**row, "params_actual": 98, "params_dev": -0.02} for row in rows])
    assert "its tuning record has params 96, not 98" in verify(submitted).problem


def test_rows_of_another_source_are_refused(submitted, verify):
    source = (submitted / "leaky.py").read_text()
    (submitted / "leaky.py").write_text(source.replace("/ 10", "/ 11"))
    toml = submitted / "submission.toml"
    with pytest.raises(NmbenchError, match="leaky.py is not the file whose sha256 is in submission.toml"):
        verify(submitted)
    old, new = (hashlib.sha256(text.encode()).hexdigest() for text in (source, (submitted / "leaky.py").read_text()))
    toml.write_text(toml.read_text().replace(old, new))
    assert "was trained with another source of leaky" in verify(submitted).problem


def test_a_model_that_is_not_causal_is_refused(submitter, tmp_path):
    plugin = tmp_path / "ahead.py"
    ahead = LEAKY.replace("return self.B @ self.concat(inputs)", "return jnp.roll(self.B @ self.concat(inputs), -1, axis=0)")
    plugin.write_text(ahead.replace('"leaky"', '"ahead"'))
    with (
        asking.this_process([str(plugin)]) as model,
        pytest.raises(NmbenchError, match="fails rule M07-causal of nmbench check"),
    ):
        verifying.check_contract([{"model": "ahead", "task": "toy"}], model)


def test_records_count_only_for_unchanged_rows(submitted, verify):
    submission, outcome = folder.read_submission(submitted), verify(submitted, "self-reported")
    (record,) = verifying.records(submission, [outcome])
    path = submitted / verification.FILE
    verification.write(path, [record])
    assert verification.read(path) == [record]
    assert folder.read_submission(submitted).content_sha256 == submission.content_sha256 == record.content_sha256
    rows = list(store.iterate(str(submitted)))
    found = verification.Verifications([submitted])
    assert [found.tier(row) for row in rows] == ["self-reported"] * 4 and found.of(rows[0]).surroundings[
        "jax_version"
    ] == rows[0]["jax_version"]
    edited = {**rows[0], "train_s": rows[0]["train_s"] + 1}
    assert found.of(edited) is None and found.tier(edited) == ""
    assert verification.lowest(["re-trained", "self-reported"]) == "self-reported"
    assert verification.lowest(["re-trained", ""]) == verification.lowest([]) == ""


def test_a_lower_tier_keeps_a_higher_record_and_a_failure_removes_it(submitted, verify):
    submission, low = folder.read_submission(submitted), verify(submitted, "self-reported")
    scored = dataclasses.replace(low.steps[-1], tier="re-scored")
    high = verifying.records(submission, [dataclasses.replace(low, steps=(*low.steps, scored))])
    assert [record.tier for record in high] == ["re-scored"]
    assert verifying.records(submission, [low], high) == high
    assert verifying.records(submission, [], high) == high
    failed = dataclasses.replace(low, steps=(*low.steps, dataclasses.replace(scored, passed=False)))
    assert verifying.records(submission, [failed], high) == []
    rewrite(submitted, [{**row, "train_s": 1.0} for row in rows_of(submitted)])
    assert verifying.records(folder.read_submission(submitted), [], high) == []


def test_the_difference_of_scores():
    of = lambda found, stored, least=0.0: rescoring.difference(np.array(found), np.array(stored), least)
    assert of([1.0, 3.0], [1.0, 3.0]) == 0
    assert of([1.0, 3.0], [1.0, 2.0]) == 0.25  # 1 / 4
    assert of([1.0, np.nan], [1.0, np.nan]) == 0 and of([1.0, np.nan], [1.0, 2.0]) == 1
    assert of([1e-12], [3e-12]) == pytest.approx(2 / 3) and of([1e-12], [3e-12], 1.0) == pytest.approx(2e-12)


def test_other_metrics_and_their_conditions_are_compared(toy_task, tmp_path):
    """A tiny error must agree as a large one does; of a count, one trial of the twelve may differ."""
    odd = np.arange(12) % 2
    facts = {"higher_is_better": False, "floor": 0.5, "ceiling": 0.0, "conditions": lambda arrays: odd}
    tiny = Metric("tiny", lambda predictions, arrays: 1e-7 * (1 + odd / 3), **facts)
    count = Metric("count", lambda predictions, arrays: odd, **facts)
    task = dataclasses.replace(toy_task, metrics=(*toy_task.metrics, tiny, count))
    predictions = np.zeros_like(task.frozen("test").arrays["targets"])
    judged = task.evaluate(predictions, task.frozen("test").arrays)
    np.savez(tmp_path / "per_trial.npz", mse=judged["per_trial"]["mse"])
    values, conditions = judged["values"], judged["conditions"]
    row = {"run_id": "r", "metric": "mse", "n_test": 12, "value": values["mse"]}
    row |= {"metrics.tiny": values["tiny"], "metrics.count": values["count"]}

    def compare(conditions=conditions, **changes):
        changed = {**row, "conditions_json": json.dumps(conditions), **changes}
        return rescoring.rescore(task, changed, tmp_path, {"": predictions})

    assert compare() == 0
    assert compare(**{"metrics.count": 0.5 + 1 / 12}) > 0
    edited = {**conditions, "tiny": {"0": 1e-7, "1": 1e-7}}
    for message, changes in (
        ("column 'metrics.tiny'", {"metrics.tiny": 0.9 * values["tiny"]}),
        ("column 'metrics.count'", {"metrics.count": 0.5 + 2 / 12}),
        ("tiny of condition 1", {"conditions": edited}),
        ("column 'conditions_json'", {"conditions": {**conditions, "tiny": {"0": 1e-7}}}),
    ):
        with pytest.raises(NmbenchError, match=message):
            compare(**changes)


def test_the_board_asks_for_so_many_seeds():
    tasks = ("element_finder", "mwg_rank3", "multitask", "delay_pro")
    assert [board_seeds.wanted(task) for task in tasks] == [30, 30, 10, 20]
    text = " ".join((pathlib.Path(__file__).parents[2] / "docs" / "submit.md").read_text().split())
    assert "30 on `element_finder` and `mwg_rank3`, 10 on `multitask`, 20 on all other tasks" in text


TOY_TASK = """
import dataclasses, pathlib
from nmbench import register_task
from nmbench.tasks._toys import make_toy_task

task = make_toy_task(pathlib.Path(__file__).parent / "toy_sets")
grid = dataclasses.replace(task.protocols[0], learning_rate_grid=(1e-2, 1e-1, 1.0))
given = {field.name: getattr(task, field.name) for field in dataclasses.fields(task) if field.name not in ("name", "path")}
register_task("toy", **{**given, "protocols": (grid, task.protocols[1])})
"""


@pytest.mark.release
def test_a_submission_is_re_trained_in_a_process_of_its_own(submitted, monkeypatch):
    copy = isolation._copy_code

    def copy_with_toy(to):
        copy(to)
        (to / "tasks" / "toy_task.py").write_text(TOY_TASK)
        shutil.copy(pathlib.Path(toys.__file__), to / "tasks" / "_toys.py")

    monkeypatch.setattr(isolation, "_copy_code", copy_with_toy)
    submission = folder.read_submission(submitted)
    with isolation.own_process(submission.plugin, [submission.folder]) as model:
        (outcome,) = verifying.verify(submission, submission.experiments(), "re-trained", model)
    assert (outcome.tier, outcome.problem) == ("re-trained", "")
