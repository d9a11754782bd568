"""Writes networks for the harness.

`python generate.py FOLDER A,B` writes into FOLDER, for each network,

    A.data        weights: int8, [in][out], layer after layer
    A.bias        int32, layer after layer
    A-256.in.f32, A-256.in.i8, A-256.out.f32, A-256.out.i8     a batch, and what must come of it

the models of to_onnx.py and to_tflite.py, and networks.json, which describes all of it.
"""

import argparse
import json
import pathlib

import numpy as np

import to_onnx
from networks import BOUNDS, SEED, SPECS, make

try:
    import to_tflite
except ImportError as error:
    to_tflite = None
    print(f"no TFLite models: {error}")


def describe(network):
    """What the harness builds signfold's model from."""
    return {
        "name": network.name,
        "widths": network.spec.widths,
        "activation": network.spec.activation,
        "batches": network.spec.batches,
        "input": quantization(network.layers[0].input),
        "layers": [
            {
                "inputs": layer.weights.shape[0],
                "outputs": layer.weights.shape[1],
                "scale": float(layer.scale),
                "bounds": BOUNDS[layer.activation],
                "output": quantization(layer.output),
            }
            for layer in network.layers
        ],
    }


def quantization(of):
    return {"scale": float(of.scale), "zero_point": of.zero_point}


def write(network, folder):
    """The network's files. The batches are of other rows than the calibration's."""
    name = network.name
    for path, part in (f"{name}.data", "weights"), (f"{name}.bias", "bias"):
        with open(folder / path, "wb") as file:
            for layer in network.layers:
                getattr(layer, part).tofile(file)
    rng = np.random.default_rng([SEED, ord(name), 1])
    for batch in network.spec.batches:
        reals = rng.uniform(-1, 1, (batch, network.spec.widths[0])).astype(np.float32)
        x = network.layers[0].input.quantize(reals)
        real, q = network.run(x)
        reals.tofile(folder / f"{name}-{batch}.in.f32")
        x.tofile(folder / f"{name}-{batch}.in.i8")
        real.tofile(folder / f"{name}-{batch}.out.f32")
        q.tofile(folder / f"{name}-{batch}.out.i8")


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=pathlib.Path)
    parser.add_argument("only", nargs="?", default=",".join(SPECS))
    arguments = parser.parse_args()
    names = arguments.only.split(",")
    if unknown := set(names) - set(SPECS):
        parser.error(f"no network {', '.join(sorted(unknown))}; there are {', '.join(SPECS)}")
    arguments.folder.mkdir(parents=True, exist_ok=True)
    networks = []
    for name in names:
        print(f"network {name}", flush=True)
        network = make(name)
        write(network, arguments.folder)
        to_onnx.write(network, arguments.folder)
        if to_tflite:
            to_tflite.write(network, arguments.folder)
        networks.append(describe(network))
    with open(arguments.folder / "networks.json", "w", encoding="utf-8") as file:
        json.dump(networks, file, indent=1)


if __name__ == "__main__":
    main()
