"""nmbench: recurrent networks with neuromodulation and their rivals, compared under equal conditions.

`tasks/` and `baselines/` lie beside this package in a checkout and inside it in a wheel; both are imported as
`nmbench.tasks` and `nmbench.baselines`. The public names below load on first use, so that `import nmbench` is cheap.
"""

import importlib
import pathlib

__version__ = "0.1.0"

# In a checkout the two folders are siblings of this one, however (or whether) the package was installed.
_root = pathlib.Path(__file__).resolve().parent.parent
if (_root / "setup.py").is_file() and (_root / "tasks").is_dir() and (_root / "baselines").is_dir():
    __path__.append(str(_root))

_PUBLIC = {
    "ArraySpec": "specs",
    "Batch": "task",
    "Core": "model",
    "FixedData": "task",
    "FrozenSet": "testsets",
    "InputWeights": "input_weights",
    "Metric": "metrics",
    "Model": "model",
    "NmbenchError": "errors",
    "Phase": "protocol",
    "Protocol": "protocol",
    "Sampler": "task",
    "SequenceSpec": "specs",
    "Task": "task",
    "compare_results": "results.comparison",
    "concat_inputs": "model",
    "register_baseline": "model",
    "register_task": "task",
}

__all__ = ["__version__", "compare", *_PUBLIC]


def __getattr__(name: str):
    if name == "compare":  # the command's module, which can be called
        return importlib.import_module("nmbench.compare")
    if name in _PUBLIC:
        return getattr(importlib.import_module(f"nmbench.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module 'nmbench' has no attribute {name!r}")
