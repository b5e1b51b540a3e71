# %% [markdown]
# # Train models and plot their training curves
#
# `nmbench.train` finds the size of the model that meets the task's parameter budget, trains all seeds together, evaluates
# them on the frozen test set and stores one folder per run. It returns the rows of the runs as a pandas frame. A run that is
# in the results folder already is read, not trained again.
#
# Here 500 of the 20,000 steps are trained. For results, leave out `steps`, use ten seeds and tune the learning rate.

# %%
import pathlib

import matplotlib.pyplot as plt
import numpy as np

import nmbench
from nmbench.report import model_styles
from nmbench.results import curves

models = ("lstm", "rnn")
rows = {model: nmbench.train(model, "element_finder", steps=500, seeds=4) for model in models}
for model, found in rows.items():
    print(f"{model}: {found.params_actual[0]} learned parameters, budget {found.params_target[0]}")

# %% [markdown]
# `nmbench.rank_results` gives the table of the command `nmbench.leaderboard`. The column `protocol` says that the runs are
# shorter than the protocol demands. With four seeds, only the largest differences are significant.

# %%
ranking = nmbench.rank_results("results", task="element_finder")
print(ranking.protocol[0])
print(ranking[["rank", "group", "label", "seeds", "median", "median_low", "median_high", "score"]].to_string(index=False))

# %% [markdown]
# `curve.csv` in a run folder has the training and the validation loss at every validation.

# %%
figure, axis = plt.subplots(figsize=(6, 3.2), layout="constrained")
figure.suptitle("Element Finder: validation loss during training")
for model, look in model_styles.styles({model: model for model in models}).items():
    seeds = np.stack(
        [curves.read_curve(pathlib.Path("results/runs", run_id)) for run_id in rows[model].run_id]
    )  # [seeds, points, 3]
    steps, losses = seeds[0, :, 0], seeds[:, :, 2]
    axis.plot(steps, losses.T, color=look.colour, linewidth=0.8, alpha=0.6)
    axis.plot(steps, np.median(losses, axis=0), color=look.colour, linewidth=2, marker=look.marker, label=f"{model}, median")
axis.axhline(110 / 3, color="grey", linestyle="dotted", label="always answering 0")
axis.set(xlabel="training step", ylabel="squared error")
axis.legend(frameon=False)
plt.show()
