"""A GRU of Equinox. The float arrays of its module are the parameters; the other values stay outside."""

import equinox as eqx
import jax
import jax.numpy as jnp

import nmbench


class Network(eqx.Module):
    """A GRU with N units, without biases, and a linear readout, for one trial: `[T, channels]` to `[T, outputs]`."""

    cell: eqx.nn.GRUCell
    readout: eqx.nn.Linear

    def __init__(self, inputs: int, N: int, outputs: int, key):
        self.cell = eqx.nn.GRUCell(inputs, N, use_bias=False, key=jax.random.fold_in(key, 0))
        self.readout = eqx.nn.Linear(N, outputs, key=jax.random.fold_in(key, 1))

    def __call__(self, u):
        def step(h, u_t):
            h = self.cell(u_t, h)
            return h, self.readout(h)

        # Not from 0: without biases, an input of 0 would leave no trace.
        return jax.lax.scan(step, jnp.full(self.cell.hidden_size, 0.1), u)[1]


@nmbench.register_baseline(
    "equinox_gru", free_size="N", tags=("gated", "example"), input_weights={"cell|weight_ih": nmbench.InputWeights()}
)
def equinox_gru(spec, N: int):
    """GRU of Equinox with its own initialisation."""
    make = lambda key: Network(spec.input_size, N, spec.output_size, key)
    split = lambda key: eqx.partition(make(key), eqx.is_inexact_array)  # float arrays, everything else
    static = eqx.filter_eval_shape(make, jax.random.key(0))
    static = eqx.filter(static, lambda leaf: not isinstance(leaf, jax.ShapeDtypeStruct))
    network = lambda params: jax.vmap(eqx.combine(params, static), in_axes=1, out_axes=1)  # over trials
    return lambda key: split(key)[0], lambda params, inputs: network(params)(nmbench.concat_inputs(inputs))
