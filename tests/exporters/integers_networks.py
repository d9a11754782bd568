"""Small graphs of each operator of integers and each QDQ pattern, in all pairs of types.

Scales are arbitrary numbers in some graphs, and powers of two in others: there half of the results lie exactly
between two integers. Weights beside u8 inputs have 7 bits, see ort_networks.py.
"""

import itertools

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

ROWS = 64
TYPES = dict(u8=(np.uint8, TensorProto.UINT8), s8=(np.int8, TensorProto.INT8))
RUNTIME = dict(domain="com.microsoft")


class Graph:
    """Random parts of a graph, by a seed; `ties` makes scales powers of two."""

    def __init__(self, seed, kind, ties):
        self.random = np.random.default_rng(seed)
        self.kind, self.element = TYPES[kind]
        self.low = np.iinfo(self.kind).min
        self.ties = ties
        self.nodes, self.constants, self.inputs = [], [], {}

    def constant(self, value):
        name = f"c{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def scale(self, low, high, *shape):
        drawn = np.exp(self.random.uniform(np.log(low), np.log(high), shape))
        return self.constant(np.float32(2.0 ** np.round(np.log2(drawn)) if self.ties else drawn))

    def zero(self):
        return self.constant(self.kind(self.random.integers(self.low + 40, self.low + 216)))

    def params(self, low=0.01, high=0.06):
        return self.scale(low, high), self.zero()

    def bytes(self, width):
        name = f"input_{len(self.inputs)}"
        self.inputs[name] = self.random.integers(self.low, self.low + 256, (ROWS, width)).astype(self.kind)
        return name

    def reals(self, width):
        name = f"input_{len(self.inputs)}"
        self.inputs[name] = self.random.normal(0, 2, (ROWS, width)).astype(np.float32)
        return name

    def weights(self, kind, channels, inputs, outputs):
        """Integers [in, out], their scale and zero point."""
        kind, middle = TYPES[kind][0], 128 if kind == "u8" else 0
        shape = (outputs,) if channels else ()
        values = self.random.integers(-64, 65, (inputs, outputs)) + middle
        zeros = self.random.integers(-9, 10, shape) + middle
        scale = self.scale(0.002, 0.02, *shape)
        return self.constant(values.astype(kind)), scale, self.constant(np.asarray(zeros).astype(kind))

    def node(self, op, *inputs, **attributes):
        output = f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [output], **attributes))
        return output

    def dequantized(self, width):
        x, params = self.bytes(width), self.params()
        return self.node("DequantizeLinear", x, *params)

    def quantized(self, x, low=0.05, high=0.3):
        return self.node("QuantizeLinear", x, *self.params(low, high))

    def model(self, output, element):
        kinds = {np.dtype(kind): number for kind, number in (*TYPES.values(), (np.float32, TensorProto.FLOAT))}
        given = [helper.make_tensor_value_info(name, kinds[x.dtype], ["batch", x.shape[1]])
                 for name, x in self.inputs.items()]
        found = [helper.make_tensor_value_info(output, element, None)]
        graph = helper.make_graph(self.nodes, "integers", given, found, self.constants)
        opsets = [helper.make_opsetid("", 17), helper.make_opsetid("com.microsoft", 1)]
        return helper.make_model(graph, opset_imports=opsets, ir_version=8)


def elementwise(op):
    def build(g):
        a, b, p, q = g.bytes(9), g.bytes(9), g.params(), g.params()
        return g.node(op, a, *p, b, *q, *g.params(0.02, 0.2), **RUNTIME)
    return build


def pair(op, follow=None):
    def build(g):
        y = g.node(op, g.dequantized(9), g.dequantized(9))
        return g.quantized(g.node(follow, y) if follow else y)
    return build


def function(op, **attributes):
    return lambda g: g.quantized(g.node(op, g.dequantized(256), **attributes), 0.005, 0.02)


def concat(g):
    return g.quantized(g.node("Concat", g.dequantized(5), g.dequantized(4), axis=1))


def qlinear_concat(g):
    a, b, p, q = g.bytes(5), g.bytes(4), g.params(), g.params()
    return g.node("QLinearConcat", *g.params(), a, *p, b, *q, axis=1, **RUNTIME)


def qlinear_function(op, **attributes):
    return lambda g: g.node(op, g.bytes(256), *g.params(), *g.params(0.005, 0.02), **attributes, **RUNTIME)


def requantized(g):
    return g.quantized(g.dequantized(256))


OTHERS = dict(
    qlinear_add=elementwise("QLinearAdd"), qlinear_mul=elementwise("QLinearMul"),
    qlinear_sigmoid=qlinear_function("QLinearSigmoid"),
    qlinear_leaky_relu=qlinear_function("QLinearLeakyRelu", alpha=0.2),
    qlinear_concat=qlinear_concat, concat=concat, requantized=requantized,
    add=pair("Add"), mul=pair("Mul"), sub=pair("Sub"), add_relu=pair("Add", "Relu"), mul_relu=pair("Mul", "Relu"),
    relu=function("Relu"), sigmoid=function("Sigmoid"), tanh=function("Tanh"), elu=function("Elu", alpha=0.7),
    leaky_relu=function("LeakyRelu", alpha=0.1), hard_sigmoid=function("HardSigmoid"),
)


def bias(g):
    return g.constant(g.random.integers(-999, 1000, 7).astype(np.int32))


def qlinear_matmul(g, weights):
    return g.node("QLinearMatMul", g.bytes(24), *g.params(), *weights, *g.params(0.1, 0.5))


def qgemm(g, weights):
    return g.node("QGemm", g.bytes(24), *g.params(), *weights, bias(g), *g.params(0.1, 0.5), **RUNTIME)


def qgemm_real(g, weights):
    return g.node("QGemm", g.bytes(24), *g.params(), *weights, bias(g), **RUNTIME)


def matmul_integer(g, weights):
    w, scale, zero = weights
    sums = g.node("MatMulInteger", g.bytes(24), w, g.zero(), zero)
    return g.node("Mul", g.node("Cast", sums, to=TensorProto.FLOAT), scale)


def matmul_integer_to_float(g, weights):
    w, scale, zero = weights
    (s, z), b = g.params(), g.constant(g.random.normal(0, 1, 7).astype(np.float32))
    return g.node("MatMulIntegerToFloat", g.bytes(24), w, s, scale, z, zero, b, **RUNTIME)


def dynamic(g, weights):
    return g.node("DynamicQuantizeMatMul", g.reals(24), *weights, **RUNTIME)


def matmul(g, weights):
    w = g.node("DequantizeLinear", *weights, axis=-1)
    return g.quantized(g.node("MatMul", g.dequantized(24), w), 0.1, 0.5)


def gemm_relu(g, weights):
    w = g.node("DequantizeLinear", *weights, axis=1)
    return g.quantized(g.node("Relu", g.node("Gemm", g.dequantized(24), w)), 0.1, 0.5)


PRODUCTS = dict(
    qlinear_matmul=qlinear_matmul, qgemm=qgemm, qgemm_real=qgemm_real, matmul_integer=matmul_integer,
    matmul_integer_to_float=matmul_integer_to_float, dynamic=dynamic, matmul=matmul, gemm_relu=gemm_relu,
)
REAL = ("qgemm_real", "matmul_integer", "matmul_integer_to_float", "dynamic")


def tolerance(name):
    """Results must be equal, down to the last bit."""
    return 0


def cases(folder):
    """Names of networks and their inputs; a network is written to NAME.onnx."""
    def case(name, g, output, element):
        onnx.save(g.model(output, element), folder / f"integers-{name}.onnx")
        return f"integers-{name}", list(g.inputs.values())

    for seed, (kind, ties) in enumerate(itertools.product(TYPES, (False, True))):
        suffix = f"{kind}{'-ties' if ties else ''}"
        for name, build in OTHERS.items():
            g = Graph(seed, kind, ties)
            yield case(f"{name}-{suffix}", g, build(g), g.element)
        for weights, channels in itertools.product(TYPES, (False, True)):
            if (kind, weights) == ("s8", "u8"):
                continue  # ONNX Runtime has no such operators.
            for name, build in PRODUCTS.items():
                if name == "dynamic" and kind == "s8":
                    continue  # What arrives becomes u8.
                g = Graph(seed, kind, ties)
                output = build(g, g.weights(weights, channels, 24, 7))
                element = TensorProto.FLOAT if name in REAL else g.element
                yield case(f"{name}-{suffix}{weights}{'-channels' if channels else ''}", g, output, element)
