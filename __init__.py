"""Makes `import nmbench` work from the folder that contains this clone.

Python started there finds the clone's folder, which has the package's name, before an editable install. This file loads the
package inside the clone instead. It is not part of the installed package.
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
