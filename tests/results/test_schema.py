"""Rows and CSVs: what is written can be read, and what is not a results CSV is refused in one line."""

import csv
import io

import pytest
from hypothesis import HealthCheck, assume, given, settings
from hypothesis import strategies as st

from nmbench.results import csv_files, schema
from nmbench.support.errors import NmbenchError
from support.rows import diverged, make_row, tuned

TUNED = tuned({0.003: [2.0, 2.0], 0.01: [1.0, 1.0]})


@pytest.fixture
def path(tmp_path):
    file = tmp_path / "results.csv"
    file.write_text(csv_files.to_csv([make_row(), diverged(seed=1, run_id="nmrnn.made_up.s1")]))
    return file


def test_rows_are_equal_after_a_csv_round_trip(path):
    rows = [make_row(), diverged(seed=1, run_id="nmrnn.made_up.s1")]
    assert csv_files.read_csv(path) == [schema.check_row(row, "x") for row in rows]


def test_brackets_in_texts_are_not_nested_json():
    for config in ('{"a":' * 400 + "1" + "}" * 400, '{"a":"' + "[" * 500 + '"}', "{" + '"a":[],' * 200 + '"b":"\\""}'):
        assert schema.check_row(make_row(config_json=config), "x")["config_json"] == config


def test_every_column_has_a_meaning():
    assert all(c.meaning and c.kind in schema._PARSERS for c in schema.COLUMNS)
    assert len(schema.BY_NAME) == len(schema.COLUMNS)


@pytest.mark.parametrize(
    ("changes", "message"),
    [
        ({"seed": "x"}, "column 'seed': 'x' is not a valid int"),
        ({"seed": 1.5}, "column 'seed'"),
        ({"value": None}, "column 'value': empty although status is ok"),
        ({"value": float("inf")}, "column 'value': 'inf' is not a valid float"),
        ({"value": -1.1e300}, "column 'value': '-1.1e+300' is not a valid float"),
        ({"value": 1.0, "score": 75.1}, "column 'score': 75.1 is not the score of value 1.0, 75"),
        ({"value": 5.0, "score": -25.0}, "column 'score': -25.0 is not the score of value 5.0, 0"),
        ({"floor": 8.0, "score": 75.0}, "column 'score': 75.0 is not the score of value 1.0, 87.5"),
        ({"status": "fine"}, "column 'status': 'fine' is not one of"),
        ({"status": "failed"}, "column 'error': empty"),
        ({"schema_version": 1}, "column 'schema_version': 1 is not 2, the version that this nmbench reads; read it with"),
        ({"departures": "a\nb"}, "column 'departures'"),
        ({"tuning_trials": 12}, "column 'tuning_json': not a tuning record: 'model' is not a text"),
        ({"tuning_trials": 12, "tuning_json": None}, "column 'tuning_json': not a tuning record"),
        ({**TUNED, "learning_rate": 0.003}, "its 'chosen' is '0.01', not '0.003' as in the row"),
        ({**TUNED, "model": "lstm"}, "column 'tuning_json': its 'model' is 'nmrnn', not 'lstm' as in the row"),
        ({**TUNED, "task": "other"}, "its 'task' is 'made_up', not 'other' as in the row"),
        ({**TUNED, "task_version": 2}, "its 'task_version' is '1', not '2' as in the row"),
        ({**TUNED, "protocol": "paper"}, "its 'protocol' is 'matched', not 'paper' as in the row"),
        ({**TUNED, "tuning_trials": 5}, "it has 4 tuning runs, but column 'tuning_trials' says 5"),
        ({**TUNED, "tuning_trials": -4}, "it has 4 tuning runs, but column 'tuning_trials' says -4"),
        ({"testset_sha256": "abc"}, "column 'testset_sha256'"),
        ({"config_json": "[1]"}, "column 'config_json'"),
        ({"config_json": "{"}, "column 'config_json'"),
        ({"config_json": '{"a":NaN}'}, "column 'config_json'"),
        ({"config_json": '{"a":1e999}'}, "column 'config_json'"),
        ({"config_json": '{"a":"\ud800"}'}, "column 'config_json'"),
        ({"config_json": '{"a":' * 401 + "1" + "}" * 401}, "column 'config_json'"),
        ({"config_json": '{"a":' * 99_999 + "1" + "}" * 99_999}, "column 'config_json'"),
        ({"protocol": "\x1b[31mred"}, r"column 'protocol': '\x1b[31mred' is not a valid str"),
        ({"protocol": "\x7f"}, "column 'protocol'"),
        ({"protocol": "\x9b31m"}, "column 'protocol'"),
        ({"protocol": "\u202eabc"}, "column 'protocol'"),
        ({"protocol": "a\u200bb"}, "column 'protocol'"),
        ({"protocol": "a\U000e0041"}, "column 'protocol'"),
        ({"metrics.\x1b]0;title\x07": 1.0}, "the name of column 'metrics.\\x1b]0;title\\x07' contains invisible characters"),
        ({"train_s": -73.0}, "column 'train_s': -73.0 is negative"),
        ({"eval_s": -0.1}, "column 'eval_s': -0.1 is negative"),
        ({"seed": -5}, "column 'seed': -5 is negative"),
        ({"selected_step": 30_000}, "column 'selected_step': 30000 is after the last step, "),
        ({"error": "killed"}, "column 'error': not empty although status is ok"),
        ({"conditions_json": '{"mse":3}'}, "column 'conditions_json': not a mean for each condition of each metric"),
        ({"conditions_json": '{"mse":{"0":"x"}}'}, "column 'conditions_json': not a mean"),
        ({"conditions_json": '{"mse":{"0":true}}'}, "column 'conditions_json': not a mean"),
        ({"conditions_json": '{"mse":{"0":1' + "0" * 400 + "}}"}, "column 'conditions_json': not a mean"),
        ({"conditions_json": '{"mse":{"a\\u0001":1.0}}'}, "column 'conditions_json'"),
        ({"config_json": '{"hparams":{"\\u001b[31m":1}}'}, "column 'config_json'"),
        ({"protocol": "\ud800"}, "column 'protocol'"),
        ({"higher_is_better": "maybe"}, "column 'higher_is_better'"),
        ({"model": ""}, "column 'model': empty"),
        ({"protocol": "a\nb"}, "column 'protocol'"),
        ({"run_id": "../../etc"}, "column 'run_id'"),
        ({"params_dev": None}, "column 'params_dev'"),
        ({"n_test": 0}, "column 'n_test': 0 is not positive"),
        ({"floor": 0.0}, "column 'ceiling': equals the floor"),
        ({"surprise": 1}, "unknown column 'surprise'"),
        ({"metrics.m": "x"}, "column 'metrics.m'"),
    ],
)
def test_bad_values_name_row_and_column(changes, message):
    with pytest.raises(NmbenchError) as caught:
        schema.check_row(make_row(**changes), "f.csv, row 3")
    assert message in str(caught.value) and "f.csv, row 3" in str(caught.value)


def test_missing_columns_are_named():
    row = make_row()
    del row["seed"]
    with pytest.raises(NmbenchError, match="column 'seed' is missing"):
        schema.check_row(row, "x")


@pytest.mark.parametrize(
    ("damage", "message"),
    [
        (lambda t: "", "is empty"),
        (lambda t: "a,b\n1,2\n", "is not an nmbench results CSV"),
        (lambda t: t[:-1], "truncated"),
        (lambda t: t[:-40] + "\n", "truncated"),
        (lambda t: t.replace("nmrnn.made_up.s1", "nmrnn.made_up.matched.s0.0123456789ab"), "already appears in row"),
        (lambda t: t.replace("run_id", "seed", 1), "is not an nmbench results CSV"),
        (lambda t: t.replace("metrics.exact_match", "seed", 1), "twice"),
        (lambda t: t.replace("metrics.exact_match", "", 1), "of the header has no name; delete empty columns"),
        (lambda t: '"' + t, "CSV"),
    ],
)
def test_damaged_files_are_refused_in_one_line(path, damage, message):
    path.write_text(damage(path.read_text()))
    with pytest.raises(NmbenchError, match=message) as caught:
        csv_files.read_csv(path)
    assert "\n" not in str(caught.value) and str(path) in str(caught.value)


def test_files_that_are_not_text_are_refused(path, tmp_path):
    path.write_bytes(b"\xff\xfe\x00")
    for bad in (path, tmp_path, tmp_path / "missing.csv"):
        with pytest.raises(NmbenchError, match="cannot read|is not a text file in UTF-8"):
            csv_files.read_csv(bad)


@settings(max_examples=300, deadline=None, suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(data=st.data())
def test_mangled_files_are_read_or_refused_but_never_crash(path, data):
    text = csv_files.to_csv([make_row(), make_row(seed=1, run_id="b")])
    start = data.draw(st.integers(0, len(text)))
    length = data.draw(st.integers(0, 60))
    insert = data.draw(st.text(max_size=12))
    path.write_text(text[:start] + insert + text[start + length :], encoding="utf-8", newline="")
    try:
        rows = csv_files.read_csv(path)
    except NmbenchError as error:
        assert "\n" not in str(error)
    else:
        assert all(schema.check_row(row, "again") == row for row in rows)


@settings(max_examples=100, deadline=None)
@given(model=st.text(st.characters(min_codepoint=32, codec="utf-8"), min_size=1, max_size=20).filter(str.strip))
def test_any_printable_model_name_is_equal_after_a_csv_round_trip(model):
    assume(not schema.CONTROL.search(model))
    row = schema.check_row(make_row(model=model, run_id="r"), "x")
    text = csv_files.to_csv([row])
    (again,) = csv.DictReader(io.StringIO(text))
    assert schema.check_row(again, "y") == row


def test_reading_a_file_checks_its_rows(tmp_path):
    training = dict.fromkeys(c.name for c in schema.COLUMNS if c.training)
    rows = [make_row("a", s, s / 7, run_id=f"r{s}") for s in range(5)] + [diverged(run_id="lost")]
    rows += [make_row("mine", 9, 1.0, run_id="e", protocol="external", **training), make_row("a", 6, 1.0, run_id="after")]
    path = tmp_path / "a.csv"
    path.write_text(csv_files.to_csv(rows))
    assert csv_files.read_csv(path) == [schema.check_row(row, "x") for row in rows]
    rows.append(make_row("a", 7, 1.0, run_id="last") | training)
    path.write_text(csv_files.to_csv(rows))
    with pytest.raises(NmbenchError, match=r"row 9, column 'data_seed': empty; expected int"):
        csv_files.read_csv(path)
