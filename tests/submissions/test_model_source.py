"""A look at the source of a model: honest models pass, and what a model has no reason to do is named with its line."""

import pathlib

import pytest

from nmbench.submissions import model_source
from nmbench.support.errors import NmbenchError

EXAMPLES = pathlib.Path(__file__).parents[2] / "examples"


@pytest.mark.parametrize("name", ["equinox_model.py", "flax_model.py", "haiku_gru.py", "haiku_deep_rnn.py"])
def test_the_examples_pass(name):
    model_source.check(EXAMPLES / name)


def test_arguments_may_be_named_like_functions_of_python(tmp_path):
    (tmp_path / "model.py").write_text("def call(self, input, state):\n    vars = self.compile\n    return input + vars\n")
    model_source.check(tmp_path / "model.py")


@pytest.mark.parametrize(
    ("line", "message"),
    [
        ("import socket", "imports 'socket'"),
        ("import urllib.request as jax", "imports 'urllib.request'"),
        ("from os import system", "imports 'os'"),
        ("from nmbench.contracts.catalog import TASKS", "imports 'nmbench.contracts.catalog'"),
        ("from . import other", "imports '.'"),
        ("open('x')", "uses 'open'"),
        ("np.load('x')", "uses 'load'"),
        ("jax.pure_callback(f, x)", "uses 'pure_callback'"),
        ("task.frozen('test')", "uses 'frozen'"),
        ("().__class__.__base__.__subclasses__()", "uses '__subclasses__'"),
        ("path = 'tasks/testsets/x'", "names a file"),
        ("weights = 'x' * 2\nhidden = '" + "q" * 5000 + "'", "holds a text of 5000 characters"),
        ("weights = [" + "0.5, " * 1001 + "]", "holds 1001 numbers"),
        ("x = (", "is not Python"),
    ],
)
def test_what_a_model_may_not(tmp_path, line, message):
    path = tmp_path / "model.py"
    path.write_text(f'"""A model that would read tasks/testsets."""\n{line}\n')
    with pytest.raises(NmbenchError, match="model.py") as error:
        model_source.check(path)
    assert message in str(error.value) and "\n" not in str(error.value)


def test_the_line_is_named(tmp_path):
    path = tmp_path / "model.py"
    path.write_text("import jax\n\nimport subprocess\n")
    with pytest.raises(NmbenchError, match="line 3"):
        model_source.check(path)
