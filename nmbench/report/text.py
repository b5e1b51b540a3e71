"""Numbers, intervals and names as reports show them, and escaping for Markdown and LaTeX."""

from __future__ import annotations

import math
import textwrap
from collections.abc import Callable, Iterable

from nmbench.contracts.protocol import Phase
from nmbench.results.statistics import Estimate


def filled(text: str) -> tuple[str, ...]:
    """Lines of at most 118 characters, for legends."""
    return tuple(textwrap.wrap(text, 118))


def number(value: float) -> str:
    """A number with four significant digits; those below 0.001 or from 10,000 on have an exponent."""
    return f"{value:.4g}" if value == 0 or 1e-3 <= abs(value) < 9999.5 else f"{value:.3e}"


def column_number(values: Iterable[float | None]) -> Callable[[float], str]:
    """One format for all numbers of a column, so that they can be compared at a glance; None and infinities are left out.

    All have the same number of decimals, with which the middle number has at least four significant digits and the smallest
    at least two, or fewer decimals if they lose nothing. If that takes more than six decimals, or a number is very
    large, all have an exponent.
    """
    found = sorted(abs(value) for value in values if value is not None and math.isfinite(value) and value)
    if not found:
        return number
    middle, smallest = (math.floor(math.log10(value)) for value in (found[len(found) // 2], found[0]))
    decimals = max(0, 3 - middle, 1 - smallest)
    if decimals > 6 or found[-1] >= 1e6:
        return lambda value: f"{value:.3e}" if value else "0"
    while decimals and all(math.isclose(value, round(value, decimals - 1), rel_tol=1e-9) for value in found):
        decimals -= 1
    return lambda value: f"{value:.{decimals}f}"


def number_or_blank(value: float | None, show: Callable[[float], str] = number) -> str:
    """The shown value; "" for None."""
    return "" if value is None else show(value)


def cut(label: str, longest: int = 44) -> str:
    """The label, shortened to at most `longest` characters."""
    return label if len(label) <= longest else f"{label[: longest - 1]}…"


def seeds(n: int) -> str:
    """ "1 seed", "2 seeds" and so on."""
    return f"{n} seed{'' if n == 1 else 's'}"


def one_decimal(value: float) -> str:
    return f"{value:.1f}"


def percent(value: float) -> str:
    """A share in percent; 0% and 100% only if it is 0 or 1."""
    return ">99%" if 0.99 < value < 1 else "<1%" if 0 < value < 0.01 else f"{value:.0%}"


def probability(value: float) -> str:
    """A probability with two decimals; 0.00 and 1.00 only if it is 0 or 1."""
    return ">0.99" if 0.99 < value < 1 else "<0.01" if 0 < value < 0.01 else f"{value:.2f}"


def interval(estimate: Estimate | None, show: Callable[[float], str] = number, between: str = " .. ") -> str:
    """Bounds of an estimate's interval, followed by "(range)" if it is one; "" if there are no bounds."""
    if estimate is None or estimate.low is None or estimate.high is None:
        return ""
    return f"{show(estimate.low)}{between}{show(estimate.high)}" + ("" if estimate.covers else " (range)")


def size_name(budget: int | None) -> str:
    """Size of the models of a table: "budget 500", or "given sizes" without a budget."""
    return f"budget {budget}" if budget else "given sizes"


def task_name(task: str, budget: int | None) -> str:
    """Name of a task, followed by the budget in brackets if there is one."""
    return f"{task} ({budget})" if budget else task


def direction(higher_is_better: bool) -> str:
    return "higher is better" if higher_is_better else "lower is better"


def escape(text: str, form: str) -> str:
    """Escape the special characters of "markdown" or "latex"; text for other forms is unchanged."""
    return "".join(_SPECIAL.get(form, {}).get(char, char) for char in text)


def escape_markdown(text: str) -> str:
    return escape(text, "markdown")


_SPECIAL = {
    "markdown": {
        **{char: f"\\{char}" for char in "\\`*_[]~$"},
        **{char: f"&#{ord(char)};" for char in "&|<>"},
    },
    "latex": {
        "\\": r"\textbackslash{}",
        "~": r"\textasciitilde{}",
        "^": r"\textasciicircum{}",
        **{char: rf"\ensuremath{{{char}}}" for char in "<>|"},
        **{char: f"\\{char}" for char in "&%$#_{}"},
    },
}


def phase_in_words(phase: Phase, code: Callable[[str], str] = str) -> str:
    """What a phase of a protocol does, in one line; `code` marks names, for Markdown for example."""
    names = (phase.partition,) if isinstance(phase.partition, str) else phase.partition
    options = ", ".join(f"{k}={v:g}" for k, v in phase.optimizer_options.items())
    trained = " or else ".join(map(code, names))
    parts = [
        f"{phase.steps} steps of {f'{phase.batch_size} trials' if phase.batch_size else 'all trials'} of {code(phase.data)}",
        f"{phase.optimizer} ({options})" if options else phase.optimizer,
        f"learning rate {phase.schedule}" if phase.schedule == "constant" else f"learning rate with {phase.schedule} decay",
        "" if phase.relative_rate == 1 else f"{phase.relative_rate:g} times the run's learning rate",
        f"warm-up of {phase.warmup_steps} steps" if phase.warmup_steps else "",
        f"weight decay {phase.weight_decay:g}" if phase.weight_decay else "",
        f"gradients clipped to norm {phase.clip_norm:g}" if phase.clip_norm else "",
        f"gradient elements clipped at {phase.clip_value:g}" if phase.clip_value else "",
        f"optimiser state reset every {phase.reset_optimizer_every} steps" if phase.reset_optimizer_every else "",
        f"trains the partition {trained}",
        *(f"weights of {code(channel)} start at {value:g}" for channel, value in phase.new_inputs.items()),
        f"selected on {code(phase.validation)}",
        f"then evaluated as {code(phase.stage)}" if phase.stage else "",
    ]
    return ", ".join(filter(None, parts))
