"""A configuration read from a row resolves to the same run id, and so does the command made from it. Nothing is trained."""

import dataclasses
import os
import shlex

import jax
import pytest

from nmbench import run
from nmbench.contracts.catalog import BASELINES, TASKS
from nmbench.contracts.registration import register_baseline
from nmbench.experiments import resolution
from nmbench.experiments.configuration import Configuration
from nmbench.experiments.experiment import LearningRate
from nmbench.experiments.loading import resolve_again
from nmbench.experiments.request import Request
from nmbench.experiments.row_commands import command_of
from nmbench.support.errors import NmbenchError

MODELS = [model.name for model in BASELINES.entries()]
# Fast tests pair each task with one model; slow tests run the other models on the task with most phases and partitions.
TURN = {(task.name, MODELS[2 * i % len(MODELS)]) for i, task in enumerate(TASKS.entries())}
ALL = [
    *sorted(TURN),
    *(pytest.param("multitask", m, marks=pytest.mark.slow) for m in MODELS if m not in {model for _, model in TURN}),
]


def stored(experiment, seed=0):
    """The configuration after a round trip through JSON, as in a CSV."""
    return Configuration.from_json(experiment.configuration(seed).to_json())


def of_command(line):
    """The experiment and the seeds that `nmbench.run` resolves a command line to."""
    environment, words = [], shlex.split(line)
    while "=" in words[0]:
        environment.append(words.pop(0))
    assert words[:3] == ["python", "-m", "nmbench.run"]
    run.FLAGS.unparse_flags()
    for name in run.FLAGS:
        run.FLAGS[name].unparse()
    assert run.FLAGS(["run", *words[3:]])[1:] == []
    with jax.enable_x64("JAX_ENABLE_X64=true" in environment):
        experiment = resolution.resolve(run.request(run.FLAGS))
    return experiment, range(run.FLAGS.first_seed, run.FLAGS.first_seed + run.FLAGS.seeds)


@pytest.mark.parametrize(("task", "model"), ALL)
def test_configuration_and_command_give_the_same_run_id_for_every_model_and_task(task, model):
    """Every protocol, as it is and with one change: a budget, sizes, a learning rate, other steps or another data seed."""
    registered, free = TASKS.get(task), BASELINES.get(model).free_size
    budget = {"budget": 900, "allow_budget_miss": True}
    variants = [{"data_seed": 3}, {"hparams": {free: 12}}, {"learning_rate": 3e-4}, {"steps": 77}, budget]
    for i, protocol in enumerate(registered.protocols):
        for changes in ({}, variants[(i + len(model)) % len(variants)]):
            experiment = resolution.resolve(Request(model=model, task=task, protocol=protocol.name, **changes))
            config = stored(experiment, seed=i)
            again = resolve_again(config)
            assert again.run_id(i) == experiment.run_id(i), (protocol.name, changes)
            assert config.differences(again.configuration(i)) == {}
            line = command_of(config)
            resolved, seeds = of_command(line)
            assert (resolved.run_id(i), seeds) == (experiment.run_id(i), range(i, i + 1)), line


FLAGS = {
    "": {},
    "--budget=600": {"budget": 600},
    "--hparams=N=12": {"hparams": {"N": 12}},
    "--budget=500 --hparams=M=3": {"budget": 500, "hparams": {"M": 3}},
    "--budget=430 --hparams=N=12 --allow_budget_miss": {"budget": 430, "hparams": {"N": 12}, "allow_budget_miss": True},
    "--learning_rate=0.5": {"learning_rate": 0.5},
    "--steps=30 --data_seed=4 --remat": {"steps": 30, "data_seed": 4, "remat": True},
    "--protocol=paper": {"protocol": "paper"},
    "--protocol=paper --hparams=K=4": {"protocol": "paper", "hparams": {"K": 4}},
    "--protocol=paper --budget=500": {"protocol": "paper", "budget": 500},
}


@pytest.mark.parametrize("flags", FLAGS)
def test_the_command_is_as_short_as_a_user_would_type_it(flags):
    experiment = resolution.resolve(Request(model="nmrnn", task="element_finder", **FLAGS[flags]))
    line = command_of(stored(experiment), seeds=range(10))
    order = lambda text: sorted(word for word in text.split() if not word.startswith(("python", "-m")))
    given = ["--model=nmrnn", "--task=element_finder", *flags.split()]
    shown = order(line)
    if "hparams" not in flags:
        assert [word for word in shown if word != "nmbench.run"] == sorted(given)
    resolved, seeds = of_command(line)
    assert (resolved.run_id(5), seeds) == (experiment.run_id(5), range(10))


def test_a_tuned_learning_rate_is_kept_and_the_command_tunes_again():
    request = Request(model="lrrnn", task="element_finder", hparams={"K": 2})
    experiment = resolution.resolve(request, LearningRate(0.1, 15, {"source": "tuned in this results folder"}))
    config = stored(experiment, 7)
    assert resolve_again(config).run_id(7) == experiment.run_id(7)
    assert "--tune" in command_of(config).split()
    # The learning rate that the model has by default, tuned or not, needs no flag.
    shipped = resolution.resolve(Request(model="lrrnn", task="element_finder"))
    assert command_of(stored(shipped), seeds=range(10)) == ("python -m nmbench.run --model=lrrnn --task=element_finder")


def test_double_precision_is_part_of_the_configuration():
    with jax.enable_x64(True):
        experiment = resolution.resolve(Request(model="rnn", task="element_finder"))
        config = stored(experiment)
        assert resolve_again(config).run_id(0) == experiment.run_id(0)
    assert config.x64 is True
    line = command_of(config)
    assert line.startswith("JAX_ENABLE_X64=true python -m nmbench.run ")
    assert config.differences(resolve_again(config).configuration(0)) == {"x64": (True, False)}


def test_settings_of_jax_that_change_results_are_part_of_the_configuration(monkeypatch):
    usual = stored(resolution.resolve(Request(model="rnn", task="element_finder")))
    assert "jax_settings" not in usual.to_dict()
    flags = os.environ["XLA_FLAGS"]
    changed = {"default_prng_impl": "rbg", "threefry_partitionable": False, "xla_flags": "--xla_cpu_enable_fast_math=true"}
    monkeypatch.setenv("XLA_FLAGS", f"{flags} --xla_cpu_enable_fast_math=true --xla_dump_to=/tmp/x")
    with jax.default_prng_impl("rbg"), jax.threefry_partitionable(False):
        config = stored(resolution.resolve(Request(model="rnn", task="element_finder")))
        assert resolve_again(config).run_id(0) == config.run_id
    assert config.jax_settings == changed
    assert config.run_id != usual.run_id and config.asks_for_the_same(usual)
    assert usual.differences(config) == {f"jax_settings.{name}": (None, value) for name, value in changed.items()}


def test_whole_numbers_in_float_settings_keep_their_run_id(toy_task):
    """A model may set a float hyperparameter to 10. The configuration then contains 10, and so must the rebuilt one."""
    register_baseline("whole", free_size="N", settings={"toy": {"tau": 10}})(make_pair)
    experiment = resolution.resolve(Request(model="whole", task="toy"))
    assert '"tau":10,' in experiment.configuration(0).to_json().replace("}", ",")
    assert resolve_again(stored(experiment)).run_id(0) == experiment.run_id(0)
    assert of_command(command_of(stored(experiment)))[0].run_id(0) == experiment.run_id(0)
    other = resolution.resolve(Request(model="whole", task="toy", hparams={"tau": "4", "word": "a b'c"}))
    assert of_command(command_of(stored(other)))[0].run_id(0) == other.run_id(0)


def make_pair(spec, N: int, tau: float = 2.0, word: str = "x"):
    """A linear map of the inputs with `N` hidden units."""
    import jax.numpy as jnp

    from nmbench import concat_inputs

    del tau, word
    init = lambda key: {"W": jax.random.normal(key, (spec.input_size, N)), "C": jnp.ones((N, spec.output_size))}
    return init, lambda params, inputs: concat_inputs(inputs, axis=2) @ params["W"] @ params["C"]


def test_an_unknown_model_still_has_a_command(toy_task):
    experiment = resolution.resolve(Request(model="rnn", task="toy", hparams={"N": 5}, budget=45, allow_budget_miss=True))
    config = dataclasses.replace(stored(experiment, 3), model="not_here")
    line = command_of(config, plugins=["my model.py"])
    assert line.startswith("python -m nmbench.run '--plugin=my model.py' --model=not_here --task=toy --protocol=matched ")
    for flag in ("--budget=45", "N=5", "--steps=40", "--learning_rate=0.01", "--first_seed=3", "--seeds=1"):
        assert flag in line
    with pytest.raises(NmbenchError, match="unknown model 'not_here'"):
        resolve_again(config)


def test_changes_since_the_run_are_named(toy_task):
    experiment = resolution.resolve(Request(model="rnn", task="toy", hparams={"N": 5}))
    entries = stored(experiment).to_dict()
    entries["model_sha256"] = "0" * 64
    entries["protocol"]["phases"][0]["clip_norm"] = 0.5
    config = Configuration.from_dict(entries)
    found = config.differences(resolve_again(config).configuration(0))
    assert found == {
        "model_sha256": ("0" * 64, experiment.model_sha256),
        "protocol.phases.0.clip_norm": (0.5, 0.0),
    }


BAD = {
    "empty": {},
    "trained elsewhere": {"predictions_sha256": "a" * 64, "model": "x"},
    "a name that is a number": {"model": 3},
    "sizes that are a list": {"hparams": [1]},
    "a budget in words": {"budget": "many"},
    "a seed that is true": {"seed": True},
    "a negative seed": {"seed": -1},
    "no phases": {"protocol": {"name": "matched", "phases": []}},
    "half a step": {"protocol": {"name": "matched", "phases": [{"steps": 0.5}]}},
    "a rate that is negative": {"learning_rate": -1.0},
    "remat in words": {"remat": "yes"},
    "settings that are a list": {"jax_settings": ["rbg"]},
    "an unknown size": {"hparams": {"Q": 3}},
    "a size that is an object": {"hparams": {"N": {}}},
    "a size of zero": {"hparams": {"N": 0}},
    "an unknown protocol": {"protocol": {"name": "none", "phases": [{"steps": 1}]}},
}


@pytest.mark.parametrize("label", BAD)
def test_invalid_configurations_are_refused(toy_task, label):
    good = stored(resolution.resolve(Request(model="rnn", task="toy", hparams={"N": 5}))).to_dict()
    alone = label in ("empty", "trained elsewhere")
    config = BAD[label] if alone else {**good, **BAD[label]}
    with pytest.raises(NmbenchError):
        resolve_again(Configuration.from_dict(config))


def test_the_flags_of_a_configuration_are_complete(toy_task):
    """`to_argv` gives every flag, so the run stays the same if defaults change."""
    experiment = resolution.resolve(Request(model="rnn", task="toy", budget=109, data_seed=2, learning_rate=0.5))
    flags = stored(experiment, 4).to_argv()
    assert {"--model=rnn", "--task=toy", "--protocol=matched", "--budget=109", "--steps=40", "--data_seed=2"} <= set(flags)
    assert {"--learning_rate=0.5", "--first_seed=4", "--seeds=1", "--allow_budget_miss"} <= set(flags)
    resolved, seeds = of_command(" ".join(["python", "-m", "nmbench.run", *flags]))
    assert (resolved.run_id(4), seeds) == (experiment.run_id(4), range(4, 5))
