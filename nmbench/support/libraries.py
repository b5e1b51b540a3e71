"""Libraries of the extra `report`, which a base installation lacks."""

from __future__ import annotations

import importlib

from nmbench.support.errors import NmbenchError


def check(what: str, *names: str) -> None:
    """Raise `NmbenchError` if one of these libraries is missing; `what` begins the message: "pictures need"."""
    for name in names:
        try:
            importlib.import_module(name)
        except ImportError as error:
            raise NmbenchError(f"{what} {name}: pip install 'nmbench[report]', or -e '.[report]' in a clone") from error
