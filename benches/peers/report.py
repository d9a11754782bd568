"""Prints the results of a run as a table, and draws them.

`python report.py FILE.json` writes FILE.svg beside it.
"""

import json
import pathlib
import sys

import matplotlib

matplotlib.use("svg")
matplotlib.rcParams["svg.fonttype"] = "none"  # text as text: an eighth of the size
import matplotlib.pyplot as plt

# Dark for signfold; the others keep their colour whichever of them are there.
COLOURS = {
    "signfold": "#1b2a41",
    "LiteRT": "#e08e45",
    "onnxruntime": "#4c8dae",
    "OpenVINO": "#7a6ba8",
    "rten": "#6a9f58",
    "tract": "#b5616a",
}


def micros(time):
    """Microseconds, without more digits than mean something."""
    return f"{time:,.0f}" if time >= 100 else f"{time:.3g}"


def measured(case, engine):
    """The engine's variants that took part in the rounds."""
    return [o for o in case["outcomes"] if o["engine"] == engine and "median_us" in o]


def right(outcome):
    return outcome["deviation"]["beyond_one_step_percent"] == 0


def fastest(outcomes):
    return min(outcomes, key=lambda o: o["median_us"], default=None)


def ours(case):
    """signfold with real rows in and out; what it does with quantized ones is in the JSON."""
    return next(o for o in measured(case, "signfold") if o["io"] == "f32")


def standing(case, engine):
    """What stands for an engine: the fastest of all, and the fastest with right outputs."""
    if engine == "signfold":
        return ours(case), ours(case)
    outcomes = measured(case, engine)
    return fastest(outcomes), fastest([o for o in outcomes if right(o)])


def title(case):
    activation = "" if case["activation"] == "none" else f" {case['activation']}"
    return f"{case['network']} {'-'.join(map(str, case['widths']))}{activation}"


def cell(case, engine):
    """Microseconds, `~` if outputs are wrong; then, if others are, the time of right ones."""
    best, exact = standing(case, engine)
    if best is None:
        return "-"
    text = micros(best["median_us"])
    if right(best):
        return text
    return f"~{text} ({micros(exact['median_us'])})" if exact else f"~{text} (none)"


def print_table(report, engines):
    rows = [["network, batch", *engines, "fastest peer / signfold", "of those with right outputs"]]
    for case in report["cases"]:
        peers = [standing(case, engine) for engine in engines if engine != "signfold"]
        row = [f"{title(case)}, {case['batch']}"] + [cell(case, engine) for engine in engines]
        for outcomes in zip(*peers):
            best = fastest([o for o in outcomes if o])
            row.append(f"{best['median_us'] / ours(case)['median_us']:.2f}" if best else "-")
        rows.append(row)
    widths = [max(len(row[i]) for row in rows) for i in range(len(rows[0]))]
    rows.insert(1, ["-" * width for width in widths])
    for row in rows:
        print("| " + " | ".join(text.ljust(width) for text, width in zip(row, widths)) + " |")


def print_deviations(report, engines):
    print("\nOutputs more than one step of their quantization from the exact ones, worst case of")
    print("the fastest variants (marked ~ above):")
    for engine in engines:
        worst = [(standing(case, engine)[0], case) for case in report["cases"]]
        worst = [(o["deviation"], case) for o, case in worst if o]
        if not worst:
            continue
        deviation, case = max(worst, key=lambda pair: pair[0]["beyond_one_step_percent"])
        if deviation["beyond_one_step_percent"] == 0:
            print(f"  {engine}: none")
            continue
        steps = max(d["max_steps"] for d, _ in worst)
        share = deviation["beyond_one_step_percent"]
        print(f"  {engine}: {share:.0f} % of outputs ({title(case)}, {case['batch']}), "
              f"by up to {steps:.0f} steps")


def draw(report, engines, path):
    """Small multiples: one panel a case, bars are times relative to signfold."""
    cases = report["cases"]
    columns = min(4, len(cases))
    lines = -(-len(cases) // columns)
    size = (3.4 * columns + 0.6, 0.34 * len(engines) * lines + 0.9 * lines + 1.2)
    figure, axes = plt.subplots(lines, columns, figsize=size, squeeze=False, layout="constrained")
    for axis in axes.flat[len(cases):]:
        axis.axis("off")
    for axis, case in zip(axes.flat, cases):
        base = ours(case)["median_us"]
        ratios = []
        for i, engine in enumerate(engines):
            best, exact = standing(case, engine)
            if best is None:
                continue
            ratio = best["median_us"] / base
            wrong = not right(best)
            look = {"fill": False, "hatch": "////"} if wrong else {"color": COLOURS[engine]}
            axis.barh(i, ratio, height=0.72, edgecolor=COLOURS[engine], **look)
            label = f" {ratio:.2f}x"
            ratios.append(ratio)
            if wrong and exact:
                ratio = exact["median_us"] / base
                axis.plot(ratio, i, "|", color=COLOURS[engine], markersize=10, markeredgewidth=3)
                label += f", right {ratio:.2f}x"
                ratios.append(ratio)
            axis.text(max(ratios[-2:] if wrong else [ratio]), i, label, va="center", fontsize=7)
        axis.axvline(1, color=COLOURS["signfold"], linewidth=0.8)
        axis.set_xscale("log")
        axis.set_xlim(min(ratios) / 2, max(ratios) * 12)
        axis.set_yticks(range(len(engines)), engines, fontsize=8)
        axis.invert_yaxis()
        axis.tick_params(axis="x", labelsize=7)
        axis.xaxis.set_minor_formatter(matplotlib.ticker.NullFormatter())
        rows = f"{case['batch']} row{'s' * (case['batch'] > 1)}"
        axis.set_title(f"{title(case)}\n{rows}, signfold {micros(base)} µs", fontsize=8)
        axis.spines[["top", "right"]].set_visible(False)
    figure.suptitle(
        f"Time relative to signfold, one thread: {report['date']}, {report['cpu']['model']}, "
        f"{report['cpu']['signfold_kernel']}\n"
        "hatched: outputs are wrong (saturated); the mark: the engine's fastest right variant",
        fontsize=10,
    )
    figure.savefig(path)


def main():
    file = pathlib.Path(sys.argv[1])
    report = json.loads(file.read_text(encoding="utf-8"))
    engines = [engine["name"] for engine in report["engines"] if engine["absent"] is None]
    cpu = report["cpu"]
    print(f"{report['date']}, {cpu['model']}, signfold's kernel {cpu['signfold_kernel']}")
    for engine in report["engines"]:
        state = f"absent: {engine['absent']}" if engine["absent"] else engine["reached"]
        print(f"  {engine['name']} {engine['version'] or ''}, {state}")
    print("\nMicroseconds per call, medians\n")
    print_table(report, engines)
    print_deviations(report, engines)
    draw(report, engines, file.with_suffix(".svg"))
    print(f"\n{file}\n{file.with_suffix('.svg')}")


if __name__ == "__main__":
    main()
