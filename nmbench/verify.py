"""Verify a submission, or the committed board, and write what was found to FOLDER/verification.json.

  python -m nmbench.verify submissions/my_model
  python -m nmbench.verify results/board --models=gru --tasks=element_finder --tier=re-scored

Each tier includes those before it:

  self-reported  the rows are complete (seeds 0 to n-1, at least as many as the board asks for) and follow their
                 protocol; hashes, sizes, configurations and run ids are those of the model's file, which passes
                 `nmbench check`
  re-scored      the stored parameters give the stored values of the test trials
  re-trained     seeds that are drawn from a hash of the folder are trained again

The file of a submitted model runs in a process of its own, with limits and, on Linux with user namespaces, without network;
--plugin has no effect there, it serves results such as results/board.
The models of nmbench, whose rows are on the board, do not need this. docs/verification.md has the details.

Exit code 0: every experiment reached the tier; 1: one did not; 2: bad input.
"""

from __future__ import annotations

from nmbench.contracts import plugins
from nmbench.support import cli, devices

FLAGS = cli.new_flags("plugin")
cli.choice(FLAGS, "tier", "re-scored", ["self-reported", "re-scored", "re-trained"], "the tier to reach")
cli.string(FLAGS, "models", "", "verify only these models, separated by commas")
cli.string(FLAGS, "tasks", "", "verify only these tasks")
cli.integer(FLAGS, "seeds", 10, "seeds per experiment that tier re-trained draws", lower=1, upper=cli.MOST_SEEDS)
cli.string(FLAGS, "salt", "", "any text; another text draws other seeds")
cli.number(FLAGS, "time_limit", 3600.0, "seconds that a submitted model may take for one question")


def main(folders: list[str]) -> int:
    from nmbench.submissions.folder import read_submission
    from nmbench.support.errors import NmbenchError

    if not 0 < FLAGS.time_limit < float("inf"):
        raise NmbenchError(f"--time_limit must be a number of seconds above 0, got {FLAGS.time_limit:g}")
    if len(folders) != 1:
        raise NmbenchError("name one folder: a submission, or results/board")
    devices.start(None)
    plugins.load_all(FLAGS.plugin)
    submission = read_submission(folders[0])

    from nmbench.results import verification
    from nmbench.submissions import asking, isolation, verifying
    from nmbench.submissions.retraining import Draw
    from nmbench.support import files

    names = lambda text: [name.strip() for name in text.split(",") if name.strip()]
    chosen = verifying.choose(submission, names(FLAGS.models), names(FLAGS.tasks))
    earlier = verification.read(submission.verification_file)
    files.check_writable(submission.folder, "the verification record is written there")
    outcomes = []
    limits = isolation.Limits(seconds=FLAGS.time_limit)
    trusted = submission.about is None
    asked = asking.this_process() if trusted else isolation.own_process(submission.plugin, [submission.folder], limits)
    with asked as model:
        print(f"protection from the model's code: {model.protection}\n", flush=True)
        for outcome in verifying.verify(submission, chosen, FLAGS.tier, model, Draw(FLAGS.seeds, FLAGS.salt)):
            outcomes.append(outcome)
            print(_described(outcome), flush=True)
            verification.write(submission.verification_file, verifying.records(submission, outcomes, earlier))
    reached = sum(outcome.tier == FLAGS.tier for outcome in outcomes)
    print(
        f"\n{reached} of {len(outcomes)} experiments are {FLAGS.tier}; their verification records are in "
        f"{submission.verification_file}"
    )
    return 0 if reached == len(outcomes) else 1


def _described(outcome) -> str:
    lines = [f"{outcome.experiment}: {outcome.tier or 'NOT verified'}, {outcome.duration_s:.1f} s"]
    for step in outcome.steps:
        found = "" if step.difference is None else f": {step.difference:.2g} at most"
        found += "" if step.tolerance is None else f" (tolerance {step.tolerance:g})"
        lines.append(f"  {'ok  ' if step.passed else 'FAIL'} {step.compared}{found}")
    return "\n".join(lines)


if __name__ == "__main__":
    cli.run(main, FLAGS, __doc__, "nmbench.verify", operands="FOLDER")
