"""Random flags, hyperparameters, paths and plugins, for every command."""

import importlib
import os

import pytest
from hypothesis import strategies as st

from nmbench import __main__
from support import mangled
from support.guard import FEW, cases, fuzz

# Text that an operating system accepts in arguments: no NUL and no lone high surrogate.
typed = (mangled.cells | st.text(max_size=20)).map(lambda t: t[:5000].replace("\x00", "").replace("\ud800", "\udcff"))
NAMES = ["toy", "rnn", "lstm", "element_finder", "toi", "nmrnn"]
# Flags that could make a command compute or write a lot, or write into the checkout.
EXCLUDED = {"resolve_only", "tune", "check", "help", "train_trials", "out", "results_dir", "results", "train", "plot"}


@st.composite
def command_lines(draw):
    """A command with known and unknown flags, which have arbitrary values, no value, or are repeated."""
    command = draw(st.sampled_from(sorted(__main__.COMMANDS)))
    flags = importlib.import_module(f"nmbench.{command}").FLAGS
    names = sorted(set(flags) - EXCLUDED)
    argv = []
    for _ in range(draw(st.integers(0, 5))):
        name = draw(st.sampled_from(names)) if names and draw(st.integers(0, 5)) else draw(typed)
        value = draw(typed | st.sampled_from(NAMES) | st.sampled_from(["matched", "untuned", "1", "5", "100"]))
        argv.append(
            draw(st.sampled_from([f"--{name}={value}"] * 6 + [f"--{name}", f"-{name}", f"--no{name}", value, "--", "---"]))
        )
    if command in ("run", "score", "export", "freeze") and draw(st.integers(0, 3)):
        argv.append("--task=toy")
    if command == "run" and draw(st.integers(0, 3)):
        argv += ["--model=rnn", "--allow_budget_miss"]
    if command == "sweep" and draw(st.integers(0, 3)):
        argv += ["--models=rnn,lstm", "--tasks=toy", "--allow_budget_miss"]
    return command, argv


ALWAYS = {"run": ["--resolve_only"], "sweep": ["--dry_run"], "freeze": ["--task=toy", "--check"], "export": ["--task=toy"]}
ALWAYS["check"] = ["--task=toy", "--rules=M01,T01"]  # rules that compute nothing
ALWAYS["theory"] = ["--instances=1"]


@cases("flags")
def test_flags(guard, count):
    def check(case):
        command, argv = case
        folder = guard.folder()
        # These flags come first, because a "--" would turn them into operands, and also last, because the last value counts.
        always = list(ALWAYS.get(command, ()))
        where = {
            "export": [f"--out={folder}/out"],
            "figures": [f"--results={folder}/r", f"--out={folder}/out"],
            "run": [f"--results_dir={folder}/r"],
            "sweep": [f"--results_dir={folder}/r"],
            "score": [f"--results_dir={folder}/r"],
        }
        always += where.get(command, [])
        argv = [a for a in argv if a.strip("-")]
        return guard.call(command, *always, *argv, *always, may_write=folder if command in ("export", "score") else None)[0]

    codes = fuzz(count, command_lines(), check)
    assert len(codes) >= count and set(codes) <= {0, 2}
    assert count == FEW or set(codes) == {0, 2}  # both valid and refused cases occur


SWEEPS = {
    "s.toml": b'models = ["rnn", "lstm"]\ntasks = "toy"\nbudgets = [160, 230]\nseeds = 3\n[slurm]\nmem = 4.0\n',
    "s.yaml": b"models: [rnn, lstm]\ntasks: toy\nbudgets: [160, default]\nseeds: 3\nallow_budget_miss: true\n",
}


@cases("sweep files")
def test_sweep_files(guard, count):
    def check(case):
        name, data = case
        folder = guard.folder()
        (folder / name).write_bytes(data)
        argv = [f"--sweep={folder}/{name}", f"--results_dir={folder}/r", "--dry_run", "--seeds=2"]
        return guard.call("sweep", *argv)[0]

    names = st.sampled_from(sorted(SWEEPS))
    mangle = lambda name: st.tuples(st.just(name), mangled.bytes_of(SWEEPS[name]))
    codes = fuzz(count, names.flatmap(mangle), check)
    assert len(codes) >= count and set(codes) <= {0, 2}


@st.composite
def hparam_texts(draw):
    names = st.sampled_from(["N", "tau", "g", "dt", "free", "n", ""]) | typed
    values = (
        st.sampled_from(["0", "-1", "4", "4.0", "1e9", "99999999999999999999", "1048576", "0.5", "true", "nan", "inf"])
        | typed
    )
    parts = draw(st.lists(st.tuples(names, values), max_size=3))
    return ",".join(f"{name}{draw(st.sampled_from(['=', '=', '=', ' = ', '', '==']))}{value}" for name, value in parts)


@cases("hparams")
def test_hparams(guard, count):
    def check(case):
        text, model, budget = case
        argv = ["--task=toy", f"--model={model}", "--allow_budget_miss", "--resolve_only", f"--hparams={text}"]
        argv += [] if budget is None else [f"--budget={budget}"]
        return guard.call("run", *argv, f"--results_dir={guard.folder()}/r")[0]

    budgets = st.none() | st.sampled_from([1, 2, 10**6, 10**12, 10**18, 2**63, 10**30])
    codes = fuzz(count, st.tuples(hparam_texts(), st.sampled_from(["rnn", "lstm", "nmrnn"]), budgets), check)
    assert len(codes) >= count and set(codes) <= {0, 2}
    assert count == FEW or set(codes) == {0, 2}  # both valid and refused cases occur


ODD_PATHS = ["a/../b", "file/x", "file", "loop/x", "x" * 300, "y/" * 3000, "out\n\x1b[31m", "-", "é", " "]


@pytest.mark.parametrize(
    "command", ["export", "score", "describe", "leaderboard", "validate", "theory", "claims", "findings"]
)
@pytest.mark.parametrize("path", ODD_PATHS)
def test_odd_paths(guard, path, command):
    """Odd or too long names, files instead of folders, and circular links."""
    folder = guard.folder()
    for name in ("file", "p.txt"):
        (folder / name).write_text("text")
    os.symlink(folder / "loop", folder / "loop")
    target = f"{folder}/{path}"
    argv = {
        "export": ["--task=toy", f"--out={target}"],
        "score": ["--task=toy", "--model=m", "--params=100", f"--results_dir={target}", f"--predictions={folder}/p.txt"],
        "describe": ["toy", f"--plot={target}"],
        "theory": ["--instances=1", f"--plot={target}"],
        "leaderboard": [target],
        "validate": [target],
        "claims": [target, f"--out={folder}/new.md"],
        "findings": [target, f"--out={folder}/new"],
    }[command]
    code, _, _ = guard.call(command, *argv, may_write=folder)
    assert (folder / "file").read_text() == "text"
    assert code == (0 if command == "export" and path in ("a/../b", "out\n\x1b[31m", "-", "é", " ") else 2)


HEAD = "import nmbench, jax, jax.numpy as jnp\nfrom nmbench import register_baseline\n"
BODY = '''
@register_baseline({name}, free_size={free}{more})
def model(spec, {argument}{default}):
    """y = B u"""
    {statement}
    return {result}
'''
PAIR = "(lambda key: {'B': jnp.ones((1, N))}), (lambda params, inputs: inputs['sensory'] * params['B'][:, :1])"
LITERALS = [
    "None",
    "1",
    "''",
    "'a/b'",
    "'../x'",
    "'x\\n'",
    "'\\x1b[31m'",
    "[]",
    "{}",
    "'rnn'",
    "'N'",
    "b'x'",
    "object()",
    "'x' * 10**5",
    "'\\ud800'",
    "float('nan')",
    "{'a': 1}",
    "{1: 2}",
    "print",
    "(1, 2)",
    "'ab'",
    "{'toy': {'N': 3}}",
    "{'toy/matched': 'x'}",
    "{'toy': None}",
]
RESULTS = [
    PAIR,
    "None",
    "(1, 2)",
    "(lambda key: None), (lambda p, i: None)",
    "(lambda key: {'B': 'x'}), (lambda p, i: i)",
    "spec",
    "(lambda key: {}), (lambda p, i: i['sensory'])",
    "(lambda: 1), (lambda: 2)",
    "(lambda key: {'B': jnp.ones((1, N))}), (lambda p, i: 1/0)",
    "(lambda key: {'B': {}}), (lambda p, i: i['sensory'])",
    "(lambda key: [jnp.ones(N)]), (lambda p, i: i['sensory'])",
]
STATEMENTS = [
    "pass",
    "raise ValueError('a\\nb\\x1b[31m')",
    "raise SystemExit(3)",
    "raise nmbench.support.errors.NmbenchError('no\\nway')",
    "1/0",
    "raise RecursionError",
    "assert False",
    "raise MemoryError",
    "N = N + 'x'",
    "raise UnicodeDecodeError('a', b'', 0, 1, 'x')",
    "raise Exception",
    "raise GeneratorExit('x')",
    "exit()",
]
WHOLE = [
    b"",
    b"\x00",
    b"\xff\xfe",
    "x = '\u202e'".encode(),
    b"# -*- coding: nonsense -*-\n",
    b"def f(:\n",
    b"(" * 500,
    b"-" * 100_000 + b"1",
    b"raise SystemExit\n",
    b"raise ValueError('a\\nb')\n",
    b"import nothing_of_that_name\n",
    b"import sys; sys.exit('text\\nmore')\n",
    b"raise GeneratorExit\n",
    b"from nmbench import register_task\nregister_task()\n",
    b"def f(): f()\nf()\n",
    b"\tx\n  y\n",
    b"from nmbench import register_task\nregister_task('x', version='a')\n",
    b"class E(BaseException): pass\nraise E('x')\n",
    b"class E(Exception):\n  def __str__(self): raise ValueError\nraise E\n",
    b"raise ValueError('\\ud800')\n",
    b"import asyncio\nraise asyncio.CancelledError\n",
]


@st.composite
def plugins(draw) -> bytes:
    kind = draw(st.integers(0, 4))
    if kind == 0:
        return draw(st.sampled_from(WHOLE) | st.binary(max_size=40))
    odd = lambda good, others: draw(st.sampled_from([good] * 4 + others))
    keywords = ["settings", "learning_rates", "input_weights", "partitions", "citation", "tags", "summary", "nonsense"]
    more = "".join(
        f", {draw(st.sampled_from(keywords))}={draw(st.sampled_from(LITERALS))}" for _ in range(draw(st.integers(0, 1)))
    )
    text = HEAD + BODY.format(
        name=odd("'mine'", LITERALS),
        free=odd("'N'", LITERALS),
        more=more,
        argument=odd("N", ["*a", "**k", "N, x", "x", "N: int = 3", "N, *, y=None", "N, y=[], z={}", "N, y=float('nan')"]),
        default=odd("", ["=1", ": 'nonsense'"]),
        statement=odd("pass", STATEMENTS),
        result=odd(PAIR, RESULTS),
    )
    data = text.encode()
    return data if kind < 4 else draw(mangled.bytes_of(data))


PLUGIN_NAMES = ["mine.py"] * 8 + [
    "a b.py",
    "é.py",
    "x.PY",
    "x.txt",
    "..py",
    ".py",
    "-x.py",
    "a\nb.py",
    "\x1b[31m.py",
    "os.py",
    "~x.py",
]


@cases("plugins")
def test_plugins(guard, count):
    def check(case):
        data, name, command = case
        folder = guard.folder()
        (folder / name).write_bytes(data)
        run = [
            "--model=mine",
            "--task=toy",
            "--resolve_only",
            "--hparams=N=3",
            "--allow_budget_miss",
            f"--results_dir={folder}/r",
        ]
        argv = {"list": [], "describe": ["mine"], "run": run}[command]
        return guard.call(command, *argv, f"--plugin={folder}/{name}")[0]

    codes = fuzz(
        count, st.tuples(plugins(), st.sampled_from(PLUGIN_NAMES), st.sampled_from(["list", "describe", "run"])), check
    )
    assert len(codes) >= count and set(codes) <= {0, 2}
    assert count == FEW or set(codes) == {0, 2}  # both valid and refused cases occur
