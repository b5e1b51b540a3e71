"""The exact command of a row resolves to the row's run id. These tests train nothing."""

import dataclasses
import json
import pathlib
import shlex

import pytest

from nmbench import run
from nmbench.experiments import resolution
from nmbench.experiments.experiment import LearningRate
from nmbench.experiments.row_commands import RowCommands
from nmbench.results import schema, store
from support.rows import make_row

ROOT = pathlib.Path(__file__).parents[2]


@pytest.fixture
def resolved(nmbench, monkeypatch):
    """A function from arguments of `nmbench.run` to (run ids, experiment)."""
    experiments = []
    original = resolution.resolve

    def listen(*arguments):
        experiments.append(original(*arguments))
        return experiments[-1]

    def resolve(argv):
        monkeypatch.setattr(resolution, "resolve", listen)
        code, _, err = nmbench("run", *argv, "--resolve_only")
        monkeypatch.setattr(resolution, "resolve", original)
        assert code == 0, err
        first = run.FLAGS.first_seed
        return [experiments[-1].run_id(seed) for seed in range(first, first + run.FLAGS.seeds)], experiments[-1]

    return resolve


def row_of(experiment, seed, **changes):
    return make_row(
        experiment.baseline.name,
        seed,
        task=experiment.task.name,
        protocol=experiment.protocol.name,
        run_id=experiment.run_id(seed),
        model_origin=experiment.baseline.origin,
        config_json=experiment.configuration(seed).to_json(),
        params_dev=experiment.sizing.deviation,
        **changes,
    )


@pytest.mark.parametrize(
    "argv",
    [
        "--task=element_finder",
        "--task=element_finder --budget=1000 --data_seed=7",
        "--task=element_finder --hparams=M=5,N=13,K=12",
        "--task=element_finder --hparams=K=4,drawn_start=false,tau_x=3.5 --learning_rate=0.0123",
        "--task=element_finder --hparams=N=30 --budget=500 --allow_budget_miss --remat",
        "--task=element_finder --protocol=paper --steps=3000",
        "--task=mwg_rank3 --protocol=paper_neuromodulation_first --steps=77",
        "--task=multitask --protocol=smoke --steps=7",
    ],
)
def test_the_command_of_a_row_gives_its_run_id(resolved, argv):
    _, experiment = resolved(["--model=nmrnn", *argv.split()])
    found = RowCommands().of(row_of(experiment, 3))
    assert found.exact and not found.note
    words = shlex.split(found.command(3))
    assert words[:3] == ["python", "-m", "nmbench.run"]
    assert resolved(words[3:])[0] == [experiment.run_id(3)]
    assert resolved(shlex.split(found.command(2, 4))[3:])[0] == [experiment.run_id(seed) for seed in (2, 3, 4, 5)]


@pytest.mark.slow
def test_commands_of_reference_rows_give_the_run_id_or_the_reason(resolved):
    commands, said, seen = RowCommands(), set(), set()
    for row in [*store.read(str(ROOT / "results" / "board")), *store.read(str(ROOT / "results" / "claims" / "rows.csv"))]:
        found = commands.of(row)
        said.add(found.note)
        if found.exact and row["model"] not in seen:
            seen.add(row["model"])
            assert resolved(shlex.split(found.command(row["seed"]))[3:])[0] == [row["run_id"]]
        assert found.exact or "model_sha256" in found.note
    assert len(seen) >= 3


def test_a_learning_rate_is_tuned_again_unless_it_is_that_of_the_model(resolved):
    _, experiment = resolved(["--model=nmrnn", "--task=element_finder"])
    assert "--tune" not in RowCommands().of(row_of(experiment, 0)).command(0)
    other = dataclasses.replace(experiment, learning_rate=LearningRate(0.02, 15, {"source": "tuned in this results folder"}))
    found = RowCommands().of(row_of(other, 0))
    assert found.exact and found.command(0).endswith("--tune") and "chooses the learning rate again" in found.note
    assert "learning_rate" not in found.command(0)


def test_x64_is_set_in_the_environment(resolved):
    _, experiment = resolved(["--model=rnn", "--task=element_finder"])
    row = row_of(experiment, 0)
    row["config_json"] = schema.canonical_json({**json.loads(row["config_json"]), "x64": True})
    found = RowCommands().of(row)
    assert found.exact and found.command(0).startswith("JAX_ENABLE_X64=true python -m nmbench.run --model=rnn ")


def test_rows_without_an_exact_command_have_a_note(resolved):
    _, experiment = resolved(["--model=rnn", "--task=element_finder"])
    config = experiment.configuration(0).to_dict()
    change = lambda **changes: row_of(experiment, 0) | {"config_json": schema.canonical_json({**config, **changes})}
    older = RowCommands().of(change(model_sha256="f" * 64))
    assert not older.exact and "trains another run: model_sha256 ffffffff -> " in older.note
    assert older.command(0) == "python -m nmbench.run --model=rnn --task=element_finder --seeds=1"
    gone = RowCommands().of(change(model="mine; rm -rf /", tuning_trials=0) | {"model_origin": "mine.py:3"})
    assert not gone.exact and "unknown model 'mine; rm -rf /'" in gone.note
    words = gone.command(0)
    assert shlex.split(words)[3:5] == ["--plugin=mine.py", "--model=mine; rm -rf /"] and "'--model=mine; rm" in words
    assert "--learning_rate" in words and "--steps=20000" in words and "--hparams=N=" in words
    external = RowCommands().of(make_row(protocol="external"))
    assert (external.command(0), external.exact) == ("", False) and "Trained outside nmbench" in external.note
    for config_json in (
        schema.canonical_json({name: value for name, value in config.items() if name != "budget"}),
        schema.canonical_json({**config, "budget": 10**400}),
        "{}",
        '{"protocol":3}',
        '{"x64":false,"model":"rnn"}',
        '{"x64":false,"protocol":{"phases":[{"steps":"a"}]}}',
    ):
        odd = RowCommands().of(make_row(config_json=config_json))
        assert odd.command(0) == "" and odd.note.startswith(
            "No command trains this run: config_json is not the configuration of a run: "
        )


def test_a_plugin_is_named_only_where_it_is_needed(resolved, tmp_path):
    plugin = tmp_path / "my model.py"
    plugin.write_text(
        "import nmbench\n"
        "@nmbench.register_baseline('mine', free_size='N')\n"
        "def mine(spec, N: int):\n"
        "    import jax.numpy as jnp\n"
        "    apply = lambda params, inputs: inputs['sensory'] @ params['w'] @ params['v']\n"
        "    return lambda key: {'w': jnp.ones((1, N)), 'v': jnp.ones((N, 1))}, apply\n"
    )
    _, experiment = resolved(["--model=mine", "--task=element_finder", f"--plugin={plugin}"])
    found = RowCommands([plugin.name]).of(row_of(experiment, 0))
    assert found.exact and shlex.split(found.command(0))[3:5] == ["--plugin=my model.py", "--model=mine"]
    _, experiment = resolved(["--model=rnn", "--task=element_finder"])
    assert "plugin" not in RowCommands([plugin.name]).of(row_of(experiment, 0)).command(0)
