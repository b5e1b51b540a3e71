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
    "ArraySpec": "contracts.specs",
    "Batch": "contracts.task",
    "Core": "contracts.model",
    "FixedData": "contracts.task",
    "FrozenSet": "contracts.frozen_sets",
    "InputWeights": "contracts.input_weights",
    "Metric": "contracts.metrics",
    "Model": "contracts.model",
    "NmbenchError": "support.errors",
    "Phase": "contracts.protocol",
    "Protocol": "contracts.protocol",
    "Sampler": "contracts.task",
    "SequenceSpec": "contracts.specs",
    "Task": "contracts.task",
    "compare_results": "results.comparison",
    "concat_inputs": "contracts.unroll",
    "register_baseline": "contracts.registration",
    "register_task": "contracts.registration",
}

__all__ = ["__version__", *_PUBLIC]


def __getattr__(name: str):
    if name in _PUBLIC:
        return getattr(importlib.import_module(f"nmbench.{_PUBLIC[name]}"), name)
    raise AttributeError(f"module 'nmbench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
