"""How sure one can be: intervals, paired tests, how many seeds would do, how often seeds are lost.

scipy does the counting. It is imported when it is needed: a summary of single runs starts without it.
"""

import math
import statistics
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

CONFIDENCE = 0.95
ALPHA = 0.05
POWER = 0.8
MOST_SEEDS = 1_000
_BORROWED = 4
_NO_SPREAD = 1e-12  # of the values' size: rounding


class Interval(NamedTuple):
    """The 95 % confidence interval of a mean, and how it was found."""

    low: float
    high: float
    method: str = "Student's t"


class Paired(NamedTuple):
    """Two settings over `n` matched seeds: mean difference (first minus second), its interval, and a two-sided test.

    `std`, `interval` and `p` are None for a single pair, which says nothing of the next; `interval` also where all
    differences are equal.
    """

    n: int
    difference: float
    std: float | None
    interval: Interval | None
    p: float | None
    test: str


class McNemar(NamedTuple):
    """Two runs on the same examples: how many only the first one has right, only the second one, and exact p."""

    only_first: int
    only_second: int
    p: float


def interval(values: Sequence[float]) -> Interval | None:
    """Student's interval of the mean of `values`; None below two of them, or where they are equal and tell no spread.

    It covers 95 % where values are normal, and nearly so where they are symmetric. It does not where a few seeds are of
    another kind: of values of which one in five has collapsed, it holds the mean in 67 % of tables of five seeds.
    """
    n = len(values)
    if n < 2 or _is_constant(values):
        return None
    from scipy.special import stdtrit

    mean = statistics.fmean(values)
    reach = float(stdtrit(n - 1, (1 + CONFIDENCE) / 2)) * statistics.stdev(values) / math.sqrt(n)
    return Interval(mean - reach, mean + reach)


def paired(first: Mapping[Any, float], second: Mapping[Any, float]) -> Paired | None:
    """`first` against `second`, each by seed, on the seeds that both have; None where there is none.

    Student's paired t test: differences of exchangeable runs are symmetric. Equal differences have no spread to measure
    them by; their signs alone are the evidence.
    """
    differences = [first[seed] - second[seed] for seed in in_order(first.keys() & second.keys())]
    n = len(differences)
    if n == 0:
        return None
    mean = statistics.fmean(differences)
    if n == 1:
        return Paired(1, mean, None, None, None, "no test")
    std = statistics.stdev(differences)
    if _is_constant(differences):
        return Paired(n, mean, std, None, 1.0 if abs(mean) <= _NO_SPREAD else 2.0 ** (1 - n), "sign test")
    from scipy.special import stdtr

    p = 2 * float(stdtr(n - 1, -abs(mean) / std * math.sqrt(n)))
    return Paired(n, mean, std, interval(differences), p, "paired t test")


def p_of_leads(first: Mapping[Any, float], others: Sequence[Mapping[Any, float]]) -> list[float | None]:
    """One-sided p of the lead of `first` over each of the `others`, gains by seed; None where they share below two.

    Student's paired t test. The spread of one pair is poorly known from few seeds. Where there are three others or
    more, the variance is that of the pair or the mean over all pairs, whichever is larger, and counts for up to
    `_BORROWED` times the seeds of the pair. The larger of the two keeps the error rate where settings vary by
    different amounts: docs/statistics.md has the simulations.
    """
    pairs = [[first[seed] - other[seed] for seed in first.keys() & other.keys()] for other in others]
    tested = [pair for pair in pairs if len(pair) > 1]
    if not tested:
        return [None] * len(pairs)
    from scipy.special import stdtr

    variances = [0.0 if _is_constant(pair) else statistics.variance(pair) for pair in tested]
    borrows = len(tested) > 2
    pooled = statistics.fmean(variances) if borrows else 0.0
    freedom = sum(len(pair) - 1 for pair in tested) / 2  # all pairs share `first`

    def p_of(pair: Sequence[float]) -> float | None:
        n = len(pair)
        if n < 2:
            return None
        mean = statistics.fmean(pair)
        variance = max(0.0 if _is_constant(pair) else statistics.variance(pair), pooled)
        if not variance:  # no spread to measure by: the signs are the evidence
            return 2.0**-n if mean > _NO_SPREAD else 1.0
        degrees = max(n - 1, min(freedom, _BORROWED * (n - 1))) if borrows else n - 1
        return float(stdtr(degrees, -mean / math.sqrt(variance / n)))

    return [p_of(pair) for pair in pairs]


def seeds_needed(found: Paired, alpha: float) -> tuple[int, int | None] | None:
    """How many seeds would show such a difference in 80 % of tries by a one-sided test at `alpha`: from, to.

    The difference is itself an estimate, so this is the range over its 80 % interval (noncentral t). None where that
    interval holds zero, for then there may be nothing to show; `to` is None beyond `MOST_SEEDS`.
    """
    if not found.std or found.interval is None:
        return None
    import numpy as np
    from scipy.special import nctdtr, nctdtrinc, stdtrit

    t = abs(found.difference) / found.std * math.sqrt(found.n)
    least, most = (float(nctdtrinc(found.n - 1, share, t)) / math.sqrt(found.n) for share in (0.9, 0.1))
    if not least > 0:
        return None
    n = np.arange(2, MOST_SEEDS + 1)

    def needed(effect: float) -> int | None:
        power = 1 - nctdtr(n - 1, effect * np.sqrt(n), stdtrit(n - 1, 1 - alpha))
        return int(n[np.argmax(power >= POWER)]) if (power >= POWER).any() else None

    first = needed(most)
    return (max(first, found.n + 1), needed(least)) if first else None


def rate_bounds(lost: int, of: int) -> tuple[float, float]:
    """The exact 95 % bounds, each one-sided, of a rate of which `lost` in `of` were seen (Clopper, Pearson 1934)."""
    from scipy.special import betaincinv

    low = float(betaincinv(lost, of - lost + 1, ALPHA)) if lost else 0.0
    return low, float(betaincinv(lost + 1, of - lost, CONFIDENCE)) if lost < of else 1.0


def holm(p_values: Sequence[float], least: int = 1) -> list[float]:
    """`p_values` corrected for their number, in their order (Holm 1979); the last ones are multiplied by `least`."""
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    corrected = [1.0] * len(p_values)
    highest = 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, p_values[place] * max(len(order) - rank, least)))
        corrected[place] = highest
    return corrected


def mcnemar(first_right: Sequence[bool], second_right: Sequence[bool]) -> McNemar:
    """McNemar's exact test, two-sided, of two runs on the same examples in the same order."""
    import numpy as np
    from scipy.special import bdtr

    first, second = np.asarray(first_right, dtype=bool), np.asarray(second_right, dtype=bool)
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    differ = only_first + only_second
    p = min(1.0, 2 * float(bdtr(min(only_first, only_second), differ, 0.5))) if differ else 1.0
    return McNemar(only_first, only_second, p)


def in_order(seeds: Iterable[Any]) -> list[Any]:
    """Seeds in their order: numbers, then texts."""
    return sorted(seeds, key=lambda seed: (isinstance(seed, str), seed is not None, seed or 0))


def _is_constant(values: Sequence[float]) -> bool:
    return max(values) - min(values) <= _NO_SPREAD * max(1.0, *(abs(value) for value in values))
