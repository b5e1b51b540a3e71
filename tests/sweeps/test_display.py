"""What a sweep shows of its progress, without a terminal."""

from nmbench.sweeps import display
from nmbench.sweeps.jobs import Event, JobOutcome

STEPS = "tuning rnn: step 900 of 20000, loss 0.5 (best 0.1), about 3 min left"


def test_the_progress_of_an_experiment_that_has_reported_any_is_shown(jobs, monkeypatch, capsys):
    monkeypatch.setattr(display, "LINE_EVERY_S", 0.0)
    first, second = jobs
    for job, text in ((first, "two words: no progress\n"), (second, f"{STEPS.replace('900', '400')}\n{STEPS}\nelse\n")):
        job.log.parent.mkdir(parents=True, exist_ok=True)
        job.log.write_text(text)
    with display.Display(jobs, cores=None) as show:
        show(Event("started", first))
        show(Event("started", second))
        show(Event("ended", first, JobOutcome(first, 0, "", 4.0)))
    lines = capsys.readouterr().err.splitlines()
    assert lines[:3] == ["[0/2] 1 running", "[0/2] 2 running", f"  toy: {STEPS}"]
    assert lines[3].startswith(f"[1/2] {first.name}: 3 seeds in 4 s")
    assert lines[-1] == f"  toy: {STEPS}"


def test_progress_is_read_from_the_end_of_a_log(tmp_path):
    log = tmp_path / "a.log"
    assert display.newest_progress(log) == ""
    log.write_bytes(b"x" * 10_000 + b"\xff\n" + STEPS.encode() + b"\nlast\n")
    assert display.newest_progress(log) == STEPS
    log.write_text(f"{STEPS}\n== a second process\nfirst words\n")
    assert display.newest_progress(log) == ""
