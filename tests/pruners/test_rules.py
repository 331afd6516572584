"""The rules, on figures worked out by hand; more is better."""

import random

import pytest

from sweeps.pruners import Rule, budgets, judge, rungs
from sweeps.pruners.rules import bracket


def flat(*gains, until=1.0):
    """Other cells with one run and one figure each, after so many epochs."""
    return {str(number): [{until: gain}] for number, gain in enumerate(gains)}


def test_rungs_grow_by_the_factor_until_little_would_be_saved():
    assert rungs(1, 3, 10) == [1, 3]
    assert rungs(1, 3, 9) == [1, 3]
    assert rungs(1, 3, 8) == [1]
    assert rungs(0.25, 3, 10) == [0.25, 0.75, 2.25]
    assert rungs(1, 3, 2) == [1], "the first one there is in any case"
    assert rungs(5, 3, 5) == []


@pytest.mark.parametrize(
    ("others", "stops"),
    [
        ((), False),  # nobody has come yet
        ((0.4,), False),
        ((0.6,), True),  # of two, one goes on
        ((0.6, 0.1, 0.2, 0.3, 0.4), False),  # the second of six, of which two go on
        ((0.6, 0.7, 0.1, 0.2, 0.3), True),
        ((0.5, 0.5), False),  # equals
    ],
)
def test_asha_keeps_one_in_three_of_those_that_have_come(others, stops):
    reason = judge(Rule("asha", 10), {1.0: 0.5}, flat(*others))
    assert (reason is not None) is stops


def test_asha_says_where_a_run_stood():
    reason = judge(Rule("asha", 10), {1.0: 0.5}, flat(0.6, 0.7, 0.1, 0.2, 0.3))
    assert reason == "number 3 of the 6 that have come to 1 epochs, of which 2 may go on"


def test_asha_compares_at_the_rung_and_not_later():
    own = {1.0: 0.5}
    others = {"b": [{1.0: 0.6, 2.0: 0.95, 3.0: 0.99}], "c": [{1.0: 0.4}]}
    assert judge(Rule("asha", 10), own, others) is not None
    assert judge(Rule("asha", 10), {1.0: 0.7, 2.0: 0.1}, others) is None, "it was the best at the rung"
    assert judge(Rule("asha", 10, first=2), {1.0: 0.1}, others) is None, "before the first rung"


def test_a_rung_is_judged_once_as_a_run_comes_to_it():
    rivals = flat(0.9, 0.8, 0.1)
    assert judge(Rule("asha", 9), {1.0: 0.5}, rivals) is not None
    assert judge(Rule("asha", 9), {1.0: 0.5, 2.0: 0.5}, rivals) is None, "it went on, and is judged at 3 epochs next"
    assert judge(Rule("asha", 9), {1.0: 0.5, 2.0: 0.5, 3.0: 0.5}, flat(0.9, 0.8, until=3.0)) is not None
    assert judge(Rule("asha", 9, first=1), {2.0: 0.5}, flat(0.9, 0.8, until=2.0)) is not None, "reports are rarer"


def test_nobody_is_stopped_at_the_end():
    for name in ("asha", "hyperband", "halving", "median", "patience"):
        assert judge(Rule(name, 3, patience=1), {1.0: 0.5, 2.0: 0.4, 3.0: 0.1}, flat(*[0.9] * 9, until=3.0)) is None


def test_without_a_rule_nobody_is_stopped():
    assert judge(Rule("none", 10), {1.0: 0.0}, flat(1, 1, 1, 1)) is None


def test_median_compares_the_best_so_far_with_the_others_averages():
    others = {name: [{1.0: 0.2, 2.0: value}] for name, value in zip("bcde", (0.6, 0.7, 0.8, 0.9), strict=True)}
    # their averages after two epochs: .40 .45 .50 .55, the median .475
    assert judge(Rule("median", 10), {1.0: 0.47, 2.0: 0.1}, others) == (
        "its best so far is worse than the median of 4 others after 2 epochs"
    )
    assert judge(Rule("median", 10), {1.0: 0.48, 2.0: 0.1}, others) is None
    assert judge(Rule("median", 10, least=5), {1.0: 0.0, 2.0: 0.0}, others) is None
    assert judge(Rule("median", 10, first=3), {1.0: 0.0, 2.0: 0.0}, others) is None


def test_patience_looks_at_its_own_run():
    rule = Rule("patience", 20, patience=3)
    getting_better = {1.0: 0.1, 2.0: 0.2, 3.0: 0.3, 4.0: 0.4}
    stuck = {1.0: 0.1, 2.0: 0.3, 3.0: 0.2, 4.0: 0.3, 5.0: 0.29}
    assert judge(rule, getting_better, {}) is None
    assert judge(rule, stuck, {}) == "no better for 3 epochs"
    assert judge(Rule("patience", 20, patience=3, min_delta=0.5), getting_better, {}) == "no better for 3 epochs"


def test_hyperband_draws_most_runs_into_the_earliest_bracket_and_compares_within():
    rule = Rule("hyperband", 10)
    drawn = [bracket(rule, str(number)) for number in range(3000)]
    shares = [drawn.count(first) / 3000 for first in (1, 3)]
    assert shares == pytest.approx([3 / 5, 2 / 5], abs=0.03)
    assert bracket(rule, "17") == bracket(rule, "17")
    early = [str(number) for number in range(40) if bracket(rule, str(number)) == 1]
    late = [str(number) for number in range(40) if bracket(rule, str(number)) == 3]
    assert judge(rule, {1.0: 0.1}, {name: [{1.0: 0.9}] for name in late}, cell=early[0]) is None
    assert judge(rule, {1.0: 0.1}, {name: [{1.0: 0.9}] for name in early[1:]}, cell=early[0]) is not None


def epochs_of(rule, gains, every=1.0):
    """Epochs that runs of these final figures take, one after another, and whether the best came to its end."""
    seen, total = {}, 0.0
    best_ends = False
    for run, gain in enumerate(gains):
        own = {}
        for step in range(1, int(rule.epochs / every) + 1):
            own[step * every] = gain
            if judge(rule, own, seen, cell=str(run)) is not None:
                break
        seen[str(run)] = [own]
        total += max(own)
        best_ends |= gain == max(gains) and max(own) == rule.epochs
    return total, best_ends


@pytest.mark.parametrize(
    ("rule", "every", "fewer"), [(Rule("asha", 10), 1.0, 3.3), (Rule("asha", 10, first=0.25), 0.25, 5.0)]
)
def test_asha_saves_most_epochs_without_losing_the_best(rule, every, fewer):
    """With figures that do not mislead. Nobody waits, so those that come first go further than they would later."""
    rng, factors = random.Random(0), []
    for _ in range(100):
        total, best_ends = epochs_of(rule, [rng.random() for _ in range(27)], every)
        assert best_ends
        factors.append(270 / total)
    assert sum(factors) / 100 > fewer


def test_halving_has_a_round_for_every_rung():
    assert budgets(Rule("halving", 10)) == [1, 3, None]
    assert budgets(Rule("asha", 10)) == [None]


def test_seeds_of_a_cell_are_no_rivals_and_fall_together():
    """Two seeds of one cell, better than anyone; one in three of three cells goes on, with both of its seeds."""
    good, better = {1.0: 0.8}, {1.0: 0.9}
    rivals = {"b": [{1.0: 0.5}, {1.0: 0.85}], "c": [{1.0: 0.1}]}
    for name in ("asha", "halving"):
        assert judge(Rule(name, 10), good, rivals, siblings=[better]) is None
        reason = judge(Rule(name, 10), {1.0: 0.85}, {"a": [good, better], "c": rivals["c"]}, siblings=[{1.0: 0.5}])
        assert reason == "number 2 of the 3 that have come to 1 epochs, of which 1 may go on"
    # a sibling that has not come so far says nothing yet
    assert judge(Rule("asha", 10, first=2), {2.0: 0.7}, {"b": [{2.0: 0.6}]}, siblings=[{1.0: 0.0}]) is None


def test_median_compares_means_over_the_seeds_of_cells():
    others = flat(0.2, 0.4, 0.6, 0.8)
    assert judge(Rule("median", 10), {1.0: 0.4}, others, siblings=[{1.0: 0.8}]) is None
    assert judge(Rule("median", 10), {1.0: 0.4}, others, siblings=[{1.0: 0.5}]) is not None
    seeds = {cell: [*runs, {1.0: 0.0}] for cell, runs in others.items()}  # halves every average
    assert judge(Rule("median", 10), {1.0: 0.3}, seeds) is None
