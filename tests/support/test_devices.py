"""Settings of JAX that nmbench cannot work with are named in one line."""

import os
import subprocess
import sys

import jax
import pytest

from nmbench.support import devices
from nmbench.support.errors import NmbenchError


def test_a_usual_environment_is_accepted():
    devices.check()


@pytest.mark.parametrize(
    ("setting", "message"),
    [(jax.disable_jit(), "JAX_DISABLE_JIT is set"), (jax.numpy_dtype_promotion("strict"), "JAX_NUMPY_DTYPE_PROMOTION must")],
)
def test_settings_that_change_how_functions_run_are_refused(setting, message):
    with setting, pytest.raises(NmbenchError, match=message):
        devices.check()


def test_a_platform_without_a_device_is_named(monkeypatch):
    def fail():
        raise AssertionError

    monkeypatch.setattr(jax, "devices", fail)
    monkeypatch.setattr(type(jax.config), "jax_platforms", "cuda")
    with pytest.raises(NmbenchError, match="JAX finds no device: JAX_PLATFORMS=cuda; unset it, or install JAX for"):
        devices.check()


def test_a_value_that_jax_refuses_is_named():
    environment = {**os.environ, "JAX_ENABLE_X64": "maybe"}
    command = [sys.executable, "-m", "nmbench.describe", "rnn"]
    done = subprocess.run(command, env=environment, capture_output=True, text=True, timeout=60)
    assert (done.returncode, done.stdout, done.stderr.count("\n")) == (2, "", 1)
    assert "JAX refuses a setting of the environment: " in done.stderr and "JAX_ENABLE_X64" in done.stderr
