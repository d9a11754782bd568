"""Runs TFLite models in LiteRT's interpreter, as the harness asks through standard input.

The interpreter's C interface is in no library of the wheel, and for tiny networks it is faster than
compiled models are. Requests are lines of words between tabs, each answered by a line.
"""

import itertools
import sys

import numpy as np
from ai_edge_litert.interpreter import Interpreter


def load(model, values):
    interpreter = Interpreter(model, num_threads=1)  # with XNNPACK, its default
    interpreter.allocate_tensors()
    details = interpreter.get_input_details()[0]
    rows = np.fromfile(values, details["dtype"]).reshape(details["shape"])
    interpreter.set_tensor(details["index"], rows)
    return interpreter


def run(interpreter, times):
    # What `interpreter.invoke` calls, without the checks that Python makes before.
    invoke = interpreter._interpreter.Invoke
    for _ in itertools.repeat(None, times):
        invoke()


def main():
    models = {}
    for line in sys.stdin:
        match line.rstrip("\n").split("\t"):
            case ["load", key, model, values]:
                models[key] = load(model, values)
            case ["run", key, times]:
                run(models[key], int(times))
            case ["output", key, file]:
                index = models[key].get_output_details()[0]["index"]
                models[key].get_tensor(index).tofile(file)
            case ["drop", key]:
                del models[key]
        print("done", flush=True)


main()
