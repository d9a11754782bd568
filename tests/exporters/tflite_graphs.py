"""Random quantized TFLite networks, written with the schema that comes with LiteRT."""

import flatbuffers
import numpy as np
from ai_edge_litert import schema_py_generated as schema

Op, Type, Fused = schema.BuiltinOperator, schema.TensorType, schema.ActivationFunctionType
NUMPY = {Type.INT8: np.int8, Type.UINT8: np.uint8, Type.INT32: np.int32}
# The versions that know int8, where it is not the second one.
VERSIONS = {Op.FULLY_CONNECTED: 4, Op.RESHAPE: 1, Op.RELU_N1_TO_1: 1}
FUSED = [Fused.NONE, Fused.NONE, Fused.RELU, Fused.RELU6, Fused.RELU_N1_TO_1]


class Rows:
    """An 8-bit tensor; its zero point is that of the int8 form."""

    def __init__(self, index, width, scale, zero_point):
        self.index, self.width = index, width
        self.scale, self.zero_point = np.float32(scale), zero_point


class Network:
    """A network that a seed makes. All that it computes is among its outputs."""

    def __init__(self, seed):
        self.random = np.random.default_rng(seed)
        # Every third network is one that XNNPACK, which LiteRT uses unasked, takes as a whole.
        self.dense_only = seed % 3 == 2
        self.element = Type.UINT8 if seed % 5 == 4 else Type.INT8
        self.offset = 128 if self.element == Type.UINT8 else 0
        self.real_input, self.real_output = seed % 2 == 0, seed % 4 < 2
        # Whether an activation's bound lies half-way between two integers: who rounds how is another
        # matter than sums, and XNNPACK leaves some such layers to other kernels.
        self.bound_is_tie = False
        self.batch = int(self.random.choice([1, 1, 3, 16]))
        self.tensors, self.operators, self.codes = [], [], []
        self.buffers, self.views = [schema.BufferT()], set()
        self.model = self.build()

    def input(self):
        """Random rows."""
        shape = (self.batch, self.first.width)
        if self.real_input:
            return self.random.normal(0, 60 * float(self.first.scale), shape).astype(np.float32)
        return (self.random.integers(-128, 128, shape) + self.offset).astype(NUMPY[self.element])

    def build(self):
        first = self.first = self.rows(int(self.random.integers(1, 40)), self.scale(), self.zero_point())
        inputs, outputs = [first.index], []
        if self.real_input:
            inputs = [self.tensor([self.batch, first.width], Type.FLOAT32)]
            self.operator(Op.QUANTIZE, inputs, first)
            outputs.append(first.index)
        have = [first]
        for _ in range(self.random.integers(1, 12)):
            have.append(self.layer(have))
        for rows in have[1:]:
            if rows.index not in outputs and rows.index not in self.views:
                outputs.append(rows.index)
        if self.real_output:
            outputs.append(self.tensor([self.batch, have[-1].width], Type.FLOAT32))
            self.operator(Op.DEQUANTIZE, [have[-1].index], outputs[-1])
        return self.finish(inputs, outputs)

    def layer(self, have):
        x = have[-1] if self.random.random() < 0.6 else self.pick(have)
        other = self.pick([rows for rows in have if rows.width == x.width])
        makers = {
            "dense": lambda: self.dense(x),
            "relu": lambda: self.unary(Op.RELU, x),
            "relu6": lambda: self.unary(Op.RELU6, x),
            "relu1": lambda: self.unary(Op.RELU_N1_TO_1, x),
            "leaky": lambda: self.unary(Op.LEAKY_RELU, x, alpha=float(self.random.uniform(-0.5, 1))),
            "logistic": lambda: self.unary(Op.LOGISTIC, x, (1 / 256, -128)),
            "tanh": lambda: self.unary(Op.TANH, x, (1 / 128, 0)),
            "softmax": lambda: self.unary(Op.SOFTMAX, x, (1 / 256, -128), beta=self.beta()),
            "requantize": lambda: self.unary(Op.QUANTIZE, x),
            "add": lambda: self.binary(Op.ADD, x, other),
            "sub": lambda: self.binary(Op.SUB if self.element == Type.INT8 else Op.ADD, x, other),
            "mul": lambda: self.binary(Op.MUL, x, other),
            "concat": lambda: self.concat(x, have),
            "view": lambda: self.view(x),
        }
        return makers["dense" if self.dense_only or self.random.random() < 0.2 else self.pick(list(makers))]()

    def dense(self, x):
        outputs = int(self.random.integers(1, 24))
        per_output = self.element == Type.INT8 and self.random.random() < 0.5
        scales = np.array([self.scale() for _ in range(outputs if per_output else 1)], np.float32)
        asymmetric = not per_output and not self.dense_only and self.random.random() < 0.4
        zero_point = self.zero_point() if asymmetric else 0
        weights = self.random.integers(-127, 128, (outputs, x.width)) + self.offset
        inputs = [x.index, self.tensor(weights.shape, self.element, scales, zero_point, weights)]
        if self.random.random() < 0.8:
            bias = self.random.integers(-20000, 20000, outputs)
            inputs.append(self.tensor(bias.shape, Type.INT32, x.scale * scales, -self.offset, bias))
        about = float(x.scale * scales.max()) * 60 * x.width**0.5
        y = self.rows(outputs, self.scale(about), self.zero_point())
        fused = self.pick(FUSED)
        bound = {Fused.RELU6: 6, Fused.RELU_N1_TO_1: 1}.get(fused, 0)
        self.bound_is_tie |= np.float32(bound) / y.scale % 1 == 0.5
        return self.operator(Op.FULLY_CONNECTED, inputs, y, fusedActivationFunction=fused)

    def unary(self, code, x, output=None, **options):
        scale, zero_point = output or (self.scale(float(x.scale)), self.zero_point())
        return self.operator(code, [x.index], self.rows(x.width, scale, zero_point), **options)

    def binary(self, code, x, other):
        product, larger = float(x.scale * other.scale), float(max(x.scale, other.scale))
        scale = self.scale(100 * product if code == Op.MUL else 1.5 * larger)
        y = self.rows(x.width, scale, self.zero_point())
        fused = self.pick(FUSED)
        return self.operator(code, [x.index, other.index], y, fusedActivationFunction=fused)

    def concat(self, x, have):
        alike = [rows for rows in have if (rows.scale, rows.zero_point) == (x.scale, x.zero_point)]
        parts = [x] + [self.pick(alike) for _ in range(self.random.integers(1, 3))]
        y = self.rows(sum(part.width for part in parts), x.scale, x.zero_point)
        return self.operator(Op.CONCATENATION, [part.index for part in parts], y, axis=self.pick([1, -1]))

    def view(self, x):
        for shape in ([self.batch, 1, x.width], [self.batch, x.width]):
            index = self.tensor(shape, self.element, x.scale, x.zero_point)
            shape = self.tensor([len(shape)], Type.INT32, values=np.array(shape))
            x = self.operator(Op.RESHAPE, [x.index, shape], Rows(index, x.width, x.scale, x.zero_point))
            self.views.add(index)
        return x

    def pick(self, choices):
        return choices[self.random.integers(len(choices))]

    def scale(self, about=None):
        """Powers of two now and then: they make ties."""
        random = self.random
        scale = 10 ** random.uniform(-3, -0.5) if about is None else about * 10 ** random.uniform(-0.3, 0.3)
        return np.float32(2.0 ** round(np.log2(scale)) if random.random() < 0.3 else scale)

    def zero_point(self):
        common = self.random.random() < 0.3
        return int(self.random.choice([-128, 0, 127]) if common else self.random.integers(-128, 128))

    def beta(self):
        return float(np.float32(self.pick([1, 1, self.random.uniform(0.2, 3)])))

    def rows(self, width, scale, zero_point):
        index = self.tensor([self.batch, width], self.element, scale, zero_point)
        return Rows(index, width, scale, zero_point)

    def tensor(self, shape, element, scales=None, zero_point=0, values=None):
        tensor = schema.TensorT()
        tensor.name = f"t{len(self.tensors)}"
        tensor.shape, tensor.type = list(shape), element
        if scales is not None:
            tensor.quantization = schema.QuantizationParametersT()
            tensor.quantization.scale = [float(scale) for scale in np.atleast_1d(scales)]
            tensor.quantization.zeroPoint = [zero_point + self.offset] * np.size(scales)
        if values is not None:
            buffer = schema.BufferT()
            buffer.data = np.frombuffer(values.astype(NUMPY[element]).tobytes(), np.uint8)
            tensor.buffer = len(self.buffers)
            self.buffers.append(buffer)
        self.tensors.append(tensor)
        return len(self.tensors) - 1

    def operator(self, code, inputs, output, **options):
        if code not in self.codes:
            self.codes.append(code)
        operator = schema.OperatorT()
        operator.opcodeIndex = self.codes.index(code)
        operator.inputs, operator.outputs = inputs, [getattr(output, "index", output)]
        if options:
            names = {Op.FULLY_CONNECTED: "FullyConnected", Op.LEAKY_RELU: "LeakyRelu", Op.SOFTMAX: "Softmax",
                     Op.ADD: "Add", Op.SUB: "Sub", Op.MUL: "Mul", Op.CONCATENATION: "Concatenation"}
            name = f"{names[code]}Options"
            operator.builtinOptionsType = getattr(schema.BuiltinOptions, name)
            operator.builtinOptions = getattr(schema, f"{name}T")()
            for key, value in options.items():
                setattr(operator.builtinOptions, key, value)
        self.operators.append(operator)
        return output

    def finish(self, inputs, outputs):
        graph = schema.SubGraphT()
        graph.tensors, graph.operators = self.tensors, self.operators
        graph.inputs, graph.outputs = inputs, outputs
        model = schema.ModelT()
        model.version, model.subgraphs, model.buffers = 3, [graph], self.buffers
        model.operatorCodes = []
        for code in self.codes:
            operator = schema.OperatorCodeT()
            operator.builtinCode = operator.deprecatedBuiltinCode = code
            operator.version = VERSIONS.get(code, 2)
            model.operatorCodes.append(operator)
        builder = flatbuffers.Builder(1024)
        builder.Finish(model.Pack(builder), b"TFL3")
        return bytes(builder.Output())
