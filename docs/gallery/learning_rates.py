# %% [markdown]
# # A learning-rate curve
#
# `tuning.tune` trains the protocol's grid of learning rates with ten seeds each, and chooses the one with the lowest mean
# logarithm of the validation loss. If the lowest or the highest wins, it also tries up to two more beyond it. The record
# has all losses and is stored with every row. This is what `python -m nmbench.run --tune` does.

# %%
import matplotlib.pyplot as plt
import numpy as np

from nmbench.contracts import tuning_record
from nmbench.experiments import resolution, tuning
from nmbench.experiments.request import Request
from nmbench.results.store import Store

experiment = resolution.resolve(Request(model="rnn", task="mwg_rank3", steps=20))
store = Store("results")
store.prepare()
choice = tuning.tune(experiment, store, say=print)
record = choice.record
print(f"chosen: {choice.value:g}, after {choice.tuning_runs} tuning runs")

# %% [markdown]
# Points are tuning runs, the line is their geometric mean. A run that diverged counts as the largest loss of all runs.

# %%
figure, axis = plt.subplots(figsize=(5.5, 3.2), layout="constrained")
figure.suptitle("Vanilla RNN on Measure-Wait-Go, 20 steps")
logs = np.array(tuning_record.logs(record["validation_losses"]))  # [learning rates, seeds]
axis.plot(np.repeat(record["grid"], logs.shape[1]), 10 ** logs.ravel(), "o", alpha=0.4, markersize=4)
means = 10 ** logs.mean(axis=1)
axis.plot(record["grid"], means, "C0", linewidth=2)
best = record["grid"].index(choice.value)
axis.plot(choice.value, means[best], "o", color="C3", markersize=10, markerfacecolor="none", label="chosen")
axis.set(xlabel="learning rate", ylabel="validation loss", xscale="log")
axis.legend(frameon=False)
plt.show()
