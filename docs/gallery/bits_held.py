# %% [markdown]
# # Which bits does a network lose?
#
# In the task `flip_flop` a network holds three bits, and each test trial asks for one of them, often much later than in
# training. The file `flip_flop.safetensors` beside the committed rows has the error of every test trial, so one can see
# whether a network holds all bits a little inaccurately, or loses some of them completely.

# %%
import pathlib

import matplotlib.pyplot as plt
import numpy as np
import pandas as pd
import safetensors.numpy

import nmbench
from nmbench.contracts.catalog import TASKS

board = pathlib.Path(__file__).parents[2] / "results" / "board"
rows = nmbench.read_results(board / "flip_flop.csv")
pack = safetensors.numpy.load_file(board / "flip_flop.safetensors")
arrays = TASKS.get("flip_flop").frozen("test").arrays
asked = [(arrays["probed"] == bit) & (arrays["held"] > 24) for bit in range(3)]  # longer than in training


def errors(run_id):
    """The squared error of every test trial, `[B]`: half precision times a power of two."""
    name = f"{run_id}/per_trial/mse_extrapolated"
    return np.ldexp(pack[name].astype(float), pack.get(f"{name}.exponent", 0))


# %% [markdown]
# A network that forgets a bit can do no better than a leaky trace, whose error is the floor of the metric. A bit counts as
# lost here if its mean error is above half of that floor.

# %%
floor = rows.floor.iloc[0]
rows = rows[rows.status == "ok"]
held = pd.DataFrame([[errors(run_id)[trials].mean() < floor / 2 for trials in asked] for run_id in rows.run_id])
table = pd.crosstab(rows.model.to_numpy(), held.sum(axis=1)).reindex(columns=range(4), fill_value=0)
table = table.sort_values([3, 2, 1], ascending=False).rename_axis("model").rename_axis("bits held", axis=1)
print(table)

# %%
figure, axis = plt.subplots(figsize=(6.5, 3.6), layout="constrained")
figure.suptitle("Flip-flop: bits that are held up to four times as long as in training")
left = np.zeros(len(table), int)
for bits, colour in zip((3, 2, 1, 0), ("#1b6ca8", "#7fb2d9", "#f0b27a", "#c0392b"), strict=True):
    axis.barh(table.index, table[bits], left=left, color=colour, label=f"{bits} bits")
    left += table[bits]
axis.invert_yaxis()
axis.set(xlabel="seeds", xticks=range(0, int(left.max()) + 1, 5))
axis.legend(frameon=False, ncols=4, loc="lower center", bbox_to_anchor=(0.5, -0.35))
plt.show()

# %% [markdown]
# In a low-rank network the state x stays in the span of the K columns of L as long as no pulse comes, and the outputs are
# linear in x. So rank 3, which `lrrnn` and `nmrnn` have on this task, is the least that can hold three bits. With rank 6,
# the same number of parameters and the same learning rate, 20 of 20 seeds of `lrrnn` and 19 of 20 of `nmrnn` solve it:
#
#     python -m nmbench.run --model=lrrnn --task=flip_flop --hparams=K=6 --learning_rate=0.3 --seeds=20
#     python -m nmbench.run --model=nmrnn --task=flip_flop --hparams=K=6 --learning_rate=0.03 --seeds=20
