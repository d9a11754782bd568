#!/usr/bin/env python3
"""Train the float32 networks that signfold ships and write its test data.

This script is for development only; the engine does not need it. It writes,
below the folder given with --out (by default the folder of this script):

    data/*.npy                test and calibration arrays
    float/NAME.safetensors    one file per network, weights in float32
    float/NAME.onnx           the same network as PyTorch exports it, for those of ONNX
    float/SCORES.json         test score of each float network

Every random choice comes from a fixed seed and training uses one thread, so
two runs with the same package versions on the same machine give the same files.
"""

import argparse
import json
import math
from pathlib import Path

import numpy as np
import torch
from safetensors.torch import save_file
from sklearn.datasets import load_digits
from torch import nn

CALIBRATION_ROWS = 256

# Settings of each network. `noise` is the standard deviation of the normal
# noise that is added to the inputs of every training batch. `max_product` gives
# the arguments of those layers, by position, that are not dense; their blend falls
# from 1 to 0 in the first `fade` epochs, then they are pruned in `prune` epochs.
NETWORKS = {
    "digits-hardtanh": dict(
        data="digits", sizes=[64, 256, 128, 64, 10], activation=nn.Hardtanh,
        epochs=60, batch=64, lr=2e-3, weight_decay=0.1, noise=0.15, seed=1,
    ),
    "digits-relu": dict(
        data="digits", sizes=[64, 128, 64, 10], activation=nn.ReLU,
        epochs=60, batch=64, lr=2e-3, weight_decay=0.1, noise=0.15, seed=2,
    ),
    "regress-100-50-1": dict(
        data="regress", sizes=[100, 50, 1], activation=nn.ReLU,
        epochs=30, batch=128, lr=3e-3, weight_decay=0.1, noise=0.0, seed=3,
    ),
    "digits-absmax": dict(
        data="digits", sizes=[64, 128, 64, 10], activation=nn.Hardtanh,
        max_product={0: dict(kind="abs_max")}, fade=30,
        epochs=80, batch=64, lr=1e-2, weight_decay=0.01, noise=0.1, seed=4,
    ),
    "digits-softabsmax": dict(
        data="digits", sizes=[64, 128, 64, 10], activation=nn.Hardtanh,
        max_product={0: dict(kind="soft_abs_max", alpha=20)}, fade=30,
        epochs=80, batch=64, lr=1e-2, weight_decay=0.01, noise=0.1, seed=5,
    ),
    "digits-mam": dict(
        data="digits", sizes=[64, 128, 64, 10], activation=nn.Hardtanh,
        max_product={0: dict(kind="mam", density=0.05), 1: dict(kind="mam", density=0.05)},
        fade=30, prune=40,
        epochs=120, batch=64, lr=1e-2, weight_decay=0.1, noise=0.1, seed=6,
    ),
}

ACTIVATION_NAMES = {nn.Hardtanh: "hardtanh", nn.ReLU: "relu"}

# Networks that are written as ONNX, too.
ONNX = ["digits-relu"]

# Synthetic regression data.
REGRESS_SEED = 100
REGRESS_FEATURES = 100
REGRESS_TRAIN = 50_000
REGRESS_TEST = 200
REGRESS_NOISE = 0.1
TEACHER_HIDDEN = 8


# --- data ---------------------------------------------------------------------


def digits_data():
    """Digits split by index: index % 5 == 0 is test, the rest is train."""
    x, y = load_digits(return_X_y=True)
    x = (x / 16.0).astype(np.float32)
    is_test = np.arange(len(x)) % 5 == 0
    x_train = x[~is_test]
    rows = np.random.default_rng(0).permutation(len(x_train))[:CALIBRATION_ROWS]
    return {
        "train_x": x_train, "train_y": y[~is_test].astype(np.int64),
        "test_x": x[is_test], "test_y": y[is_test].astype(np.uint8),
        "calib_x": x_train[np.sort(rows)],
    }


def friedman(u):
    """The first Friedman function, of five columns with values in 0..1."""
    return (10 * np.sin(np.pi * u[:, 0] * u[:, 1]) + 20 * (u[:, 2] - 0.5) ** 2
            + 10 * u[:, 3] + 5 * u[:, 4])


def regress_data():
    """Synthetic regression on 100 features; README.md states the formula."""
    rng = np.random.default_rng(REGRESS_SEED)
    w = rng.normal(0, math.sqrt(3 / REGRESS_FEATURES), (TEACHER_HIDDEN, REGRESS_FEATURES))
    v = rng.normal(0, 1, TEACHER_HIDDEN)
    x = rng.uniform(-1, 1, (REGRESS_TRAIN + REGRESS_TEST, REGRESS_FEATURES))
    u = (x + 1) / 2
    raw = (friedman(u[:, 0:5]) + friedman(u[:, 5:10])) / 5 + np.tanh(x @ w.T) @ v
    y = (raw - raw[:REGRESS_TRAIN].mean()) / raw[:REGRESS_TRAIN].std()
    y = y + rng.normal(0, REGRESS_NOISE, len(y))
    x, y = x.astype(np.float32), y.astype(np.float32)
    return {
        "train_x": x[:REGRESS_TRAIN], "train_y": y[:REGRESS_TRAIN],
        "test_x": x[REGRESS_TRAIN:], "test_y": y[REGRESS_TRAIN:],
        "calib_x": x[:CALIBRATION_ROWS],
    }


DATASETS = {"digits": digits_data, "regress": regress_data}


def write_data(name, data, folder):
    """Write the test and calibration arrays, little-endian and in C order."""
    for key in ("test_x", "test_y", "calib_x"):
        array = np.ascontiguousarray(data[key])
        array = array.astype(array.dtype.newbyteorder("<"))
        np.save(folder / f"{name}-{key.replace('_', '-')}.npy", array)


# --- layers -------------------------------------------------------------------


def abs_max(p):
    """The product of largest magnitude, with its sign."""
    return p.gather(-1, p.abs().argmax(-1, keepdim=True))[..., 0]


def soft_abs_max(p, alpha):
    """A smooth bound of the largest magnitude, with the sign of that product."""
    return torch.logsumexp(alpha * p.abs(), -1) / alpha * abs_max(p).sign()


def mam(p, mask):
    """The largest plus the smallest product of the connections there are, or 0."""
    high = p.where(mask, -math.inf).max(-1).values
    low = p.where(mask, math.inf).min(-1).values
    return torch.where(mask.any(-1), high + low, 0.0)


class MaxProduct(nn.Module):
    """A layer whose outputs are no sums of products but a few products that win.

    With `blend` at 1 it is a dense layer, at 0 it is itself; between, it is both in
    that proportion, so that training can start where every weight has a gradient.
    """

    def __init__(self, n_in, n_out, kind, splits=1, alpha=None, density=1.0):
        super().__init__()
        self.weight = nn.Parameter(torch.empty(n_out, n_in).uniform_(-0.3, 0.3))
        self.bias = nn.Parameter(torch.zeros(n_out))
        self.mask = torch.ones(n_out, n_in, dtype=torch.bool)
        self.kind, self.splits, self.alpha, self.density = kind, splits, alpha, density
        self.blend = 1.0

    def aggregate(self, p, mask):
        """One block of products [row, out, in] to [row, out]."""
        if self.kind == "abs_max":
            return abs_max(p)
        return soft_abs_max(p, self.alpha) if self.kind == "soft_abs_max" else mam(p, mask)

    def forward(self, x):
        """A batch of rows [row, in] to [row, out]."""
        weight, n_in = self.weight * self.mask, x.shape[1]
        out = self.blend * n_in ** -0.5 * (x @ weight.T) + self.bias
        if self.blend < 1:
            block = math.ceil(n_in / self.splits)
            parts = zip((x[:, None, :] * weight).split(block, -1), self.mask.split(block, -1))
            out = out + (1 - self.blend) * sum(self.aggregate(p, mask) for p, mask in parts)
        return out

    def prune(self, density):
        """Keep this share of the weights, the largest; the others are 0 from here on."""
        size = (self.weight * self.mask).detach().abs().flatten()
        kept = size.topk(round(density * len(size))).indices
        mask = torch.zeros(len(size), dtype=torch.bool)
        mask[kept] = True
        self.mask = mask.view_as(self.mask)
        self.weight.data *= self.mask

    def settings(self):
        """The fields of its description beside those that dense layers have too."""
        values = {"splits": (self.splits, 1), "alpha": (self.alpha, None),
                  "pruned": (self.density < 1, False)}
        return {key: value for key, (value, default) in values.items() if value != default}


# --- training -----------------------------------------------------------------


def build(cfg):
    """A stack of dense and max-product layers with the activation between them."""
    parts = []
    for i, (n_in, n_out) in enumerate(zip(cfg["sizes"], cfg["sizes"][1:])):
        special = cfg.get("max_product", {}).get(i)
        layer = MaxProduct(n_in, n_out, **special) if special else nn.Linear(n_in, n_out)
        parts += [layer, cfg["activation"]()]
    return nn.Sequential(*parts[:-1])


def advance(cfg, model, epoch):
    """Set blend and density of the max-product layers for the epoch that begins."""
    for layer in model:
        if isinstance(layer, MaxProduct):
            layer.blend = max(0.0, 1 - epoch / cfg["fade"])
            if layer.density < 1 and epoch > cfg["fade"]:
                progress = min(1.0, (epoch - cfg["fade"]) / cfg["prune"])
                layer.prune(layer.density ** progress)


def loss_function(data_name):
    """Cross entropy for digits, squared error for regression."""
    if data_name == "digits":
        return nn.functional.cross_entropy
    return lambda out, y: nn.functional.mse_loss(out[:, 0], y)


def train(cfg, data):
    """Train one network with AdamW and a cosine learning rate; return it."""
    torch.manual_seed(cfg["seed"])
    model = build(cfg)
    x, y = torch.from_numpy(data["train_x"]), torch.from_numpy(data["train_y"])
    loss_of = loss_function(cfg["data"])
    optimiser = torch.optim.AdamW(
        model.parameters(), lr=cfg["lr"], weight_decay=cfg["weight_decay"])
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimiser, cfg["epochs"])
    for epoch in range(cfg["epochs"]):
        advance(cfg, model, epoch)
        for rows in torch.randperm(len(x)).split(cfg["batch"]):
            noisy = x[rows] + cfg["noise"] * torch.randn(len(rows), x.shape[1])
            loss = loss_of(model(noisy), y[rows])
            optimiser.zero_grad()
            loss.backward()
            optimiser.step()
        schedule.step()
    advance(cfg, model, cfg["epochs"])
    return model.eval()


def score(cfg, model, x, y):
    """Accuracy of the argmax (digits) or R^2 (regression) in float64."""
    with torch.no_grad():
        out = model(torch.from_numpy(x)).numpy()
    if cfg["data"] == "digits":
        return {"float": float(np.mean(out.argmax(axis=1) == y)), "metric": "accuracy"}
    y, out = y.astype(np.float64), out[:, 0].astype(np.float64)
    r2 = 1 - np.sum((y - out) ** 2) / np.sum((y - y.mean()) ** 2)
    return {"float": float(r2), "metric": "r2"}


# --- output -------------------------------------------------------------------


def export(model, name, path):
    """Write an nn.Sequential of layers and activations for signfold."""
    layers = []
    for i, part in enumerate(model):
        if type(part) in ACTIVATION_NAMES:
            layers[-1]["activation"] = ACTIVATION_NAMES[type(part)]
            continue
        layers.append({"kind": "dense", "weight": f"{i}.weight", "layout": "out_in",
                       "bias": f"{i}.bias"})
        if isinstance(part, MaxProduct):
            layers[-1] |= {"kind": part.kind} | part.settings()
    spec = {"version": 1, "name": name, "inputs": model[0].weight.shape[1], "layers": layers}
    text = json.dumps(spec, separators=(",", ":"))
    save_file(model.state_dict(), path, metadata={"signfold": text})


def export_onnx(model, path):
    """Write a network for rows of any number as PyTorch's exporter does."""
    rows = torch.zeros(2, model[0].weight.shape[1])
    program = torch.onnx.export(model, (rows,), dynamo=True, verbose=False,
                                input_names=["pixels"], output_names=["logits"],
                                dynamic_shapes=({0: torch.export.Dim("batch")},))
    for node in program.model.graph:
        node.metadata_props.clear()  # paths of this machine, among others
    program.save(path, external_data=False)


def write_score(path, name, result):
    """Set the entry of one network in SCORES.json and keep the others."""
    scores = json.loads(path.read_text()) if path.exists() else {}
    scores[name] = result
    path.write_text(json.dumps(scores, indent=2, sort_keys=True) + "\n")


def run(name, out):
    """Make the data, the network file and the score of one network."""
    cfg = NETWORKS[name]
    data = DATASETS[cfg["data"]]()
    write_data(cfg["data"], data, out / "data")
    model = train(cfg, data)
    export(model, name, out / "float" / f"{name}.safetensors")
    if name in ONNX:
        export_onnx(model, out / "float" / f"{name}.onnx")
    result = score(cfg, model, data["test_x"], data["test_y"])
    write_score(out / "float" / "SCORES.json", name, result)
    print(f"{name}: {result['metric']} {result['float']:.4f}")


def main():
    """Read the command line and train the chosen networks."""
    parser = argparse.ArgumentParser(description="Train the float networks of signfold.")
    parser.add_argument("--out", type=Path, default=Path(__file__).resolve().parent,
                        help="folder to write to (default: the folder of this script)")
    parser.add_argument("--only", choices=NETWORKS, help="train this network only")
    args = parser.parse_args()
    torch.set_num_threads(1)
    torch.use_deterministic_algorithms(True)
    for folder in ("data", "float"):
        (args.out / folder).mkdir(parents=True, exist_ok=True)
    for name in [args.only] if args.only else NETWORKS:
        run(name, args.out)


if __name__ == "__main__":
    main()
