"""Shared code of the commands: flags, errors of one line, exit codes. Every command has its own absl `FlagValues`.

Exit code 0: success; 1: the command completed, but something failed; 2: bad input; 130: interrupted by Ctrl-C; 143: stopped
by SIGTERM. Every command documents when it returns 1.
"""

from __future__ import annotations

import os
import re
import sys
import textwrap
from collections.abc import Callable

from absl import flags

from nmbench.support import terminal
from nmbench.support.errors import NmbenchError

LONGEST_FLAG = 100
MOST_SEEDS = 100_000
SEEDS_HINT = "--seeds is how many, and --first_seed the first: --first_seed=1 --seeds=3 trains the seeds 1, 2 and 3"

_SHARED = {
    "model": "name of a model that `nmbench list` shows",
    "task": "name of a task that `nmbench list` shows",
    "results_dir": "results folder, with run folders in runs/ and their rows in results.csv",
    "plugin": "Python file that registers your own models or tasks",
}


def new_flags(*shared: str) -> flags.FlagValues:
    """A `FlagValues` with these shared flags: "model", "task", "results_dir" or "plugin"."""
    values = flags.FlagValues()
    for name in shared:
        if name == "plugin":
            strings(values, name, _SHARED[name])
        else:
            default = "results" if name == "results_dir" else None
            flags.DEFINE_string(name, default, _SHARED[name], flag_values=values)
    return values


def strings(values: flags.FlagValues, name: str, help_: str) -> None:
    """Define a flag that may be given several times; its value is a list."""
    flags.DEFINE_multi_string(name, [], help_, flag_values=values)


def string(values: flags.FlagValues, name: str, default: str | None, help_: str) -> None:
    flags.DEFINE_string(name, default, help_, flag_values=values)


class _WholeNumber(flags.IntegerParser):
    """Parses whole numbers; an error says what to write instead of quoting Python's `int`."""

    def __init__(self, hint: str, **bounds: int | None):
        super().__init__(**bounds)
        self._hint = hint

    def convert(self, argument):
        try:
            return super().convert(argument)
        except (TypeError, ValueError):
            raise ValueError(f"{argument!r} is not a whole number{self._hint}") from None


class _Number(flags.FloatParser):
    """Parses numbers; an error says so instead of quoting Python's `float`."""

    def convert(self, argument):
        try:
            return super().convert(argument)
        except (TypeError, ValueError):
            raise ValueError(f"{argument!r} is not a number") from None


def integer(
    values: flags.FlagValues,
    name: str,
    default: int | None,
    help_: str,
    lower: int = 0,
    upper: int | None = None,
    hint: str = "",
) -> None:
    """Define a flag for a whole number. hint: what to write instead, after the message that the text is not one."""
    parser = _WholeNumber(f"; {hint}" if hint else "", lower_bound=lower, upper_bound=upper)
    flags.DEFINE(parser, name, default, help_, flag_values=values, serializer=flags.ArgumentSerializer())


def seeds(values: flags.FlagValues) -> None:
    """Define --seeds and --first_seed."""
    integer(values, "seeds", 10, "number of seeds", lower=1, upper=MOST_SEEDS, hint=SEEDS_HINT)
    integer(values, "first_seed", 0, "first seed")


def number(values: flags.FlagValues, name: str, default: float | None, help_: str) -> None:
    flags.DEFINE(_Number(), name, default, help_, flag_values=values, serializer=flags.ArgumentSerializer())


def boolean(values: flags.FlagValues, name: str, default: bool, help_: str) -> None:
    flags.DEFINE_boolean(name, default, help_, flag_values=values)


def choice(values: flags.FlagValues, name: str, default: str | None, options: list[str], help_: str) -> None:
    flags.DEFINE_enum(name, default, options, help_, flag_values=values)


def required(values: flags.FlagValues, name: str) -> str:
    """The value of a required flag; raises `NmbenchError` if it is missing."""
    value = getattr(values, name)
    if value in (None, ""):
        raise NmbenchError(f"--{name} is missing; give --{name}=NAME ({_SHARED.get(name, 'see --help')})")
    return value


def run(main: Callable[..., int], values: flags.FlagValues, doc: str | None, prog: str, operands: str = "") -> None:
    """Parse `sys.argv`, call `main` and exit with its code. Bad input gives one line on stderr and exit code 2."""
    sys.exit(call(main, values, doc, prog, operands, sys.argv[1:]))


def call(
    main: Callable[..., int], values: flags.FlagValues, doc: str | None, prog: str, operands: str, argv: list[str]
) -> int:
    """As `run`, with explicit arguments; returns the exit code. `operands` names the positional arguments, "" for none."""
    for name in ("stdout", "stderr"):
        if getattr(sys, name) is None:  # the shell has closed it, as in `2>&-`
            setattr(sys, name, open(os.devnull, "w", encoding="utf-8"))  # noqa: SIM115, open as long as the process
    try:
        if any(a in ("--help", "-h", "-help", "--helpshort", "--helpfull") for a in argv):
            print(help_text(values, doc, prog, operands), flush=True)
            return 0
        for argument in argv:  # absl looks for similar names by a recursion over letters
            if argument.startswith("-") and len(argument.partition("=")[0]) > LONGEST_FLAG:
                raise NmbenchError(f"unknown flag {argument[:40]!r}... (--help lists the flags)")
        try:
            values.unparse_flags()
            for name in values:
                values[name].unparse()
            rest = values([prog, *argv])[1:]
        except flags.Error as error:
            text = re.sub(r"\('Non-boolean argument to boolean flag', (.*)\)$", r"\1 is neither true nor false", str(error))
            text = text if len(text) < 400 else f"{text[:200]} ... {text[-100:]}"
            raise NmbenchError(f"{text} (--help lists the flags)") from error
        if rest and not operands:
            raise NmbenchError(f"unexpected argument {rest[0]!r}; flags are written --name=value (--help lists them)")
        code = main(rest) if operands else main()
        sys.stdout.flush()  # so that a closed pipe and a full disk are noticed here
        return code
    except NmbenchError as error:
        print(f"{prog}: {error}", file=sys.stderr)
        return 2
    except KeyboardInterrupt as error:
        print("; ".join([f"{prog}: interrupted", *map(str, error.args[:1])]).removesuffix("; "), file=sys.stderr)
        return getattr(error, "code", 130)
    except BrokenPipeError:  # the reader of the pipe, such as `head`, has ended
        _discard_output()
        return 0
    except OSError as error:
        if error.filename is None:  # only an error of the output names no file
            _discard_output()
        what = "cannot write the output" if error.filename is None else f"cannot use {str(error.filename)[:200]!r}"
        print(f"{prog}: {what}: {error.strerror or error}", file=sys.stderr)
        return 2


def _discard_output() -> None:
    """Otherwise Python would try to write the rest at its end, and fail again."""
    os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())


def help_text(values: flags.FlagValues, doc: str | None, prog: str, operands: str) -> str:
    """Usage, the module's docstring and the flags with their defaults."""
    usage = " ".join(filter(None, [f"usage: {prog}", operands, "[--flag=value ...]"]))
    columns = terminal.width()
    lines = [usage, "", terminal.fill((doc or "").strip(), columns), "", "flags:"]
    for name in sorted(values):
        flag = values[name]
        if name == "help":
            continue
        is_boolean = isinstance(flag.value, bool) or isinstance(flag.default, bool)
        form = f"--[no]{name}" if is_boolean else f"--{name}=..."
        default = "" if flag.default in (None, "", []) else f" (default: {flag.default_as_str.strip(chr(39))})"
        width = min(100, columns or 100)
        words = " ".join(f"{flag.help}{default}".split())  # absl adds line breaks to the help of repeated flags
        lines += textwrap.wrap(words, width, initial_indent=f"  {form:<24} ", subsequent_indent=" " * 27)
    return "\n".join(lines)
