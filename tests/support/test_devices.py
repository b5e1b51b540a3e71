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


def test_a_cache_folder_that_cannot_be_created_does_not_matter(tmp_path, monkeypatch):
    (tmp_path / "file").write_text("")
    monkeypatch.setenv("XDG_CACHE_HOME", str(tmp_path / "file"))
    monkeypatch.delenv("JAX_COMPILATION_CACHE_DIR")
    monkeypatch.delenv("JAX_ENABLE_COMPILATION_CACHE", raising=False)
    devices.keep_compiled()
    assert "JAX_COMPILATION_CACHE_DIR" not in os.environ


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


def test_devices_are_prepared_until_jax_starts(tmp_path):
    """Importing JAX does not start it, so a notebook may import it before nmbench."""
    program = """
import jax
from nmbench.support import devices
devices.start(3)
assert len(jax.devices()) == 3 and devices.started() and jax.config.jax_compilation_cache_dir
devices.start()
devices.start(4)
"""
    environment = {name: value for name, value in os.environ.items() if not name.startswith(("JAX_", "XLA_"))}
    environment["XDG_CACHE_HOME"] = str(tmp_path)
    done = subprocess.run([sys.executable, "-c", program], env=environment, capture_output=True, text=True, timeout=60)
    message = "NmbenchError: JAX has started before nmbench could set the number of devices"
    assert message in done.stderr and "AssertionError" not in done.stderr, done.stderr
