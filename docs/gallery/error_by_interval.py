# %% [markdown]
# # Error by condition
#
# The column `conditions_json` of a row has every metric for each condition of the task: each interval of
# Measure-Wait-Go, each query of the Element Finder, each coherence of context integration. The yardsticks of the task are
# evaluated in the same way. This script reads the committed rows, ten seeds of each model.

# %%
import collections
import json
import pathlib

import matplotlib.pyplot as plt
import numpy as np

import nmbench
from nmbench.contracts.catalog import TASKS

rows = nmbench.read_results(pathlib.Path(__file__).parents[2] / "results" / "board" / "mwg_rank3.csv")
rows = rows[rows.status == "ok"]
seeds = collections.defaultdict(list)
for model, conditions in zip(rows.model, rows.conditions_json, strict=True):
    seeds[model].append(json.loads(conditions)["mse"])
errors = {
    model: {interval: np.median([by_interval[interval] for by_interval in found]) for interval in found[0]}
    for model, found in seeds.items()
}
task = TASKS.get("mwg_rank3")
arrays = task.frozen("test").arrays
for name in ("fixed ramp of 15 steps", "interval clamped to [12, 18]"):
    errors[name] = task.evaluate(task.references[name](arrays), arrays)["conditions"]["mse"]

# %% [markdown]
# Medians over seeds. The grey band marks the trained intervals.

# %%
figure, axis = plt.subplots(figsize=(6.5, 3.4), layout="constrained")
figure.suptitle("Measure-Wait-Go: error by interval")
axis.axvspan(12, 18, color="0.93")
for name, by_interval in errors.items():
    intervals = sorted(by_interval, key=int)
    values = [max(by_interval[interval], 1e-7) for interval in intervals]
    axis.plot([int(interval) for interval in intervals], values, "o-" if name in seeds else "--", label=name)
axis.set(xlabel="interval in steps", ylabel="mse", yscale="log")
axis.legend(frameon=False, fontsize=8)
plt.show()
