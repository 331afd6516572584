"""Intervals and tests against cases whose answer is known: simulated data, textbook figures, scipy's own results."""

import numpy as np
import pytest
from scipy import stats
from scipy.optimize import brentq

from sweeps.results.inference import ALPHA, holm, interval, mcnemar, paired, rate_bounds, seeds_needed

DRAWS = {
    "normal": (lambda rng, n: rng.normal(0.9, 0.01, n), 0.9),
    "uniform": (lambda rng, n: rng.uniform(0.8, 0.9, n), 0.85),
}


@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.parametrize("n", [3, 5, 10])
def test_intervals_cover_what_they_say_within_two_points(draw, n):
    rng, tables = np.random.default_rng(n), 800
    make, mean = DRAWS[draw]
    found = [interval(list(make(rng, n))) for _ in range(tables)]
    covered = sum(one.low <= mean <= one.high for one in found) / tables
    # Light tails make three values look steadier than they are.
    least, most = (0.93, 0.97) if draw == "normal" else (0.915, 0.98)
    assert least <= covered <= most


def test_an_interval_of_five_steady_values_is_not_far_wider_than_they_are():
    low, high, method = interval([0.89, 0.90, 0.91, 0.92, 0.93])
    assert method == "Student's t"
    assert (low, high) == (pytest.approx(0.8904, abs=1e-4), pytest.approx(0.9296, abs=1e-4))


def test_where_one_seed_in_five_collapses_an_interval_covers_less_as_its_docstring_says():
    rng, tables, mean = np.random.default_rng(0), 2000, 0.8 * 0.9 + 0.2 * 0.1
    held = 0
    for _ in range(tables):
        found = interval(np.where(rng.random(5) < 0.2, 0.1, rng.normal(0.9, 0.01, 5)).tolist())
        held += found.low <= mean <= found.high
    assert held / tables == pytest.approx(0.67, abs=0.04)


def test_the_same_values_have_the_same_interval_and_one_value_has_none():
    values = [0.9, 0.91, 0.92, 0.9, 0.93, 0.89]
    assert interval(values) == interval(values)
    assert interval(values).low < np.mean(values) < interval(values).high
    assert interval([0.9]) is None
    assert interval([]) is None
    assert interval([0.9, 0.9, 0.9]) is None, "equal values tell no spread"


@pytest.mark.parametrize("values", [[0.1] * 4 + [0.85], [0.1, 0.2, 0.1, 0.2, 0.1], [0.1] * 19 + [0.9]])
def test_values_that_repeat_have_a_finite_interval(values):
    found = interval(values)
    assert -1 < found.low < np.mean(values) < found.high < 2


@pytest.mark.parametrize("n", [3, 5, 7])
def test_paired_tests_raise_no_more_false_alarms_than_they_say(n):
    rng, tables = np.random.default_rng(n), 600
    alarms = 0
    for _ in range(tables):
        shared = rng.normal(0.85, 0.05, n)  # what both settings have from the seed; pairing takes it away
        first, second = (dict(enumerate(shared + rng.normal(0, 0.01, n))) for _ in range(2))
        alarms += paired(first, second).p < ALPHA
    assert alarms / tables < ALPHA + 0.025


def test_pairing_finds_what_the_spread_of_the_seeds_hides():
    rng = np.random.default_rng(0)
    shared = rng.normal(0.8, 0.05, 8)
    first, second = dict(enumerate(shared + 0.01 + rng.normal(0, 0.002, 8))), dict(enumerate(shared))
    found = paired(first, second)
    assert found.p < 0.01
    assert 0 < found.interval.low < found.difference < found.interval.high
    assert stats.ttest_ind(list(first.values()), list(second.values())).pvalue > 0.3


def test_only_matched_seeds_count():
    found = paired({0: 0.5, 1: 0.6, 7: 0.0}, {0: 0.4, 1: 0.4, 9: 1.0})
    assert (found.n, found.difference) == (2, pytest.approx(0.15))
    assert paired({0: 0.5}, {1: 0.5}) is None
    assert paired({0: 0.5}, {0: 0.4}).p is None


@pytest.mark.parametrize("n", [3, 6, 9])
def test_pairs_are_tested_by_students_t(n):
    first, second = ({seed: 0.9 + 0.01 * seed**power for seed in range(n)} for power in (1, 2))
    found = paired(first, second)
    expected = stats.ttest_rel(list(first.values()), list(second.values()))
    assert (found.test, found.p) == ("paired t test", pytest.approx(expected.pvalue))
    assert found.interval[:2] == pytest.approx(tuple(expected.confidence_interval()))


def test_equal_differences_are_no_certainty():
    """On a hundred images two seeds easily differ by the same two per cent."""
    found = paired({0: 0.52, 1: 0.62}, {0: 0.5, 1: 0.6})
    assert (found.test, found.p) == ("sign test", 0.5)
    assert paired({0: 0.5, 1: 0.6}, {0: 0.5, 1: 0.6}).p == 1.0


def of_effect(effect, n):
    """Differences of which the mean is so many standard deviations."""
    values = np.arange(n) - (n - 1) / 2
    return paired(dict(enumerate(values / values.std(ddof=1) + effect)), dict.fromkeys(range(n), 0.0))


def test_the_number_of_seeds_that_would_do_is_a_range_or_none():
    """scipy's own power of a paired t test at both ends."""
    found = of_effect(0.8, 6)
    least, most = seeds_needed(found, 0.025)
    assert found.n < least < most

    def power(n, effect):
        return stats.nct.sf(stats.t.ppf(0.975, n - 1), n - 1, effect * n**0.5)

    def distance(noncentrality, share):
        return stats.nct.cdf(0.8 * 6**0.5, 5, noncentrality) - share

    high, low = (brentq(distance, -5, 12, args=(share,)) / 6**0.5 for share in (0.1, 0.9))
    assert power(least, high) >= 0.8 or least == found.n + 1
    assert power(most, low) >= 0.8 > power(most - 1, low)
    assert seeds_needed(of_effect(0.2, 6), 0.025) is None, "its interval holds zero"
    assert seeds_needed(of_effect(0.62, 6), 0.025)[1] is None, "more than anybody runs"
    assert seeds_needed(paired({0: 1.0}, {0: 0.0}), 0.025) is None


def test_the_bounds_of_a_rate_are_exact():
    assert rate_bounds(0, 5) == (0.0, pytest.approx(1 - 0.05 ** (1 / 5)))
    assert rate_bounds(5, 5) == (pytest.approx(0.05 ** (1 / 5)), 1.0)
    low, high = rate_bounds(2, 5)
    assert stats.binom.sf(1, 5, low) == pytest.approx(0.05)
    assert stats.binom.cdf(2, 5, high) == pytest.approx(0.05)


def test_holm_by_hand():
    # Holm 1979: the smallest times 4, the next times 3 ...; never smaller than the one before
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []
    assert holm([0.01, 0.04], least=2) == pytest.approx([0.02, 0.08])


def test_mcnemar_is_binomial():
    first = [True] * 8 + [False] * 2 + [True] * 90
    second = [False] * 8 + [True] * 2 + [True] * 90
    found = mcnemar(first, second)
    assert (found.only_first, found.only_second) == (8, 2)
    assert found.p == pytest.approx(0.109375)  # 2 * P(at most 2 of 10)
    assert mcnemar(first, first).p == 1.0
