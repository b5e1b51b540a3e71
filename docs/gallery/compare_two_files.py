# %% [markdown]
# # Compare two results
#
# The same model with two learning rates. `nmbench.compare_results` compares every file, or frame of rows, with the first one
# and returns a pandas frame. With a single file it compares the models of that file with each other.

# %%
import matplotlib.pyplot as plt

import nmbench

slow = nmbench.train("lstm", "element_finder", steps=200, seeds=4, learning_rate=0.001, results_dir="slow")
fast = nmbench.train("lstm", "element_finder", steps=200, seeds=4)  # the default, 0.01
frame = nmbench.compare_results([slow, fast])  # or paths: ["slow", "results"]
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
for height, rows in enumerate((slow, fast)):
    axis.plot(rows.value, [height] * len(rows), "o", alpha=0.6)
axis.set(xlabel="squared error", yticks=(0, 1), yticklabels=("A: 0.001", "B: 0.01"), ylim=(-0.6, 1.6))
plt.show()
