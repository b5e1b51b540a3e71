"""Importing this module puts its checkout first on `sys.path`.

The importing script then uses the nmbench of its own checkout: in every working folder, without an installed nmbench, and
even if the clone's folder is called `nmbench`.
"""

import pathlib
import sys

sys.path.insert(0, str(pathlib.Path(__file__).resolve().parent.parent))
