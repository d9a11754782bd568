"""Networks that PyTorch's two ONNX exporters write: one by tracing (`dynamo=False`), one by `torch.export`.

Each network is small, has random weights of a fixed seed, and covers one thing that importers stumble
over: how an exporter spells an activation, a normalization, a flattening, a residual connection.
"""

import logging
import warnings

import numpy as np
import torch
from torch import nn

WIDTH, CLASSES = 19, 7  # no multiples of any vector's length

# The exporter that traces is quick, and stops at opset 20. The other starts at 18, and takes 20 unless told.
# What it writes depends on the opset in a few networks only.
TRACED = (11, 13, 17, 20)
EXPORTED = {18: ("gelu", "gelu_tanh", "layer_norm", "normalized", "softmax"), 20: None, 25: ("gelu", "batch_norm")}

ACTIVATIONS = dict(
    relu=nn.ReLU(),
    relu6=nn.ReLU6(),
    hardtanh=nn.Hardtanh(),
    hardtanh_bounds=nn.Hardtanh(-0.25, 0.75),
    leaky_relu=nn.LeakyReLU(0.02),
    tanh=nn.Tanh(),
    sigmoid=nn.Sigmoid(),
    gelu=nn.GELU(),
    gelu_tanh=nn.GELU(approximate="tanh"),
    elu=nn.ELU(),
    elu_alpha=nn.ELU(0.5),
    selu=nn.SELU(),
    silu=nn.SiLU(),
    hardswish=nn.Hardswish(),
    hardsigmoid=nn.Hardsigmoid(),
    softplus=nn.Softplus(),
    softsign=nn.Softsign(),
    mish=nn.Mish(),
    prelu=nn.PReLU(init=0.1),
)


class Branches(nn.Module):
    """A residual block, a second branch beside it, and both joined."""

    def __init__(self):
        super().__init__()
        self.enter = nn.Linear(WIDTH, 16)
        self.inner = nn.Linear(16, 16)
        self.side = nn.Linear(WIDTH, 5)
        self.leave = nn.Linear(21, CLASSES)

    def forward(self, x):
        h = torch.relu(self.enter(x))
        h = torch.relu(h + self.inner(h))
        return self.leave(torch.cat([h, torch.tanh(self.side(x))], dim=1))


class Gated(nn.Module):
    """Products and differences of two branches."""

    def __init__(self):
        super().__init__()
        self.gate, self.value = nn.Linear(WIDTH, 12), nn.Linear(WIDTH, 12)
        self.leave = nn.Linear(12, CLASSES)

    def forward(self, x):
        gate, value = torch.sigmoid(self.gate(x)), self.value(x)
        return self.leave(gate * value - value / 3.0 + 1.0)


class TwoInputs(nn.Module):
    """An actor-critic: two inputs, two outputs."""

    def __init__(self):
        super().__init__()
        self.trunk = nn.Linear(WIDTH + 4, 24)
        self.policy, self.value = nn.Linear(24, CLASSES), nn.Linear(24, 1)

    def forward(self, state, goal):
        h = torch.tanh(self.trunk(torch.cat([state, goal], -1)))
        return torch.log_softmax(self.policy(h), dim=-1), self.value(h)


class Chosen(nn.Module):
    """A class and its probability."""

    def __init__(self):
        super().__init__()
        self.net = nn.Sequential(nn.Linear(WIDTH, 16), nn.ReLU(), nn.Linear(16, CLASSES))

    def forward(self, x):
        logits = self.net(x)
        return torch.argmax(logits, dim=1), torch.softmax(logits, dim=1)


class Normalized(nn.Module):
    """What deployed networks do to inputs: constants beside the weights, a view, a squeeze at the end."""

    def __init__(self):
        super().__init__()
        self.register_buffer("mean", torch.linspace(-0.5, 0.5, WIDTH))
        self.register_buffer("std", torch.linspace(0.5, 1.5, WIDTH))
        self.net = nn.Sequential(nn.Linear(WIDTH, 16), nn.ReLU(), nn.Linear(16, 1))

    def forward(self, x):
        x = ((x - self.mean) / self.std).clamp(-5.0, 5.0)
        return self.net(x.view(x.size(0), -1)).squeeze(-1)


class Half(nn.Module):
    """Weights in 16 bits, activations in 32."""

    def __init__(self):
        super().__init__()
        for name, shape in dict(w1=(16, WIDTH), b1=(16,), w2=(CLASSES, 16), b2=(CLASSES,)).items():
            self.register_buffer(name, torch.randn(shape).div(4).half())

    def forward(self, x):
        h = torch.relu(nn.functional.linear(x, self.w1.float(), self.b1.float()))
        return nn.functional.linear(h, self.w2.float(), self.b2.float())


def stack(activation, *, bias=True):
    return nn.Sequential(
        nn.Linear(WIDTH, 32, bias), activation, nn.Linear(32, 16, bias), activation,
        nn.Linear(16, CLASSES, bias),
    )


def networks():
    """Pairs of a name and a function that makes the network and its example inputs."""
    row = lambda *shape: (torch.randn(5, *(shape or (WIDTH,))),)
    for name, activation in ACTIVATIONS.items():
        yield name, (lambda a=activation: (stack(a), row()))
    yield "no_bias", lambda: (stack(nn.ReLU(), bias=False), row())
    yield "prelu_channels", lambda: (
        nn.Sequential(nn.Linear(WIDTH, 16), nn.PReLU(16, init=0.2), nn.Linear(16, CLASSES)), row())
    yield "batch_norm", lambda: (
        nn.Sequential(nn.BatchNorm1d(WIDTH), nn.Linear(WIDTH, 32), nn.BatchNorm1d(32), nn.ReLU(),
                      nn.Linear(32, 16), nn.ReLU(), nn.BatchNorm1d(16), nn.Linear(16, CLASSES)), row())
    yield "layer_norm", lambda: (
        nn.Sequential(nn.LayerNorm(WIDTH), nn.Linear(WIDTH, 32), nn.GELU(), nn.LayerNorm(32),
                      nn.Linear(32, CLASSES)), row())
    yield "layer_norm_plain", lambda: (
        nn.Sequential(nn.Linear(WIDTH, 32), nn.LayerNorm(32, elementwise_affine=False),
                      nn.ReLU(), nn.Linear(32, CLASSES)), row())
    yield "dropout", lambda: (
        nn.Sequential(nn.Dropout(0.2), nn.Linear(WIDTH, 16), nn.ReLU(), nn.Dropout(0.5),
                      nn.Identity(), nn.Linear(16, CLASSES)), row())
    yield "flatten", lambda: (
        nn.Sequential(nn.Flatten(), nn.Linear(64, 16), nn.ReLU(), nn.Linear(16, CLASSES)),
        row(1, 8, 8))
    yield "softmax", lambda: (
        nn.Sequential(nn.Linear(WIDTH, 16), nn.ReLU(), nn.Linear(16, CLASSES), nn.Softmax(dim=1)), row())
    yield "log_softmax", lambda: (
        nn.Sequential(nn.Linear(WIDTH, 16), nn.ReLU(), nn.Linear(16, CLASSES), nn.LogSoftmax(dim=-1)), row())
    yield "branches", lambda: (Branches(), row())
    yield "gated", lambda: (Gated(), row())
    yield "two_inputs", lambda: (TwoInputs(), (torch.randn(5, WIDTH), torch.randn(5, 4)))
    yield "chosen", lambda: (Chosen(), row())
    yield "normalized", lambda: (Normalized(), row())
    yield "half_weights", lambda: (Half(), row())
    yield "half_all", lambda: (stack(nn.ReLU()).half(), (torch.randn(5, WIDTH).half(),))


def tolerance(name):
    """How far outputs may be off, of the largest in an array: sums of floats in another order."""
    return 2e-3 if "half_all" in name else 2e-6  # networks of 16-bit numbers are run in 32 bits


def settle(net):
    """Statistics for normalizations, as after some training."""
    for module in net.modules():
        if isinstance(module, nn.BatchNorm1d):
            module.running_mean.normal_(0, 0.3)
            module.running_var.uniform_(0.5, 2)
        if isinstance(module, (nn.BatchNorm1d, nn.LayerNorm)) and module.weight is not None:
            module.weight.data.uniform_(0.5, 1.5)
            module.bias.data.normal_(0, 0.3)
    return net.eval()


def export(net, inputs, path, *, dynamo, opset, fixed):
    """Writes a network, for batches of any size or of the inputs' size."""
    names = dict(input_names=[f"input_{i}" for i in range(len(inputs))])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")
        if dynamo:
            batch = torch.export.Dim("batch")
            shapes = None if fixed else tuple({0: batch} for _ in inputs)
            program = torch.onnx.export(net, inputs, dynamo=True, opset_version=opset,
                                        dynamic_shapes=shapes, verbose=False, **names)
            program.save(path, external_data=False)
        else:
            axes = None if fixed else {name: {0: "batch"} for name in names["input_names"]}
            torch.onnx.export(net, inputs, path, dynamo=False, opset_version=opset,
                              dynamic_axes=axes, **names)


def cases(folder):
    """Names of networks and their inputs; a network is written to NAME.onnx."""
    torch.set_num_threads(1)
    logging.getLogger("torch.onnx").setLevel(logging.ERROR)
    makers = dict(networks())
    for opset in TRACED:
        for name in makers:
            yield case(folder, makers, name, dynamo=False, opset=opset)
    for opset, names in EXPORTED.items():
        for name in names or makers:
            yield case(folder, makers, name, dynamo=True, opset=opset)
    for name in ("flatten", "normalized"):
        yield case(folder, makers, name, dynamo=False, opset=17, fixed=True)
        yield case(folder, makers, name, dynamo=True, opset=20, fixed=True)


def case(folder, makers, name, *, dynamo, opset, fixed=False):
    torch.manual_seed(1)
    net, inputs = makers[name]()
    name = f"torch-{'export' if dynamo else 'trace'}-{opset}-{name}{'-fixed' if fixed else ''}"
    export(settle(net), inputs, folder / f"{name}.onnx", dynamo=dynamo, opset=opset, fixed=fixed)
    return name, [x.numpy() for x in inputs]
