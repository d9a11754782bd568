"""Prints what `cargo bench --bench max` measured as tables, and draws it.

    python3 benches/max_report.py [FOLDER] [--svg FILE]

FOLDER is where criterion keeps results, by default the target folder's `criterion`; FILE is
docs/max.svg. Needs matplotlib, as benches/peers/requirements.txt pins it; `benches/peers/run`
installs it into benches/peers/.venv, as this does:

    python3 -m venv benches/peers/.venv
    benches/peers/.venv/bin/pip install $(grep matplotlib benches/peers/requirements.txt)
"""

import argparse
import json
import os
import subprocess
import sys
from pathlib import Path

try:
    import matplotlib
except ImportError:
    sys.exit(f"error: this Python has no matplotlib\n\n{__doc__}")

matplotlib.use("svg")
matplotlib.rcParams["svg.fonttype"] = "none"  # text as text
matplotlib.rcParams["svg.hashsalt"] = "max"  # the same names in each file
import matplotlib.pyplot as plt

ROOT = Path(__file__).resolve().parent.parent
COMMAND = "cargo bench -p signfold-benches --bench max"

# As in max.rs.
SHAPES = ["1x1024x1024", "8x128x256", "16x784x256", "256x784x256", "1x9216x128"]
PRUNED = ["256x1024x1024", "1x1024x1024", "256x784x256"]
SOFT = ["1x1024x1024", "256x784x256"]
INPUTS = ["gaussian", "relu", "uniform", "hardtanh", "digits"]
MAXIMA = ["max", "abs_max", "mam", "soft_abs_max", "abs_max-exit", "mam-exit"]
ALL = ["abs_max-all", "mam-all"]
DENSITIES = ["1", "0.2", "0.1", "0.04", "0.01"]
ALPHAS = ["1", "3", "10", "30", "100"]

# With an early exit and without.
COLOURS = {"abs_max": ("#1b6ca8", "#a9cde6"), "mam": ("#c4572a", "#f0bfa6")}


def wanted():
    """Every group, and its functions."""
    for shape in SHAPES:
        for kind in INPUTS:
            yield f"max {shape} {kind}", ["sum", *MAXIMA, *ALL]
    for shape in PRUNED:
        yield f"pruned {shape}", ["sum", "mam all", *(f"mam {density}" for density in DENSITIES)]
    for shape in SOFT:
        yield f"soft {shape}", ["sum", *(f"alpha {alpha}" for alpha in ALPHAS)]


def usual_folder():
    """Where cargo and criterion put results."""
    if home := os.environ.get("CRITERION_HOME"):
        return Path(home)
    command = ["cargo", "metadata", "--no-deps", "--format-version", "1"]
    done = subprocess.run(command, cwd=ROOT, stdout=subprocess.PIPE, check=True)
    return Path(json.loads(done.stdout)["target_directory"]) / "criterion"


def load(path):
    return json.loads(path.read_text(encoding="utf-8"))


def results(folder):
    """By group and function: the median in microseconds, and the share of products that were
    looked at, or None. All of them, or the script ends."""
    found = {}
    for path in folder.glob("*/**/new/benchmark.json"):
        name = load(path)
        median = load(path.with_name("estimates.json"))["median"]["point_estimate"] / 1000
        looked = path.parent.parent / "looked.json"
        share = load(looked) if looked.exists() else None
        share = share and share["looked"] / share["products"]
        found[name["group_id"], name["function_id"]] = median, share
    missing = [f"{group}/{name}" for group, names in wanted() for name in names
               if (group, name) not in found or name != "sum" and found[group, name][1] is None]
    if missing:
        some = "\n  ".join(missing[:5])
        sys.exit(f"error: {folder} lacks {len(missing)} results; run {COMMAND}. The first are\n  {some}")
    return found


def micros(time):
    """Microseconds, without more digits than mean something."""
    return f"{time:,.0f}" if time >= 100 else f"{time:.3g}"


def percent(share):
    return f"{100 * share:.0f} %" if share >= 0.1 else f"{100 * share:.2g} %"


def print_table(rows):
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    for row in [rows[0], ["-" * width for width in widths], *rows[1:]]:
        print("| " + " | ".join(text.ljust(width) for text, width in zip(row, widths)) + " |")


def print_aggregates(found):
    print("Medians of calls on one thread: of the sum in microseconds, of the others relative to it,")
    print("with the share of products looked at. -exit: an early exit always, -all: never.\n")
    rows = [["shape", "inputs", "sum", *MAXIMA, *ALL]]
    for shape in SHAPES:
        for kind in INPUTS:
            group = f"max {shape} {kind}"
            base = found[group, "sum"][0]
            row = [shape, kind, micros(base)]
            for name in MAXIMA:
                time, share = found[group, name]
                row.append(f"{time / base:.2f} ({percent(share)})")
            rows.append(row + [f"{found[group, name][0] / base:.2f}" for name in ALL])
    print_table(rows)


def print_pruned(found):
    print("\nmam with a share of the weights left, gaussian inputs: microseconds, relative to all")
    print("products of a layer that is not pruned, and to the sum.\n")
    rows = [["shape", "sum", "mam all", *(f"{density} left" for density in DENSITIES)]]
    for shape in PRUNED:
        group = f"pruned {shape}"
        base, every = found[group, "sum"][0], found[group, "mam all"][0]
        row = [shape, micros(base), f"{micros(every)}, {every / base:.2f} sums"]
        for density in DENSITIES:
            time = found[group, f"mam {density}"][0]
            row.append(f"{micros(time)}, {time / every:.2f}, {time / base:.2f} sums")
        rows.append(row)
    print_table(rows)


def print_soft(found):
    print("\nsoft_abs_max by alpha, gaussian inputs: time relative to the sum, products looked at.\n")
    rows = [["shape", "sum", *(f"alpha {alpha}" for alpha in ALPHAS)]]
    for shape in SOFT:
        group = f"soft {shape}"
        base = found[group, "sum"][0]
        row = [shape, micros(base)]
        for alpha in ALPHAS:
            time, share = found[group, f"alpha {alpha}"]
            row.append(f"{time / base:.2f} ({percent(share)})")
        rows.append(row)
    print_table(rows)


def draw_shape(axis, found, shape):
    """For each kind of inputs a line for each aggregate, from all products to the early exit."""
    sums = []
    for i, kind in enumerate(INPUTS):
        group = f"max {shape} {kind}"
        base = found[group, "sum"][0]
        sums.append(base)
        for name, (dark, light), y in zip(COLOURS, COLOURS.values(), (i - 0.17, i + 0.17)):
            every, early = (found[group, f][0] / base for f in (f"{name}-all", name))
            axis.plot([every, early], [y, y], color=light, linewidth=1.5, zorder=1)
            axis.plot(every, y, "o", color=light, markersize=5, label=f"{name}, no early exit")
            axis.plot(early, y, "o", color=dark, markersize=5, label=name)
            axis.text(max(every, early), y, f"  {early:.2f}", va="center", fontsize=7)
    low, high = min(sums), max(sums)
    base = micros(low) if micros(low) == micros(high) else f"{micros(low)} to {micros(high)}"
    axis.set_title(f"{shape.replace('x', ' × ')}\nsum: {base} µs", fontsize=8)
    axis.axvline(1, color="#444444", linewidth=0.8, zorder=0)
    axis.set_xscale("log", base=2)
    axis.set_yticks(range(len(INPUTS)), INPUTS, fontsize=8)
    axis.set_ylim(len(INPUTS) - 0.5, -0.5)
    axis.tick_params(axis="x", labelsize=7)
    axis.xaxis.set_major_formatter(matplotlib.ticker.FormatStrFormatter("%g"))
    axis.xaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
    axis.spines[["top", "right"]].set_visible(False)


def draw(found, path):
    figure, axes = plt.subplots(2, 3, figsize=(10, 5.6), sharex=True, sharey=True,
                                layout="constrained")
    *panels, legend = axes.flat
    for axis, shape in zip(panels, SHAPES, strict=True):
        draw_shape(axis, found, shape)
    low, high = panels[0].get_xlim()
    panels[0].set_xlim(min(low, 0.48), max(high, 1.1) * 1.3)  # room for labels
    panels[2].tick_params(axis="x", labelbottom=True)
    handles, labels = panels[0].get_legend_handles_labels()
    unique = dict(zip(labels, handles))
    legend.legend(unique.values(), unique.keys(), loc="center", frameon=False, fontsize=9)
    legend.axis("off")
    figure.suptitle("Time relative to a sum of the same products, one thread\n"
                    "rows × inputs × outputs; sum = 1, smaller is faster", fontsize=10)
    figure.savefig(path, metadata={"Date": None})


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("folder", type=Path, nargs="?", help="where criterion keeps results")
    parser.add_argument("--svg", type=Path, default=ROOT / "docs" / "max.svg", help="where to draw")
    arguments = parser.parse_args()
    found = results(arguments.folder or usual_folder())
    print_aggregates(found)
    print_pruned(found)
    print_soft(found)
    draw(found, arguments.svg)
    print(f"\n{arguments.svg}")


if __name__ == "__main__":
    main()
