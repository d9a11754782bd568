"""Networks quantized by onnxruntime.quantization: QDQ, QOperator and dynamic, in all pairs of types.

A CPU without VNNI adds products of u8 and i8 in 16 bits with saturation, and onnxruntime lets it: weights
of 7 bits are the way to right sums there. Where the CPU has VNNI, or where both are u8, they have 8 bits.
"""

import contextlib
import io
import itertools
import logging
from pathlib import Path

import numpy as np
from onnx import TensorProto
from onnxruntime.quantization import (
    CalibrationDataReader, QuantFormat, QuantType, quantize_dynamic, quantize_static,
)

from graphs import Builder

OPSET, IR_VERSION = 17, 8
WIDTH, CLASSES, ROWS = 19, 7, 200

HAS_VNNI = any(name in Path("/proc/cpuinfo").read_text().split() for name in ("avx512_vnni", "avx_vnni"))
TYPES = dict(s8=QuantType.QInt8, u8=QuantType.QUInt8)
PAIRS = (("u8", "s8"), ("s8", "s8"), ("u8", "u8"))  # of activations and weights
FORMS = dict(qdq=QuantFormat.QDQ, qoperator=QuantFormat.QOperator)


def stack(activation, dense=Builder.gemm):
    def build(b):
        h = activation(b, dense(b, "input", WIDTH, 32))
        h = activation(b, dense(b, h, 32, 16))
        return dense(b, h, 16, CLASSES)
    return build


def simple(op, **attributes):
    return lambda b, x: b.node(op, x, **attributes)


def clip(b, x):
    return b.node("Clip", x, b.real(-1), b.real(1))


def residual(b):
    h = b.node("Relu", b.gemm("input", WIDTH, 16))
    h = b.node("Relu", b.node("Add", h, b.gemm(h, 16, 16)))
    return b.gemm(h, 16, CLASSES)


def joined(b):
    left = b.node("Relu", b.gemm("input", WIDTH, 16))
    right = b.node("Sigmoid", b.gemm("input", WIDTH, 8))
    return b.gemm(b.node("Concat", left, right, axis=1), 24, CLASSES)


def gated(b):
    value, gate = b.gemm("input", WIDTH, 16), b.node("Sigmoid", b.gemm("input", WIDTH, 16))
    return b.gemm(b.node("Mul", value, gate), 16, CLASSES)


def softmax(b):
    h = b.node("Relu", b.gemm("input", WIDTH, 16))
    return b.node("Softmax", b.gemm(h, 16, CLASSES), axis=-1)


def chosen(b):
    h = b.node("Relu", b.gemm("input", WIDTH, 16))
    h = b.gemm(h, 16, CLASSES)
    return b.node("ArgMax", h, axis=1, keepdims=0), h


NETWORKS = dict(
    relu=stack(simple("Relu")),
    relu_matmul=stack(simple("Relu"), Builder.matmul_add),
    clip=stack(clip),
    leaky_relu=stack(simple("LeakyRelu", alpha=0.1)),
    sigmoid=stack(simple("Sigmoid")),
    tanh=stack(simple("Tanh")),
    linear=stack(lambda b, x: x),
    residual=residual,
    joined=joined,
    gated=gated,
    softmax=softmax,
    chosen=chosen,
)


def rows(seed):
    return np.random.default_rng(seed).normal(0, 1, (ROWS, WIDTH)).astype(np.float32)


class Calibration(CalibrationDataReader):
    def __init__(self):
        self.batches = iter([{"input": rows(100 + i)} for i in range(4)])

    def get_next(self):
        return next(self.batches, None)


def tolerance(name):
    """How far outputs may be off, of the largest in an array: not at all, down to the last bit.

    Where inputs are quantized as they come, functions beside dense layers are computed in floats, and in
    onnxruntime by approximations: an input may then be quantized to the next integer.
    """
    in_floats = name.startswith("ort-dynamic") and name.endswith(("sigmoid", "tanh", "gated", "softmax"))
    return 1e-2 if in_floats else 0


def cases(folder):
    """Names of networks and their inputs; a network is written to NAME.onnx."""
    print(f"weights beside i8 inputs have {8 if HAS_VNNI else 7} bits: "
          f"the CPU has {'' if HAS_VNNI else 'no '}VNNI")
    logging.getLogger().setLevel(logging.ERROR)  # not "please consider pre-processing" for each network
    source = folder / "float.onnx"
    for name, build in NETWORKS.items():
        b = Builder(1, OPSET, IR_VERSION)
        outputs = build(b)
        if isinstance(outputs, tuple):
            outputs = {outputs[0]: (TensorProto.INT64,), outputs[1]: CLASSES}
        else:
            outputs = {outputs: CLASSES}
        source.write_bytes(b.model(dict(input=WIDTH), outputs).SerializeToString())
        for (inputs, weights), channels in itertools.product(PAIRS, (False, True)):
            settings = dict(
                weight_type=TYPES[weights], per_channel=channels,
                reduce_range=not HAS_VNNI and weights == "s8",
            )
            suffix = f"{inputs}{weights}{'-channels' if channels else ''}-{name}"
            for form, quant_format in FORMS.items():
                case = f"ort-{form}-{suffix}"
                with quiet():
                    quantize_static(source, folder / f"{case}.onnx", Calibration(),
                                    quant_format=quant_format, activation_type=TYPES[inputs], **settings)
                yield case, [rows(1)]
            if inputs == "u8":  # what inputs become on arrival
                case = f"ort-dynamic-{suffix}"
                with quiet():
                    quantize_dynamic(source, folder / f"{case}.onnx", **settings)
                yield case, [rows(1)]
    source.unlink()


def quiet():
    return contextlib.redirect_stdout(io.StringIO())
