# %% [markdown]
# # Compare two files of results
#
# Two results folders: the same model with two learning rates. The runs with the second one are those of
# [the first example](train_and_plot.md). `nmbench.compare_results` compares every file with the first one and returns a
# pandas frame. With a single file it compares the models of that file with each other.

# %%
import matplotlib.pyplot as plt

import nmbench
from nmbench.experiments import resolution, running
from nmbench.experiments.request import Request
from nmbench.results.store import Store

rows = {}
for folder, rate in (("slow", 0.001), ("results", None)):  # None: the default, 0.01
    store = Store(folder)
    store.prepare()
    experiment = resolution.resolve(Request(model="lstm", task="element_finder", steps=500, learning_rate=rate))
    rows[folder] = running.run_seeds(experiment, range(4), store)
    store.collect()  # writes results.csv

frame = nmbench.compare_results(["slow/results.csv", "results/results.csv"], task="element_finder")
frame = frame[frame.model_b == "lstm"]  # the second file has more models
line = frame.iloc[0]
print(frame[["task", "model_b", "seeds_a", "seeds_b", "median_a", "median_b", "effect", "low", "high", "verdict"]].T)

# %% [markdown]
# `effect` is the ratio of the geometric means of the errors, B / A, with its 95% interval from `low` to `high`.
# `p_corrected` is the p value of the permutation test over seeds, corrected for all lines of the comparison, and
# `changed` says how the configurations differ.

# %%
print(f"p = {line.p_corrected:.2g}; P(B better) = {line.improvement:.2f}; changed: {line.changed}")
figure, axis = plt.subplots(figsize=(5, 2.4), layout="constrained")
figure.suptitle("Test error of every seed")
for height, found in enumerate(rows.values()):
    axis.plot([row["value"] for row in found], [height] * len(found), "o", alpha=0.6)
axis.set(xlabel="squared error", yticks=(0, 1), yticklabels=("A: 0.001", "B: 0.01"), ylim=(-0.6, 1.6))
plt.show()
