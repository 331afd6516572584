"""What the measurements come to: medians with their spread, ratios, a table. This module never imports torch."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from benchmarks.common import format_spread, spread

Measurements = Sequence[Mapping[str, Any]]

# What is divided by what: (name in the report, contender above, contender below, which time, in words).
RATIOS = (
    ("textbook_over_ours", "textbook", "ours", "seconds", "epoch, textbook / ours"),
    ("lightning_over_default", "lightning", "default", "seconds", "epoch, lightning / default"),
    ("textbook_over_default", "textbook", "default", "seconds", "epoch by default, textbook / default"),
    ("ours_over_floor", "ours", "floor", "train_seconds", "training part, ours / floor"),
)


def summarize(
    measurements: Measurements, case: Mapping[str, Any] | None = None, peak_rate: float | None = None
) -> dict[str, Any]:
    """Each contender's times in seconds, and `RATIOS` of medians and round by round.

    With the case and the rate of operations that the device can reach, also what share of it the training part of
    `default` reaches, counting the operations of convolutions and matrix products: one pass forward, two back.

    Another process on the machine slows down what runs beside it: the ratios of rounds show how much that matters.
    """
    by_name: dict[str, list[Mapping[str, Any]]] = {}
    for done in measurements:
        by_name.setdefault(done["contender"], []).append(done)
    times = {
        name: {key: spread([done[key] for done in rows]) for key in ("seconds", "train_seconds")}
        for name, rows in by_name.items()
    }
    ratios = {}
    for name, above, below, key, _ in RATIOS:
        pairs = [(a, b) for a in by_name.get(above, []) for b in by_name.get(below, []) if a["round"] == b["round"]]
        if pairs:
            of_medians = times[above][key]["median"] / times[below][key]["median"]
            ratios[name] = {"of_medians": of_medians, "of_rounds": spread([a[key] / b[key] for a, b in pairs])}
    summary: dict[str, Any] = {"times": times, "ratios": ratios}
    if case is not None and peak_rate is not None and "default" in times:
        operations = 3 * 2 * case["forward_macs"] * case["train_images"]
        summary["roofline"] = operations / times["default"]["train_seconds"]["median"] / peak_rate
    return summary


def print_model(console: Console, model: Mapping[str, Any]) -> None:
    """The table of one network, the ratios, and what is wrong with the comparison."""
    case, summary, measurements = model["case"], model["summary"], model["measurements"]
    loads = [done[key] for done in measurements for key in ("load_before", "load_after") if done[key] is not None]
    say(
        console,
        f"\n{model['model']}: {case['train_images']:,} + {case['test_images']:,} images of {case['dataset']} at "
        f"{case['image_size']} px, {case['steps']} steps of {case['batch_size']}; seconds are median [min, max]",
        *([f"load average: {min(loads):.1f} to {max(loads):.1f}"] if loads else []),
    )
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("", no_wrap=True)
    for heading in ("an epoch", "its training part", "train loss", "test acc"):
        table.add_column(heading, justify="right", no_wrap=True)
    for name, times in summary["times"].items():
        last = [done for done in measurements if done["contender"] == name][-1]
        has_evaluation = last["test_acc"] is not None
        table.add_row(
            name,
            format_spread(times["seconds"]) if has_evaluation else "",
            format_spread(times["train_seconds"]),
            f"{last['train_loss']:.4f}",
            f"{last['test_acc']:.4f}" if has_evaluation else "",
        )
    console.print(table)
    for name, *_, words in RATIOS:
        if ratio := summary["ratios"].get(name):
            rounds = format_spread(ratio["of_rounds"])
            say(console, f"{words}: {ratio['of_medians']:.2f} of the medians; {rounds} round by round")
    if (share := summary.get("roofline")) is not None:
        say(console, f"training part of default: {share:.1%} of the rate of a large bf16 matrix product")
    say(console, *(f"not a fair comparison: {problem}" for problem in model["problems"]), style="bold red")


def say(console: Console, *lines: str, style: str = "") -> None:
    """Print each line as it is: brackets are no markup, and a narrow terminal does the wrapping."""
    for line in lines:
        console.print(Text(line, style=style), soft_wrap=True)
