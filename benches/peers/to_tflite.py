"""TFLite models of a network: fully quantized int8, as LiteRT's converter writes them.

Written with the schema that comes with LiteRT, so that no TensorFlow is needed.
"""

import itertools

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

# The clipped ReLU's upper bound is where int8 ends, so that a ReLU says the same.
ACTIVATIONS = {
    "none": schema.ActivationFunctionType.NONE,
    "relu": schema.ActivationFunctionType.RELU,
    "hardtanh": schema.ActivationFunctionType.RELU_N1_TO_1,
    "clipped-relu": schema.ActivationFunctionType.RELU,
}
# Operator and the least version that knows int8.
OPERATORS = {
    schema.BuiltinOperator.FULLY_CONNECTED: 4,
    schema.BuiltinOperator.QUANTIZE: 1,
    schema.BuiltinOperator.DEQUANTIZE: 2,
}


def write(network, folder):
    for batch, io in itertools.product(network.spec.batches, ["f32", "q8"]):
        model = Builder(network, batch).build(io == "q8")
        (folder / f"{network.name}-{batch}-{io}.tflite").write_bytes(model)


class Builder:
    """A graph that grows from input to output. Tensors are known by their index."""

    def __init__(self, network, batch):
        self.network, self.batch = network, batch
        self.tensors, self.operators = [], []
        self.buffers = [schema.BufferT()]  # the first one is empty by convention

    def build(self, quantized):
        layers = self.network.layers
        if quantized:
            first = at = self.rows("input", layers[0].input)
        else:
            first = self.rows("input", None)
            at = self.rows("quantized", layers[0].input)
            self.operator(schema.BuiltinOperator.QUANTIZE, [first], at)
        for i, layer in enumerate(layers):
            at = self.dense(at, layer, f"layer{i}")
        if not quantized:
            at, q = self.rows("output", None), at
            self.operator(schema.BuiltinOperator.DEQUANTIZE, [q], at)
        return self.finish(first, at)

    def dense(self, x, layer, name):
        weights = self.constant(f"{name}.weights", layer.weights.T, schema.TensorType.INT8)
        quantize(self.tensors[weights], layer.scale, 0)
        bias = self.constant(f"{name}.bias", layer.bias, schema.TensorType.INT32)
        quantize(self.tensors[bias], layer.input.scale * layer.scale, 0)
        out = self.rows(name, layer.output)
        operator = self.operator(schema.BuiltinOperator.FULLY_CONNECTED, [x, weights, bias], out)
        operator.builtinOptionsType = schema.BuiltinOptions.FullyConnectedOptions
        operator.builtinOptions = schema.FullyConnectedOptionsT()
        operator.builtinOptions.fusedActivationFunction = ACTIVATIONS[layer.activation]
        return out

    def rows(self, name, quantization):
        """A batch of reals, or of int8."""
        widths = self.network.spec.widths
        width = {"input": widths[0], "quantized": widths[0], "output": widths[-1]}.get(name)
        if width is None:
            width = widths[int(name.removeprefix("layer")) + 1]
        if quantization is None:
            return self.tensor(name, [self.batch, width], schema.TensorType.FLOAT32)
        index = self.tensor(name, [self.batch, width], schema.TensorType.INT8)
        quantize(self.tensors[index], quantization.scale, quantization.zero_point)
        return index

    def constant(self, name, values, element):
        index = self.tensor(name, list(values.shape), element)
        buffer = schema.BufferT()
        buffer.data = np.frombuffer(np.ascontiguousarray(values).tobytes(), np.uint8)
        self.tensors[index].buffer = len(self.buffers)
        self.buffers.append(buffer)
        return index

    def tensor(self, name, shape, element):
        tensor = schema.TensorT()
        tensor.name, tensor.shape, tensor.type = name, shape, element
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def operator(self, code, inputs, output):
        operator = schema.OperatorT()
        operator.opcodeIndex = list(OPERATORS).index(code)
        operator.inputs, operator.outputs = inputs, [output]
        self.operators.append(operator)
        return operator

    def finish(self, first, last):
        graph = schema.SubGraphT()
        graph.tensors, graph.operators = self.tensors, self.operators
        graph.inputs, graph.outputs = [first], [last]
        model = schema.ModelT()
        model.version, model.subgraphs, model.buffers = 3, [graph], self.buffers
        model.description = self.network.name
        model.operatorCodes = []
        for code, version in OPERATORS.items():
            operator = schema.OperatorCodeT()
            operator.builtinCode = operator.deprecatedBuiltinCode = code
            operator.version = version
            model.operatorCodes.append(operator)
        size = sum(0 if b.data is None else len(b.data) for b in self.buffers)
        builder = flatbuffers.Builder(size + (64 << 10))
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())


def quantize(tensor, scale, zero_point):
    tensor.quantization = schema.QuantizationParametersT()
    tensor.quantization.scale = [scale]
    tensor.quantization.zeroPoint = [zero_point]
