"""Damaged files: predictions, parameters and tuning records."""

import io
import json
import pickle
import struct
import zipfile

import numpy as np
from hypothesis import strategies as st

from nmbench.experiments import resolution, tuning
from nmbench.experiments.request import Request
from nmbench.results.store import Store
from nmbench.training import parameter_files
from support import mangled
from support.guard import FEW, cases, fuzz
from support.rows import make_tuning_record

SHAPE = (5, 12, 1)  # [T, B, O] of the toy task


def npy(array, **how) -> bytes:
    out = io.BytesIO()
    np.lib.format.write_array(out, array, **how)
    return out.getvalue()


def header(text: str, body: bytes = b"") -> bytes:
    """A .npy file with this header."""
    data = text.encode("latin-1", "replace") + b"\n"
    return np.lib.format.MAGIC_PREFIX + b"\x01\x00" + struct.pack("<H", len(data) % 65536) + data + body


def bomb() -> bytes:
    """A .npy file with a correct array, followed by 64 MB of zeros, which compress to almost nothing."""
    return npy(np.zeros(SHAPE, np.float32)) + bytes(64 << 20)


def archive(members: dict[str, bytes], compression=zipfile.ZIP_DEFLATED) -> bytes:
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w", compression) as file:
        for name, data in members.items():
            file.writestr(name, data)
    return out.getvalue()


def with_wrong_size(data: bytes, size: int) -> bytes:
    """An archive whose directory declares another size for its first member."""
    at = data.rindex(b"PK\x01\x02")
    return data[: at + 24] + struct.pack("<I", size) + data[at + 28 :]


GOOD = npy(np.zeros(SHAPE, np.float32))
ARRAYS = [
    GOOD,
    npy(np.full(SHAPE, np.nan, np.float32)),
    npy(np.full(SHAPE, 1e30)),
    npy(np.full(SHAPE, 1e300)),
    npy(np.full(SHAPE, 1e18, np.float32)),
    npy(np.zeros(SHAPE, complex)),
    npy(np.zeros(SHAPE, bool)),
    npy(np.zeros(SHAPE, "S5")),
    npy(np.zeros(SHAPE, "M8[s]")),
    npy(np.zeros(SHAPE, [("a", "f4")])),
    npy(np.zeros((12, 5, 1))),
    npy(np.zeros((5, 12))),
    npy(np.zeros(())),
    npy(np.zeros((0,))),
    npy(np.full(SHAPE, None), allow_pickle=True),
    npy(np.zeros(SHAPE), version=(2, 0)),
    npy(np.zeros(SHAPE), version=(3, 0)),
    pickle.dumps({"a": 1}),
    b"",
    b"\x93NUMPY",
    header("{'descr': '<f4', 'fortran_order': False, 'shape': (5, 12, 1), }"),
    header("{'descr': '<f4', 'fortran_order': False, 'shape': (5, 12, 99999999999999), }"),
    header("{'descr': '<f4', 'fortran_order': False, 'shape': (5, -12, 1), }"),
    header("{'descr': '|O', 'fortran_order': False, 'shape': (5, 12, 1), }", pickle.dumps([1])),
    header("__import__('os').system('touch pwned')"),
    header("(" * 5000),
    header("{" * 100),
    header("[1, " * 3000),
    header("{'descr': [('a', '<f4'), ('a', '<f4')], 'fortran_order': 1, 'shape': 5}"),
]
NAMES = [
    "predictions.npy",
    "../predictions.npy",
    "/tmp/predictions.npy",
    "predictions",
    "x\x1b[31m.npy",
    "predictions.npy/",
    "é.npy",
]
WHOLE = [
    archive({"predictions.npy": GOOD, "../../pwned.npy": GOOD}),
    with_wrong_size(archive({"predictions.npy": GOOD}), 2**32 - 2),
    with_wrong_size(archive({"predictions.npy": GOOD}), 0),
    archive({"predictions.npy": bomb()}),
    archive({}),
    bomb(),
    archive({"predictions.npy": GOOD}, zipfile.ZIP_LZMA),
    archive({f"a{i}.npy": b"" for i in range(3000)}),
    b"PK\x05\x06" + bytes(18),
]

arrays = st.sampled_from(ARRAYS) | mangled.bytes_of(GOOD)
archives = st.dictionaries(st.sampled_from(NAMES[:1] * 6 + NAMES), arrays, min_size=1, max_size=2).map(archive)
predictions = st.one_of(arrays, archives, archives.flatmap(mangled.bytes_of), st.sampled_from(WHOLE), st.binary(max_size=60))


@cases("predictions")
def test_predictions(guard, count):
    def check(case):
        data, flag = case
        folder = guard.folder()
        (folder / "p.npz").write_bytes(data)
        good = folder / "good.npy"
        good.write_bytes(GOOD)
        paths = {"predictions": good, flag: folder / "p.npz"}
        results = folder / "results"
        argv = [f"--{name}={path}" for name, path in paths.items()]
        code, _, _ = guard.call(
            "score", "--task=toy", "--model=mine", "--params=100", f"--results_dir={results}", *argv, may_write=results
        )
        assert results.exists() == (code == 0)

    fuzz(count, st.tuples(predictions, st.sampled_from(["predictions"] * 4 + ["validation_predictions"])), check)


LIKE = {"m": {"w": np.zeros((2, 3), np.float32), "b": np.zeros(3, np.float32)}}


@st.composite
def parameters(draw, good: bytes) -> bytes:
    """A safetensors file with a changed header, or with damaged bytes."""
    if draw(st.booleans()):
        return draw(mangled.bytes_of(good))
    size = struct.unpack("<Q", good[:8])[0]
    description = json.loads(good[8 : 8 + size])
    name = draw(st.sampled_from(list(description)))
    part = draw(st.sampled_from(["dtype", "shape", "data_offsets", "all"]))
    if part == "all":
        description[name] = draw(mangled.values)
    elif isinstance(description[name], dict):
        description[name][part] = draw(mangled.values | st.sampled_from(["F16", "BF16", [3, 2], [6], [0, 24], [2**63, 1]]))
    text = json.dumps(description).encode("utf-8", "surrogatepass")
    claimed = draw(st.sampled_from([len(text)] * 5 + [0, 2**63, 2**64 - 1, len(text) + 10**6]))
    return struct.pack("<Q", claimed) + text + good[8 + size :]


@cases("parameters")
def test_parameters(guard, count):
    path = guard.given / "params.safetensors"
    parameter_files.save_params(path, LIKE, {"run_id": "x"})

    def check(data):
        path.write_bytes(data)
        loaded = guard.answers(parameter_files.load_params, path, LIKE)
        if not isinstance(loaded, str):
            assert {k: v.shape for k, v in loaded["m"].items()} == {k: v.shape for k, v in LIKE["m"].items()}

    fuzz(count, parameters(path.read_bytes()), check)


PLUGIN = """
import jax.numpy as jnp
from nmbench import register_baseline

@register_baseline("mine", free_size="N")
def mine(spec, N: int):
    "y = B u"
    return lambda key: {"B": jnp.ones((1, N))}, lambda params, inputs: inputs["sensory"] * params["B"][:, :1]
"""
RECORD = make_tuning_record({0.001: [0.5, 0.5], 0.01: [None, 0.1]}, model="mine", task="toy")


@st.composite
def records(draw) -> bytes:
    """A tuning record with some values replaced by arbitrary ones, or with damaged bytes."""
    record = dict(RECORD)
    for _ in range(draw(st.integers(0, 2))):
        name = draw(st.sampled_from([*RECORD]))
        if draw(st.integers(0, 3)):
            record[name] = draw(mangled.values | st.sampled_from([0, -1, 1e300, True, "0.01", [], {}, [[]], "nan", 10**400]))
        else:
            record.pop(name, None)
    data = json.dumps(record if draw(st.integers(0, 5)) else draw(mangled.values)).encode("utf-8", "surrogatepass")
    return data if draw(st.integers(0, 3)) else draw(mangled.bytes_of(data))


@cases("shipped tuning records")
def test_shipped_tuning_records(guard, count):
    def check(case):
        data, command = case
        folder = guard.folder()
        (folder / "mine.py").write_text(PLUGIN)
        (folder / "tuned").mkdir()
        (folder / "tuned" / "mine.toy.matched.json").write_bytes(data)
        run = ("run", "--model=mine", "--task=toy", "--resolve_only", "--hparams=N=5", f"--results_dir={folder}/r")
        return guard.call(*{"run": run, "describe": ("describe", "mine")}[command], f"--plugin={folder}/mine.py")[0]

    codes = fuzz(count, st.tuples(records(), st.sampled_from(["run", "run", "describe"])), check)
    assert len(codes) >= count and set(codes) <= {0, 2}
    assert count == FEW or set(codes) == {0, 2}  # Of many cases, some are valid and some are refused.


@cases("tuning records of a results folder")
def test_tuning_records_of_a_results_folder(guard, count):
    request = Request(model="rnn", task="toy", hparams={"N": "4"}, allow_budget_miss=True)
    experiment, store = resolution.resolve(request), Store(guard.given / "tuned")
    name = tuning.name_of(experiment)
    store.save_tuning(name, {**RECORD, "model": "rnn"})
    assert guard.answers(tuning.stored, experiment, store).value == 0.01

    def check(data):
        (store.tuning / f"{name}.json").write_bytes(data.replace(b'"mine"', b'"rnn"'))
        choice = guard.answers(tuning.stored, experiment, store)
        if choice is not None and not isinstance(choice, str):  # None means that the record is `null`, so tuning would run.
            assert np.isfinite(choice.value) and choice.value > 0

    fuzz(count, records(), check)
