"""Findings as text: for a terminal, as Markdown and as CSV."""

from __future__ import annotations

import textwrap
from collections import defaultdict
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from nmbench.questions import missing
from nmbench.questions.catalogue import Catalogue, Question
from nmbench.questions.findings import SAME_SHARE, Answer, AnswerKind, Finding, TaskFindings
from nmbench.report.tables import Section, TextTable, markdown_table, terminal_section
from nmbench.report.text import column_number, direction, escape_markdown, probability
from nmbench.results import power, significance
from nmbench.results.csv_files import write_lines

TITLE = "Findings"
ABOUT = (
    "The same questions, asked for every task and answered from rows of protocol {protocol}. Verdicts are computed from the "
    "numbers beside them; no person chooses them. Only rows without departures from the protocol count: models of the size "
    "and with the learning rate that it asks for, trained as it says."
)
# One sentence or two for each column; docs/statistics.md explains the tests.
LEGEND = (
    "A / B: model A against its rival B. ratio: geometric mean of A's errors over that of B's, below 1 if A is better; "
    "difference: mean of A minus mean of B, for other metrics. 95%: Welch's interval, for the learning rates that were "
    "chosen, not corrected for the number of comparisons.",
    f"p: the board's test, a two-sided unpaired permutation test over seeds of log errors (other metrics as they are; "
    f"{significance.UNEQUAL}), with Holm's correction for the comparisons of one question on a task. The board corrects "
    "for all pairs of its models, so two models that cannot be told apart there may be told apart here. Comparisons without "
    "rows count with p = 1, so training the missing models never takes ahead or behind away.",
    "better: probability that a seed of A is better than a seed of B. solved: seeds that reach the task's threshold, A and "
    "B. seeds: of A and B; lost seeds count as the floor, or as the worst finished seed if that is worse.",
    "verdict: ahead or behind if p < 0.05, however small the effect; else no difference found if the interval lies within "
    f"1/{significance.SAME_RATIO:g} .. {significance.SAME_RATIO:g} (differences: {SAME_SHARE:.0%} of the way from floor to "
    "ceiling); otherwise open. "
    f"about n seeds: with n seeds of each model, {power.POWER:.0%} of experiments would tell the models apart, or find no "
    "difference, if the true difference and spreads are those seen so far; n is rough.",
)
_HEADERS = ("A / B", "verdict", "", "95%", "p", "better", "solved", "seeds")
_TRAINS_ALL = "These train what is missing, one command for each task:"
_SHORT = {AnswerKind.AHEAD: "ahead", AnswerKind.SAME: "no difference", AnswerKind.WORSE: "behind", AnswerKind.OPEN: "open"}
_LEFT = ("A / B", "verdict", "95%", "task", "question")


def terminal(found: Sequence[TaskFindings], catalogue: Catalogue, columns: int | None, extra: Sequence[str]) -> str:
    """A table for each task, then what the columns mean. columns: width of the terminal; None for no limit."""
    filled = lambda line: textwrap.fill(line, columns or 120, break_long_words=False, break_on_hyphens=False)
    parts = [f"{one.name}: {one.title} {_rule(one)}" for one in catalogue.questions]
    parts = ["\n".join(map(filled, parts))]
    answered, others = _divided(found)
    for one in answered:
        tables = [_table(finding, one) for finding in one.findings if _some(finding)]
        section = Section(f"{one.task.name}: {_metric(one, catalogue)}", tables, (), "")
        parts += [*terminal_section(section, columns), *map(filled, _notes(one))]
        # Commands are not wrapped, so that they can be copied.
        parts += [
            f"{title}\n" + "\n".join(f"  {line}" for line in lines) for title, lines in _commands(one, catalogue, extra)
        ]
    if others:
        parts += [filled(line) for line in (_open(others), *_left_out(others))]
        lines = _missing(others, catalogue, extra)
        parts.append("\n".join([_TRAINS_ALL, *(f"  {line}" for line in lines)]))
    return "\n\n".join([*parts, "\n".join(map(filled, LEGEND))]) + "\n"


def markdown(
    found: Sequence[TaskFindings], catalogue: Catalogue, again: str, pictures: Mapping[str, str], extra: Sequence[str]
) -> str:
    """The page of findings.

    Args:
      found: the findings.
      catalogue: the questions.
      again: the command line that makes the page.
      pictures: name of a question to the caption of its picture, `finding_NAME.png`.
      extra: flags of the commands that train, such as --plugin=FILE.py.
    """
    answered, others = _divided(found)
    parts = [
        f"# {TITLE}",
        escape_markdown(ABOUT.format(protocol=catalogue.protocol)),
        "This command computes them again; name a folder with new rows, such as `results`, beside the others:",
        f"```text\n{again}\n```",
        *(["## In short", in_short(found, catalogue)] if answered else []),
    ]
    for question in catalogue.questions:
        parts.append(f"## {escape_markdown(f'{question.name}: {question.title}')}")
        parts.append(escape_markdown(f"{question.asks} {_rule(question)}"))
        if question.name in pictures:
            picture = f"![effects of {question.name}]({picture_name(question)}.png)"
            parts += [picture, escape_markdown(pictures[question.name])]
    for one in answered:
        parts += [f"## {escape_markdown(one.task.name)}", escape_markdown(_metric(one, catalogue))]
        for finding in one.findings:
            if _some(finding):
                parts += [
                    f"**{escape_markdown(finding.question.name)}: {finding.says}**",
                    markdown_table(_table(finding, one)),
                ]
        parts += map(escape_markdown, _notes(one))
        for title, lines in _commands(one, catalogue, extra):
            parts += [title, "\n".join(["```text", *lines, "```"])]
    if others:
        parts += ["## Tasks without answers", *map(escape_markdown, (_open(others), *_left_out(others)))]
        parts += [_TRAINS_ALL, "\n".join(["```text", *_missing(others, catalogue, extra), "```"])]
    legend = "\n".join(f"- {escape_markdown(line)}" for line in LEGEND)
    return "\n\n".join([*parts, "## How to read the tables", legend]) + "\n"


def picture_name(question: Question) -> str:
    """Name of a question's picture, without suffix."""
    return f"finding_{question.name}"


COLUMNS = (
    *("task", "protocol", "question", "finding", "model", "rival", "verdict", "not_trained", "metric", "kind"),
    *("effect", "low", "high", "p", "p_corrected", "improvement", "solved_model", "solved_rival"),
    *("seeds_model", "seeds_rival", "seeds_needed", "learning_rate_model", "learning_rate_rival"),
    *("tuning_runs_model", "tuning_runs_rival"),
)


def csv(found: Sequence[TaskFindings]) -> str:
    """One line for each comparison, with the columns of `COLUMNS`.

    Numbers have ten significant digits: logarithms differ in their last digits between kinds of processors.
    """
    lines = []
    for one in found:
        for finding in one.findings:
            same = {"task": one.task.name, "protocol": one.protocol, "question": finding.question.name}
            same |= {"finding": finding.says, "metric": one.task.primary.name}
            same |= {"kind": "ratio" if one.logarithmic else "difference"}
            lines += [{**same, **_line(answer)} for answer in finding.answers]
    return write_lines(COLUMNS, lines)


def _line(answer: Answer) -> dict[str, Any]:
    line: dict[str, Any] = {"model": answer.asked.model, "rival": answer.asked.rival, "verdict": answer.kind.value}
    line["not_trained"] = " ".join(answer.missing)
    for side, rows in (("model", answer.model), ("rival", answer.rival)):
        if rows is not None:
            line |= {f"seeds_{side}": len(rows.sample), f"learning_rate_{side}": rows.learning_rate}
            line |= {f"tuning_runs_{side}": rows.tuning_trials}
    if (compared := answer.comparison) is not None:
        line |= {"effect": compared.effect.value, "low": compared.effect.low, "high": compared.effect.high}
        line |= {"p": compared.p, "p_corrected": answer.p, "improvement": compared.improvement}
    line["seeds_needed"] = answer.needed
    line |= dict(zip(("solved_model", "solved_rival"), answer.solved or ()))
    return {name: float(f"{value:.10g}") if isinstance(value, float) else value for name, value in line.items()}


def _rule(question: Question) -> str:
    """When the answer is yes."""
    parts = [
        f"{pair.model} is ahead of {pair.rival}{', or no difference is found' * pair.equal_is_enough}"
        for pair in question.comparisons
    ]
    if len(parts) == 1:
        return f"Yes if {parts[0]}."
    return f"Yes if {'all of these hold' if question.needs == 'all' else 'one of these holds'}: {'; '.join(parts)}."


def _some(finding: Finding) -> bool:
    return any(not answer.missing for answer in finding.answers)


def in_short(found: Sequence[TaskFindings], catalogue: Catalogue) -> str:
    """A table in Markdown with a line for each question: its answer on every task that has one."""
    answered, _ = _divided(found)
    headers = ["question", *(one.task.name for one in answered)]
    rows = [
        [f"{question.name}: {question.title}", *(_short(one.findings[i]) for one in answered)]
        for i, question in enumerate(catalogue.questions)
    ]
    return markdown_table(TextTable(headers, rows, left=headers))


def _short(finding: Finding) -> str:
    """The answer, and how many of its comparisons came out how, unless all are ahead."""
    words = [_SHORT[answer.kind] if not answer.missing else "not trained" for answer in finding.answers]
    counts = [f"{words.count(word)} {word}" for word in (*_SHORT.values(), "not trained") if word in words]
    return finding.says if set(words) == {_SHORT[AnswerKind.AHEAD]} else f"{finding.says} ({', '.join(counts)})"


def _metric(one: TaskFindings, catalogue: Catalogue) -> str:
    primary = one.task.primary
    published = one.task.protocol(catalogue.protocol).sizes == "published"
    size = "published sizes" if published else f"budget {one.task.default_budget}"
    return f"{primary.name} ({direction(primary.higher_is_better)}), {size}."


def _table(finding: Finding, one: TaskFindings) -> TextTable:
    effects = [answer.comparison.effect for answer in finding.answers if answer.comparison is not None]
    show = column_number(value for effect in effects for value in (effect.value, effect.low, effect.high))
    headers = tuple(header or ("ratio" if one.logarithmic else "difference") for header in _HEADERS)
    rows = [_cells(answer, show) for answer in finding.answers]
    return TextTable(headers, rows, f"{finding.question.name} ({finding.says})", left=_LEFT)


def _cells(answer: Answer, show: Callable[[float], str]) -> list[str]:
    cells = [answer.asked.label, answer.words]
    if answer.comparison is None:
        return [*cells, "", "", "", "", "", _pair(answer.seeds)]
    effect, p = answer.comparison.effect, answer.p
    bounds = "" if effect.low is None or effect.high is None else f"{show(effect.low)} .. {show(effect.high)}"
    shown_p = "" if p is None else f"{p:.2g}"
    better = probability(answer.comparison.improvement)
    return [*cells, show(effect.value), bounds, shown_p, better, _pair(answer.solved), _pair(answer.seeds)]


def _pair(numbers: tuple[int, int] | None) -> str:
    return "" if numbers is None else "{}, {}".format(*numbers)


def _notes(one: TaskFindings) -> list[str]:
    """Sentences on models: which have no rows, which rows do not count, and the learning rates."""
    absent = list(dict.fromkeys(name for answer in one.answers for name in answer.missing))
    notes = [f"No rows that count: {', '.join(absent)}."] if absent else []
    notes += [f"{note[0].upper()}{note[1:]}." for note in one.notes]
    by_tuning: dict[str, list[str]] = defaultdict(list)
    for name, rows in one.trained.items():
        rate = "" if rows.learning_rate is None else f" {rows.learning_rate:g}"
        tuned = f"tuned in {rows.tuning_trials} runs" if rows.tuning_trials else "not tuned"
        by_tuning[tuned].append(f"{name}{rate}")
    return notes + [f"Learning rates, {tuned}: {', '.join(names)}." for tuned, names in by_tuning.items()]


def _divided(found: Sequence[TaskFindings]) -> tuple[list[TaskFindings], list[TaskFindings]]:
    """Tasks with an answer to at least one comparison, and the others."""
    some = [any(map(_some, one.findings)) for one in found]
    return [one for one, is_some in zip(found, some) if is_some], [one for one, is_some in zip(found, some) if not is_some]


def _open(others: Sequence[TaskFindings]) -> str:
    names = ", ".join(one.task.name for one in others)
    return f"Open, all questions: {names}. No two models of a comparison have rows that count."


def _left_out(others: Sequence[TaskFindings]) -> list[str]:
    """Sentences on rows that do not count, by task."""
    return [f"{one.task.name}: {'; '.join(one.notes)}." for one in others if one.notes]


def _missing(found: Sequence[TaskFindings], catalogue: Catalogue, extra: Sequence[str]) -> list[str]:
    return missing.all_commands(found, catalogue.models, extra)


def _commands(one: TaskFindings, catalogue: Catalogue, extra: Sequence[str]) -> list[tuple[str, list[str]]]:
    """Titles and commands: what trains the models that lack seeds, and what decides open comparisons."""
    lines = _missing([one], catalogue, extra)
    found = [("This trains what is missing:", lines)] if lines else []
    more = missing.more_seeds(one, extra)
    return found + ([("More seeds for open comparisons:", more)] if more else [])
