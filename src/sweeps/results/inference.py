"""How sure one can be: intervals, paired tests and the correction for many of them.

scipy does the counting. It is imported when it is needed: a summary of single runs starts without it.
"""

import math
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, NamedTuple

CONFIDENCE = 0.95
ALPHA = 0.05
BOOTSTRAP_FROM = 5  # values; with fewer, too many resamples have no spread
RESAMPLES = 9_999
PERMUTATION_FROM = 7  # pairs: 2^7 signs can give p = 0.016, 2^5 no less than 0.06
EXACT_UP_TO = 13  # pairs: 2^13 signs are all counted; of more, RESAMPLES are drawn
_FAR = 100.0  # times the table's quantile: a bound that resamples with hardly any spread have made
_NO_SPREAD = 1e-12  # of the values' size: rounding


class Interval(NamedTuple):
    """The 95 % confidence interval of a mean, and how it was found."""

    low: float
    high: float
    method: str


class Paired(NamedTuple):
    """Two settings over `n` matched seeds: mean difference (first minus second), its interval, and a two-sided test.

    `interval` and `p` are None for a single pair, which says nothing of the next; `interval` also where all
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
    """The interval of the mean of `values`; None below two of them, or where they are equal and tell no spread.

    The bootstrap's percentiles are too narrow for a handful of seeds: with five they cover 84 % and not 95 %. So what
    is resampled is Student's t (Efron, Tibshirani 1993, section 12.5), which covers 95 %; below five values it
    is his own table, and so it is where values repeat so often that too many resamples have no spread.
    """
    n = len(values)
    if n < 2:
        return None
    import numpy as np
    from scipy import stats

    sample = np.asarray(values, dtype=float)
    mean, error = float(sample.mean()), float(sample.std(ddof=1)) / math.sqrt(n)
    if _is_constant(sample):
        return None
    quantile = float(stats.t.ppf((1 + CONFIDENCE) / 2, n - 1))
    by_table = Interval(mean - quantile * error, mean + quantile * error, "Student's t")
    if n < BOOTSTRAP_FROM:
        return by_table

    def student(resampled: Any, axis: int) -> Any:
        off = resampled.mean(axis=axis) - mean
        spread = resampled.std(axis=axis, ddof=1) / math.sqrt(n)
        far = np.sign(off) * 1e9  # all values of the resample are one: as far out as can be
        return np.where(spread > 0, off / np.where(spread > 0, spread, 1.0), far)

    found = stats.bootstrap(
        (sample,),
        student,
        n_resamples=RESAMPLES,
        confidence_level=CONFIDENCE,
        method="percentile",
        vectorized=True,
        rng=np.random.default_rng(sample.view(np.uint64)),  # the same table twice has the same figures
    ).confidence_interval
    if max(abs(found.low), abs(found.high)) > _FAR * quantile:
        return by_table
    return Interval(mean - float(found.high) * error, mean - float(found.low) * error, "bootstrap-t")


def paired(first: Mapping[Any, float], second: Mapping[Any, float]) -> Paired | None:
    """`first` against `second`, each by seed, on the seeds that both have; None where there is none.

    With seven pairs or more a permutation test: every sign of every difference is as likely where the settings do not
    differ. Fewer pairs have too few signs, so it is Student's paired t: differences of exchangeable runs are
    symmetric, for which it errs on the safe side.
    """
    import numpy as np
    from scipy import stats

    seeds = in_order(first.keys() & second.keys())
    differences = np.asarray([first[seed] - second[seed] for seed in seeds], dtype=float)
    n = len(differences)
    if n == 0:
        return None
    mean = float(differences.mean())
    if n == 1:
        return Paired(1, mean, None, None, None, "no test")
    std = float(differences.std(ddof=1))
    if n >= PERMUTATION_FROM:
        p = stats.permutation_test(
            (differences,),
            lambda values, axis: values.mean(axis=axis),
            permutation_type="samples",
            vectorized=True,
            n_resamples=np.inf if n <= EXACT_UP_TO else RESAMPLES,
            rng=np.random.default_rng(differences.view(np.uint64)),
        ).pvalue
        test = "paired permutation test"
    elif _is_constant(differences):
        p, test = _p_of_signs(n, mean), "sign test"
    else:
        p, test = stats.ttest_1samp(differences, 0.0).pvalue, "paired t test"
    return Paired(n, mean, std, interval(list(differences)), float(p), test)


def pairwise(settings: Sequence[Mapping[Any, float]]) -> dict[tuple[int, int], float]:
    """Student's paired p of every two of `settings` (each by seed) that share two seeds or more, not yet corrected."""
    import numpy as np
    from scipy import stats

    seeds = in_order(set().union(*settings))
    table = np.array([[one.get(seed, math.nan) for seed in seeds] for one in settings], dtype=float)
    first, second = np.triu_indices(len(settings), 1)
    differences = table[first] - table[second]
    present = np.isfinite(differences)
    found: dict[tuple[int, int], float] = {}
    for pattern in np.unique(present, axis=0):  # pairs with the same seeds are tested in one call
        n = int(pattern.sum())
        if n < 2:
            continue
        places = np.flatnonzero((present == pattern).all(axis=1))
        values = differences[np.ix_(places, np.flatnonzero(pattern))]
        flat = np.ptp(values, axis=1) <= _NO_SPREAD * np.maximum(1.0, np.abs(values).max(axis=1))
        p = np.array([_p_of_signs(n, float(mean)) for mean in values.mean(axis=1)])
        if not flat.all():
            p[~flat] = stats.ttest_1samp(values[~flat], 0.0, axis=1).pvalue
        pairs = zip(first[places].tolist(), second[places].tolist(), strict=True)
        found |= dict(zip(pairs, p.tolist(), strict=True))
    return found


def holm(p_values: Sequence[float]) -> list[float]:
    """`p_values` corrected for their number, in their order (Holm 1979): the chance of even one false alarm holds."""
    order = sorted(range(len(p_values)), key=lambda place: p_values[place])
    corrected = [1.0] * len(p_values)
    highest = 0.0
    for rank, place in enumerate(order):
        highest = max(highest, min(1.0, p_values[place] * (len(order) - rank)))
        corrected[place] = highest
    return corrected


def mcnemar(first_right: Sequence[bool], second_right: Sequence[bool]) -> McNemar:
    """McNemar's exact test, two-sided, of two runs on the same examples in the same order."""
    import numpy as np
    from scipy import stats

    first, second = np.asarray(first_right, dtype=bool), np.asarray(second_right, dtype=bool)
    only_first, only_second = int((first & ~second).sum()), int((second & ~first).sum())
    differ = only_first + only_second
    return McNemar(only_first, only_second, float(stats.binomtest(only_first, differ).pvalue) if differ else 1.0)


def in_order(seeds: Iterable[Any]) -> list[Any]:
    """Seeds in their order: numbers, then texts."""
    return sorted(seeds, key=lambda seed: (isinstance(seed, str), seed is not None, seed or 0))


def _is_constant(values: Any) -> bool:
    return bool(values.max() - values.min() <= _NO_SPREAD * max(1.0, float(abs(values).max())))


def _p_of_signs(n: int, mean: float) -> float:
    """Equal differences have no spread to measure them by; their signs alone are the evidence."""
    return 1.0 if abs(mean) <= _NO_SPREAD else 2.0 ** (1 - n)
