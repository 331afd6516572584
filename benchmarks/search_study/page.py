"""docs/search.md, from the figures that were measured. Never imports torch."""

import statistics
from collections.abc import Iterator, Mapping, Sequence
from typing import Any

from benchmarks.search_study.runs import EPOCHS

POINTS = 0.005  # of accuracy: the best found counts as found when it is no further off


def page(found: Mapping[str, Any]) -> str:
    """The page; a part that was not measured says how to."""
    parts = [
        "# Search, pruning and statistics, measured",
        "Made by `python scripts/search_study.py all` from docs/search.json; do not edit.",
        *_section("Pruners on a grid of 27 settings", "grid", found, _grid),
        *_section("tpe against random", "samplers", found, _samplers),
        *_section("Killed and repeated", "kills", found, _kills),
        *_section("Workers of an asynchronous search", "busy", found, _busy),
        *_section("Statistics on known cases", "statistics", found, _statistics),
    ]
    return "\n\n".join(parts) + "\n"


def _section(title: str, key: str, found: Mapping[str, Any], body: Any) -> Iterator[str]:
    yield f"## {title}"
    if key in found:
        yield from body(found[key])
    else:
        yield f"Not measured yet: `python scripts/search_study.py {key}`."


def _grid(found: Mapping[str, Any]) -> Iterator[str]:
    values: dict[str, list[float]] = found["values"]
    seeds = range(min(map(len, values.values())))
    bests = [max(values, key=lambda cell: values[cell][seed]) for seed in seeds]
    true_best = max(values, key=lambda cell: statistics.fmean(values[cell]))
    yield (
        f"lenet_bn on 10,000 images, learning rate x batch size x momentum, {EPOCHS} epochs, {len(seeds)} seeds; runs "
        "are compared by their train loss, and the best is the completed one with the highest test_bn_acc. A pruned "
        "run is bit for bit the beginning of the whole one, so each grid was trained once and the pruners were replayed "
        "on its reports, with two workers, the settings in random order."
    )
    lines = ["| pruner | epochs of the full grid's | fewer by | within 0.5 points of the grid's best | "
             "regret: mean, worst | the setting it chose, on the other seeds |", "|---|---|---|---|---|---|"]  # fmt: skip
    lines.append(f"| none: the whole grid | 100% | 1 | | | {_elsewhere(values, bests)} |")
    for name, replays in found["rules"].items():
        factors = [one["of"] / one["epochs"] for one in replays]
        chosen = [one["found"] for one in replays]
        regrets = [
            values[best][seed] - values[cell][seed] for seed, (best, cell) in enumerate(zip(bests, chosen, strict=True))
        ]
        near = sum(regret <= POINTS for regret in regrets)
        lines.append(
            f"| {name} | {statistics.fmean(1 / factor for factor in factors):.0%} | {statistics.fmean(factors):.1f} "
            f"[{min(factors):.1f}, {max(factors):.1f}] | {near} of {len(regrets)} seeds | "
            f"{statistics.fmean(regrets):.4f}, {max(regrets):.4f} | {_elsewhere(values, chosen)} |"
        )
    yield "\n".join(lines)
    real, replayed = found["real"], found["rules"]["halving"][0]
    alike = "as in the replay" if real == {key: replayed[key] for key in real} else f"in the replay {replayed}"
    yield f"In a real run, halving trained {real['epochs']} epochs of the first seed and chose {real['found']}: {alike}."
    yield (
        "Regret is the distance to the best of the same 27 runs, which is partly luck of the seed. The last column is "
        "what the choice is worth: the mean of the chosen setting over all seeds but the one it was chosen by, averaged "
        f"over them. The best setting over all seeds is {true_best}: {statistics.fmean(values[true_best]):.4f}."
    )


def _elsewhere(values: Mapping[str, Sequence[float]], chosen: Sequence[str]) -> str:
    """The mean of each seed's chosen cell over the other seeds."""
    if len(chosen) < 2:
        return "-"
    means = [
        statistics.fmean(value for other, value in enumerate(values[cell]) if other != seed)
        for seed, cell in enumerate(chosen)
    ]
    return f"{statistics.fmean(means):.4f}"


def _samplers(curves: Mapping[str, Any]) -> Iterator[str]:
    best = max(value for seeds in curves.values() for curve in seeds for value in curve)
    trials = min(len(curve) for seeds in curves.values() for curve in seeds)
    marks = [mark for mark in (5, 10, 15, 20, 30) if mark <= trials]
    yield (
        "lenet_bn on 5,000 images for 3 epochs, over learning rate (1e-3 to 10), momentum (0 to 0.99) and batch size "
        "(64 to 512), two workers. Regret is the distance to the best value that any search found: mean over the seeds "
        "(standard deviation). The first ten trials of tpe are random."
    )
    lines = [f"| sampler | {' | '.join(f'{mark} trials' for mark in marks)} |", "|---" * (len(marks) + 1) + "|"]
    for name, seeds in curves.items():
        cells = []
        for mark in marks:
            regrets = [best - curve[mark - 1] for curve in seeds]
            spread = statistics.stdev(regrets) if len(regrets) > 1 else 0.0
            cells.append(f"{statistics.fmean(regrets):.4f} ({spread:.4f})")
        lines.append(f"| {name}, {len(seeds)} seeds | {' | '.join(cells)} |")
    yield "\n".join(lines)


def _kills(one: Mapping[str, Any]) -> Iterator[str]:
    states = ", ".join(f"{count} {state}" for state, count in one["trials"].items())
    stuck = sum(count for state, count in one["trials"].items() if state in ("RUNNING", "WAITING"))
    yield (
        f"A search of {one['n_trials']} trials with two workers, killed with -9 {one['kills']} times at random "
        f"moments and then repeated: {states}; {stuck or 'none'} stuck."
    )


def _busy(one: Mapping[str, Any]) -> Iterator[str]:
    yield (
        f"{one['trials']} trials of 4 or 40 epochs on two workers: busy {one['share']:.1%} of the time until the "
        "last trial starts."
    )


def _statistics(one: Mapping[str, Any]) -> Iterator[str]:
    covered = ", ".join(f"n = {n}: {share:.1%}" for n, share in one["coverage"].items())
    plain = ", ".join(f"n = {n}: {share:.1%}" for n, share in one["plain_coverage"].items())
    alarms = ", ".join(f"n = {n}: {share:.1%}" for n, share in one["false_alarms"].items())
    table = one["table_alarms"]
    yield f"{one['tables']:,} simulated tables each, normal values."
    yield "\n".join(
        [
            f"* 95 % intervals that contain the true mean: {covered}.",
            f"* Plain bootstrap percentiles that do: {plain}.",
            f"* Paired tests of two equal settings with p below 0.05: {alarms}.",
            f"* Tables of {table['cells']} equal settings over {table['n']} seeds in which any is called worse than the "
            f"best (Holm over all pairs): {table['share']:.1%}.",
        ]
    )
