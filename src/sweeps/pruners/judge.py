"""What a run reports to its pruner, and whether it has to stop. Never imports torch."""

import functools
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from sweeps.errors import ConfigError
from sweeps.pruners.report_log import Report, ReportLog
from sweeps.pruners.rules import SLACK, Comparison, Pruner
from sweeps.record.records import Failure, RunRecord, Status
from sweeps.record.resolved import Resolved
from sweeps.record.typed import is_number
from sweeps.targets import make

PRUNED, PAUSED = "pruned", "paused"  # kinds of a pruned run's reason: stopped by its pruner, or at sweep.pause_at
_SHARED = ("metric", "direction", "resume_pruned", "keep_checkpoint")  # keys of every pruner that its class never sees


@dataclass
class Judge:
    """Writes the reports of one run to the log of its sweep, and asks the pruner.

    Args:
        metric: what runs are compared by; empty writes and compares nothing, so that only `pause_at` stops the run.
        sign: 1 where larger values are better, else -1.
        max_steps: the steps of a whole run; None is unknown.
        pause_at: the step at which the run is paused.
        resume_pruned: whether to resume a run that was pruned before.
    """

    log: ReportLog
    pruner: Pruner
    setting_id: str
    run_id: str
    metric: str
    sign: float
    max_steps: float | None
    pause_at: float | None
    resume_pruned: bool = False

    def __post_init__(self) -> None:
        self._waits = bool(self.pruner.rounds(self.max_steps))  # for the other runs, before it is judged

    def report(self, row: Mapping[str, Any]) -> Failure | None:
        """Note a row of metrics; why the run should stop here, else None."""
        step = round(row["step"], 6)
        value: Any = row.get(self.metric)
        if not self.metric or not is_number(value):
            return self._pause(step)
        self.log.add(Report(self.setting_id, self.run_id, step, self.metric, float(value)))
        return (None if self._waits else self._verdict(step)) or self._pause(step)

    def resume(self, steps: float, was_stopped: bool = False) -> Failure | None:
        """Why a run that resumes after `steps` steps should stop at once, else None.

        A run that was killed may have reported without being judged: that is done now. One that `was_stopped` resumes
        because somebody wants it to. With a pruner whose runs wait for each other it is judged here, once it may go
        further than the rung.

        What the log holds beyond `steps` is of an earlier attempt, whose checkpoint is gone.
        """
        judged = self._waits or not was_stopped
        return self._pause(steps) or (self._verdict(self._reported(steps)) if judged else None)

    def resumes(self, record: RunRecord) -> bool:
        """Whether a run that was pruned or paused is to be resumed now.

        With a pruner whose runs wait for each other also one that it stopped, if the log shows that its setting is
        among the best by now: reports of further seeds may have changed that.
        """
        if record.status is not Status.PRUNED:
            return False
        steps = record.steps or 0.0
        if self.pause_at is not None and steps >= self.pause_at - SLACK:
            return False
        paused = record.error is not None and record.error.kind == PAUSED
        if paused or self.resume_pruned or type(self.pruner) is Pruner:
            return True
        last = self._reported(steps)
        return self._waits and last > 0 and self._verdict(last) is None

    def missing(self, reported: Sequence[str]) -> str | None:
        """What to tell about a complete run that has `reported` these metrics, but never the one that is compared."""
        if not self.metric or self.metric in reported or type(self.pruner) is Pruner:
            return None
        return (
            f"sweep.pruner.metric={self.metric} was never reported, so {self.pruner.name} could stop nothing; "
            f"reported were {', '.join(reported) or 'no metrics'}"
        )

    def _reported(self, steps: float) -> float:
        """The last step up to `steps` that the log holds of this run."""
        own = self.log.read(self.metric).get(self.setting_id, {}).get(self.run_id, {})
        return max((step for step in own if step <= steps + SLACK), default=0.0)

    def _verdict(self, last: float) -> Failure | None:
        """What the pruner says of the report at `last`."""
        if self.max_steps is not None and last >= self.max_steps - SLACK:
            return None
        turned = self.log.read(self.metric, self.sign)
        runs = turned.get(self.setting_id, {})
        own = {step: value for step, value in runs.get(self.run_id, {}).items() if step <= last + SLACK}
        if not own:
            return None
        siblings = [values for run, values in runs.items() if run != self.run_id]
        rivals = {setting: list(of.values()) for setting, of in turned.items() if setting != self.setting_id}
        reason = self.pruner.prune(Comparison(own, siblings, rivals, setting=self.setting_id, max_steps=self.max_steps))
        return None if reason is None else Failure(PRUNED, f"{self.pruner.name} by {self.metric}: {reason}")

    def _pause(self, step: float) -> Failure | None:
        if self.pause_at is None or step < self.pause_at - SLACK:
            return None
        if self.max_steps is not None and step >= self.max_steps - SLACK:
            return None
        if self._waits:
            return Failure(PAUSED, f"{self.pruner.name}: waiting at step {self.pause_at:g} for the other runs")
        return Failure(PAUSED, f"paused at sweep.pause_at={self.pause_at:g}; a larger value, or null, resumes the run")


def judge_of(resolved: Resolved, sweep: Path) -> Judge | None:
    """The judge that a run's settings ask for; `sweep` is the folder of its sweep.

    None where there is neither a pruner nor a step to pause at: then nothing stops a run, and one that was stopped
    before is resumed.
    """
    asked = asked_of(resolved.settings)
    if asked is None:
        return None
    pruner, pause_at, metric, sign = asked
    resume_pruned = bool((resolved.settings["pruner"] or {}).get("resume_pruned"))
    return Judge(
        _log_of(sweep),
        pruner or Pruner(),
        resolved.setting_id,
        resolved.run_id,
        metric,
        sign,
        resolved.settings["max_steps"],
        pause_at,
        resume_pruned,
    )


def asked_of(settings: Mapping[str, Any]) -> tuple[Pruner | None, float | None, str, float] | None:
    """The pruner, the step to pause at, the metric and its sign that the engine's settings ask for, if any.

    Raises:
        ConfigError: they cannot work.
    """
    pruner, pause_at = _pruner_of(settings), settings["pause_at"]
    if pause_at is not None and not (is_number(pause_at) and pause_at > 0):
        raise ConfigError(
            f"sweep.pause_at={pause_at} is invalid: a number of steps above 0, such as 1; null never pauses"
        )
    if pruner is None and pause_at is None:
        return None
    return pruner, pause_at, *_compared_by(settings, needed=pruner is not None)


def rounds_of(settings: Mapping[str, Any], max_steps: float | None) -> list[float | None]:
    """The values of `sweep.pause_at` for the rounds of a sweep; None, the last one, leaves it as it is.

    A pruner that compares runs at once has one round. Halving has one for each rung, which is how its runs wait for
    each other under any launcher.
    """
    pruner, limit = _pruner_of(settings), settings.get("pause_at")
    rungs = [] if pruner is None else pruner.rounds(max_steps)
    return [*(rung for rung in rungs if limit is None or rung < limit), None]


_log_of = functools.lru_cache(maxsize=4)(ReportLog)  # one for all runs of a process, which has read most of it before


def _pruner_of(settings: Mapping[str, Any]) -> Pruner | None:
    node = settings.get("pruner") or {}
    if not isinstance(node, Mapping):
        raise ConfigError(f"sweep.pruner={str(node)[:60]} is invalid: choose one by name, such as sweep/pruner=halving")
    if node.get("_target_") is None:
        return None
    pruner = make({key: value for key, value in node.items() if key not in _SHARED}, "pruner")
    if not isinstance(pruner, Pruner):
        raise ConfigError(
            f"sweep.pruner._target_={node['_target_']} is invalid: it makes an object of type {type(pruner).__name__}; "
            "a pruner is a subclass of sweeps.pruners.Pruner"
        )
    return pruner


def _compared_by(settings: Mapping[str, Any], *, needed: bool) -> tuple[str, float]:
    """The metric that runs are compared by, and its sign. Never what is measured on the test set.

    Where it is not `needed`, and cannot be told, the metric is empty.
    """
    node, objective = settings.get("pruner") or {}, settings.get("objective") or {}
    metric = node.get("metric") or objective.get("metric")
    own = node.get("metric") not in (None, objective.get("metric"))  # another metric may have another direction
    direction = node.get("direction") or (None if own else objective.get("direction"))
    if metric and metric == objective.get("metric") and objective.get("split") == "test":
        problem = (
            f"sweep.pruner.metric={metric} is invalid: it is measured on the test set, and a run that the test set "
            "stops is chosen by it; compare runs by another metric: sweep.pruner.metric=train_loss "
            "sweep.pruner.direction=min"
        )
    elif not metric:
        problem = (
            "a pruner needs a metric that the runs report: name it in sweep.objective.metric, or for the pruner alone "
            "sweep.pruner.metric=train_loss sweep.pruner.direction=min"
        )
    elif direction is None:
        problem = (
            f"a pruner needs to know which values of {metric} are better: sweep.objective.direction=min or max, or for "
            "the pruner alone sweep.pruner.direction"
        )
    elif direction not in ("min", "max"):
        problem = f"sweep.pruner.direction={direction} is invalid: min or max"
    else:
        return str(metric), 1.0 if direction == "max" else -1.0
    if needed:
        raise ConfigError(problem)
    return "", 1.0
