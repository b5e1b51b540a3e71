"""Atomic files, temporary files of killed processes, and signals."""

import contextlib
import os
import resource
import signal
import subprocess
import sys
import threading
import time

import pytest

from nmbench.results import csv_files
from nmbench.results.store import Store
from nmbench.support import files, interrupts
from nmbench.support.errors import NmbenchError
from nmbench.training import parameter_files
from support.rows import make_row


def put(store, seed, **changes):
    store.write(make_row(seed=seed, run_id=f"r{seed}", **changes), None, {}, [])


def dead_process():
    process = subprocess.Popen([sys.executable, "-c", ""])
    process.wait()
    return process.pid


def of_process(path, pid):
    """The temporary path that process `pid` would use instead of `path`."""
    return path.with_name(path.name.replace(f"-{os.getpid()}-", f"-{pid}-"))


def test_temporary_files_of_ended_processes_are_abandoned(tmp_path):
    mine, parents = files.temporary_path(tmp_path), of_process(files.temporary_path(tmp_path), os.getppid())
    dead, foreign, old = of_process(files.temporary_path(tmp_path), dead_process()), tmp_path / ".tmp-x", tmp_path / ".tmp-y"
    for path in (mine, parents, dead, foreign, old):
        path.mkdir()
    yesterday = time.time() - 2 * files.OLD_S
    os.utime(old, (yesterday, yesterday))
    assert files.abandoned(tmp_path) == sorted([dead, old])
    assert files.abandoned(tmp_path / "missing") == []


def test_replacing_a_file_is_atomic(tmp_path):
    path = tmp_path / "a"
    files.replace(path, b"old")
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (1000, hard))
    try:
        with pytest.raises(OSError, match="File too large"):
            files.replace(path, bytes(2000))
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert path.read_bytes() == b"old" and os.listdir(tmp_path) == ["a"]


def test_a_results_csv_that_cannot_be_written_is_unchanged(tmp_path):
    store = Store(tmp_path)
    store.prepare()
    put(store, 0)
    store.collect()
    before = store.csv.read_bytes()
    for seed in range(1, 9):
        put(store, seed)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (2 * len(before), hard))
    try:
        with pytest.raises(NmbenchError, match="cannot write .*results.csv: File too large"):
            store.collect()
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    assert store.csv.read_bytes() == before
    assert [p for p in tmp_path.rglob(".*") if p.name != ".lock"] == []
    assert len(store.collect()) == len(csv_files.read_csv(store.csv)) == 9


def test_a_lock_does_not_follow_links_or_change_files(tmp_path):
    precious = tmp_path / "precious"
    precious.write_text("text")
    with files.locked(precious):
        assert precious.read_text() == "text"
    store = Store(tmp_path / "results")
    store.prepare()
    (store.root / ".lock").symlink_to(precious)
    with pytest.raises(NmbenchError, match="cannot write"):
        store.collect()
    assert precious.read_text() == "text"


def test_a_long_wait_for_a_lock_is_announced(tmp_path, monkeypatch, capsys):
    monkeypatch.setattr(files, "PATIENCE_S", 0.05)
    path = tmp_path / ".lock"
    with files.locked(path):
        waiting = threading.Thread(target=files.locked(path).__enter__)
        waiting.start()
        time.sleep(0.3)
    waiting.join()
    assert capsys.readouterr().err == f"nmbench: waiting for another process, which holds the lock {path}\n"


def test_named_pipes_are_refused_instead_of_waiting_for_a_writer(tmp_path):
    pipe = tmp_path / "pipe.csv"
    os.mkfifo(pipe)
    (tmp_path / "runs" / "r0").mkdir(parents=True)
    os.mkfifo(tmp_path / "runs" / "r0" / "row.json")
    assert Store(tmp_path).row("r0") is None
    for read in (csv_files.read_csv, parameter_files.load_arrays, lambda path: parameter_files.load_params(path, {})):
        with pytest.raises(NmbenchError, match="it is not a regular file"):
            read(pipe)


def test_a_run_that_a_killed_process_moved_aside_is_restored(tmp_path):
    """The process was killed after it moved the old run aside and before it moved the new run into place."""
    store = Store(tmp_path)
    store.prepare()
    put(store, 0)
    put(store, 1)
    aside = of_process(files.temporary_path(store.runs), dead_process())
    (store.runs / "r0").rename(aside.with_name(aside.name + "-old"))
    aside.mkdir()
    (aside / "row.json").write_text("{")
    # Run r2 is in place again, so its old copy is not restored.
    other = of_process(files.temporary_path(store.runs), dead_process())
    put(store, 2)
    (store.runs / "r2").rename(other.with_name(other.name + "-old"))
    put(store, 2, value=2.0)
    assert [row["seed"] for row in store.rows()] == [1, 2]
    Store(tmp_path).prepare()
    assert [(row["seed"], row["value"]) for row in store.rows()] == [(0, 1.0), (1, 1.0), (2, 2.0)]
    assert sorted(os.listdir(store.runs)) == ["r0", "r1", "r2"]


def test_concurrent_replacements_of_a_run_succeed(tmp_path):
    store = Store(tmp_path)
    store.prepare()
    errors = []

    def work():
        try:
            for _ in range(40):
                put(store, 0)
        except NmbenchError as error:
            errors.append(error)

    threads = [threading.Thread(target=work) for _ in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert errors == [] and os.listdir(store.runs) == ["r0"]


@pytest.mark.parametrize(("number", "code"), [(signal.SIGINT, 130), (signal.SIGTERM, 143), (signal.SIGHUP, 143)])
def test_a_first_signal_is_deferred_and_a_second_one_is_not(number, code):
    before = signal.signal(number, signal.SIG_DFL)  # a background job of a shell would ignore it
    try:
        with interrupts.watch_signals() as watch:
            watch.raise_if_signalled()
            with pytest.raises(interrupts.Interrupted) as caught:
                os.kill(os.getpid(), number)
            assert caught.value.code == code
        with interrupts.watch_signals() as watch, watch.deferred():
            os.kill(os.getpid(), number)
            assert watch.signalled
            with pytest.raises(interrupts.Interrupted) as caught:
                watch.raise_if_signalled("kept")
            assert (caught.value.code, str(caught.value)) == (code, "kept")
            with pytest.raises(interrupts.Interrupted):
                os.kill(os.getpid(), number)
        assert signal.getsignal(number) is signal.SIG_DFL
    finally:
        signal.signal(number, before)


def test_an_inner_watch_knows_of_a_signal_whose_exception_was_swallowed():
    before = signal.signal(signal.SIGTERM, signal.SIG_DFL)
    try:
        with interrupts.watch_signals():
            with contextlib.suppress(interrupts.Interrupted):  # as a callback of JAX does
                os.kill(os.getpid(), signal.SIGTERM)
            with interrupts.watch_signals() as inner, pytest.raises(interrupts.Interrupted), inner.deferred():
                pytest.fail("the training would begin")
    finally:
        signal.signal(signal.SIGTERM, before)


def test_the_first_ctrl_c_says_that_the_command_goes_on(capfd):
    before = signal.signal(signal.SIGINT, signal.SIG_DFL)
    try:
        with interrupts.watch_signals() as watch, watch.deferred("stopping soon"):
            os.kill(os.getpid(), signal.SIGINT)
    finally:
        signal.signal(signal.SIGINT, before)
    assert capfd.readouterr().err == "\nstopping soon\n"


def test_signals_that_are_ignored_stay_ignored():
    before = signal.signal(signal.SIGINT, signal.SIG_IGN)
    try:
        with interrupts.watch_signals() as watch:
            os.kill(os.getpid(), signal.SIGINT)
            assert not watch.signalled
    finally:
        signal.signal(signal.SIGINT, before)
