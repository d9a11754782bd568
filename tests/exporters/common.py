"""The `signfold` command from Python, and how results are compared."""

import os
import re
import subprocess
import tempfile
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np

ROOT = Path(__file__).resolve().parents[2]
COMMAND = os.environ.get("SIGNFOLD", str(ROOT / "target" / "debug" / "signfold"))


class Refused(Exception):
    """The command said what is wrong with a file, in one line."""


def signfold(*arguments):
    """Runs the command, returns what it printed. A refusal is exit code 1; all else is a fault of ours."""
    command = [COMMAND, *map(str, arguments)]
    environment = os.environ | {"RUST_BACKTRACE": "0"}
    done = subprocess.run(command, capture_output=True, text=True, timeout=60, env=environment)
    if done.returncode == 1:
        # In one line, and without folders.
        words = " ".join(done.stderr.removeprefix("error: ").split())
        raise Refused(re.sub(r"/\S*/(\S+: )", r"\1", words).removeprefix(f"{Path(arguments[1]).name}: "))
    if done.returncode:
        raise RuntimeError(f"exit code {done.returncode}: {' '.join(done.stderr.split())}")
    return done.stdout


def rows(array):
    """An array as rows: its first dimension, and all others as one. A vector is a single row."""
    return np.ascontiguousarray(array.reshape(len(array) if array.ndim > 1 else 1, -1))


def run_signfold(model, inputs, outputs, *options):
    """Imports a file of any format, with these options, and runs it on arrays, in the order of its inputs.

    Returns so many outputs, by their order, with two dimensions each.
    """
    with tempfile.TemporaryDirectory() as folder:
        imported = Path(folder) / "model.sfold"
        signfold("import", model, "-o", imported, *options)
        given = [Path(folder) / f"in_{i}.npy" for i in range(len(inputs))]
        found = [Path(folder) / f"out_{i}.npy" for i in range(outputs)]
        for path, array in zip(given, inputs):
            # Networks of 16-bit numbers are run in 32 bits.
            np.save(path, rows(array.astype(np.float32) if array.dtype == np.float16 else array))
        flags = [part for path in given for part in ("--input", path)]
        flags += [part for path in found for part in ("--output", path)]
        signfold("run", imported, *flags)
        return [rows(np.load(path)) for path in found]


def like(expected, found):
    """What is expected, in as many rows as were found (a file may say a vector of one number for each row)."""
    fits = len(found) and expected.size % len(found) == 0
    return np.ascontiguousarray(expected.reshape(len(found), -1)) if fits else rows(expected)


def same(expected, found):
    """What is not equal, in words, or nothing. Reals need the same bits, indices the same values."""
    expected = like(expected, found)
    if expected.shape != found.shape:
        return f"shape {found.shape} instead of {expected.shape}"
    if expected.dtype.kind == "f" or found.dtype.kind == "f":
        if expected.dtype != found.dtype:
            return f"{found.dtype} instead of {expected.dtype}"
        wrong = (expected.view(f"u{expected.itemsize}") != found.view(f"u{found.itemsize}")).sum()
    else:
        wrong = (expected.astype(np.int64) != found.astype(np.int64)).sum()
    if wrong:
        by = np.abs(expected.astype(np.float64) - found.astype(np.float64)).max()
        return f"{wrong} of {expected.size} differ, by {by:.3g} at most"
    return None


def each(function, items):
    """The function's results in order; the command runs on all cores."""
    with ThreadPoolExecutor(os.cpu_count()) as pool:
        yield from pool.map(function, items)
