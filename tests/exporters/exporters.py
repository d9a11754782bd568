"""Networks of other tools' exporters, through signfold and through onnxruntime.

    exporters.py [PART...]    of torch, sklearn, keras and ort; all without arguments

Cases and what onnxruntime makes of them stay in target/exporters/, as NAME.onnx and NAME.npz.

Quantized networks must give onnxruntime's results bit for bit, and their 8-bit tensors inside as well.
Float networks add in another order than onnxruntime's blocks do: an output may be off by TOLERANCE of the
largest magnitude in its array. A network of 16-bit numbers is run in 32 bits: HALF_TOLERANCE.
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
PARTS = ("torch", "sklearn", "keras", "ort")
TOLERANCE, HALF_TOLERANCE = 2e-6, 2e-3

# Parts of the names of cases that signfold does not import, and of what it says then.
REFUSED = {}


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


def exposed(path):
    """The same network with all its 8-bit tensors among the outputs, as another file."""
    model = onnx.load(path)
    known = {value.name for value in model.graph.output}
    added = [onnx.ValueInfoProto(name=node.output[0]) for node in model.graph.node
             if node.output[0] not in known and "quant" in node.output[0].lower() and quantizes(node)]
    model.graph.output.extend(added)
    # Their types, as an engine sees them.
    session = onnxruntime.InferenceSession(model.SerializeToString(), providers=["CPUExecutionProvider"])
    kinds = {"tensor(uint8)": TensorProto.UINT8, "tensor(int8)": TensorProto.INT8}
    for value, found in zip(added, session.get_outputs()[len(known):], strict=True):
        value.CopyFrom(helper.make_tensor_value_info(found.name, kinds[found.type], found.shape))
    del model.graph.output[len(known):]
    model.graph.output.extend(added)
    path = path.with_name(f"{path.stem}-inside.onnx")
    onnx.save(model, path)
    return path


def quantizes(node):
    return node.op_type in ("QuantizeLinear", "QGemm") or node.op_type.startswith("QLinear")


def close(expected, found):
    """What differs too much, in words, or nothing."""
    if expected.dtype.kind != "f":
        return same(expected, found)
    expected = like(expected, found)
    if expected.shape != found.shape:
        return f"shape {found.shape} instead of {expected.shape}"
    off = np.abs(found.astype(np.float64) - expected).max() / np.abs(expected).max()
    tolerance = HALF_TOLERANCE if expected.dtype == np.float16 else TOLERANCE
    return None if off <= tolerance else f"off by {off:.2g} of the largest"


def check(name, inputs, compare):
    """The outcome of a case, and details."""
    path = FOLDER / f"{name}.onnx"
    expected = [positions(path, output) for output in reference(path, inputs)]
    refusal = next((text for part, text in REFUSED.items() if part in name), None)
    try:
        found = run_signfold(path, inputs)
    except Refused as e:
        fits = refusal is not None and refusal in str(e)
        return ("skipped" if fits else "failed"), str(e)
    except RuntimeError as e:
        return "failed", str(e)
    if refusal is not None:
        return "failed", f"is imported now; {refusal!r} was expected"
    if len(expected) != len(found):
        return "failed", f"{len(found)} outputs instead of {len(expected)}"
    differences = [f"output {i}: {d}" for i, pair in enumerate(zip(expected, found)) if (d := compare(*pair))]
    return ("failed", "; ".join(differences)) if differences else ("passed", "")


def outcomes(part):
    """The name of each case, its outcome and details."""
    module = importlib.import_module(f"{part}_networks")
    compare = same if module.QUANTIZED else close
    cases = list(module.cases(FOLDER))
    if module.QUANTIZED:
        inside = [(exposed(FOLDER / f"{name}.onnx").stem, inputs) for name, inputs in cases]
        cases += inside
    for (name, _), found in zip(cases, each(lambda case: check(*case, compare), cases)):
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
