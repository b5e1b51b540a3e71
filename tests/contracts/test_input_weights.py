"""Declarations of input weights: which axis of a parameter reads which channels, and which declarations are refused."""

import haiku as hk
import jax
import jax.numpy as jnp
import numpy as np
import pytest

from nmbench.contracts.catalog import BASELINES
from nmbench.contracts.input_weights import InputWeights, channel_names, start_new_inputs
from nmbench.contracts.model import Core
from nmbench.contracts.registration import register_baseline
from nmbench.contracts.specs import ArraySpec, SequenceSpec
from nmbench.experiments import resolution, sizing
from nmbench.experiments.request import Request
from nmbench.support.errors import NmbenchError

SPEC = SequenceSpec(4, {"sensory": ArraySpec(2), "context": ArraySpec(3)}, ArraySpec(1))


def test_channels_are_named_in_the_order_of_concatenation():
    names = ["context/0", "context/1", "context/2", "sensory/0", "sensory/1"]
    assert channel_names(SPEC) == InputWeights().channels(SPEC) == names
    assert InputWeights(("sensory",)).channels(SPEC) == names[3:]
    assert InputWeights(("vision",)).channels(SPEC) == names


def test_new_inputs_start_in_rows_and_columns_of_stacked_parameters():
    flat = {"a|W": jnp.zeros((2, 7, 5)), "a|w": jnp.zeros((2, 5, 7)), "b|W": jnp.zeros((2, 7, 2)), "c": jnp.zeros((2, 3))}
    weights = {"a|W": InputWeights(), "w": InputWeights(axis=0), "b|W": InputWeights(("sensory",))}
    after = start_new_inputs(flat, weights, SPEC, {"context/2": 1.0, "sensory/1": 2.0})
    expected = {name: np.zeros(leaf.shape) for name, leaf in flat.items()}
    expected["a|W"][:, :, 2], expected["a|W"][:, :, 4] = 1, 2
    expected["a|w"][:, 2, :], expected["a|w"][:, 4, :] = 1, 2
    expected["b|W"][:, :, 1] = 2
    for name, leaf in after.items():
        np.testing.assert_array_equal(leaf, expected[name], err_msg=name)


class Rows(hk.RNNCore):
    """A Haiku core that reads its inputs with `u @ w`."""

    def __init__(self, spec, N: int):
        super().__init__(name="rows")
        self.read, self.recur, self.out = hk.Linear(N, name="read"), hk.Linear(N, False), hk.Linear(spec.output_size)

    def initial_state(self, batch_size):
        return jnp.zeros((batch_size, self.read.output_size))

    def __call__(self, inputs, state):
        state = jnp.tanh(self.read(inputs) + self.recur(state))
        return self.out(state), state


def test_a_haiku_model_with_declared_input_weights_resolves_on_the_multitask():
    with BASELINES.restored(), jax.numpy_rank_promotion("allow"):  # Haiku promotes ranks when it adds biases
        register_baseline("rows", free_size="N", input_weights={"rows/~/read|w": InputWeights(axis=0)})(Rows)
        experiment = resolution.resolve(Request(model="rows", task="multitask", protocol="smoke"))
        assert [p.partition for p in experiment.phases] == ["learned", "input_weights"]
        shapes = sizing.shapes(experiment.baseline, experiment.task.spec, experiment.sizing.hparams)
        chosen = [name for name in shapes if experiment.baseline.partition("input_weights")(*name.split("|"))]
        assert chosen == ["rows/~/read|w"]


def resolve_rows(task="multitask", **declared):
    with BASELINES.restored(), jax.numpy_rank_promotion("allow"):
        register_baseline("rows", free_size="N", **declared)(Rows)
        return resolution.resolve(Request(model="rows", task=task, protocol="smoke"))


def test_a_model_without_the_partition_that_a_protocol_trains_is_refused():
    with pytest.raises(NmbenchError) as caught:
        resolve_rows()
    assert str(caught.value) == (
        "model 'rows' has no partition 'input_weights', which this protocol trains (known: learned); "
        "your own model can declare it with register_baseline(input_weights={...})"
    )
    # A task whose protocols do not train this partition accepts the model.
    assert resolve_rows(task="delay_pro").sizing.actual > 0
    by_hand = {"neuromodulatory_subnetwork": lambda module, name: name == "w"}
    with pytest.raises(NmbenchError, match="declares no input weights: give register_baseline the argument input_weights="):
        resolve_rows(partitions=by_hand)


@pytest.mark.parametrize(
    ("weights", "message"),
    [
        ({"rows/~/raed|w": InputWeights(axis=0)}, "declares input weights 'rows/~/raed|w' but has no such parameter"),
        ({"rows/~/read|w": InputWeights()}, r"shape \(\d+, \d+\); axis -1 should run over the 7 channels context/0"),
        ({"rows/~/read|w": InputWeights(("sensory",), axis=0)}, "axis 0 should run over the 3 channels sensory/0"),
        ({"rows/~/read|w": InputWeights(axis=5)}, "axis 5 should run over"),
    ],
)
def test_wrong_declarations_are_refused_before_anything_runs(weights, message):
    with pytest.raises(NmbenchError, match=message) as caught:
        resolve_rows(input_weights=weights)
    assert "\n" not in str(caught.value)


@pytest.mark.parametrize("name", ["learned", "input_weights"])
def test_names_of_built_in_partitions_are_reserved(name):
    with pytest.raises(NmbenchError, match=f"the partition {name!r} is made by nmbench"):
        register_baseline("mine", free_size="N", partitions={name: lambda module, parameter: True})


def test_every_built_in_model_declares_input_weights():
    assert all(BASELINES.get(e.name).input_weights for e in BASELINES.entries())
    assert issubclass(BASELINES.get("nmrnn").factory, Core)
