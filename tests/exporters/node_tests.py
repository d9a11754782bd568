"""The ONNX standard's own node tests, through the `signfold` command.

    node_tests.py            compares, and fails if a test fails or the committed list is another
    node_tests.py --write    writes the list, docs/onnx-node-tests.md

Each test of the standard is one node with its inputs and outputs. It becomes a network of that one node,
and means the same:

  * What a layer owns (weights, scales, bounds, shapes) are inputs in these tests; here they are
    initializers. Inputs stay what comes in rows: the first one, and others with rows of their own in
    operators that join tensors.
  * Operators of the last axis take each vector along it as a row of the batch; for batch normalization
    the channels are moved there.
  * Where only numbers move there is no layer: a product with 1 follows.
  * MatMulInteger's sums are cast to float, which is exact here, for no output of signfold is int32.
  * DynamicQuantizeLinear's three outputs are no rows: a product with the identity matrix follows, and
    what is left of the input is compared, (quantized - zero point) * scale.
  * Masks and statistics, outputs that only training needs, are left off.

Integers must be equal, floats within the tolerance of the standard's runner. What signfold refuses is
listed with the command's words.
"""

import argparse
import sys
import tempfile
from collections import Counter
from pathlib import Path

import numpy as np
import onnx
from onnx import TensorProto, helper, numpy_helper

from common import ROOT, Refused, each, like, run_signfold, same

DATA = Path(onnx.__file__).parent / "backend" / "test" / "data" / "node"
LIST = ROOT / "docs" / "onnx-node-tests.md"
RULE = ("--rounding", "onnx-reference")  # of operators of integers
RTOL, ATOL = 1e-3, 1e-7  # what the standard's runner allows

# Operators of multi-layer perceptrons, and those that only move numbers around.
SELECTED = """
    Abs Add ArgMax BatchNormalization Cast Celu Clip Concat DequantizeLinear Div Dropout
    DynamicQuantizeLinear Elu Erf Exp Flatten Gelu Gemm HardSigmoid HardSwish Identity
    LayerNormalization LeakyRelu LogSoftmax MatMul MatMulInteger Mish Mul Neg PRelu QLinearMatMul
    QuantizeLinear Relu Reshape Selu Sigmoid Softmax Softplus Softsign Squeeze Sub Sum Swish Tanh
    ThresholdedRelu Transpose Unsqueeze
""".split()
# Types of less than 8 bits, and real ones of 8: no test of them is a network.
SMALL = {number for name, number in TensorProto.DataType.items()
         if name.startswith(("FLOAT4", "FLOAT8", "BFLOAT", "INT2", "INT4", "UINT2", "UINT4"))}
JOINING = {"Add", "Sub", "Mul", "Div", "Sum", "Concat"}
MOVING = {"Cast", "Dropout", "Flatten", "Identity", "Reshape", "Squeeze", "Transpose", "Unsqueeze"}
OF_LAST_AXIS = {"ArgMax", "LayerNormalization", "LogSoftmax", "Softmax"}


class Test:
    def __init__(self, folder):
        self.name = folder.name.removeprefix("test_")
        self.model = onnx.load(folder / "model.onnx")
        graph = self.model.graph
        self.op = graph.node[0].op_type
        data = folder / "test_data_set_0"
        self.given = [self.load(data / f"input_{i}.pb", v) for i, v in enumerate(graph.input)]
        self.expected = [self.load(data / f"output_{i}.pb", v) for i, v in enumerate(graph.output)]

    def types(self):
        graph = self.model.graph
        return {value.type.tensor_type.elem_type for value in [*graph.input, *graph.output]}

    @staticmethod
    def load(path, value):
        if not value.type.HasField("tensor_type"):
            return None
        return onnx.load_tensor(path)

    def network(self):
        """Makes the model a network of rows; its inputs, and the outputs to expect."""
        if any(t is None for t in [*self.given, *self.expected]):
            raise Refused("inputs or outputs that are no tensors")
        graph, inputs = self.model.graph, []
        for declared, tensor in zip(list(graph.input), self.given):
            if not inputs or self.op in JOINING and self.in_rows(tensor):
                inputs.append(numpy_helper.to_array(tensor))
            else:
                tensor.name = declared.name
                graph.initializer.append(tensor)
                graph.input.remove(declared)
        expected = [numpy_helper.to_array(t) for t in self.expected]
        if self.op in ("Dropout", "LayerNormalization"):
            expected = expected[:1]
            del graph.output[1:], graph.node[0].output[1:]
        if self.op in OF_LAST_AXIS and self.is_last_axis(inputs[0].ndim):
            inputs, expected = self.vectors(inputs), self.vectors(expected)
        if self.op == "BatchNormalization" and len(expected) == 1:
            inputs, expected = self.channels(inputs), self.channels(expected)
        if self.op in MOVING:
            self.append("Mul", 1)
        if self.op == "MatMulInteger":
            self.model.opset_import[0].version = 11  # the operator is the same as in 10
            self.append("Cast", to=TensorProto.FLOAT)
            expected = [expected[0].astype(np.float32)]
        if self.op == "DynamicQuantizeLinear":
            self.multiply_by_identity(inputs[0].shape)
            quantized, scale, zero_point = expected
            expected = [(quantized.astype(np.float32) - np.float32(zero_point)) * scale]
        for declared, array in [*zip(graph.input, inputs), *zip(graph.output, expected)]:
            kind = declared.type.tensor_type.elem_type
            declared.CopyFrom(helper.make_tensor_value_info(declared.name, kind, array.shape))
        return inputs, expected

    def in_rows(self, tensor):
        first = self.given[0]
        return len(tensor.dims) == len(first.dims) and tensor.dims[:1] == first.dims[:1]

    def is_last_axis(self, dimensions):
        """Whether the node works along the last axis; tells so in a way that fits all shapes."""
        node = self.model.graph.node[0]
        axis = next((a for a in node.attribute if a.name == "axis"), None)
        default = 0 if self.op == "ArgMax" else -1
        if (axis.i if axis else default) % dimensions != dimensions - 1:
            return False
        if axis:
            axis.i = -1
        return True

    @staticmethod
    def vectors(arrays):
        return [a.reshape(-1, a.shape[-1]) for a in arrays]

    @staticmethod
    def channels(arrays):
        return [np.moveaxis(a, 1, -1).reshape(-1, a.shape[1]) for a in arrays]

    def append(self, op, *constants, **attributes):
        """A node that follows, with the same type of output unless it is cast."""
        graph = self.model.graph
        output = graph.output[0]
        kind = output.type.tensor_type.elem_type
        names = []
        for i, constant in enumerate(constants):
            names.append(f"constant_{i}")
            graph.initializer.append(helper.make_tensor(names[-1], kind, [], [constant]))
        graph.node.append(helper.make_node(op, [output.name, *names], ["followed"], **attributes))
        output.name = "followed"
        output.type.tensor_type.elem_type = attributes.get("to", kind)

    def multiply_by_identity(self, shape):
        graph = self.model.graph
        quantized, scale, zero_point = (o.name for o in graph.output)
        graph.initializer.append(numpy_helper.from_array(np.eye(shape[-1], dtype=np.int8), "identity"))
        graph.initializer.append(numpy_helper.from_array(np.float32(1), "one"))
        graph.node.extend([
            helper.make_node("Mul", [scale, "one"], ["scales"]),
            helper.make_node("MatMulInteger", [quantized, "identity", zero_point], ["integers"]),
            helper.make_node("Cast", ["integers"], ["sums"], to=TensorProto.FLOAT),
            helper.make_node("Mul", ["sums", "scales"], ["reals"]),
        ])
        del graph.output[:]
        graph.output.append(helper.make_tensor_value_info("reals", TensorProto.FLOAT, shape))

    def run(self):
        """`passed`, `failed` or `skipped`, and the details."""
        try:
            inputs, expected = self.network()
            with tempfile.NamedTemporaryFile(suffix=".onnx") as file:
                file.write(self.model.SerializeToString())
                file.flush()
                found = run_signfold(file.name, inputs, len(expected), *RULE)
        except Refused as e:
            return "skipped", str(e).partition("; supported")[0]
        except RuntimeError as e:
            return "failed", str(e)
        results = [compare(*pair) for pair in zip(expected, found)]
        failures = [text for ok, text in results if not ok]
        return ("failed", "; ".join(failures)) if failures else ("passed", "; ".join(t for _, t in results))


def compare(expected, found):
    """Whether a result is right, and what there is to say."""
    if found.dtype.kind != "f":
        difference = same(expected, found)
        return difference is None, difference or "exact"
    expected = like(expected, found).astype(np.float32)
    if expected.shape != found.shape:
        return False, f"shape {found.shape} instead of {expected.shape}"
    equal = int((expected.view(np.uint32) == found.view(np.uint32)).sum())
    if not np.allclose(found, expected, RTOL, ATOL, equal_nan=True):
        return False, f"off by {np.abs(found - expected).max():.3g}"
    return True, "exact" if equal == expected.size else f"{equal} of {expected.size} have the same bits"


def tests():
    for folder in sorted(DATA.iterdir()):
        # "expanded" is the same function written as a graph of small operators.
        if folder.name.startswith("test_") and "_expanded" not in folder.name:
            test = Test(folder)
            if test.op in SELECTED and not test.types() & SMALL:
                yield test


def report(results):
    """The list, as Markdown."""
    counts = Counter(outcome for _, outcome, _ in results)
    lines = [
        "# The ONNX standard's node tests",
        "",
        f"Written by `tests/exporters/node_tests.py`, which also says how a test becomes a network, from the "
        f"data of onnx {onnx.__version__}: {counts['passed']} passed, {counts['failed']} failed, "
        f"{counts['skipped']} refused.",
    ]
    for title, outcome, column in (
        ("Passed", "passed", "beside the standard's result"),
        ("Failed", "failed", "difference"),
        ("Refused", "skipped", "the command's words"),
    ):
        chosen = [(test, text) for test, found, text in results if found == outcome]
        if chosen:
            lines += ["", f"## {title}", "", f"| operator | test | {column} |", "| --- | --- | --- |"]
            lines += [f"| {t.op} | {t.name} | {text.replace('|', '/')} |" for t, text in sorted(
                chosen, key=lambda pair: (pair[0].op, pair[0].name))]
    return "\n".join(lines) + "\n"


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--write", action="store_true", help="write the list")
    write = parser.parse_args().write
    chosen = list(tests())
    results = [(test, *found) for test, found in zip(chosen, each(Test.run, chosen))]
    for test, outcome, text in results:
        if outcome == "failed":
            print(f"FAILED {test.name}: {text}")
    counts = Counter(outcome for _, outcome, _ in results)
    print(f"{counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
    text = report(results)
    if write:
        LIST.write_text(text)
    elif not LIST.exists() or LIST.read_text() != text:
        print(f"{LIST.relative_to(ROOT)} says something else: look at the difference after --write")
        return 1
    return int(counts["failed"] > 0)


if __name__ == "__main__":
    sys.exit(main())
