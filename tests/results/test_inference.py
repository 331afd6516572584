"""Intervals and tests against cases whose answer is known: simulated data, textbook figures, scipy's own results."""

import numpy as np
import pytest
from scipy import stats

from sweeps.results import inference
from sweeps.results.inference import ALPHA, holm, interval, mcnemar, paired, pairwise

DRAWS = {
    "normal": (lambda rng, n: rng.normal(0.9, 0.01, n), 0.9),
    "uniform": (lambda rng, n: rng.uniform(0.8, 0.9, n), 0.85),
}


@pytest.mark.parametrize("draw", DRAWS)
@pytest.mark.parametrize("n", [3, 5, 10])
def test_intervals_cover_what_they_say_within_two_points(monkeypatch, draw, n):
    monkeypatch.setattr(inference, "RESAMPLES", 999)
    rng, tables = np.random.default_rng(n), 800
    make, mean = DRAWS[draw]
    found = [interval(list(make(rng, n))) for _ in range(tables)]
    covered = sum(one.low <= mean <= one.high for one in found) / tables
    assert {one.method for one in found} == {"Student's t" if n < 5 else "bootstrap-t"}
    # Light tails make three values look steadier than they are, and the bootstrap more careful than it need be.
    least, most = (0.93, 0.97) if draw == "normal" else (0.915, 0.98)
    assert least <= covered <= most


def test_skewed_figures_are_covered_better_than_by_percentiles(monkeypatch):
    """Accuracies of networks with BatchNorm fall far below their usual figure, and never above it."""
    monkeypatch.setattr(inference, "RESAMPLES", 999)
    rng, tables, n, mean = np.random.default_rng(1), 300, 5, 1 - 1 / 6
    samples = [1 - rng.exponential(1 / 6, n) for _ in range(tables)]
    ours = sum(one.low <= mean <= one.high for one in map(interval, samples)) / tables
    percentiles = [np.quantile(rng.choice(one, (999, n)).mean(axis=1), (0.025, 0.975)) for one in samples]
    assert ours > sum(low <= mean <= high for low, high in percentiles) / tables + 0.05


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
    assert found.method == "Student's t"
    assert -1 < found.low < np.mean(values) < found.high < 2


@pytest.mark.parametrize("n", [3, 5, 7])
def test_paired_tests_raise_no_more_false_alarms_than_they_say(n):
    rng, tables = np.random.default_rng(n), 600
    alarms = 0
    for _ in range(tables):
        shared = rng.normal(0.85, 0.05, n)  # what both cells have from the seed; pairing takes it away
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


def test_few_pairs_are_students_and_many_are_permuted():
    six = ({seed: 0.9 + 0.01 * seed for seed in range(6)}, {seed: 0.9 + 0.001 * seed**2 for seed in range(6)})
    found = paired(*six)
    expected = stats.ttest_rel(list(six[0].values()), list(six[1].values())).pvalue
    assert (found.test, found.p) == ("paired t test", pytest.approx(expected))
    seven = paired({seed: 0.5 + 0.01 * (seed + 1) for seed in range(7)}, dict.fromkeys(range(7), 0.5))
    assert (seven.test, seven.p) == ("paired permutation test", pytest.approx(2 / 2**7))


def test_equal_differences_are_no_certainty():
    """On a hundred images two seeds easily differ by the same two per cent."""
    found = paired({0: 0.52, 1: 0.62}, {0: 0.5, 1: 0.6})
    assert (found.test, found.p) == ("sign test", 0.5)
    assert paired({0: 0.5, 1: 0.6}, {0: 0.5, 1: 0.6}).p == 1.0
    assert pairwise([{0: 0.52, 1: 0.62}, {0: 0.5, 1: 0.6}]) == {(0, 1): 0.5}


def test_pairwise_agrees_with_the_test_of_two_whatever_seeds_are_missing():
    rng = np.random.default_rng(3)
    cells = [{seed: float(rng.normal(0.9, 0.01)) for seed in range(5) if rng.random() > 0.2} for _ in range(8)]
    found = pairwise(cells)
    for (a, b), p in found.items():
        assert p == pytest.approx(paired(cells[a], cells[b]).p)
    lonely = [(a, b) for a in range(8) for b in range(a + 1, 8) if len(cells[a].keys() & cells[b].keys()) < 2]
    assert len(found) + len(lonely) == 28


def test_holm_by_hand():
    # Holm 1979: the smallest times 4, the next times 3 ...; never smaller than the one before
    assert holm([0.01, 0.04, 0.03, 0.005]) == pytest.approx([0.03, 0.06, 0.06, 0.02])
    assert holm([0.6, 0.9]) == [1.0, 1.0]
    assert holm([]) == []


def test_mcnemar_is_binomial():
    first = [True] * 8 + [False] * 2 + [True] * 90
    second = [False] * 8 + [True] * 2 + [True] * 90
    found = mcnemar(first, second)
    assert (found.only_first, found.only_second) == (8, 2)
    assert found.p == pytest.approx(0.109375)  # 2 * P(at most 2 of 10)
    assert mcnemar(first, first).p == 1.0
