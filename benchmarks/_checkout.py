"""Importing this module puts its checkout first on `sys.path`.

A script then uses the nmbench beside it: from every folder, without an installed nmbench, and next to a clone that is called
`nmbench`.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
