"""Docstrings as Markdown: lines with equations become LaTeX, everything else becomes prose.

Models and tasks write their equations as plain text, for example `x_t = (1 - 1/tau) x_{t-1} + B u_t`. A line is an equation
if it contains " = " and no ordinary word before it. The equation ends where ordinary words begin.
"""

from __future__ import annotations

import itertools
import re
import textwrap

from maker.text import escape

GREEK = {"tau", "lambda", "gamma", "nu", "theta", "phi", "sigma", "alpha", "beta", "pi"}
FUNCTIONS = {
    "tanh",
    "exp",
    "sigmoid",
    "diag",
    "gelu",
    "sqrt",
    "clip",
    "dt",
    "relu",
    "sin",
    "cos",
    "atan",
    "Re",
    "Im",
    "sum",
    "log",
    "max",
}
KNOWN = {"tanh": r"\tanh", "exp": r"\exp", "sin": r"\sin", "cos": r"\cos", "log": r"\log", "max": r"\max", "sum": r"\sum"}
# Short words that may stand inside an equation.
LINKS = {"of", "and", "for"}
_TOKEN = re.compile(
    r"(?P<name>[A-Za-z]+'?)(?P<sub>_\{[^}]*\}|_[A-Za-z0-9]+)?(?P<sup>\^[A-Za-z0-9]+)?|(?P<other>>=|<=|.)", re.S
)
_TITLE = re.compile(r"^(?P<title>[A-Z][A-Za-z ,\-]{2,70}|minGRU): (?P<rest>.* = .*)$")


def markdown(doc: str) -> str:
    """A docstring as Markdown with equations in `$$`. Sections such as "Args:" are left out."""
    found: list[str] = []
    for paragraph in re.split(r"\n\s*\n", doc.strip()):
        if re.match(r"(Args|Returns|Raises|Attributes):\n", paragraph):
            continue
        lines = textwrap.dedent(paragraph).splitlines()
        if lines and all(line.startswith(("- ", "  ")) for line in lines):
            found.append("\n".join(escape(line) for line in lines))
            continue
        found += _paragraph(lines)
    return "\n\n".join(found)


def _paragraph(lines: list[str]) -> list[str]:
    found: list[str] = []
    prose: list[str] = []
    display: list[str] = []

    def flush() -> None:
        if prose:
            found.append(escape(" ".join(prose)))
            prose.clear()
        if display:
            found.append("$$\n\\begin{aligned}\n" + " \\\\\n".join(display) + "\n\\end{aligned}\n$$")
            display.clear()

    for number, line in enumerate(lines):
        titled = _TITLE.match(line)
        if titled:
            segments = re.split(r"(?<=[;,])  +", titled["rest"])
            words = list(itertools.takewhile(lambda segment: not _equation_length(segment), segments))
            if len(words) < len(segments):
                flush()
                prose.append(" ".join([f"{titled['title']}:", *words]).rstrip(";,"))
                line = "  ".join(segments[len(words) :])
                flush()
        # A line that continues a sentence is prose, even if it begins like an equation.
        continues = bool(prose) and not prose[-1].endswith((".", ":"))
        if continues or not _equation_length(line):
            if display:
                flush()
            prose.append(line.strip())
            continue
        if prose:
            flush()
        # Words at the end of the line belong to the equation, unless the next line continues them.
        ends = number + 1 == len(lines) or bool(_equation_length(lines[number + 1]))
        rest, segments = "", re.split(r"[;,]  +", line.strip())
        for place, segment in enumerate(segments, start=1):
            length = _equation_length(segment)
            equation, rest = segment[:length].rstrip(" ,;"), segment[length:].strip(" ,;")
            if equation:
                display.append(_aligned(latex(equation.rstrip(".") if not equation.endswith("(.)") else equation)))
            if rest and len(rest) < 40 and "_" not in rest and display and (ends or place < len(segments)):
                display[-1] += rf"\quad\text{{{_plain(rest.rstrip('.'))}}}"
                rest = ""
        if rest:
            flush()
            prose.append(rest)
    flush()
    return found


def _equation_length(line: str) -> int:
    """Number of characters of the equation at the start of a line; 0 if there is none."""
    equals = line.find(" = ")
    if equals < 0 or any(_is_word(m) for m in re.finditer(r"[A-Za-z]+'?[A-Za-z_{}0-9^-]*", line[:equals])):
        return 0
    for match in re.finditer(r"(?<![A-Za-z_{])[A-Za-z]+", line[equals:]):
        if _is_word(match):
            end = equals + match.start()
            comma = line.rfind(",", 0, end)
            return comma if 0 < end - comma <= 5 else end
    return len(line)


def _is_word(match: re.Match) -> bool:
    word = re.split(r"[_'^]", match[0])[0]
    return len(word) > 1 and word not in GREEK | FUNCTIONS | LINKS and not re.fullmatch(r"[A-Z]{2}", word)


def latex(equation: str) -> str:
    """A plain equation as LaTeX."""
    return re.sub(r"\s+", " ", "".join(_token(match) for match in _TOKEN.finditer(equation))).strip()


def _token(match: re.Match) -> str:
    if match["other"]:
        return {
            "~": r"\sim ",
            ">=": r"\ge ",
            "<=": r"\le ",
            "<": "<",
            "|": r"\vert ",
            "[": "[",
            "{": r"\{",
            "}": r"\}",
            "%": r"\%",
        }.get(match[0], match[0])
    name, prime = match["name"].rstrip("'"), "'" if match["name"].endswith("'") else ""
    if name in LINKS:
        return rf"\ \text{{{name}}}\ "
    shown = KNOWN.get(name) or (f"\\{name}" if name in GREEK else name if len(name) == 1 else rf"\operatorname{{{name}}}")
    sub, sup = (match["sub"] or "").removeprefix("_").strip("{}"), (match["sup"] or "").removeprefix("^")
    if sub:
        shown += "_{" + (sub if len(sub) < 3 or not sub.isalpha() else rf"\mathrm{{{sub}}}") + "}"
    if sup:
        shown += "^{" + (r"\top" if sup == "T" else sup) + "}"
    return f"{shown}{prime} " if shown.startswith("\\") else f"{shown}{prime}"


def _aligned(equation: str) -> str:
    return equation.replace("=", "&=", 1)


def _plain(text: str) -> str:
    return re.sub(r"[\\_^{}$&#%]", "", text)
