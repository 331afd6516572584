"""What a run reports while it trains, and whether it is told to stop. Never imports torch."""

import functools
import math
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Protocol

from sweeps.pruners.report_log import Board, Report
from sweeps.pruners.rules import Rule, judge
from sweeps.record.identity import cell_id, run_id
from sweeps.record.records import Failure, RunRecord, Status

_LAST_PART = 0.25  # of an epoch: where whole epochs are reported, the train figures are those of so much of its end
PRUNED, PAUSED = "pruned", "paused"  # kinds of a pruned run's reason: told to stop, or at the end of its budget


class Means(Protocol):
    """Running averages over a pass."""

    @property
    def loss(self) -> float:
        """Mean cross-entropy."""

    @property
    def acc(self) -> float:
        """Share of right answers."""


class Totals(Protocol):
    """What a pass has added up so far; `read` makes the host wait for the device."""

    examples: int

    def read(self) -> Means:
        """The means so far."""


class Reporter:
    """The null object: reports nothing and never stops a run."""

    reached = 0.0  # epochs after which it last reported
    gain = -math.inf  # the figure of the last whole epoch that it reported, turned so that more is better

    def resume(self, done: float, *, was_stopped: bool = False) -> Failure | None:
        """Why a run that resumes after `done` epochs should stop at once, else None."""
        return None

    def batch(self, epoch: int, done: int, total: int, totals: Totals) -> Failure | None:
        """Hears of every training batch; why the run should stop here, else None."""
        return None

    def epoch(self, row: Mapping[str, Any]) -> Failure | None:
        """Hears of every finished epoch; why the run should stop here, else None."""
        return None


class BoardReporter(Reporter):
    """Writes to the sweep's board and asks the rule."""

    def __init__(
        self, board: Board, cell: str, run: str, rule: Rule, *, metric: str, every: float, budget: float | None
    ) -> None:
        self._board, self._cell, self._run, self._rule = board, cell, run, rule
        self._metric, self._every, self._budget = metric, every, budget
        self._sign = -1.0 if metric.endswith("_loss") else 1.0
        self._before = (0, 0.0)  # examples of this epoch that are reported, and the sum of their figures
        self._part: float | None = None  # the figure of the last part, which tells more than the epoch's average

    def resume(self, done: float, *, was_stopped: bool = False) -> Failure | None:
        """A run that was killed may have reported, and not heard the verdict: it is judged again.

        One that `was_stopped` goes on because somebody wants it to. Under halving, which lets all runs wait at a rung,
        it is judged here, once its budget goes beyond the rung.

        What the board knows beyond `done` is of an earlier try, whose checkpoint is gone.
        """
        own = self._board.read(self._metric).get(self._cell, {}).get(self._run, {})
        self.reached = max((at for at in own if at <= done + 1e-6), default=0.0)
        stop = self._at_budget(self.reached)
        return stop if stop or (was_stopped and self._rule.name != "halving") else self._verdict()

    def batch(self, epoch: int, done: int, total: int, totals: Totals) -> Failure | None:
        """Report `pruner.report_every` of an epoch's batches; the host waits for the device once a part."""
        if not self._metric.startswith("train_"):
            return None
        if done == 1:
            self._before = (0, 0.0)
        part = 1 / round(1 / self._every) if self._every < 1 else _LAST_PART
        if math.floor(done / total / part + 1e-9) == math.floor((done - 1) / total / part + 1e-9):
            return None
        means = totals.read()
        figure = means.loss if self._metric.endswith("_loss") else means.acc
        examples, summed = totals.examples, figure * totals.examples
        self._part = (summed - self._before[1]) / (examples - self._before[0])
        self._before = (examples, summed)
        if done == total or self._every >= 1:
            return None  # `epoch` will report it
        at = epoch - 1 + done / total
        return self._report(at, self._part) or self._at_budget(at)

    def epoch(self, row: Mapping[str, Any]) -> Failure | None:
        """Report the epoch if it is time."""
        epoch = row["epoch"]
        stop = None
        if self._every < 1 or epoch % self._every == 0 or epoch >= self._rule.epochs:
            figure = row[self._metric] if self._part is None else self._part
            self.gain = self._sign * figure
            stop = self._report(epoch, figure)
        self.reached = epoch
        return stop or self._at_budget(epoch)

    def _report(self, at: float, value: float) -> Failure | None:
        self.reached = round(at, 6)
        if math.isfinite(value):
            self._board.add(Report(self._cell, self._run, self.reached, self._metric, value))
        return None if self._rule.name == "halving" else self._verdict()

    def _verdict(self) -> Failure | None:
        """What the rule says of the last report."""
        gains = {
            cell: {run: {at: self._sign * value for at, value in values.items()} for run, values in runs.items()}
            for cell, runs in self._board.read(self._metric).items()
        }
        siblings = gains.pop(self._cell, {})
        own = {at: gain for at, gain in siblings.pop(self._run, {}).items() if at <= self.reached + 1e-6}
        rivals = {cell: list(runs.values()) for cell, runs in gains.items()}
        reason = judge(self._rule, own, rivals, siblings=list(siblings.values()), cell=self._cell)
        return None if reason is None else Failure(PRUNED, f"{self._rule.name} by {self._metric}: {reason}")

    def _at_budget(self, at: float) -> Failure | None:
        if self._budget is None or not self._budget <= at + 1e-6 < self._rule.epochs:
            return None
        if self._rule.name == "halving":
            return Failure(PAUSED, f"halving: waits at {self._budget:g} epochs for the others to come as far")
        return Failure(PAUSED, f"paused at pruner.budget={self._budget:g} epochs; a larger one goes on from here")


def reporter_of(config: Mapping[str, Any], sweep: Path) -> Reporter:
    """The reporter that a run's config asks for; `sweep` is the folder of its sweep."""
    pruner = config["pruner"]
    if pruner["name"] == "none" and pruner["budget"] is None:
        return Reporter()
    return BoardReporter(
        _board_of(sweep),
        cell_id(config),
        run_id(config),
        rule_of(config),
        metric=pruning_metric(config),
        every=pruner["report_every"],
        budget=pruner["budget"],
    )


@functools.lru_cache(maxsize=4)
def _board_of(sweep: Path) -> Board:
    """One board for all runs of a process, which has read most of it before."""
    return Board(sweep)


def rule_of(config: Mapping[str, Any]) -> Rule:
    """The rule that a run's config asks for."""
    keys = ("name", "first", "factor", "least", "patience", "min_delta")
    return Rule(epochs=config["trainer"]["epochs"], **{key: config["pruner"][key] for key in keys})


def pruning_metric(config: Mapping[str, Any]) -> str:
    """What runs are compared by: `pruner.metric`; auto is accuracy on held-out images, or the train loss without any.

    Never the test set: a run that is stopped by it would be chosen by it.
    """
    metric = str(config["pruner"]["metric"])
    if metric != "auto":
        return metric
    if not config["dataset"]["validation"] or config["pruner"]["report_every"] < 1:
        return "train_loss"
    return "val_bn_acc" if config["trainer"]["bn_reestimate"] else "val_acc"


def goes_on(record: RunRecord, config: Mapping[str, Any], sweep: Path) -> bool:
    """Whether a run that was stopped early is to be taken up again with what `config` now says.

    Under halving also one that was told to stop, if the board says that its cell is among the best now: seeds may have
    come since.
    """
    if record.status is not Status.PRUNED:
        return False
    pruner = config["pruner"]
    come = record.epochs if record.stopped_at is None else record.stopped_at
    more = pruner["budget"] is None or come < pruner["budget"] - 1e-6
    paused = record.error is not None and record.error.kind == PAUSED
    if not more:
        return False
    if paused or pruner["extend"] or pruner["name"] == "none":
        return True
    reporter = reporter_of(config, sweep)
    return pruner["name"] == "halving" and reporter.resume(come) is None and reporter.reached > 0
