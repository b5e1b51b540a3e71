# %% [markdown]
# # Train models and plot their training curves
#
# A `Request` names a model, a task and whatever differs from the defaults. `resolve` finds the size that meets the task's
# parameter budget. `run_seeds` trains all seeds together, evaluates them on the frozen test set and stores one folder per
# run. A run that is in the results folder already is read, not trained again.
#
# Here 500 of the 20,000 steps are trained. For results, leave out `steps`, use ten seeds and tune the learning rate.

# %%
import matplotlib.pyplot as plt
import numpy as np

from nmbench.experiments import resolution, running
from nmbench.experiments.request import Request
from nmbench.report import leaderboard, model_styles
from nmbench.results import curves
from nmbench.results.store import Store

store = Store("results")
store.prepare()
models = ("lstm", "rnn")
rows = {}
for model in models:
    experiment = resolution.resolve(Request(model=model, task="element_finder", steps=500))
    print(f"{model}: {experiment.sizing.actual} learned parameters, budget {experiment.sizing.target}")
    rows[model] = running.run_seeds(experiment, range(4), store)

# %% [markdown]
# The rows give the same table as the command `nmbench.leaderboard`. Its title says that the runs are shorter than the
# protocol demands. With four seeds, only the largest differences are significant.

# %%
print(leaderboard.of_rows([row for found in rows.values() for row in found]).split("\n\n10000 test trials")[0])

# %% [markdown]
# `curve.csv` in a run folder has the training and the validation loss at every validation.

# %%
figure, axis = plt.subplots(figsize=(6, 3.2), layout="constrained")
figure.suptitle("Element Finder: validation loss during training")
for model, look in model_styles.styles({model: model for model in models}).items():
    seeds = np.stack([curves.read_curve(store.runs / row["run_id"]) for row in rows[model]])  # [seeds, points, 3]
    steps, losses = seeds[0, :, 0], seeds[:, :, 2]
    axis.plot(steps, losses.T, color=look.colour, linewidth=0.8, alpha=0.6)
    axis.plot(steps, np.median(losses, axis=0), color=look.colour, linewidth=2, marker=look.marker, label=f"{model}, median")
axis.axhline(110 / 3, color="grey", linestyle="dotted", label="always answering 0")
axis.set(xlabel="training step", ylabel="squared error")
axis.legend(frameon=False)
plt.show()
