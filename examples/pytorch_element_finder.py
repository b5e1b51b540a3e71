"""Train a small torch.nn.LSTM on the exported Element Finder and save its predictions on the test set.

python -m nmbench.export --task=element_finder --out=data
python examples/pytorch_element_finder.py --data=data --steps=500
"""

import argparse
import pathlib

import numpy as np
import torch

HIDDEN, BATCH = 10, 128


class Network(torch.nn.Module):
    """An LSTM with a linear readout. `torch.nn.LSTM` has two biases, but only their sum matters, so one stays zero."""

    def __init__(self, inputs: int, outputs: int):
        super().__init__()
        self.lstm = torch.nn.LSTM(inputs, HIDDEN)
        torch.nn.init.zeros_(self.lstm.bias_hh_l0).requires_grad_(False)
        self.readout = torch.nn.Linear(HIDDEN, outputs)

    def forward(self, inputs):  # [T, B, inputs] to [T, B, outputs]
        return self.readout(self.lstm(inputs)[0])


def load(path: pathlib.Path) -> dict[str, torch.Tensor]:
    with np.load(path, allow_pickle=False) as file:
        return {name: torch.from_numpy(file[name]) for name in file.files}


def loss_of(network, data):
    error = data["mask"] * (network(data["inputs_sensory"]) - data["targets"]) ** 2
    return error.sum() / data["mask"].sum()


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--data", type=pathlib.Path, default=pathlib.Path("data"))
    parser.add_argument("--out", type=pathlib.Path, default=pathlib.Path("predictions.npz"))
    parser.add_argument("--learned", type=pathlib.Path, default=pathlib.Path("learned.npz"))
    parser.add_argument("--steps", type=int, default=500)
    parser.add_argument("--seed", type=int, default=0)
    args = parser.parse_args()
    torch.manual_seed(args.seed)
    train, validation, test = (load(args.data / f"{name}.npz") for name in ("train", "validation", "test"))
    network = Network(train["inputs_sensory"].shape[2], train["targets"].shape[2])
    learned = [p for p in network.parameters() if p.requires_grad]
    optimizer = torch.optim.Adam(learned, lr=1e-2)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, args.steps)
    best, kept = float("inf"), network.state_dict()
    for step in range(1, args.steps + 1):
        chosen = torch.randint(train["targets"].shape[1], (BATCH,))
        loss = loss_of(network, {name: array[:, chosen] for name, array in train.items()})
        optimizer.zero_grad()
        loss.backward()
        torch.nn.utils.clip_grad_norm_(learned, 1.0)
        optimizer.step()
        schedule.step()
        if step % 100 == 0 or step == args.steps:
            with torch.no_grad():
                judged = loss_of(network, validation).item()
            print(f"step {step}: training loss {loss.item():.3f}, validation loss {judged:.3f}")
            if judged < best:  # select on the validation set, never on the test set
                best, kept = judged, {name: p.clone() for name, p in network.state_dict().items()}
    network.load_state_dict(kept)
    with torch.no_grad():
        np.savez(args.out, predictions=network(test["inputs_sensory"]).numpy())
    # Only what was learned, so that nmbench can count it.
    np.savez(args.learned, **{name: p.detach().numpy() for name, p in network.named_parameters() if p.requires_grad})
    print(f"python -m nmbench.score --task=element_finder --predictions={args.out} --model=torch_lstm", end="")
    print(f" --params_file={args.learned} --seed={args.seed} --origin='PyTorch {torch.__version__}, {args.steps} steps'")


if __name__ == "__main__":
    main()
