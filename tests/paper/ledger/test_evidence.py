"""Which rows are evidence for claims: default sizes, equally long trainings, the evaluation of the installed tasks."""

import itertools
import json

import pytest

from nmbench.contracts.catalog import TASKS
from nmbench.experiments import loading
from nmbench.paper.ledger.evidence import ExperimentKey
from nmbench.support.errors import NmbenchError
from support.claimed import make_rows, read, write_csv, write_folder

TASK = "element_finder"
FULL = 20000  # steps of the task's protocols
MATCHED = {"nmrnn": "matched", "lstm": "matched"}


@pytest.fixture
def evidence(tmp_path):
    """Evidence from rows, read from a CSV."""
    return lambda *groups: read(write_csv(tmp_path / "rows.csv", *groups))


def chosen(evidence, models=MATCHED, task=TASK):
    """Model to (steps, seeds, values of the primary metric)."""
    found = evidence.equally_trained(models, task)
    primary = TASKS.get(task).metrics[0].name
    return {name: (g.steps, [r["seed"] for r in g.rows], g.sample(primary).values.tolist()) for name, g in found.items()}


def test_rows_become_groups_of_seeds(evidence):
    found = evidence(make_rows("nmrnn", TASK, [1.0, 2.0]), make_rows("lstm", TASK, [3.0], first_seed=7))
    assert chosen(found) == {"nmrnn": (FULL, [0, 1], [1.0, 2.0]), "lstm": (FULL, [7], [3.0])}
    group = found.equally_trained(MATCHED, TASK)["nmrnn"]
    assert group.is_full and group.description == "2 seeds, 497 parameters, 20000 steps, tuned learning rate 0.01"
    assert chosen(found, {"nmrnn": "paper"}) == {}


def test_other_sizes_are_left_out(evidence):
    (good,) = make_rows("nmrnn", TASK, [1.0])
    hparams = json.loads(good["config_json"])["hparams"]
    for changes in ({"N": 19}, {"M": 6}, {"tau_x": 2.0}, {"parametrisation": "published"}):
        other = make_rows("nmrnn", TASK, [9.0, 9.0], first_seed=5, config={"hparams": {**hparams, **changes}})
        assert chosen(evidence([good], other)) == {"nmrnn": (FULL, [0], [1.0])}, changes
        assert chosen(evidence(other)) == {}, changes


def test_settings_of_a_key_are_distinguished_from_the_defaults(evidence):
    settings = (("tau_x", "1"), ("linear_z", "true"), ("feedback", "true"))
    plain = make_rows("nmrnn_linear", "mwg_rank1", [0.1])
    special = make_rows("nmrnn_linear", "mwg_rank1", [0.2, 0.3], settings=settings)
    found = evidence(plain, special)
    sizes = lambda key: [len(group.rows) for group in found.longest_trained(key)]
    assert sizes(ExperimentKey("nmrnn_linear", "mwg_rank1", "matched")) == [1]
    assert sizes(ExperimentKey("nmrnn_linear", "mwg_rank1", "matched", settings)) == [2]


def test_a_protocol_with_a_fixed_learning_rate_accepts_no_other(evidence):
    """`matched` accepts and reports a given learning rate; under `paper` such rows are another recipe and are left out."""
    other = {"learning_rate": 0.5, "tuning_trials": 0}
    matched = evidence(make_rows("nmrnn", TASK, [1.0], config=other, **other))
    assert chosen(matched) == {"nmrnn": (FULL, [0], [1.0])}
    assert (
        matched.equally_trained(MATCHED, TASK)["nmrnn"].description
        == "1 seed, 497 parameters, 20000 steps, learning rate 0.5"
    )
    assert chosen(evidence(make_rows("nmrnn", TASK, [1.0], "paper", config=other, **other)), {"nmrnn": "paper"}) == {}
    assert chosen(evidence(make_rows("nmrnn", TASK, [1.0], "paper")), {"nmrnn": "paper"}) != {}


def test_a_shortened_training_is_used_only_if_not_all_models_are_fully_trained(evidence):
    ours = [make_rows("nmrnn", TASK, [1.0]), make_rows("nmrnn", TASK, [2.0, 2.0, 2.0], steps=3000)]
    short = make_rows("lstm", TASK, [4.0], steps=3000)
    assert chosen(evidence(*ours, short)) == {"nmrnn": (3000, [0, 1, 2], [2.0] * 3), "lstm": (3000, [0], [4.0])}
    # Full trainings are used although more seeds were trained for 3000 steps.
    whole = make_rows("lstm", TASK, [3.0])
    assert chosen(evidence(*ours, short, whole)) == {"nmrnn": (FULL, [0], [1.0]), "lstm": (FULL, [0], [3.0])}
    group = evidence(short).equally_trained(MATCHED, TASK)["lstm"]
    assert not group.is_full and group.trained == "after 3000 of 20000 steps"


def test_all_models_of_a_claim_were_trained_equally_long(evidence):
    lengths = {"nmrnn": (3000, 5000, 8000), "lstm": (5000, 8000, 9000), "rnn": (5000, 9000), "lrrnn": (3000, 5000)}
    rows = [make_rows(model, TASK, [1.0], steps=n) for model, each in lengths.items() for n in each]
    found = evidence(*rows)
    of = lambda *models: {name: n for name, (n, _, _) in chosen(found, dict.fromkeys(models, "matched")).items()}
    assert of("nmrnn", "lstm", "rnn", "lrrnn") == dict.fromkeys(lengths, 5000)
    assert of("nmrnn", "lstm") == {"nmrnn": 8000, "lstm": 8000}
    assert of("lstm", "rnn") == {"lstm": 9000, "rnn": 9000}
    # If no length is available for all models, the length that most models share is used.
    apart = evidence(*(make_rows(m, TASK, [1.0], steps=n) for m, n in (("nmrnn", 3000), ("lstm", 3000), ("rnn", 8000))))
    assert set(apart.equally_trained(dict.fromkeys(lengths, "matched"), TASK)) == {"nmrnn", "lstm"}


def test_a_longer_training_is_not_the_full_one(evidence):
    longer = make_rows("nmrnn", TASK, [1.0], steps=2 * FULL)
    assert set(chosen(evidence(longer, make_rows("lstm", TASK, [1.0])))) == {"lstm"}
    both = evidence(longer, make_rows("lstm", TASK, [2.0], steps=2 * FULL))
    assert {name: n for name, (n, _, _) in chosen(both).items()} == {"nmrnn": 2 * FULL, "lstm": 2 * FULL}
    assert both.equally_trained(MATCHED, TASK)["nmrnn"].trained == "after 40000 instead of 20000 steps"
    # A full training has priority.
    assert chosen(evidence(longer, make_rows("nmrnn", TASK, [3.0])), {"nmrnn": "matched"})["nmrnn"][2] == [3.0]


def test_full_trainings_may_differ_in_length_between_models(evidence):
    """The published recipe on Measure-Wait-Go has 70,000 steps for the NM-RNN, 50,000 for the LSTM."""
    found = evidence(*(make_rows(m, "mwg_rank3", [0.1], "paper") for m in ("nmrnn", "lstm")))
    lengths = {name: n for name, (n, _, _) in chosen(found, dict.fromkeys(MATCHED, "paper"), "mwg_rank3").items()}
    assert lengths == {"nmrnn": 70000, "lstm": 50000}


def test_the_tuned_configuration_counts_then_the_one_with_more_seeds(evidence):
    tuned = make_rows("nmrnn", TASK, [1.0, 1.0])
    given = {"learning_rate": 0.5, "tuning_trials": 0}
    one, two = (make_rows("nmrnn", TASK, [9.0] * n, config=given, **given) for n in (1, 3))
    for rows in itertools.permutations((tuned, two)):
        assert chosen(evidence(*rows))["nmrnn"][2] == [1.0, 1.0]
    other = make_rows("nmrnn", TASK, [7.0, 7.0], config={**given, "learning_rate": 0.6}, **{**given, "learning_rate": 0.6})
    for rows in itertools.permutations((one, other)):
        assert chosen(evidence(*rows))["nmrnn"][2] == [7.0, 7.0]


@pytest.mark.parametrize("change", [{"data_seed": 7}, {"x64": True}, {"jax_settings": {"jax_enable_x64": "true"}}])
def test_runs_with_other_data_or_another_precision_do_not_count(evidence, change):
    columns = {name: value for name, value in change.items() if name != "jax_settings"}
    other = make_rows("nmrnn", TASK, [9.0] * 3, config=change, **columns)
    assert chosen(evidence(make_rows("nmrnn", TASK, [1.0]), other))["nmrnn"][2] == [1.0]
    assert chosen(evidence(other)) == {}


def test_a_full_training_counts_beside_an_equally_long_short_one(evidence):
    """50,000 steps are a full training of the vanilla RNN and a shortened one of the NM-RNN."""
    rows = [make_rows("nmrnn", "mwg_rank3", [0.1], "paper", steps=50000), make_rows("rnn", "mwg_rank3", [0.2], "paper")]
    found = chosen(evidence(*rows), {"nmrnn": "paper", "rnn": "paper"}, "mwg_rank3")
    assert found == {"nmrnn": (50000, [0], [0.1]), "rnn": (50000, [0], [0.2])}


def test_a_diverged_seed_counts_as_the_floor_of_each_metric(evidence):
    rows = make_rows("nmrnn", TASK, [1.0, None, 3.0], others={"exact_match": 0.5}, conditions={"mse": {"4": 7.0}})
    group = evidence(rows).equally_trained(MATCHED, TASK)["nmrnn"]
    floors = {m.name: m.floor for m in TASKS.get(TASK).metrics}
    assert floors["mse"] == pytest.approx(36, rel=0.05) and 0 < floors["exact_match"] < 0.2
    sample = group.sample("mse")
    assert sample.values.tolist() == [1.0, floors["mse"], 3.0] and sample.lost.tolist() == [False, True, False]
    assert sample.seeds.tolist() == [0, 1, 2] and sample.higher_is_better is False
    assert group.sample("exact_match").values.tolist() == [0.5, floors["exact_match"], 0.5]
    assert group.sample("exact_match").higher_is_better is True
    assert group.sample("mse", "4").values.tolist() == [7.0, floors["mse"], 7.0]
    assert group.description.startswith("3 seeds (1 lost), 497 parameters")


def test_metrics_of_a_stage_have_the_floor_of_their_metric(evidence):
    rows = make_rows("nmrnn", "multitask", [90.0, None], others={"new_task.before_retraining": 12.0})
    group = evidence(rows).equally_trained(MATCHED, "multitask")["nmrnn"]
    assert group.sample("new_task.before_retraining").values.tolist() == [12.0, 10.0]


@pytest.mark.parametrize("folder_first", [True, False])
def test_a_run_in_several_sources_is_taken_from_the_one_with_its_run_folder(tmp_path, folder_first):
    rows = make_rows("nmrnn", TASK, [1.0, 2.0, 3.0])
    folder = write_folder(tmp_path / "runs_here", rows[:2])
    table = write_csv(tmp_path / "rows.csv", rows[1:])
    tables = tmp_path / "tables"  # a folder with a CSV only
    tables.mkdir()
    write_csv(tables / "all.csv", rows)
    paths = [folder, table, str(tables)] if folder_first else [str(tables), table, folder]
    group = read(*paths).equally_trained(MATCHED, TASK)["nmrnn"]
    assert [row["seed"] for row in group.rows] == [0, 1, 2]
    assert group.sources == (folder, folder, str(tables) if folder_first else table)
    has_files = lambda path, row: loading.has_run_folder(row["run_id"], path)
    assert has_files(folder, rows[0]) and not has_files(folder, rows[2]) and not has_files(table, rows[0])


@pytest.mark.parametrize(
    ("column", "value"),
    [
        ("testset_sha256", "b" * 64),
        ("task_version", 99),
        ("metric", "mse_other"),
        ("floor", 40.0),
        ("ceiling", 1.0),
        ("higher_is_better", True),
    ],
)
def test_rows_that_were_evaluated_differently_are_refused_in_one_line(tmp_path, column, value):
    good, other = make_rows("nmrnn", TASK, [1.0]), make_rows("lstm", TASK, [1.0], **{column: value}, tuning_trials=0)
    alone = write_csv(tmp_path / "other.csv", other)
    # Compared with the installed task, with a row of the same file, and with a row of another file.
    for paths in ([alone], [write_csv(tmp_path / "both.csv", good, other)], [write_csv(tmp_path / "good.csv", good), alone]):
        with pytest.raises(NmbenchError, match=f"{other[0]['run_id']} has {column} {value}") as caught:
            read(*paths)
        assert "\n" not in str(caught.value)
    with pytest.raises(NmbenchError, match=f"in this nmbench has {'True|False|[a-z0-9.]+'}"):
        read(alone)


def test_rows_that_no_claim_needs_are_not_checked(evidence):
    odd = {"testset_sha256": "b" * 64, "task_version": 99, "tuning_trials": 0}
    others = [
        [{**row, **odd, **other, "run_id": f"other{i}"} for row in make_rows("nmrnn", TASK, [1.0], first_seed=1)]
        for i, other in enumerate(({"model": "gru"}, {"task": "made_up"}, {"protocol": "smoke"}, {"task": "delay_pro"}))
    ]
    # Rows of other sizes are not checked either.
    others.append(make_rows("nmrnn", TASK, [1.0], first_seed=2, config={"hparams": {"N": 3}}, **odd))
    assert chosen(evidence(*others, make_rows("nmrnn", TASK, [5.0]))) == {"nmrnn": (FULL, [0], [5.0])}


def phases(*steps):
    return {"protocol": {"name": "matched", "phases": [{"steps": n} for n in steps]}}


# Examples only: the tests of `Configuration.from_json` cover every entry.
MALFORMED = {
    "no protocol": {"protocol": None},
    "no phases": {"protocol": {"name": "matched"}},
    "steps that are text": phases("20000"),
    "negative steps that cancel": phases(20001, -1),
    "no sizes": {"hparams": None},
}


@pytest.mark.parametrize("label", MALFORMED)
def test_a_configuration_that_nmbench_did_not_write_is_left_out(evidence, label):
    odd = make_rows("nmrnn", TASK, [9.0], first_seed=3, config=MALFORMED[label])
    assert chosen(evidence(odd)) == {}
    assert chosen(evidence(odd, make_rows("nmrnn", TASK, [1.0]))) == {"nmrnn": (FULL, [0], [1.0])}


def test_a_configuration_that_is_empty_is_left_out(evidence):
    assert chosen(evidence(make_rows("nmrnn", TASK, [9.0], config_json="{}"))) == {}


def test_steps_of_phases_are_added(evidence):
    assert chosen(evidence(make_rows("nmrnn", TASK, [9.0], config=phases(15000, 5000))))["nmrnn"][0] == FULL


def test_a_missing_metric_is_refused(evidence):
    group = evidence(make_rows("nmrnn", "multitask", [90.0])).equally_trained(MATCHED, "multitask")["nmrnn"]
    with pytest.raises(NmbenchError, match=r"nmrnn\.multitask\.matched\.s0\.[0-9a-f]{12} has no new_task; another version"):
        group.sample("new_task")


@pytest.mark.parametrize("text", ["{}", '{"percent_correct":{}}'])
def test_a_missing_condition_gives_a_one_line_error(evidence, text):
    rows = make_rows("nmrnn", "multitask", [90.0], conditions_json=text)
    group = evidence(rows).equally_trained(MATCHED, "multitask")["nmrnn"]
    with pytest.raises(NmbenchError, match="has no percent_correct of memory_anti; another version") as caught:
        group.sample("percent_correct", "memory_anti")
    assert "\n" not in str(caught.value)


def test_full_trainings_come_first_then_the_longest(evidence):
    key = ExperimentKey("nmrnn", TASK, "matched")
    given = {"learning_rate": 0.5, "tuning_trials": 0}
    found = evidence(
        make_rows("nmrnn", TASK, [1.0], steps=3000),
        make_rows("nmrnn", TASK, [1.0], steps=90000),
        make_rows("nmrnn", TASK, [1.0], config=given, **given),
        make_rows("nmrnn", TASK, [1.0, 1.0]),
    )
    assert [(g.steps, len(g.rows)) for g in found.longest_trained(key)] == [(FULL, 2), (FULL, 1), (90000, 1), (3000, 1)]
    assert found.longest_trained(ExperimentKey("nmrnn", TASK, "paper")) == []


def test_pooled_experiments_count_as_one(evidence):
    """Two sizes with two seeds each; the third size is not fully trained."""
    sizes = [(("N", n), ("K", k)) for n, k in (("23", "10"), ("31", "7"), ("50", "4"))]
    rows = [make_rows("lrrnn", TASK, [i + 1.0, i + 2.0], "paper", settings=one) for i, one in enumerate(sizes[:2])]
    found = evidence(*rows, make_rows("lrrnn", TASK, [9.0], "paper", settings=sizes[2], steps=300))
    keys = [ExperimentKey("lrrnn", TASK, "paper", one) for one in sizes]
    group = found.pooled({"lrrnn": keys[:2]}).equally_trained({"lrrnn": "paper"}, TASK)["lrrnn"]
    sample = group.sample("mse")
    assert sample.values.tolist() == [1.0, 2.0, 2.0, 3.0] and sample.seeds.tolist() == [0, 1, 2, 3]
    assert group.description == "4 runs, 496 to 506 parameters, 20000 steps, learning rate 0.01"
    assert found.pooled({"lrrnn": keys}).equally_trained({"lrrnn": "paper"}, TASK) == {}


def test_no_evidence():
    from nmbench.paper.ledger.evidence import Evidence

    assert (
        Evidence().equally_trained(MATCHED, TASK) == {}
        and Evidence().longest_trained(ExperimentKey("nmrnn", TASK, "matched")) == []
    )


def test_the_last_file_counts_for_a_run_in_two_files(tmp_path):
    """The leaderboard follows the same rule."""
    paths = [write_csv(tmp_path / f"{value}.csv", make_rows("nmrnn", TASK, [value])) for value in (1.0, 2.0)]
    assert chosen(read(*paths))["nmrnn"][2] == [2.0]
    assert chosen(read(*reversed(paths)))["nmrnn"][2] == [1.0]
