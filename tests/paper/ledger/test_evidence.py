"""Which rows claims are held against: of default sizes, trained equally long, judged as the tasks here judge."""

import json

import pytest

from nmbench.contracts.catalog import TASKS
from nmbench.paper.ledger.evidence import Key, has_folder
from nmbench.support.errors import NmbenchError
from support.claimed import make_rows, read, write_csv, write_folder

TASK = "element_finder"
WHOLE = 20000  # steps of the task's protocols
MATCHED = {"nmrnn": "matched", "lstm": "matched"}


@pytest.fixture
def evidence(tmp_path):
    """From rows, by way of a CSV."""
    return lambda *groups: read(write_csv(tmp_path / "rows.csv", *groups))


def chosen(evidence, models=MATCHED, task=TASK):
    """Model to (steps, seeds, values of the primary metric)."""
    found = evidence.alike(models, task)
    primary = TASKS.get(task).metrics[0].name
    return {name: (g.steps, [r["seed"] for r in g.rows], g.sample(primary).values.tolist()) for name, g in found.items()}


def test_rows_become_groups_of_seeds(evidence):
    found = evidence(make_rows("nmrnn", TASK, [1.0, 2.0]), make_rows("lstm", TASK, [3.0], first_seed=7))
    assert chosen(found) == {"nmrnn": (WHOLE, [0, 1], [1.0, 2.0]), "lstm": (WHOLE, [7], [3.0])}
    group = found.alike(MATCHED, TASK)["nmrnn"]
    assert group.is_whole and group.told == "2 seeds, 497 parameters, 20000 steps, tuned rate 0.01"
    assert chosen(found, {"nmrnn": "paper"}) == {}


def test_other_sizes_are_left_out(evidence):
    (good,) = make_rows("nmrnn", TASK, [1.0])
    hparams = json.loads(good["config_json"])["hparams"]
    for changes in ({"N": 19}, {"M": 6}, {"tau_x": 2.0}, {"parametrisation": "published"}):
        other = make_rows("nmrnn", TASK, [9.0, 9.0], first_seed=5, config={"hparams": {**hparams, **changes}})
        assert chosen(evidence([good], other)) == {"nmrnn": (WHOLE, [0], [1.0])}, changes
        assert chosen(evidence(other)) == {}, changes


def test_settings_of_a_key_are_told_from_the_default_ones(evidence):
    settings = (("tau_x", "1"), ("linear_z", "true"), ("feedback", "true"))
    plain = make_rows("nmrnn_linear", "mwg_rank1", [0.1])
    special = make_rows("nmrnn_linear", "mwg_rank1", [0.2, 0.3], settings=settings)
    found = evidence(plain, special)
    sizes = lambda key: [len(group.rows) for group in found.longest(key)]
    assert sizes(Key("nmrnn_linear", "mwg_rank1", "matched")) == [1]
    assert sizes(Key("nmrnn_linear", "mwg_rank1", "matched", settings)) == [2]


def test_a_fixed_recipe_has_its_own_rate_alone(evidence):
    """Under `matched` a given rate counts, and is said; under `paper` it is another recipe."""
    other = {"learning_rate": 0.5, "tuning_trials": 0}
    matched = evidence(make_rows("nmrnn", TASK, [1.0], config=other, **other))
    assert chosen(matched) == {"nmrnn": (WHOLE, [0], [1.0])}
    assert matched.alike(MATCHED, TASK)["nmrnn"].told == "1 seed, 497 parameters, 20000 steps, rate 0.5"
    assert chosen(evidence(make_rows("nmrnn", TASK, [1.0], "paper", config=other, **other)), {"nmrnn": "paper"}) == {}
    assert chosen(evidence(make_rows("nmrnn", TASK, [1.0], "paper")), {"nmrnn": "paper"}) != {}


def test_a_shortened_training_is_used_only_where_no_full_one_is_common(evidence):
    ours = [make_rows("nmrnn", TASK, [1.0]), make_rows("nmrnn", TASK, [2.0, 2.0, 2.0], steps=3000)]
    short = make_rows("lstm", TASK, [4.0], steps=3000)
    assert chosen(evidence(*ours, short)) == {"nmrnn": (3000, [0, 1, 2], [2.0] * 3), "lstm": (3000, [0], [4.0])}
    # Although more seeds were trained for 3000 steps.
    whole = make_rows("lstm", TASK, [3.0])
    assert chosen(evidence(*ours, short, whole)) == {"nmrnn": (WHOLE, [0], [1.0]), "lstm": (WHOLE, [0], [3.0])}
    group = evidence(short).alike(MATCHED, TASK)["lstm"]
    assert not group.is_whole and group.trained == "after 3000 of 20000 steps"


def test_all_models_of_a_claim_were_trained_equally_long(evidence):
    lengths = {"nmrnn": (3000, 5000, 8000), "lstm": (5000, 8000, 9000), "rnn": (5000, 9000), "lrrnn": (3000, 5000)}
    rows = [make_rows(model, TASK, [1.0], steps=n) for model, each in lengths.items() for n in each]
    found = evidence(*rows)
    of = lambda *models: {name: n for name, (n, _, _) in chosen(found, dict.fromkeys(models, "matched")).items()}
    assert of("nmrnn", "lstm", "rnn", "lrrnn") == dict.fromkeys(lengths, 5000)
    assert of("nmrnn", "lstm") == {"nmrnn": 8000, "lstm": 8000}
    assert of("lstm", "rnn") == {"lstm": 9000, "rnn": 9000}
    # Where no length is that of all, the one that most share.
    apart = evidence(*(make_rows(m, TASK, [1.0], steps=n) for m, n in (("nmrnn", 3000), ("lstm", 3000), ("rnn", 8000))))
    assert set(apart.alike(dict.fromkeys(lengths, "matched"), TASK)) == {"nmrnn", "lstm"}


def test_a_longer_training_is_not_the_full_one(evidence):
    longer = make_rows("nmrnn", TASK, [1.0], steps=2 * WHOLE)
    assert set(chosen(evidence(longer, make_rows("lstm", TASK, [1.0])))) == {"lstm"}
    both = evidence(longer, make_rows("lstm", TASK, [2.0], steps=2 * WHOLE))
    assert {name: n for name, (n, _, _) in chosen(both).items()} == {"nmrnn": 2 * WHOLE, "lstm": 2 * WHOLE}
    assert both.alike(MATCHED, TASK)["nmrnn"].trained == "after 40000 of 20000 steps"
    # The full one goes before it.
    assert chosen(evidence(longer, make_rows("nmrnn", TASK, [3.0])), {"nmrnn": "matched"})["nmrnn"][2] == [3.0]


def test_trained_in_full_may_be_of_another_length_for_each_model(evidence):
    """The published recipe on Measure-Wait-Go has 70,000 steps for the NM-RNN, 50,000 for the LSTM."""
    found = evidence(*(make_rows(m, "mwg_rank3", [0.1], "paper") for m in ("nmrnn", "lstm")))
    lengths = {name: n for name, (n, _, _) in chosen(found, dict.fromkeys(MATCHED, "paper"), "mwg_rank3").items()}
    assert lengths == {"nmrnn": 70000, "lstm": 50000}


def test_of_two_configurations_that_with_more_seeds_counts_then_the_tuned_one(evidence):
    tuned = make_rows("nmrnn", TASK, [1.0, 1.0])
    given = {"learning_rate": 0.5, "tuning_trials": 0}
    two, three = (make_rows("nmrnn", TASK, [9.0] * n, config=given, **given) for n in (2, 3))
    for rows in ((tuned, two), (two, tuned)):
        assert chosen(evidence(*rows))["nmrnn"][2] == [1.0, 1.0]
    for rows in ((tuned, three), (three, tuned)):
        assert chosen(evidence(*rows))["nmrnn"][2] == [9.0, 9.0, 9.0]


def test_a_diverged_seed_counts_as_the_floor_of_each_metric(evidence):
    rows = make_rows("nmrnn", TASK, [1.0, None, 3.0], others={"exact_match": 0.5}, conditions={"mse": {"4": 7.0}})
    group = evidence(rows).alike(MATCHED, TASK)["nmrnn"]
    floors = {m.name: m.floor for m in TASKS.get(TASK).metrics}
    assert floors["mse"] == pytest.approx(36, rel=0.05) and 0 < floors["exact_match"] < 0.2
    sample = group.sample("mse")
    assert sample.values.tolist() == [1.0, floors["mse"], 3.0] and sample.lost.tolist() == [False, True, False]
    assert sample.seeds.tolist() == [0, 1, 2] and sample.higher_is_better is False
    assert group.sample("exact_match").values.tolist() == [0.5, floors["exact_match"], 0.5]
    assert group.sample("exact_match").higher_is_better is True
    assert group.sample("mse", "4").values.tolist() == [7.0, floors["mse"], 7.0]
    assert group.told.startswith("3 seeds (1 lost), 497 parameters")


def test_metrics_of_a_stage_have_the_floor_of_their_metric(evidence):
    rows = make_rows("nmrnn", "multitask", [90.0, None], others={"new_task.before_retraining": 12.0})
    group = evidence(rows).alike(MATCHED, "multitask")["nmrnn"]
    assert group.sample("new_task.before_retraining").values.tolist() == [12.0, 10.0]


@pytest.mark.parametrize("folder_first", [True, False])
def test_a_run_in_several_sources_is_taken_from_where_its_folder_is(tmp_path, folder_first):
    rows = make_rows("nmrnn", TASK, [1.0, 2.0, 3.0])
    folder = write_folder(tmp_path / "runs_here", rows[:2])
    table = write_csv(tmp_path / "rows.csv", rows[1:])
    tables = tmp_path / "tables"  # a folder, but of a CSV
    tables.mkdir()
    write_csv(tables / "all.csv", rows)
    paths = [folder, table, str(tables)] if folder_first else [str(tables), table, folder]
    group = read(*paths).alike(MATCHED, TASK)["nmrnn"]
    assert [row["seed"] for row in group.rows] == [0, 1, 2]
    assert group.sources == (folder, folder, str(tables) if folder_first else table)
    assert has_folder(folder, rows[0]) and not has_folder(folder, rows[2]) and not has_folder(table, rows[0])


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
def test_rows_that_were_judged_otherwise_are_refused_in_one_line(tmp_path, column, value):
    good, other = make_rows("nmrnn", TASK, [1.0]), make_rows("lstm", TASK, [1.0], **{column: value})
    alone = write_csv(tmp_path / "other.csv", other)
    # Against the task here, against a row of the same file, and against one of another file.
    for paths in ([alone], [write_csv(tmp_path / "both.csv", good, other)], [write_csv(tmp_path / "good.csv", good), alone]):
        with pytest.raises(NmbenchError, match=f"{other[0]['run_id']} has {column} {value}") as caught:
            read(*paths)
        assert "\n" not in str(caught.value)
    with pytest.raises(NmbenchError, match=f"in this nmbench has {'True|False|[a-z0-9.]+'}"):
        read(alone)


def test_rows_that_no_claim_is_about_are_not_judged(evidence):
    odd = {"testset_sha256": "b" * 64, "task_version": 99}
    others = [
        [{**row, **odd, **other, "run_id": f"other{i}"} for row in make_rows("nmrnn", TASK, [1.0], first_seed=1)]
        for i, other in enumerate(({"model": "gru"}, {"task": "made_up"}, {"protocol": "smoke"}, {"task": "delay_pro"}))
    ]
    # Nor those of other sizes, such as an older version's.
    others.append(make_rows("nmrnn", TASK, [1.0], first_seed=2, config={"hparams": {"N": 3}}, **odd))
    assert chosen(evidence(*others, make_rows("nmrnn", TASK, [5.0]))) == {"nmrnn": (WHOLE, [0], [5.0])}


def phases(*steps):
    return {"protocol": {"name": "matched", "phases": [{"steps": n} for n in steps]}}


MALFORMED = {
    "no protocol": {"protocol": None},
    "a protocol that is text": {"protocol": "matched"},
    "no phases": {"protocol": {"name": "matched"}},
    "phases that are a number": {"protocol": {"phases": 3}},
    "phases that are text": {"protocol": {"phases": "abc"}},
    "an object of phases": {"protocol": {"phases": {"steps": 20000}}},
    "phases without steps": {"protocol": {"phases": [{}]}},
    "an empty list of phases": phases(),
    "steps that are text": phases("20000"),
    "steps that are a list": phases([20000]),
    "steps that are true": phases(True, 19999),
    "half a step": phases(0.5, 19999.5),
    "negative steps": phases(-5),
    "steps that make up for each other": phases(20001, -1),
    "steps beyond all bounds": phases(10**400),
    "steps of no number": phases(None),
    "sizes that are a list": {"hparams": [1, 2]},
    "sizes that are a number": {"hparams": 5},
    "no sizes": {"hparams": None},
}


@pytest.mark.parametrize("label", MALFORMED)
def test_a_configuration_that_nmbench_did_not_write_is_left_out(evidence, label):
    odd = make_rows("nmrnn", TASK, [9.0], first_seed=3, config=MALFORMED[label])
    assert chosen(evidence(odd)) == {}
    assert chosen(evidence(odd, make_rows("nmrnn", TASK, [1.0]))) == {"nmrnn": (WHOLE, [0], [1.0])}


def test_a_configuration_that_is_empty_is_left_out(evidence):
    assert chosen(evidence(make_rows("nmrnn", TASK, [9.0], config_json="{}"))) == {}


def test_phases_are_added_up(evidence):
    assert chosen(evidence(make_rows("nmrnn", TASK, [9.0], config=phases(15000, 0, 5000))))["nmrnn"][0] == WHOLE


def test_a_metric_that_a_row_lacks_is_one_line(evidence):
    group = evidence(make_rows("nmrnn", "multitask", [90.0])).alike(MATCHED, "multitask")["nmrnn"]
    with pytest.raises(NmbenchError, match=r"nmrnn\.multitask\.matched\.s0\.[0-9a-f]{12} has no new_task, which a claim is"):
        group.sample("new_task")


@pytest.mark.parametrize(
    "text",
    [
        "{}",
        '{"percent_correct":5}',
        '{"percent_correct":[90]}',
        '{"percent_correct":{}}',
        '{"percent_correct":{"memory_anti":"90"}}',
        '{"percent_correct":{"memory_anti":true}}',
        '{"percent_correct":{"memory_anti":null}}',
        '{"percent_correct":{"memory_anti":1' + "0" * 400 + "}}",
    ],
)
def test_a_condition_that_a_row_lacks_is_one_line(evidence, text):
    rows = make_rows("nmrnn", "multitask", [90.0], conditions_json=text)
    group = evidence(rows).alike(MATCHED, "multitask")["nmrnn"]
    with pytest.raises(NmbenchError, match="has no percent_correct of memory_anti, which a claim is about") as caught:
        group.sample("percent_correct", "memory_anti")
    assert "\n" not in str(caught.value)


def test_the_longest_trained_come_first(evidence):
    key = Key("nmrnn", TASK, "matched")
    given = {"learning_rate": 0.5, "tuning_trials": 0}
    found = evidence(
        make_rows("nmrnn", TASK, [1.0], steps=3000),
        make_rows("nmrnn", TASK, [1.0], steps=90000),
        make_rows("nmrnn", TASK, [1.0], config=given, **given),
        make_rows("nmrnn", TASK, [1.0, 1.0]),
    )
    assert [(g.steps, len(g.rows)) for g in found.longest(key)] == [(WHOLE, 2), (WHOLE, 1), (90000, 1), (3000, 1)]
    assert found.longest(Key("nmrnn", TASK, "paper")) == []


def test_no_evidence():
    from nmbench.paper.ledger.evidence import Evidence

    assert Evidence().alike(MATCHED, TASK) == {} and Evidence().longest(Key("nmrnn", TASK, "matched")) == []


def test_a_run_that_two_files_have_with_other_values(tmp_path):
    """The last counts, as in the leaderboard."""
    paths = [write_csv(tmp_path / f"{value}.csv", make_rows("nmrnn", TASK, [value])) for value in (1.0, 2.0)]
    assert chosen(read(*paths))["nmrnn"][2] == [2.0]
    assert chosen(read(*reversed(paths)))["nmrnn"][2] == [1.0]
