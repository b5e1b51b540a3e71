"""`nmbench COMMAND`, the same as `python -m nmbench.COMMAND`."""

from __future__ import annotations

import ast
import importlib
import pathlib
import sys

from nmbench import __version__
from nmbench.support import cli, terminal
from nmbench.support.errors import did_you_mean

# Name of each command, and its positional arguments for the usage line.
COMMANDS = {
    "run": "",
    "sweep": "",
    "leaderboard": "[FILE.csv|FOLDER ...]",
    "compare": "A.csv [B.csv ...]",
    "list": "",
    "describe": "NAME",
    "new": "model|task NAME",
    "check": "",
    "validate": "FILE.csv|FOLDER ...",
    "submit": "",
    "verify": "FOLDER",
    "freeze": "",
    "export": "",
    "score": "",
    "figures": "",
    "reproduce": "RUN_ID|FILE.csv:N|FILE.csv#RUN_ID [FILE.csv|FOLDER ...]",
    "theory": "",
    "claims": "[FILE.csv|FOLDER ...]",
    "findings": "[FILE.csv|FOLDER ...]",
}


def main() -> None:
    name, rest = (sys.argv[1], sys.argv[2:]) if len(sys.argv) > 1 else ("--help", [])
    if name in ("--version", "version"):
        print(__version__)
    elif name in ("--help", "-h", "help"):
        print(terminal.fit(help_text(), terminal.width()))
    elif name not in COMMANDS:
        print(f"nmbench: unknown command {name!r}{did_you_mean(name, COMMANDS)}", file=sys.stderr)
        sys.exit(2)
    else:
        module = importlib.import_module(f"nmbench.{name}")
        sys.exit(cli.call(module.main, module.FLAGS, module.__doc__, f"nmbench.{name}", COMMANDS[name], rest))


def help_text() -> str:
    """Usage and one line per command, read from the modules' docstrings without importing them."""
    folder = pathlib.Path(__file__).parent
    lines = ["usage: nmbench COMMAND [--flag=value ...]", "", "commands (nmbench COMMAND --help describes the flags):"]
    for name in COMMANDS:
        doc = ast.get_docstring(ast.parse((folder / f"{name}.py").read_text(encoding="utf-8"))) or ""
        lines.append(f"  {name:<12} {doc.splitlines()[0]}")
    return "\n".join(lines)


if __name__ == "__main__":
    main()
