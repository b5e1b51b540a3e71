# %% [markdown]
# # Error by condition
#
# The column `conditions_json` of a row has every metric for each condition of the task: each interval of
# Measure-Wait-Go, each query of the Element Finder, each coherence of context integration. The yardsticks of the task are
# evaluated in the same way. `nmbench.read_conditions` returns them as a frame, a line per run, metric and condition.
# This script reads the committed rows of all models.

# %%
import pathlib

import matplotlib.pyplot as plt

import nmbench
from nmbench.contracts.catalog import TASKS

board = pathlib.Path(__file__).parents[2] / "results" / "board"
found = nmbench.read_conditions(board / "mwg_rank3.csv")
medians = found[found.metric == "mse"].groupby(["model", "condition"]).value.median().unstack("model")
models = {model: by_interval.to_dict() for model, by_interval in medians.items()}
task = TASKS.get("mwg_rank3")
arrays = task.frozen("test").arrays
yardsticks = {}
for name in ("fixed ramp of 15 steps", "interval clamped to [12, 18]"):
    yardsticks[name] = task.evaluate(task.references[name](arrays), arrays)["conditions"]["mse"]

# %% [markdown]
# Medians over seeds. The grey band marks the trained intervals.

# %%
figure, axis = plt.subplots(figsize=(6.5, 3.4), layout="constrained")
figure.suptitle("Measure-Wait-Go: error by interval")
axis.axvspan(12, 18, color="0.93")
for name, by_interval in {**models, **yardsticks}.items():
    intervals = sorted(by_interval, key=int)
    values = [max(by_interval[interval], 1e-7) for interval in intervals]
    axis.plot([int(interval) for interval in intervals], values, "o-" if name in models else "--", label=name)
axis.set(xlabel="interval in steps", ylabel="mse", yscale="log")
axis.legend(frameon=False, fontsize=8)
plt.show()
