# %% [markdown]
# # Error by condition
#
# The column `conditions_json` of a row has every metric for each condition of the task: each interval of
# Measure-Wait-Go, each query of the Element Finder, each angle of the Pro/Anti tasks. The yardsticks of the task are
# evaluated in the same way.

# %%
import json

import matplotlib.pyplot as plt

from nmbench.contracts.catalog import TASKS
from nmbench.experiments import resolution, running
from nmbench.experiments.request import Request
from nmbench.results.store import Store

store, task = Store("results"), TASKS.get("mwg_rank3")
store.prepare()
arrays = task.frozen("test").arrays
errors = {}
for model in ("nmrnn", "lstm"):
    request = Request(model=model, task=task.name, steps=250, learning_rate=0.01)
    (row,) = running.run_seeds(resolution.resolve(request), [0], store)
    errors[model] = json.loads(row["conditions_json"])["mse"]
for name in ("fixed ramp of 15 steps", "interval clamped to [12, 18]"):
    errors[name] = task.evaluate(task.references[name](arrays), arrays)["conditions"]["mse"]

# %% [markdown]
# The grey band marks the trained intervals. The models were trained for 250 of 20,000 steps.

# %%
figure, axis = plt.subplots(figsize=(6.5, 3.4), layout="constrained")
figure.suptitle("Measure-Wait-Go: error by interval")
axis.axvspan(12, 18, color="0.93")
for name, by_interval in errors.items():
    intervals = sorted(by_interval, key=int)
    values = [max(by_interval[interval], 1e-6) for interval in intervals]
    style = "o-" if name in ("nmrnn", "lstm") else "--"
    axis.plot([int(interval) for interval in intervals], values, style, label=name)
axis.set(xlabel="interval in steps", ylabel="mse", yscale="log")
axis.legend(frameon=False, fontsize=8)
plt.show()
