"""ONNX models of a network, in the two forms that exporters write.

    qdq       QuantizeLinear, DequantizeLinear around a Gemm in float: engines see the pattern and
              run it on integers
    integer   MatMulInteger: the integers are in the graph

each with activations as i8 and as u8 (the same numbers, 128 higher), and with real or with
quantized inputs and outputs. Which is fastest differs from engine to engine, so all are tried.

Weights stay in the network's file NAME.data; a model refers to it.
"""

import itertools

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from networks import BOUNDS

OPSET, IR_VERSION = 17, 8  # old enough for every engine
TYPES = {"i8": (np.int8, TensorProto.INT8, 0), "u8": (np.uint8, TensorProto.UINT8, 128)}


def write(network, folder):
    for batch, form, kind, io in itertools.product(
        network.spec.batches, ["qdq", "integer"], TYPES, ["f32", "q8"]
    ):
        model = Builder(network, kind).build(batch, form, io)
        path = folder / f"{network.name}-{batch}-{form}-{kind}-{io}.onnx"
        path.write_bytes(model.SerializeToString())
        onnx.checker.check_model(path)


class Builder:
    """Nodes and constants of a graph that grows from input to output."""

    def __init__(self, network, kind):
        self.network = network
        self.dtype, self.type, self.shift = TYPES[kind]
        self.nodes, self.constants, self.offset = [], [], 0

    def build(self, batch, form, io):
        layers = self.network.layers
        quantized = io == "q8"
        at = "input"
        if not quantized:
            at = self.quantize(at, layers[0].input)
        for layer in layers:
            last = layer is layers[-1]
            at = getattr(self, form)(at, layer)
            at = self.activate(at, layer.activation)
            if quantized or not last:
                at = self.quantize(at, layer.output)
        self.nodes[-1].output[0] = "output"
        element = self.type if quantized else TensorProto.FLOAT
        widths = self.network.spec.widths
        graph = helper.make_graph(
            self.nodes,
            self.network.name,
            [helper.make_tensor_value_info("input", element, [batch, widths[0]])],
            [helper.make_tensor_value_info("output", element, [batch, widths[-1]])],
            self.constants,
        )
        opset = [helper.make_opsetid("", OPSET)]
        return helper.make_model(graph, opset_imports=opset, ir_version=IR_VERSION)

    def node(self, op, *inputs, **attributes):
        output = f"{op}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [output], name=output, **attributes))
        return output

    def constant(self, value):
        name = f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def weights(self, layer):
        """The next bytes of the network's file."""
        name = f"weights_{len(self.constants)}"
        tensor = TensorProto(name=name, data_type=TensorProto.INT8, dims=layer.weights.shape)
        tensor.data_location = TensorProto.EXTERNAL
        place = {
            "location": f"{self.network.name}.data",
            "offset": self.offset,
            "length": layer.weights.size,
        }
        for key, value in place.items():
            tensor.external_data.add(key=key, value=str(value))
        self.offset += layer.weights.size
        self.constants.append(tensor)
        return name

    def parameters(self, quantization):
        """Names of scale and zero point."""
        zero_point = self.dtype(quantization.zero_point + self.shift)
        return self.constant(np.float32(quantization.scale)), self.constant(zero_point)

    def quantize(self, at, quantization):
        return self.node("QuantizeLinear", at, *self.parameters(quantization))

    def qdq(self, at, layer):
        x = self.node("DequantizeLinear", at, *self.parameters(layer.input))
        zero = self.constant(np.int8(0))
        w = self.node("DequantizeLinear", self.weights(layer), self.constant(layer.scale), zero)
        scale = self.constant(layer.input.scale * layer.scale)
        bias = self.node("DequantizeLinear", self.constant(layer.bias), scale)
        return self.node("Gemm", x, w, bias)

    def integer(self, at, layer):
        _, zero_point = self.parameters(layer.input)
        zero = self.constant(np.int8(0))
        sums = self.node("MatMulInteger", at, self.weights(layer), zero_point, zero)
        scale = layer.input.scale * layer.scale
        real = self.node("Cast", sums, to=TensorProto.FLOAT)
        real = self.node("Mul", real, self.constant(scale))
        return self.node("Add", real, self.constant(layer.bias.astype(np.float32) * scale))

    def activate(self, at, activation):
        match BOUNDS[activation]:
            case None:
                return at
            case (0.0, None):
                return self.node("Relu", at)
            case (low, high):
                bounds = (self.constant(np.float32(bound)) for bound in (low, high))
                return self.node("Clip", at, *bounds)
