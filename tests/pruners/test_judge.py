"""What a run writes to the report log, when it is stopped, and when it is resumed."""

import importlib
import sys
from types import SimpleNamespace

import hydra
import pytest
from omegaconf import OmegaConf

from sweeps.config import register
from sweeps.errors import ConfigError
from sweeps.pruners import (
    HalvingPruner,
    HyperbandPruner,
    Judge,
    MedianPruner,
    PatientPruner,
    Pruner,
    Report,
    ReportLog,
    SuccessiveHalvingPruner,
    judge_of,
    rounds_of,
)
from sweeps.record.records import Failure, Objective, RunRecord, Status

NONE = {"_target_": None, "metric": None, "direction": None, "resume_pruned": False, "keep_checkpoint": True}
ASHA = NONE | {"_target_": "sweeps.pruners.SuccessiveHalvingPruner", "min_resource": 1.0, "reduction_factor": 3}
HALVING = ASHA | {"_target_": "sweeps.pruners.HalvingPruner"}


@pytest.fixture
def log(tmp_path):
    return ReportLog(tmp_path)


@pytest.fixture
def judge(log):
    """Makes the judge of a run: by the loss, of which less is better."""

    def make(run, pruner, *, max_steps=9, pause_at=None, **options):
        given = {"setting_id": run.upper(), "run_id": run, "metric": "loss", "sign": -1} | options
        return Judge(log, pruner, max_steps=max_steps, pause_at=pause_at, **given)

    return make


@pytest.fixture
def settings(tmp_path):
    """Makes the engine's node, and of it the judge of a run."""

    def make(pruner=ASHA, *, metric="loss", direction="min", split="val", max_steps=9, pause_at=None):
        objective = {"metric": metric, "direction": direction, "split": split, "report": "last"}
        node = {"objective": objective, "pruner": pruner, "pause_at": pause_at, "max_steps": max_steps}
        return judge_of(SimpleNamespace(settings=node, setting_id="A", run_id="a"), tmp_path)

    return make


def fill(log, losses, step=1.0):
    """Runs of one setting each that have reported these losses, by name."""
    for run, loss in losses.items():
        log.add(Report(run.upper(), run, step, "loss", loss))


def pruned(steps, kind="pruned", status=Status.PRUNED):
    record = RunRecord("a", "A", "run", "s", status, Objective("loss", "min", "val", "last"), steps=steps)
    record.error = Failure(kind, "")
    return record


def test_a_run_reports_the_metric_of_its_pruner_at_the_steps_that_hold_it(log, judge):
    own = judge("a", PatientPruner(patience=100), max_steps=None)
    assert own.report({"step": 0.25, "elapsed": 1.0, "loss": 3.0}) is None
    assert own.report({"step": 0.5, "elapsed": 2.0, "other": 3.0}) is None
    assert own.report({"step": 1 / 3 + 0.5, "loss": 2}) is None
    for bad in (None, float("nan"), float("inf"), "text", True):
        assert own.report({"step": 2, "loss": bad}) is None
    assert log.read("loss") == {"A": {"a": {0.25: 3.0, 0.833333: 2.0}}}


@pytest.mark.parametrize(("sign", "stops"), [(-1, True), (1, False)])
def test_the_reason_names_pruner_and_metric_and_the_direction_counts(log, judge, sign, stops):
    fill(log, {"b": 0.1})
    stop = judge("a", SuccessiveHalvingPruner(), sign=sign).report({"step": 1, "loss": 0.2})
    expected = Failure("pruned", "asha by loss: rank 2 of 2 at rung 1; top 1 continues") if stops else None
    assert stop == expected


def test_a_row_without_the_metric_is_not_judged(log, judge):
    fill(log, {"b": 0.3})
    own = judge("a", SuccessiveHalvingPruner())
    assert own.report({"step": 1, "loss": 0.2}) is None
    fill(log, {"c": 0.1})
    assert own.report({"step": 2, "other": 0.2}) is None, "judged once at the rung, and it continued"


@pytest.mark.parametrize(
    "pruner",
    [SuccessiveHalvingPruner(), HyperbandPruner(), HalvingPruner(), MedianPruner(), PatientPruner(patience=1)],
)
def test_no_run_is_stopped_at_its_end(log, judge, pruner):
    fill(log, {str(run): 0.1 for run in range(9)}, step=3.0)
    own = judge("a", pruner, max_steps=3)
    log.add(Report("A", "a", 1.0, "loss", 0.1))
    assert own.report({"step": 3, "loss": 0.9}) is None
    assert own.resume(3) is None


def test_seeds_of_a_setting_are_judged_by_their_mean(log, judge):
    log.add(Report("A", "a2", 1.0, "loss", 0.1))
    fill(log, {"b": 0.4, "c": 0.5})
    assert judge("a", SuccessiveHalvingPruner()).report({"step": 1, "loss": 0.6}) is None, "0.35 is the best of three"


def test_halving_judges_no_run_before_the_others_have_reached_the_rung(log, judge):
    """A run that was killed at the end of its round is repeated while most others have not begun."""
    fill(log, {"a": 0.1})
    stop = judge("b", HalvingPruner(), pause_at=1.0).report({"step": 1, "loss": 0.2})
    assert stop == Failure("paused", "halving: waiting at step 1 for the other runs")
    assert judge("b", HalvingPruner(), pause_at=1.0).resume(1.0).kind == "paused"
    fill(log, dict(zip("cdef", (0.3, 0.4, 0.5, 0.6), strict=True)))
    assert judge("b", HalvingPruner(), pause_at=3.0).resume(1.0) is None, "the second of six, of which two continue"
    assert judge("c", HalvingPruner(), pause_at=3.0).resume(1.0, was_stopped=True).kind == "pruned"


def test_a_pruned_run_is_resumed_under_halving_when_later_seeds_lift_its_setting(log, judge):
    fill(log, {"a": 0.5, "b": 0.4, "c": 0.9})
    own, worst = (judge(run, HalvingPruner(), max_steps=4) for run in "ac")
    assert not own.resumes(pruned(1))
    for run, loss in {"a": 0.1, "b": 0.8}.items():
        log.add(Report(run.upper(), f"{run}2", 1.0, "loss", loss))
    assert own.resumes(pruned(1))
    assert not worst.resumes(pruned(1))
    assert not judge("c3", HalvingPruner(), setting_id="C").resumes(pruned(1)), "a run of which the log knows nothing"


def test_what_was_pruned_stays_pruned_unless_it_is_to_be_resumed(judge):
    asha = SuccessiveHalvingPruner()
    assert not judge("a", asha).resumes(pruned(1))
    assert judge("a", asha, resume_pruned=True).resumes(pruned(1))
    assert judge("a", Pruner(), pause_at=2).resumes(pruned(1))
    assert not judge("a", asha, resume_pruned=True).resumes(pruned(1, status=Status.COMPLETED))


def test_a_paused_run_is_resumed_with_a_larger_pause_at(judge):
    for pruner in (Pruner(), SuccessiveHalvingPruner(), HalvingPruner()):
        for pause_at, expected in ((1, False), (2, True), (None, True)):
            assert judge("a", pruner, pause_at=pause_at).resumes(pruned(1, "paused")) is expected
    assert judge("a", Pruner(), pause_at=0.5).resumes(pruned(None, "paused")), "paused before anything was reported"


def test_a_run_pauses_at_the_first_report_from_pause_at_on(judge):
    own = judge("a", Pruner(), pause_at=1.5)
    assert own.report({"step": 1, "loss": 1.0}) is None
    stop = own.report({"step": 2, "loss": 1.0})
    assert stop == Failure("paused", "paused at sweep.pause_at=1.5; a larger value, or null, resumes the run")
    assert own.resume(2).kind == "paused"
    assert judge("a", Pruner(), pause_at=1, metric="").report({"step": 1, "x": 1}).kind == "paused"
    assert judge("a", Pruner(), pause_at=9).report({"step": 9}) is None, "it is complete"
    assert judge("a", Pruner(), pause_at=9, max_steps=None).report({"step": 9}).kind == "paused"


@pytest.mark.parametrize(("loss", "verdict"), [(0.9, "pruned"), (0.1, None)])
def test_a_run_that_was_killed_before_it_was_judged_is_judged_when_it_resumes(log, judge, loss, verdict):
    fill(log, {"a": 0.2, "b": 0.3, "c": loss})
    own = judge("c", SuccessiveHalvingPruner())
    stop = own.resume(1.0)
    assert (stop and stop.kind) == verdict
    assert own.resume(1.0, was_stopped=True) is None, "it was pruned, and is to be resumed"


def test_reports_beyond_the_checkpoint_are_of_an_earlier_attempt(log, judge):
    for step, loss in ((1.0, 0.3), (2.0, 0.2), (3.0, 0.9)):
        log.add(Report("A", "a", step, "loss", loss))
    fill(log, {"b": 0.1}, step=3.0)
    own = judge("a", SuccessiveHalvingPruner())
    assert own.resume(2.0) is None
    assert own.report({"step": 2.5, "loss": 0.4}) is None, "before the rung at step 3, which the old attempt reached"
    assert own.report({"step": 3, "loss": 0.4}).kind == "pruned"
    assert judge("a", SuccessiveHalvingPruner()).resume(0) is None, "it starts again"


def test_without_a_pruner_and_without_a_pause_there_is_no_judge(settings):
    assert settings(NONE) is None
    assert settings(None) is None


def test_a_pause_needs_no_metric(settings, log):
    for missing in ({"metric": None}, {"split": "test"}, {"direction": None}):
        assert settings(NONE, pause_at=1, **missing).report({"step": 1, "loss": 0.5}).kind == "paused"
    assert log.read("loss") == {}
    assert settings(NONE, pause_at=1).report({"step": 1, "loss": 0.5}).kind == "paused"
    assert log.read("loss") == {"A": {"a": {1.0: 0.5}}}, "for a pruner that is chosen later"


@pytest.mark.parametrize(
    ("pruner", "objective", "stops"),
    [
        ({}, {}, 0.2),
        ({}, {"direction": "max"}, 0.05),
        ({"metric": "loss", "direction": "min"}, {"metric": "acc", "direction": "max", "split": "test"}, 0.2),
        ({"metric": "loss", "direction": "min"}, {"metric": None}, 0.2),
        ({"direction": "max"}, {}, 0.05),
    ],
)
def test_runs_are_compared_by_the_objective_unless_the_pruner_names_another_metric(
    settings, log, pruner, objective, stops
):
    fill(log, {"b": 0.1})
    values = {0.05, 0.2}
    assert settings(ASHA | pruner, **objective).report({"step": 1, "loss": stops}).kind == "pruned"
    (other,) = values - {stops}
    assert settings(ASHA | pruner, **objective).report({"step": 1, "loss": other}) is None


@pytest.mark.parametrize(
    ("pruner", "given", "says"),
    [
        ({}, {"split": "test"}, "sweep.pruner.metric=loss is invalid: .* sweep.pruner.metric=train_loss "
                                "sweep.pruner.direction=min"),
        ({"metric": "loss"}, {"split": "test"}, "a run that the test set stops is chosen by it"),
        ({}, {"metric": None, "split": "test"}, "needs a metric that the runs report: name it in "
                                                "sweep.objective.metric"),
        ({}, {"direction": None}, "which values of loss are better: sweep.objective.direction=min or max"),
        ({"direction": "up"}, {}, "sweep.pruner.direction=up is invalid: min or max"),
        ({"reduction_factor": 1}, {}, "sweep.pruner.reduction_factor=1 is invalid: one in how many continues"),
        ({"hope": 1}, {}, "unexpected keyword argument 'hope'"),
        ({"_target_": "sweeps.pruners.HalvingPruner"}, {"max_steps": None}, "sweep.max_steps="),
        ({"_target_": "sweeps.pruners.HyperbandPruner"}, {"max_steps": None}, "sweep.max_steps="),
        ({"_target_": "sweeps.pruners.Report"}, {}, "SWEEPS_ALLOW_TARGETS"),
        ({}, {"pause_at": 0}, "sweep.pause_at=0 is invalid: a number of steps above 0"),
    ],
)  # fmt: skip
def test_what_cannot_work_is_an_error_with_a_way_out(settings, pruner, given, says):
    with pytest.raises(ConfigError, match=says):
        settings(ASHA | pruner, **given)


def test_a_pruner_whose_metric_is_never_reported_says_so(judge):
    own = judge("a", SuccessiveHalvingPruner())
    assert own.missing(["loss", "lr"]) is None
    assert own.missing(["lr", "acc"]) == (
        "sweep.pruner.metric=loss was never reported, so asha could stop nothing; reported were lr, acc"
    )
    assert judge("a", Pruner(), pause_at=1).missing(["acc"]) is None


def test_halving_has_a_round_for_every_rung_below_the_pause():
    assert rounds_of({"pruner": HALVING, "pause_at": None}, 10) == [1, 3, None]
    assert rounds_of({"pruner": HALVING, "pause_at": 3.0}, 10) == [1, None], "the last one has the pause that was typed"
    assert rounds_of({"pruner": ASHA, "pause_at": None}, 10) == [None]
    assert rounds_of({"pruner": NONE, "pause_at": 3.0}, None) == [None]
    with pytest.raises(ConfigError, match="sweep/pruner=halving needs"):
        rounds_of({"pruner": HALVING, "pause_at": None}, None)


THRESHOLD = """
from sweeps.pruners import Comparison, Pruner

class ThresholdPruner(Pruner):
    def __init__(self, *, least: float) -> None:
        self.least = least

    def prune(self, comparison: Comparison) -> str | None:
        last = comparison.own[max(comparison.own)]
        return f"below {self.least:g}" if last < self.least else None

class Other:
    def __init__(self, least):
        pass
"""


@pytest.fixture
def threshold(tmp_path, monkeypatch):
    """A user's own pruner: one class, and one config in the application's own folder."""
    (tmp_path / "threshold_pruner.py").write_text(THRESHOLD)
    group = tmp_path / "conf" / "sweep" / "pruner"
    group.mkdir(parents=True)
    (group / "threshold.yaml").write_text("defaults: [none]\n_target_: threshold_pruner.ThresholdPruner\nleast: 0.5\n")
    (tmp_path / "conf" / "config.yaml").write_text("defaults:\n  - sweep: default\n")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.setenv("SWEEPS_ALLOW_TARGETS", "threshold_pruner")
    importlib.invalidate_caches()
    register()
    with hydra.initialize_config_dir(str(tmp_path / "conf"), version_base="1.3"):
        config = hydra.compose(
            "config", overrides=["sweep/pruner=threshold", "sweep.pruner.least=0.55", "sweep.pruner.direction=max"]
        )
    yield OmegaConf.to_container(config.sweep.pruner, resolve=True)
    sys.modules.pop("threshold_pruner", None)


def test_a_new_pruner_is_one_class_and_one_config(settings, threshold):
    own = settings(threshold)
    assert own.report({"step": 1, "loss": 0.6}) is None
    assert own.report({"step": 2, "loss": 0.4}) == Failure("pruned", "ThresholdPruner by loss: below 0.55")


def test_what_is_not_a_pruner_is_an_error(settings, threshold):
    with pytest.raises(
        ConfigError, match=r"sweep.pruner._target_=threshold_pruner.Other is invalid: .*a pruner is a subclass"
    ):
        settings(threshold | {"_target_": "threshold_pruner.Other"})
