"""nmbench: recurrent networks with neuromodulation and their rivals, compared under equal conditions.

In a checkout, the folders `tasks/` and `baselines/` are beside this package; in a wheel, they are inside it. In both cases
they are imported as `nmbench.tasks` and `nmbench.baselines`. The public names below load on first use, so that
`import nmbench` is fast.
"""

import importlib
import pathlib
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nmbench.analysis.loading import load_network
    from nmbench.analysis.observers import Observer, register_observer
    from nmbench.contracts.frozen_sets import FrozenSet
    from nmbench.contracts.input_weights import InputWeights
    from nmbench.contracts.metrics import Metric, accuracy, cross_entropy, one_hot, squared_error
    from nmbench.contracts.model import Core, Model
    from nmbench.contracts.protocol import Phase, Protocol
    from nmbench.contracts.registration import register_baseline, register_task
    from nmbench.contracts.specs import ArraySpec, SequenceSpec
    from nmbench.contracts.task import Batch, FixedData, Sampler, Task
    from nmbench.contracts.unroll import concat_inputs
    from nmbench.experiments.plugin_loading import load_plugin
    from nmbench.experiments.train import train
    from nmbench.results.comparison import compare_results
    from nmbench.results.frames import read_conditions, read_results
    from nmbench.results.ranking_frame import rank_results
    from nmbench.support.errors import NmbenchError

__version__ = "0.1.0"

__all__ = [
    "ArraySpec",
    "Batch",
    "Core",
    "FixedData",
    "FrozenSet",
    "InputWeights",
    "Metric",
    "Model",
    "NmbenchError",
    "Observer",
    "Phase",
    "Protocol",
    "Sampler",
    "SequenceSpec",
    "Task",
    "__version__",
    "accuracy",
    "compare_results",
    "concat_inputs",
    "cross_entropy",
    "load_network",
    "load_plugin",
    "one_hot",
    "rank_results",
    "read_conditions",
    "read_results",
    "register_baseline",
    "register_observer",
    "register_task",
    "squared_error",
    "train",
]

# In a checkout the two folders are siblings of this one, whether the package is installed or not.
_root = pathlib.Path(__file__).resolve().parent.parent
if (_root / "setup.py").is_file() and (_root / "tasks").is_dir() and (_root / "baselines").is_dir():
    __path__.append(str(_root))

_MODULES = {
    "ArraySpec": "contracts.specs",
    "Batch": "contracts.task",
    "Core": "contracts.model",
    "FixedData": "contracts.task",
    "FrozenSet": "contracts.frozen_sets",
    "InputWeights": "contracts.input_weights",
    "Metric": "contracts.metrics",
    "Model": "contracts.model",
    "NmbenchError": "support.errors",
    "Observer": "analysis.observers",
    "Phase": "contracts.protocol",
    "Protocol": "contracts.protocol",
    "Sampler": "contracts.task",
    "SequenceSpec": "contracts.specs",
    "Task": "contracts.task",
    "accuracy": "contracts.metrics",
    "compare_results": "results.comparison",
    "concat_inputs": "contracts.unroll",
    "cross_entropy": "contracts.metrics",
    "load_network": "analysis.loading",
    "load_plugin": "experiments.plugin_loading",
    "one_hot": "contracts.metrics",
    "rank_results": "results.ranking_frame",
    "read_conditions": "results.frames",
    "read_results": "results.frames",
    "register_baseline": "contracts.registration",
    "register_observer": "analysis.observers",
    "register_task": "contracts.registration",
    "squared_error": "contracts.metrics",
    "train": "experiments.train",
}


def __getattr__(name: str):
    if name in _MODULES:
        return getattr(importlib.import_module(f"nmbench.{_MODULES[name]}"), name)
    raise AttributeError(f"module 'nmbench' has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted(__all__)
