"""The networks: their integers and scales, and what must come of them.

Everything else is made from this one description.
"""

import dataclasses

import numpy as np

SEED = 20261124


@dataclasses.dataclass
class Spec:
    """A network as the README lists it."""

    widths: list
    batches: list
    activation: str = "none"  # of hidden layers: none, relu, hardtanh, clipped-relu


SPECS = {
    "A": Spec([9216, 128], [1, 256]),
    "B": Spec([784, 256, 128, 64, 10], [1, 16, 256, 1024], "hardtanh"),
    "C": Spec([784, 10], [50000]),
    "D": Spec([100, 50, 1], [1, 200], "relu"),
    "E": Spec([1024, 1024, 512, 256, 1], [1, 64, 1024], "relu"),
    "F": Spec([4096, 4096, 4096], [1, 64, 256], "relu"),
    "G": Spec([1024, 16, 32, 1], [1], "clipped-relu"),
}

# Bounds of the activations, and the quantization of what they give. The scales are those that
# TensorFlow Lite prescribes for such ranges; every integer then lies within the bounds, so that
# engines that know how can leave the clip to the requantization.
BOUNDS = {"none": None, "relu": (0.0, None), "hardtanh": (-1.0, 1.0), "clipped-relu": (0.0, 1.0)}
FIXED = {"hardtanh": (1 / 128, 0), "clipped-relu": (1 / 256, -128)}


@dataclasses.dataclass
class Quantization:
    """real = (q - zero_point) * scale, q an int8."""

    scale: np.float32
    zero_point: int

    def quantize(self, real):
        """One float32 division, half to even."""
        lowest, highest = -128 - self.zero_point, 127 - self.zero_point
        q = np.clip(real / self.scale, np.float32(lowest), np.float32(highest))
        return (np.rint(q) + np.float32(self.zero_point)).astype(np.int8)


@dataclasses.dataclass
class Layer:
    """A dense layer. Weights are [in][out]."""

    weights: np.ndarray
    bias: np.ndarray
    scale: np.float32
    activation: str
    input: Quantization
    output: Quantization

    def sums(self, x):
        """Exact: a float64 holds all integers below 2^53, and BLAS is fast."""
        x = x.astype(np.float64) - self.input.zero_point
        return (x @ self.weights.astype(np.float64)).astype(np.int32) + self.bias

    def real(self, sums):
        """Before quantization and activation."""
        return sums.astype(np.float32) * (self.input.scale * self.scale)

    def quantized(self, sums):
        """signfold's rule `nearest`, see docs/arithmetic.md. The activation is in its bounds."""
        multiplier = self.input.scale * self.scale / self.output.scale
        lowest, highest = -128 - self.output.zero_point, 127 - self.output.zero_point
        if BOUNDS[self.activation] is not None:
            low, high = BOUNDS[self.activation]
            lowest = self.output.quantize(np.float32(low)).item() - self.output.zero_point
            if high is not None:
                highest = self.output.quantize(np.float32(high)).item() - self.output.zero_point
        q = np.clip(sums.astype(np.float32) * multiplier, np.float32(lowest), np.float32(highest))
        return (np.rint(q) + np.float32(self.output.zero_point)).astype(np.int8)


@dataclasses.dataclass
class Network:
    """All layers; the last one has no activation."""

    name: str
    spec: Spec
    layers: list

    def run(self, x):
        """The exact outputs for int8 rows, as float32 and as int8."""
        for layer in self.layers[:-1]:
            x = layer.quantized(layer.sums(x))
        last = self.layers[-1]
        sums = last.sums(x)
        return last.real(sums), last.quantized(sums)


def make(name):
    """Random weights over the full symmetric range, scales that fit what flows through."""
    spec = SPECS[name]
    rng = np.random.default_rng([SEED, ord(name)])
    at = Quantization(np.float32(1 / 128), 0)
    x = at.quantize(rng.uniform(-1, 1, (128, spec.widths[0])).astype(np.float32))
    layers = []
    for inputs, outputs in zip(spec.widths, spec.widths[1:]):
        last = len(layers) + 2 == len(spec.widths)
        activation = "none" if last else spec.activation
        weights = rng.integers(-127, 127, (inputs, outputs), dtype=np.int8, endpoint=True)
        # Sums of random signs grow with the root of their number: real outputs are about 0.6.
        size = np.sqrt(np.mean(((x.astype(np.float64) - at.zero_point) * at.scale) ** 2) * inputs)
        scale = np.float32(0.6 / (size * 73))
        bias = rng.integers(-1000, 1000, outputs, dtype=np.int32) * np.int32(np.sqrt(inputs))
        layer = Layer(weights, bias, scale, activation, at, at)
        sums = layer.sums(x)
        if activation in FIXED:
            out_scale, zero_point = FIXED[activation]
        elif activation == "relu":
            out_scale, zero_point = layer.real(sums).max() / 255, -128
        else:
            out_scale, zero_point = np.abs(layer.real(sums)).max() / 127, 0
        layer.output = Quantization(np.float32(out_scale), zero_point)
        layers.append(layer)
        x, at = layer.quantized(sums), layer.output
    return Network(name, spec, layers)
