"""Schedules have the values that their descriptions give, at the ends and in between."""

import itertools
import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sweeps.errors import ConfigError
from sweeps.record.records import Status
from sweeps.vision.training import constant, cosine, one_cycle, step


@pytest.mark.parametrize(
    ("schedule", "points"),
    [
        (constant(), {0: 1, 0.5: 1, 1: 1}),
        (cosine(), {0: 1, 0.25: (1 + math.sqrt(0.5)) / 2, 0.5: 0.5, 1: 0}),
        (cosine(warmup=0.2), {0: 0, 0.1: 0.5, 0.2: 1, 0.6: 0.5, 1: 0}),
        (cosine(warmup=0.5, final=0.1), {0: 0, 0.25: 0.5, 0.5: 1, 0.75: 0.55, 1: 0.1}),
        (step(milestones=[0.5, 0.75]), {0: 1, 0.49: 1, 0.5: 0.1, 0.74: 0.1, 0.75: 0.01, 1: 0.01}),
        (step(milestones=[0.5], gamma=2.0), {0: 1, 0.5: 2}),
        (step(milestones=[]), {0: 1, 1: 1}),
        (step(milestones=[0.75, 0.5]), {0.5: 0.1, 0.75: 0.01}),
        (one_cycle(), {0: 1 / 25, 0.15: (1 + 1 / 25) / 2, 0.3: 1, 0.65: (1 + 1e-4) / 2, 1: 1e-4}),
        (one_cycle(warmup=0.5, start=10, final=0.2), {0: 0.1, 0.5: 1, 0.75: 0.6, 1: 0.2}),
        (one_cycle(warmup=0), {0: 1, 1: 1e-4}),
    ],
)
def test_the_factor_of_the_rate_at_shares_of_the_way(schedule, points):
    assert {share: schedule(share) for share in points} == pytest.approx(points)


SHARES = st.floats(0, 0.99, allow_subnormal=False)  # a run may have switched them off


@given(SHARES, SHARES, st.floats(1, 1000))
def test_up_to_the_end_of_the_warm_up_and_down_from_there_without_a_jump(warmup, final, start):
    for schedule, low in (
        (cosine(warmup=warmup, final=final), 0.0),
        (one_cycle(warmup=warmup, start=start, final=final), 1 / start),
    ):
        shares = [number / 500 for number in range(501)]
        factors = [schedule(share) for share in shares]
        for (before, one), (share, two) in itertools.pairwise(zip(shares, factors, strict=True)):
            if share < warmup:
                assert two >= one - 1e-9
            elif before >= warmup:
                assert two <= one + 1e-9
        assert min(low, final) - 1e-9 <= min(factors)
        assert max(factors) <= 1 + 1e-9
        assert schedule(1.0) == pytest.approx(final, abs=1e-9)


@pytest.mark.parametrize(
    ("build", "arguments", "fragment"),
    [
        (cosine, {"warmup": 1.0}, "schedule.warmup=1.0"),
        (cosine, {"warmup": -0.1}, "schedule.warmup=-0.1"),
        (cosine, {"final": 1.5}, "schedule.final=1.5"),
        (cosine, {"warmup": math.nan}, "schedule.warmup=nan"),
        (one_cycle, {"warmup": 2}, "schedule.warmup=2"),
        (one_cycle, {"final": -1}, "schedule.final=-1"),
        (one_cycle, {"start": 0.5}, "schedule.start=0.5"),
        (one_cycle, {"start": math.nan}, "schedule.start=nan"),
        (step, {"milestones": [0.5, 30]}, "schedule.milestones=30"),
        (step, {"milestones": [0.5], "gamma": 0}, "schedule.gamma=0"),
        (step, {"milestones": [0.5], "gamma": math.nan}, "schedule.gamma=nan"),
    ],
)
def test_what_no_schedule_can_do_is_refused(build, arguments, fragment):
    with pytest.raises(ConfigError) as refused:
        build(**arguments)
    assert f"{fragment} is invalid" in str(refused.value)


@pytest.mark.parametrize(
    ("override", "rates"),
    [
        ("schedule=none", [0.4, 0.4, 0.4, 0.4]),
        ("schedule=cosine", [0.4, 0.2 * (1 + math.sqrt(0.5)), 0.2, 0.2 * (1 - math.sqrt(0.5))]),
        ("schedule=step", [0.4, 0.4, 0.04, 0.004]),
    ],
)
def test_a_run_tells_the_rate_at_the_start_of_each_epoch(do_run, folder, override, rates):
    assert do_run(override, "optim.lr=0.4", "trainer.epochs=4", "trainer.save_weights=false").status is Status.COMPLETED
    assert [row["lr"] for row in folder.read_metrics()] == pytest.approx(rates)


def test_a_schedule_that_cannot_work_is_a_mistake_in_the_settings(do_run, folder):
    with pytest.raises(ConfigError, match=r"schedule\.warmup=2 is invalid"):
        do_run("schedule=one_cycle", "schedule.warmup=2")
    error = folder.read().error
    assert (error.kind, error.traceback) == ("config", "")
