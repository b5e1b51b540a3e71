# %% [markdown]
# # A learning-rate curve
#
# `python -m nmbench.run --tune` trains the protocol's grid of learning rates with ten seeds each, and chooses the one with
# the lowest mean logarithm of the validation loss. If the lowest or the highest wins, it also tries up to two more beyond
# it. The record has the losses of all tuning runs. It is stored with every row, and shipped for built-in models.

# %%
import matplotlib.pyplot as plt
import numpy as np

from nmbench.contracts import tuning_record
from nmbench.contracts.catalog import BASELINES

record = BASELINES.get("nmrnn").tuned("element_finder", "matched")
for rate, failed in zip(record["grid"], record["failed"], strict=True):
    print(f"{rate:g}: {failed} of {len(record['seeds'])} seeds failed")
print(f"chosen: {record['chosen']:g}")

# %% [markdown]
# Points are tuning runs, the line is the geometric mean, and the ring marks the choice. A seed counts as failed if its loss
# is more than ten times the median loss at the best learning rate. In the terminal,
# `python -m nmbench.leaderboard FILE.csv --plot_tuning=tuning.png` draws this for all models.

# %%
figure, axis = plt.subplots(figsize=(5.5, 3.2), layout="constrained")
figure.suptitle("NM-RNN on the Element Finder: tuning")
logs = np.array(tuning_record.logs(record["validation_losses"]))  # [learning rates, seeds]
axis.plot(np.repeat(record["grid"], logs.shape[1]), 10 ** logs.ravel(), "o", alpha=0.4, markersize=4)
means = 10 ** logs.mean(axis=1)
axis.plot(record["grid"], means, "C0", linewidth=2)
best = record["grid"].index(record["chosen"])
axis.plot(record["chosen"], means[best], "o", color="C3", markersize=10, markerfacecolor="none", label="chosen")
axis.set(xlabel="learning rate", ylabel="validation loss", xscale="log", yscale="log")
axis.legend(frameon=False)
plt.show()
