"""Networks with the nodes that Keras 3 exports through tf2onnx.

TensorFlow is too large to install for a few graphs, so these are written by hand, node for node as
`Model.export(format="onnx")` of Keras 3.15 with TensorFlow 2.21 and tf2onnx 1.17 wrote them.
"""

import numpy as np
from onnx import TensorProto

from graphs import Builder

OPSET, IR_VERSION = 15, 8
WIDTH, CLASSES, ROWS = 19, 7, 33


def dense(b):
    h = b.node("Relu", b.matmul_add("input", WIDTH, 32))
    h = b.node("Tanh", b.matmul_add(h, 32, 16))
    return b.node("Softmax", b.matmul_add(h, 16, CLASSES))


def activations(b):
    h = "input"
    for activation in (elu, selu, silu, hard_sigmoid, relu6, leaky_relu, sigmoid, softplus, softsign):
        h = activation(b, b.matmul_add(h, WIDTH, WIDTH))
    return b.node("LogSoftmax", b.matmul_add(h, WIDTH, CLASSES))


def elu(b, x):
    return b.node("Elu", x)


def selu(b, x):
    return b.node("Selu", x)


def silu(b, x):
    return b.node("Mul", x, b.node("Sigmoid", x))


def hard_sigmoid(b, x):
    clipped = b.node("Clip", b.node("Add", x, b.real(3)), b.real(0), b.real(6))
    return b.node("Mul", clipped, b.real(1 / 6))


def relu6(b, x):
    return b.node("Clip", x, b.real(0), b.real(6))


def leaky_relu(b, x):
    return b.node("LeakyRelu", x, alpha=0.2)


def sigmoid(b, x):
    return b.node("Sigmoid", x)


def softplus(b, x):
    return b.node("Softplus", x)


def softsign(b, x):
    return b.node("Softsign", x)


def mish(b):
    h = b.matmul_add("input", WIDTH, 16)
    h = b.node("Mul", h, b.node("Tanh", b.node("Softplus", h)))
    return b.matmul_add(h, 16, CLASSES)


def hard_tanh(b):
    h = b.matmul_add("input", WIDTH, 16)
    h = b.node("Max", b.node("Min", h, b.real(1)), b.real(-1))
    return b.matmul_add(h, 16, CLASSES)


def gelu_tanh(b):
    h = b.matmul_add("input", WIDTH, 16)
    half = b.node("Mul", b.real(0.5), h)
    inner = b.node("Mul", b.real(0.044715), b.node("Pow", h, b.real(3)))
    inner = b.node("Mul", b.real(0.7978845608), b.node("Add", h, inner))
    h = b.node("Mul", half, b.node("Add", b.real(1), b.node("Tanh", inner)))
    return b.matmul_add(h, 16, CLASSES)


def prelu(b):
    h = b.matmul_add("input", WIDTH, 16)
    below = b.node("Relu", b.node("Neg", h))
    h = b.node("Add", b.node("Relu", h), b.node("Mul", below, b.normal(16)))
    return b.matmul_add(h, 16, CLASSES)


def batch_norm(b):
    h = b.matmul_add("input", WIDTH, 16)
    for _ in range(2):  # before an activation it joins the weights of one layer, after it of the next
        h = b.node("Add", b.node("Mul", h, b.normal(16, around=1)), b.normal(16))
        h = relu6(b, h)
    return b.matmul_add(h, 16, CLASSES)


def normalized(b):
    h = b.node("Mul", b.node("Sub", "input", b.normal(1, WIDTH)), b.normal(1, WIDTH, around=1))
    return b.matmul_add(h, WIDTH, CLASSES)


def layer_norm(b):
    h = b.matmul_add("input", WIDTH, 16)
    mean = b.node("ReduceMean", h, axes=[1], keepdims=1)
    minus = b.node("Neg", mean)
    off = b.node("Sub", h, mean)
    variance = b.node("ReduceMean", b.node("Mul", off, off), axes=[1], keepdims=1)
    deviation = b.node("Sqrt", b.node("Add", variance, b.real(1e-3)))
    scale = b.node("Mul", b.node("Reciprocal", deviation), b.normal(1, 16, around=1))
    scaled = b.node("Mul", h, scale)
    shift = b.node("Add", b.node("Mul", minus, scale), b.normal(1, 16))
    return b.matmul_add(b.node("Add", scaled, shift), 16, CLASSES)


def image(b):
    h = b.node("Add", b.node("Mul", "input", b.real(1 / 127.5)), b.real(-1))
    h = b.node("Reshape", h, b.constant(np.int64([-1, 64])))
    h = b.node("Relu", b.matmul_add(h, 64, 16))
    return b.matmul_add(h, 16, CLASSES)


def branches(b):
    h = b.node("Concat", "state", "goal", axis=1)
    h = b.node("Relu", b.matmul_add(h, WIDTH + 4, 16))
    h = b.node("Add", h, b.matmul_add(h, 16, 16))
    h = b.node("Mul", h, b.node("Sigmoid", b.matmul_add(h, 16, 16)))
    value, policy = b.matmul_add(h, 16, 1), b.matmul_add(h, 16, CLASSES)
    return policy, value


NETWORKS = [
    dense, activations, mish, hard_tanh, gelu_tanh, prelu, batch_norm, normalized, layer_norm, image,
    branches,
]
SHAPES = {image: dict(input=(TensorProto.FLOAT, 8, 8, 1)), branches: dict(state=WIDTH, goal=4)}


def tolerance(name):
    """How far outputs may be off, of the largest in an array: sums of floats in another order."""
    return 2e-6


def cases(folder):
    """Names of networks and their inputs; a network is written to NAME.onnx."""
    random = np.random.default_rng(2)
    for build in NETWORKS:
        builder = Builder(1, OPSET, IR_VERSION)
        inputs = SHAPES.get(build, dict(input=WIDTH))
        outputs = build(builder)
        outputs = outputs if isinstance(outputs, tuple) else (outputs,)
        widths = dict(zip(outputs, (CLASSES, 1)))
        name = f"keras-{build.__name__}"
        (folder / f"{name}.onnx").write_bytes(builder.model(inputs, widths).SerializeToString())
        shapes = [shape[1:] if isinstance(shape, tuple) else (shape,) for shape in inputs.values()]
        scale = 255 if build is image else 1
        yield name, [scale * random.normal(0, 1, (ROWS, *s)).astype(np.float32) for s in shapes]
