"""`Weights`: fast products with a matrix that is the same at every step of a scan."""

from __future__ import annotations

import functools

import jax
import jax.numpy as jnp

# A product with a matrix of at most this many columns is computed as a sum of outer products, which the compiler fuses with
# the functions around it. With more columns, a matrix product is faster. In measurements, limits of 8 and 12 were equally
# fast, limits of 4 and 16 slower.
FEW = 8


class Weights:
    """A matrix `[N, J]` whose product `weights @ x`, with x `[J, B]`, and the product's gradient are fast in a scan.

    The gradient with respect to x needs the transpose. It is made once, in `__init__`; a scan would make it at every step.
    The product is differentiable in reverse mode only.

    Attributes:
      matrix: `[N, J]`.
    """

    def __init__(self, matrix: jax.Array):
        self.matrix = matrix
        self._transpose = jax.lax.stop_gradient(matrix.T)

    def __matmul__(self, x: jax.Array) -> jax.Array:
        return _product(self.matrix, self._transpose, x)


@jax.custom_vjp
def _product(matrix, transpose, x):
    del transpose
    return _apply(matrix, x)


def _forward(matrix, transpose, x):
    return _apply(matrix, x), (transpose, x)


def _backward(kept, cotangent):
    transpose, x = kept
    return cotangent @ x.T, jnp.zeros_like(transpose), _apply(transpose, cotangent)


_product.defvjp(_forward, _backward)


def _apply(matrix, x):
    if matrix.shape[1] > FEW:
        return matrix @ x
    return functools.reduce(jnp.add, (matrix[:, j : j + 1] * x[j : j + 1] for j in range(matrix.shape[1])))
