"""The pruners, on values worked out by hand; more is better."""

import inspect
import itertools
import random

import pytest

from sweeps import pruners
from sweeps.config import PRUNERS
from sweeps.errors import ConfigError
from sweeps.pruners import (
    Comparison,
    HalvingPruner,
    HyperbandPruner,
    MedianPruner,
    PatientPruner,
    SuccessiveHalvingPruner,
)

ASHA, HALVING, MEDIAN = SuccessiveHalvingPruner(), HalvingPruner(), MedianPruner()


def judge(pruner, own, rivals, siblings=(), setting="", max_steps=10):
    return pruner.prune(Comparison(own, siblings, rivals, setting, max_steps))


def flat(*values, until=1.0):
    """Other settings with one run and one value each, after so many steps."""
    return {str(number): [{until: value}] for number, value in enumerate(values)}


def rungs(first, factor, max_steps):
    return list(SuccessiveHalvingPruner(min_resource=first, reduction_factor=factor).rungs(max_steps))


def test_rungs_grow_by_the_factor_until_little_would_be_saved():
    assert rungs(1, 3, 10) == [1, 3]
    assert rungs(1, 3, 9) == [1, 3]
    assert rungs(1, 3, 8) == [1]
    assert rungs(0.25, 3, 10) == [0.25, 0.75, 2.25]
    assert rungs(1, 3, 2) == [1], "the first one there is in any case"
    assert rungs(5, 3, 5) == []


def test_the_first_rung_is_a_tenth_of_all_steps():
    """What little of a run shows nothing yet: docs/search.md."""
    firsts = {steps: next(HALVING.rungs(steps)) for steps in (2, 10, 14, 51, 30000, None)}
    assert firsts == {2: 1, 10: 1, 14: 1, 51: 5, 30000: 3000, None: 1}
    assert HALVING.rounds(51) == [5, 15]
    assert judge(ASHA, {4.0: 0.1}, flat(0.9, until=4.0), max_steps=51) is None
    assert judge(ASHA, {5.0: 0.1}, flat(0.9, until=5.0), max_steps=51) == "rank 2 of 2 at rung 5; top 1 continues"


@pytest.mark.parametrize(
    ("others", "stops"),
    [
        ((), False),  # no other has reached the rung
        ((0.4,), False),
        ((0.6,), True),  # of two, one continues
        ((0.6, 0.1, 0.2, 0.3, 0.4), False),  # the second of six, of which two continue
        ((0.6, 0.7, 0.1, 0.2, 0.3), True),
        ((0.5, 0.5), False),  # equals
    ],
)
def test_asha_keeps_one_in_three_of_those_that_reached_the_rung(others, stops):
    reason = judge(ASHA, {1.0: 0.5}, flat(*others))
    assert (reason is not None) is stops


def test_asha_says_where_a_run_stood():
    assert judge(ASHA, {1.0: 0.5}, flat(0.6, 0.7, 0.1, 0.2, 0.3)) == "rank 3 of 6 at rung 1; top 2 continue"
    assert judge(ASHA, {1.0: 0.5}, flat(0.6)) == "rank 2 of 2 at rung 1; top 1 continues"


def test_asha_compares_at_the_rung_and_not_later():
    own = {1.0: 0.5}
    others = {"b": [{1.0: 0.6, 2.0: 0.95, 3.0: 0.99}], "c": [{1.0: 0.4}]}
    assert judge(ASHA, own, others) is not None
    assert judge(ASHA, {1.0: 0.7, 2.0: 0.1}, others) is None, "it was the best at the rung"
    assert judge(SuccessiveHalvingPruner(min_resource=2), {1.0: 0.1}, others) is None, "before the first rung"


def test_a_rung_is_judged_once_when_a_run_reaches_it():
    rivals = flat(0.9, 0.8, 0.1)
    assert judge(ASHA, {1.0: 0.5}, rivals) is not None
    assert judge(ASHA, {1.0: 0.5, 2.0: 0.5}, rivals) is None, "it continued, and is judged at step 3 next"
    assert judge(ASHA, {1.0: 0.5, 2.0: 0.5, 3.0: 0.5}, flat(0.9, 0.8, until=3.0)) is not None
    assert judge(ASHA, {2.0: 0.5}, flat(0.9, 0.8, until=2.0)) is not None, "reports are rarer than rungs"


def test_median_compares_the_best_value_with_the_averages_of_the_others():
    others = {name: [{1.0: 0.2, 2.0: value}] for name, value in zip("bcde", (0.6, 0.7, 0.8, 0.9), strict=True)}
    # their averages after two steps: .40 .45 .50 .55, the median .475
    assert judge(MEDIAN, {1.0: 0.47, 2.0: 0.1}, others) == "best value is worse than the median of 4 others at step 2"
    assert judge(MEDIAN, {1.0: 0.48, 2.0: 0.1}, others) is None
    assert judge(MedianPruner(n_startup_trials=5), {1.0: 0.0, 2.0: 0.0}, others) is None
    assert judge(MedianPruner(n_warmup_steps=3), {1.0: 0.0, 2.0: 0.0}, others) is None


def test_patience_looks_at_its_own_run():
    improving = {1.0: 0.1, 2.0: 0.2, 3.0: 0.3, 4.0: 0.4}
    stuck = {1.0: 0.1, 2.0: 0.3, 3.0: 0.2, 4.0: 0.2, 5.0: 0.3}
    assert judge(PatientPruner(patience=3), improving, {}) is None
    assert judge(PatientPruner(patience=3), stuck, {}) == "no improvement for 3 steps"
    assert judge(PatientPruner(patience=3, min_delta=0.5), improving, {}) == "no improvement for 3 steps"


def test_patience_says_where_values_go_up_and_down():
    smooth = {1.0: 0.1, 2.0: 0.4, 3.0: 0.5, 4.0: 0.49, 5.0: 0.48, 6.0: 0.47}
    noisy = {1.0: 0.1, 2.0: 0.5, 3.0: 0.3, 4.0: 0.49, 5.0: 0.2}
    assert judge(PatientPruner(patience=3), smooth, {}) == "no improvement for 3 steps"
    reason = judge(PatientPruner(patience=3), noisy, {})
    assert reason == (
        "no improvement for 3 steps, but its values go up and down (3 turns in 5 reports): raise sweep.pruner.patience"
    )


def test_hyperband_draws_most_settings_into_the_earliest_bracket_and_compares_within():
    pruner = HyperbandPruner()
    drawn = [pruner.bracket(str(number), 10) for number in range(3000)]
    shares = [drawn.count(first) / 3000 for first in (1, 3, 10)]
    assert shares == pytest.approx([6 / 11, 3 / 11, 2 / 11], abs=0.03), "of 9, 5 and 3 settings in the paper"
    assert drawn[:8] == [1, 1, 10, 1, 1, 10, 10, 1], "drawn from the setting alone, on every machine"
    early = [str(number) for number in range(40) if drawn[number] == 1]
    late = [str(number) for number in range(40) if drawn[number] == 3]
    assert judge(pruner, {1.0: 0.1}, {name: [{1.0: 0.9}] for name in late}, setting=early[0]) is None
    assert judge(pruner, {1.0: 0.1}, {name: [{1.0: 0.9}] for name in early[1:]}, setting=early[0]) is not None


def test_a_bracket_of_hyperband_stops_nothing():
    pruner = HyperbandPruner()
    whole = [str(number) for number in range(100) if pruner.bracket(str(number), 10) == 10]
    for step in range(1, 10):
        own = dict.fromkeys(map(float, range(1, step + 1)), 0.0)
        rivals = {name: [dict.fromkeys(own, 1.0)] for name in map(str, range(100)) if name != whole[0]}
        assert judge(pruner, own, rivals, setting=whole[0]) is None
    assert HyperbandPruner(min_resource=10).bracket("a", 10) == 10


def test_with_an_unknown_number_of_steps_asha_has_rungs_without_end():
    asha = SuccessiveHalvingPruner(min_resource=2, reduction_factor=4)
    assert list(itertools.islice(asha.rungs(None), 4)) == [2, 8, 32, 128]
    own = {float(step): 0.1 for step in range(1, 129)}
    assert judge(asha, own, flat(0.5, until=128.0), max_steps=None) == "rank 2 of 2 at rung 128; top 1 continues"
    assert judge(asha, own | {129.0: 0.1}, flat(0.5, until=129.0), max_steps=None) is None
    assert asha.rounds(None) == []


def test_with_an_unknown_number_of_steps_median_and_patience_work():
    assert judge(MEDIAN, {1.0: 0.0}, flat(1, 2, 3, 4), max_steps=None) is not None
    assert judge(PatientPruner(patience=1), {1.0: 0.5, 2.0: 0.5}, {}, max_steps=None) is not None
    assert MEDIAN.rounds(None) == PatientPruner().rounds(None) == []


@pytest.mark.parametrize("pruner", [HalvingPruner(), HyperbandPruner()])
def test_halving_and_hyperband_need_the_number_of_steps(pruner):
    with pytest.raises(ConfigError, match=rf"sweep/pruner={pruner.name} needs .* sweep\.max_steps=\$\{{epochs\}}"):
        pruner.rounds(None)


@pytest.mark.parametrize(
    ("pruner", "key", "value", "says"),
    [
        (SuccessiveHalvingPruner, "min_resource", 0, "the first rung is a number of steps above 0, such as 1"),
        (HyperbandPruner, "min_resource", float("nan"), "the first rung is a number of steps above 0"),
        (HalvingPruner, "min_resource", "1", "the first rung is a number of steps above 0"),
        (SuccessiveHalvingPruner, "reduction_factor", 1, "one in how many continues, a whole number of at least 2"),
        (SuccessiveHalvingPruner, "reduction_factor", 2.5, "one in how many continues, a whole number of at least 2"),
        (SuccessiveHalvingPruner, "reduction_factor", True, "one in how many continues, a whole number of at least 2"),
        (MedianPruner, "n_startup_trials", 0, "at least one other setting"),
        (MedianPruner, "n_warmup_steps", -1, "a number of steps of at least 0"),
        (PatientPruner, "patience", 0, "a number of steps above 0"),
        (PatientPruner, "min_delta", -0.1, "a change of at least 0"),
    ],
)
def test_a_bad_value_is_named_with_its_rule(pruner, key, value, says):
    with pytest.raises(ConfigError, match=rf"^sweep\.pruner\.{key}={value} is invalid: {says}"):
        pruner(**{key: value})


def steps_of(pruner, values, max_steps=10, every=1.0):
    """Steps that runs of these final values take, one after another, and whether the best was trained to completion."""
    seen, total = {}, 0.0
    best_ends = False
    for run, value in enumerate(values):
        own = {}
        for step in range(1, int(max_steps / every) + 1):
            own[step * every] = value
            if step * every < max_steps and judge(pruner, own, seen, setting=str(run), max_steps=max_steps) is not None:
                break
        seen[str(run)] = [own]
        total += max(own)
        best_ends |= value == max(values) and max(own) == max_steps
    return total, best_ends


@pytest.mark.parametrize(("first", "fewer"), [(1.0, 3.3), (0.25, 5.0)])
def test_asha_saves_most_steps_without_losing_the_best(first, fewer):
    """With values that do not mislead. No run waits, so the first ones are trained further than they would be later."""
    pruner = SuccessiveHalvingPruner(min_resource=first)
    rng, factors = random.Random(0), []
    for _ in range(100):
        total, best_ends = steps_of(pruner, [rng.random() for _ in range(27)], every=first)
        assert best_ends
        factors.append(270 / total)
    assert sum(factors) / 100 > fewer


def test_halving_has_a_round_for_every_rung():
    assert HALVING.rounds(10) == [1, 3]
    assert HalvingPruner(min_resource=10).rounds(10) == []
    assert ASHA.rounds(10) == HyperbandPruner().rounds(10) == []


def test_seeds_of_a_setting_do_not_compete_and_are_stopped_together():
    """Two seeds of one setting, better than any other; one in three settings continues, with both of its seeds."""
    good, better = {1.0: 0.8}, {1.0: 0.9}
    rivals = {"b": [{1.0: 0.5}, {1.0: 0.85}], "c": [{1.0: 0.1}]}
    for pruner in (ASHA, HALVING):
        assert judge(pruner, good, rivals, siblings=[better]) is None
        reason = judge(pruner, {1.0: 0.85}, {"a": [good, better], "c": rivals["c"]}, siblings=[{1.0: 0.5}])
        assert reason == "rank 2 of 3 at rung 1; top 1 continues"
    # a sibling that has not reached the rung does not count
    asha = SuccessiveHalvingPruner(min_resource=2)
    assert judge(asha, {2.0: 0.7}, {"b": [{2.0: 0.6}]}, siblings=[{1.0: 0.0}]) is None


def test_median_compares_means_over_the_seeds_of_settings():
    others = flat(0.2, 0.4, 0.6, 0.8)
    assert judge(MEDIAN, {1.0: 0.4}, others, siblings=[{1.0: 0.8}]) is None
    assert judge(MEDIAN, {1.0: 0.4}, others, siblings=[{1.0: 0.5}]) is not None
    seeds = {setting: [*runs, {1.0: 0.0}] for setting, runs in others.items()}  # halves every average
    assert judge(MEDIAN, {1.0: 0.3}, seeds) is None


@pytest.mark.parametrize("name", sorted(set(PRUNERS) - {"none"}))
def test_a_pruner_has_the_defaults_of_its_config(name):
    config = PRUNERS[name]()
    parameters = inspect.signature(getattr(pruners, config._target_.rpartition(".")[2])).parameters
    defaults = {key: one.default for key, one in parameters.items()}
    assert {key: getattr(config, key) for key in defaults} == defaults
