"""Networks of other tools' exporters, through signfold and through onnxruntime.

    exporters.py [PART...]    of torch, sklearn, keras, ort, integers; all without arguments

Cases and what onnxruntime makes of them stay in target/exporters/, as NAME.onnx and NAME.npz.

A quantized network must give onnxruntime's results bit for bit, and once more from and to bytes: random ones
of the whole range go in, and all 8-bit tensors inside come out. A float network must be as close as its sums
in another order are, see `tolerance` of each part.
"""

import importlib
import sys
from collections import Counter

import numpy as np
import onnx
import onnxruntime
from onnx import TensorProto, helper, numpy_helper

from common import ROOT, Refused, each, like, run_signfold, same

FOLDER = ROOT / "target" / "exporters"
ROWS = 200  # of bytes
PARTS = ("torch", "sklearn", "keras", "ort", "integers")

# Cases that signfold does not import, and a part of what it says then.
REFUSED = {
    "sklearn-classifier-columns": "Slice",  # one output for each class
    "sklearn-regressor-two": "a reshape from [batch, 2] to [-1, 1]",  # which makes rows of the targets
}


def reference(path, inputs):
    """What onnxruntime computes, and beside the model: NAME.npz with inputs and outputs."""
    options = onnxruntime.SessionOptions()
    options.intra_op_num_threads = 1
    session = onnxruntime.InferenceSession(path, options, providers=["CPUExecutionProvider"])
    given = {value.name: array for value, array in zip(session.get_inputs(), inputs, strict=True)}
    outputs = [array(output) for output in session.run(None, given)]
    arrays = {f"input_{i}": x for i, x in enumerate(inputs)} | {f"output_{i}": x for i, x in enumerate(outputs)}
    np.savez(path.with_suffix(".npz"), **arrays)
    return outputs


def array(output):
    """An output as an array; ZipMap gives a dictionary from class to probability for each row."""
    return output if isinstance(output, np.ndarray) else np.float32([list(row.values()) for row in output])


def positions(path, output):
    """Labels as their positions among those in the file, which is what signfold gives; all else as it is."""
    if output.dtype.kind == "f":
        return output
    constants = {c.name: c for c in onnx.load(path).graph.initializer}
    if "classes" not in constants:
        return output
    return np.searchsorted(numpy_helper.to_array(constants["classes"]), output)


def exposed(name):
    """The same network from and to bytes, of the whole range: its input is what QuantizeLinear gives, and
    its outputs are all 8-bit tensors inside. Its name and inputs; nothing for other networks.

    Nothing either for i8 between QuantizeLinear and DequantizeLinear: onnxruntime on x86 makes u8 of it, but
    where it is an input or output computes in floats.
    """
    if "qdq-s8" in name:
        return None
    model = onnx.load(FOLDER / f"{name}.onnx")
    graph = model.graph
    quantize = (n for n in graph.node if n.op_type == "QuantizeLinear" and n.input[0] == graph.input[0].name)
    first = next(quantize, None)
    if first is None:
        return None
    constants = {c.name: c for c in graph.initializer}
    kind = constants[first.input[2]].data_type
    width = graph.input[0].type.tensor_type.shape.dim[1].dim_value
    graph.node.remove(first)
    graph.input[0].CopyFrom(helper.make_tensor_value_info(first.output[0], kind, ["batch", width]))
    del graph.output[:]
    graph.output.extend(onnx.ValueInfoProto(name=n.output[0]) for n in graph.node if quantizes(n))
    # The sizes of the outputs, from an engine that knows its own operators.
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    for value, found in zip(graph.output, session.get_outputs(), strict=True):
        value.CopyFrom(helper.make_tensor_value_info(found.name, kind, found.shape))
    onnx.save(model, FOLDER / f"{name}-bytes.onnx")
    low, high = (0, 256) if kind == TensorProto.UINT8 else (-128, 128)
    dtype = helper.tensor_dtype_to_np_dtype(kind)
    return f"{name}-bytes", [np.random.default_rng(3).integers(low, high, (ROWS, width), dtype)]


def quantizes(node):
    return node.op_type in ("QuantizeLinear", "QGemm") or node.op_type.startswith("QLinear")


def difference(expected, found, tolerance):
    """What differs too much, in words, or nothing."""
    if tolerance == 0 or expected.dtype.kind != "f":
        return same(expected, found)
    expected = like(expected, found)
    if expected.shape != found.shape:
        return f"shape {found.shape} instead of {expected.shape}"
    off = np.abs(found.astype(np.float64) - expected).max() / np.abs(expected).max()
    return None if off <= tolerance else f"off by {off:.2g} of the largest"


def check(name, inputs, tolerance):
    """The outcome of a case, and details."""
    path = FOLDER / f"{name}.onnx"
    expected = [positions(path, output) for output in reference(path, inputs)]
    refusal = REFUSED.get(name)
    try:
        found = run_signfold(path, inputs, len(expected))
    except Refused as e:
        fits = refusal is not None and refusal in str(e)
        return ("skipped" if fits else "failed"), str(e)
    except RuntimeError as e:
        return "failed", str(e)
    if refusal is not None:
        return "failed", f"is imported now; {refusal!r} was expected"
    pairs = zip(expected, found, strict=True)
    differences = [f"output {i}: {d}" for i, pair in enumerate(pairs) if (d := difference(*pair, tolerance))]
    return ("failed", "; ".join(differences)) if differences else ("passed", "")


def outcomes(part):
    """The name of each case, its outcome and details."""
    module = importlib.import_module(f"{part}_networks")
    cases = list(module.cases(FOLDER))
    cases += filter(None, [exposed(name) for name, _ in cases])
    run = lambda case: check(*case, module.tolerance(case[0]))
    for (name, _), found in zip(cases, each(run, cases)):
        yield name, *found


def main():
    FOLDER.mkdir(parents=True, exist_ok=True)
    onnxruntime.set_default_logger_severity(3)
    total = Counter()
    for part in sys.argv[1:] or PARTS:
        counts = Counter()
        for name, outcome, text in outcomes(part):
            counts[outcome] += 1
            if outcome != "passed":
                print(f"{outcome} {name}: {text}")
        print(f"{part}: {counts['passed']} passed, {counts['failed']} failed, {counts['skipped']} skipped")
        total += counts
    print(f"{total['passed']} passed, {total['failed']} failed, {total['skipped']} skipped")
    return int(total["failed"] > 0)


if __name__ == "__main__":
    sys.exit(main())
