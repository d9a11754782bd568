"""Float graphs that grow from input to output, node by node."""

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper


class Builder:
    """Nodes and constants of a graph; weights are random, by a seed."""

    def __init__(self, seed, opset, ir_version):
        self.random = np.random.default_rng(seed)
        self.opset, self.ir_version = opset, ir_version
        self.nodes, self.constants = [], []

    def constant(self, value, name=None):
        name = name or f"constant_{len(self.constants)}"
        self.constants.append(numpy_helper.from_array(np.asarray(value), name))
        return name

    def real(self, *values):
        """A scalar, or a vector."""
        return self.constant(np.float32(values[0] if len(values) == 1 else values))

    def normal(self, *shape, scale=0.2, around=0.0):
        return self.constant(self.random.normal(around, scale, shape).astype(np.float32))

    def node(self, op, *inputs, **attributes):
        output = f"{op.lower()}_{len(self.nodes)}"
        self.nodes.append(helper.make_node(op, inputs, [output], name=f"node_{output}", **attributes))
        return output

    def gemm(self, x, inputs, outputs):
        """Weights as PyTorch has them."""
        weights = self.normal(outputs, inputs, scale=inputs**-0.5)
        return self.node("Gemm", x, weights, self.normal(outputs), transB=1)

    def matmul_add(self, x, inputs, outputs):
        """Weights as Keras and scikit-learn have them."""
        weights = self.normal(inputs, outputs, scale=inputs**-0.5)
        return self.node("Add", self.node("MatMul", x, weights), self.normal(outputs))

    def model(self, inputs, outputs):
        """The model, from names to types or widths: an integer n stands for real rows of n."""
        graph = helper.make_graph(
            self.nodes, "network", values(inputs), values(outputs), self.constants,
        )
        opset = [helper.make_opsetid("", self.opset)]
        model = helper.make_model(graph, opset_imports=opset, ir_version=self.ir_version)
        onnx.checker.check_model(model)
        return model


def values(named):
    for name, shape in named.items():
        kind, *shape = shape if isinstance(shape, tuple) else (TensorProto.FLOAT, shape)
        yield helper.make_tensor_value_info(name, kind, ["batch", *shape])
