# %% [markdown]
# # Look inside a trained network
#
# `nmbench.load_network` loads the network of a run. `analysis.record` returns its states on any trials, under the names in
# the model's equations: for an NM-RNN the state `x`, the neuromodulatory state `z`, the gates `s` and the output `y`.

# %%
import matplotlib.pyplot as plt
import numpy as np

import nmbench
from nmbench import analysis

rows = nmbench.train("nmrnn", "mwg_rank3", steps=250, seeds=1, learning_rate=0.01)
network = nmbench.load_network(rows.run_id[0])
states = analysis.record(network)
print({name: values.shape for name, values in states.items()})  # [steps, trials, features]

# %% [markdown]
# ## Gates
#
# One trial of each of three intervals. The gates scale the components of the recurrence.

# %%
arrays = network.task.frozen("test").arrays
chosen = [int(np.flatnonzero(arrays["interval"] == interval)[0]) for interval in (12, 15, 18)]
figure, axes = plt.subplots(2, 3, figsize=(8, 3.6), sharex=True, sharey="row", layout="constrained")
figure.suptitle("Gates s and output y on trials with intervals of 12, 15 and 18 steps")
for column, trial in enumerate(chosen):
    axes[0, column].plot(states["s"][:, trial])
    axes[1, column].plot(states["y"][:, trial], color="black", label="output")
    axes[1, column].plot(network.task.unpack(arrays).targets[:, trial], color="grey", linestyle="dotted", label="target")
    axes[1, column].set_xlabel("step")
axes[0, 0].set_ylabel("gates")
axes[1, 0].legend(frameon=False, fontsize=8)
plt.show()

# %% [markdown]
# ## Principal components
#
# The states of all trials and steps together. `dimensionality` is the participation ratio of their variances.

# %%
found = analysis.principal_components(states["x"], 2)
print(f"two components explain {found.explained.sum():.1%} of the variance")
print(f"dimensionality of x: {analysis.dimensionality(states['x']):.2f}")
figure, axis = plt.subplots(figsize=(4.5, 3.6), layout="constrained")
figure.suptitle("Trajectories in the first two principal components")
for trial, label in zip(chosen, ("12 steps", "15 steps", "18 steps"), strict=True):
    axis.plot(*found.scores[:, trial].T, label=label)
axis.set(xlabel="component 1", ylabel="component 2")
axis.legend(frameon=False)
plt.show()

# %% [markdown]
# ## Fixed points
#
# States that do not change, or hardly change, while the input is constant. The eigenvalues of the Jacobian classify them.

# %%
points = analysis.fixed_points(network, {"sensory": np.zeros(3)}, starts=10, iterations=40)
for kind, fixed, speed in zip(points.kinds, points.fixed, points.speeds, strict=True):
    print(f"{'fixed' if fixed else 'slow'} point, {kind}, speed {speed:.1e}")

# %% [markdown]
# ## Ablation
#
# The test error with each gate held at 0. The first entry is the intact network.

# %%
for held in analysis.ablate_gates(network, to="zero"):
    name = "intact" if held.gate is None else f"gate {held.gate} at {held.value:g}"
    print(f"{name:<12} mse on extrapolated intervals {held.metrics['mse_extrapolated']:.4f}")
