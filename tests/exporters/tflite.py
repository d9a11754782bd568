"""TFLite networks through signfold and through interpreters: the same bits, or a failure.

    tflite.py [COUNT]                         random ones
    tflite.py [COUNT] FILE...                 these files, too, of any converter
    tflite.py --record FOLDER SEED|FILE...    keeps them, and what interpreters answer

Needs ai-edge-litert. With the path of a Python that has tflite-runtime 2.14 in TFLITE_214, the rule of the
older kernels is compared as well.

| rule | interpreter |
| --- | --- |
| tf-lite-reference | LiteRT, reference kernels |
| tf-lite | tflite-runtime 2.14, reference kernels |
| nearest | LiteRT as it comes, by XNNPACK; only of dense layers |
"""

import os
import pickle
import subprocess
import sys
import tempfile
from pathlib import Path

import numpy as np
from ai_edge_litert.interpreter import Interpreter, OpResolverType

from common import run_signfold, same
from tflite_graphs import Network, Op

OLD = os.environ.get("TFLITE_214")
# What the older interpreter's Python runs: models and rows come, outputs go, pickled.
OLD_PROGRAM = """
import pickle, sys
from tflite_runtime.interpreter import Interpreter, OpResolverType
while sys.stdin.buffer.peek(1):
    model, rows = pickle.load(sys.stdin.buffer)
    interpreter = Interpreter(model_content=model, experimental_op_resolver_type=OpResolverType.BUILTIN_REF)
    interpreter.allocate_tensors()
    interpreter.set_tensor(interpreter.get_input_details()[0]["index"], rows)
    interpreter.invoke()
    outputs = [interpreter.get_tensor(d["index"]) for d in interpreter.get_output_details()]
    pickle.dump(outputs, sys.stdout.buffer)
    sys.stdout.buffer.flush()
"""


def litert(model, inputs, resolver):
    interpreter = Interpreter(model_content=model, num_threads=1, experimental_op_resolver_type=resolver)
    for detail, values in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.resize_tensor_input(detail["index"], values.shape)
    interpreter.allocate_tensors()
    for detail, values in zip(interpreter.get_input_details(), inputs, strict=True):
        interpreter.set_tensor(detail["index"], values)
    interpreter.invoke()
    return [interpreter.get_tensor(detail["index"]) for detail in interpreter.get_output_details()]


def reference(model, inputs):
    return litert(model, inputs, OpResolverType.BUILTIN_REF)


def unasked(model, inputs):
    return litert(model, inputs, OpResolverType.AUTO)


class Older:
    def __init__(self):
        command = [OLD, "-c", OLD_PROGRAM]
        self.process = subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE)

    def __call__(self, model, inputs):
        pickle.dump((model, inputs[0]), self.process.stdin)
        self.process.stdin.flush()
        return pickle.load(self.process.stdout)


def ours(model, inputs, outputs, rule):
    with tempfile.TemporaryDirectory() as folder:
        file = Path(folder) / "model.tflite"
        file.write_bytes(model)
        return run_signfold(file, inputs, outputs, "--rounding", rule)


def record(folder, cases):
    """NAME.tflite, its input rows, and all 8-bit outputs of both reference kernels, end to end."""
    folder.mkdir(exist_ok=True)
    older = Older()
    for case in cases:
        if case.isdigit():
            network, name = Network(int(case)), f"random-{case}"
            model, inputs = network.model, [network.input()]
        else:
            name, model = Path(case).stem, Path(case).read_bytes()
            inputs = made_up(model)
        (folder / f"{name}.tflite").write_bytes(model)
        np.save(folder / f"{name}-input.npy", inputs[0])
        for rule, interpreter in {"tflite": older, "tflite-reference": reference}.items():
            outputs = interpreter(model, inputs)
            together = b"".join(y.tobytes() for y in outputs if y.dtype != np.float32)
            np.save(folder / f"{name}-{rule}.npy", np.frombuffer(together, np.int8))


def made_up(model):
    """Random rows for each input."""
    random, inputs = np.random.default_rng(1), []
    for detail in Interpreter(model_content=model).get_input_details():
        values = random.normal(0, 1, detail["shape"])
        inputs.append((values if detail["dtype"] == np.float32 else values * 60).astype(detail["dtype"]))
    return inputs


def cases(count, files):
    interpreters = {"tf-lite-reference": reference} | ({"tf-lite": Older()} if OLD else {})
    for seed in range(count):
        network = Network(seed)
        if set(network.codes) == {Op.RESHAPE}:
            continue  # nothing is computed
        inputs = [network.input()]
        for rule, interpreter in interpreters.items():
            yield f"random {seed}", rule, network.model, inputs, interpreter
        if network.dense_only and network.offset == 0 and not network.bound_is_tie:
            yield f"random {seed}", "nearest", network.model, inputs, unasked
    for file in files:
        model = Path(file).read_bytes()
        yield file, "tf-lite-reference", model, made_up(model), reference


def main(arguments):
    if arguments[:1] == ["--record"]:
        return record(Path(arguments[1]), arguments[2:])
    count = int(arguments.pop(0)) if arguments and arguments[0].isdigit() else 300
    compared, passed, failed = {}, 0, 0
    for name, rule, model, inputs, interpreter in cases(count, arguments):
        expected = interpreter(model, inputs)
        found = ours(model, inputs, len(expected), rule)
        for i, (want, have) in enumerate(zip(expected, found, strict=True)):
            compared[rule] = compared.get(rule, 0) + want.size
            difference = same(want, have)
            if difference is None:
                passed += 1
            else:
                print(f"failed {name}, {rule}, output {i}: {difference}")
                failed += 1
    print(f"numbers compared: {compared}")
    print(f"{passed} passed, {failed} failed")
    sys.exit(failed > 0)


main(sys.argv[1:])
