"""Makes `import nmbench` work from the folder that contains this clone.

If the clone's folder is called `nmbench`, Python started beside it finds this folder before the installed package. This file
loads the package inside the clone instead. It is not part of the installed package.
"""

import importlib.util
import pathlib
import sys

_package = pathlib.Path(__file__).resolve().parent / "nmbench"
_spec = importlib.util.spec_from_file_location(
    __name__, _package / "__init__.py", submodule_search_locations=[str(_package)]
)
assert _spec and _spec.loader
sys.modules[__name__] = importlib.util.module_from_spec(_spec)
_spec.loader.exec_module(sys.modules[__name__])
