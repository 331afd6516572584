"""The trials of a search: an append-only journal in the sweep's folder knows every one of them.

Only a run that is finished is a result. A trial whose run failed, or was stopped, or died with the machine, stays open,
and the next command asks for it again first: its run resumes from its checkpoint. So no trial is lost, repeating the
command ends with the same number of trials, and samplers learn from nothing but what was measured.
"""

import contextlib
import pickle
import re
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import Any, NamedTuple

import optuna
from optuna.storages import JournalStorage
from optuna.storages.journal import JournalFileBackend
from optuna.study import Study, StudyDirection
from optuna.trial import FrozenTrial, Trial, TrialState

from sweeps.errors import ConfigError
from sweeps.record.identity import differences as different_settings
from sweeps.record.records import RunRecord, Status
from sweeps.record.typed import is_number
from sweeps.sweepers.search.journal import check_content, mend
from sweeps.sweepers.search.samplers import ONLY_COMPLETE, check_sampler, make_sampler
from sweeps.sweepers.search.space import Space, differences, suggested

JOURNAL_NAME = "study.journal"
OBJECTIVE = "objective"  # the sweep's own; other names mean something else of a run's record, of which less is better
_WORDS = {"min": "MINIMIZE", "max": "MAXIMIZE"}
_NAME = "search"  # of the study in the journal
_STOPPED = "stopped"  # of a trial: its run was pruned or diverged, its values are those of the worst so far
_MOST_REPORTS = 20  # of a run that was pruned: each is a durable write, and samplers use the last one


class Asked(NamedTuple):
    """A trial to do: its number, what was drawn for it, and its overrides without those of the whole sweep."""

    number: int
    drawn: list[str]
    overrides: list[str]


class Search:
    """The search of a sweep's folder, new or as it was left: asks for trials and takes their results.

    Args:
        folder: the sweep's; the caller owns it.
        direction: of the sweep's own objective, "min" or "max".
    """

    def __init__(
        self,
        folder: Path,
        space: Space,
        *,
        sampler: str,
        seed: int,
        n_trials: int,
        objectives: list[str],
        direction: str,
    ) -> None:
        check_sampler(sampler, space, objectives)
        _check(n_trials, objectives, direction)
        self.space, self._sampler, self._seed, self._objectives = space, sampler, seed, objectives
        self._path = folder / JOURNAL_NAME
        self._study = _opened(self._path, space, objectives, direction)
        size = space.size if sampler == "grid" else None
        self.total = n_trials if size is None else min(n_trials, size)
        self._open: dict[int, Trial] = {}
        if n_trials < (count := len(self._trials)):
            raise ConfigError(
                f"hydra.sweeper.n_trials={n_trials} is less than the {count} trials in {folder / JOURNAL_NAME}: it is "
                f"a total; use {count} or more"
            )

    @property
    def _trials(self) -> list[FrozenTrial]:
        return self._study.get_trials(deepcopy=False)

    @property
    def finished(self) -> int:
        """How many trials have a result."""
        return sum(trial.state.is_finished() for trial in self._trials)

    @property
    def has_more(self) -> bool:
        """Whether there is a trial to ask for."""
        return bool(self._left) or len(self._trials) < self.total

    @property
    def _left(self) -> list[FrozenTrial]:
        """Trials that an earlier search left without a result."""
        return [trial for trial in self._trials if not trial.state.is_finished() and trial.number not in self._open]

    def check_settings(self, composition: str, compose: Callable[[], dict[str, Any]]) -> None:
        """See that trials of now have the settings of those before, which are ranked with them.

        Args:
            composition: a hash of what the settings are composed from; with an equal one they need not be compared.
            compose: gives the settings of a sample of the trials, by dotted keys.

        Raises:
            ConfigError: they have others; names them.
        """
        known = self._study.user_attrs.get("composition")
        if composition and composition == known:
            return
        now, before = compose(), self._study.user_attrs.get("settings")
        if isinstance(before, dict) and before != now and self.finished:
            raise ConfigError(
                f"{self._path} holds a search with other settings ({different_settings(before, now)}) and was left as "
                "it is; name another sweep.name=NAME, or repeat the command as it was"
            )
        self._study.set_user_attr("settings", now)
        self._study.set_user_attr("composition", composition)

    def ask(self) -> Asked | None:
        """The next trial: one that an earlier search left open, else a new one; None if there is none.

        One whose run fails stays open, and is not asked for again by this search.
        """
        left, count = self._left, len(self._trials)
        if not left and count >= self.total:
            return None
        self._study.sampler = make_sampler(self._sampler, self._seed, left[0].number if left else count, self.space)
        try:
            trial = Trial(self._study, left[0]._trial_id) if left else self._study.ask()
            drawn = self.space.draw(lambda name, axis: suggested(trial, name, axis))
        except pickle.UnpicklingError as error:
            raise _damaged(Path(JOURNAL_NAME), error) from error
        self._open[trial.number] = trial
        return Asked(trial.number, drawn, [*self.space.fixed, *drawn])

    def tell(self, number: int, record: RunRecord, rows: Sequence[Mapping[str, Any]] = ()) -> None:
        """The result of a trial: its run is finished. One that diverged or was pruned is worse than all the others.

        Some samplers look at complete trials alone: for them such a run is one that ended as the worst so far.

        Args:
            rows: what the run has reported.
        """
        assert record.status.is_finished
        values = self._values(record)
        trial = self._open.pop(number)
        if record.status is Status.COMPLETED and values is not None:
            outcome: dict[str, Any] = {"values": values}
        else:
            worst = self._worst()
            if self._objectives == [OBJECTIVE]:
                for step, value in _reports(record, rows).items():
                    trial.report(value, step=step)
            outcome = {"state": TrialState.PRUNED}
            if self._sampler in ONLY_COMPLETE and worst is not None:
                trial.set_user_attr(_STOPPED, record.status.value)
                outcome = {"values": worst}
        trial.set_user_attr("run", record.name)
        with contextlib.suppress(RuntimeError):  # a finished grid asks optuna's own loop, which is not there, to stop
            self._study.tell(trial, **outcome)

    def best(self) -> list[tuple[list[str], list[float]]]:
        """(what was drawn, values) of the best trial, or of all that no other beats in every objective."""
        found = [trial for trial in self._study.best_trials if _STOPPED not in trial.user_attrs]
        if len(self._objectives) == 1:
            found = found[:1]
        drawn = [self.space.draw(lambda name, axis, trial=trial: trial.params[name]) for trial in found]  # type: ignore[misc]
        return list(zip(drawn, (list(trial.values) for trial in found), strict=True))

    def _complete(self) -> list[FrozenTrial]:
        """The trials whose runs are complete."""
        return [trial for trial in self._trials if trial.state.name == "COMPLETE" and _STOPPED not in trial.user_attrs]

    def _worst(self) -> list[float] | None:
        """The worst value of every objective so far."""
        values = list(zip(*(trial.values for trial in self._complete()), strict=True))
        worst = [min if direction is StudyDirection.MAXIMIZE else max for direction in self._study.directions]
        return [of(one) for of, one in zip(worst, values, strict=True)] if values else None

    def _values(self, record: RunRecord) -> list[float] | None:
        facts = {name: value for name, value in record.facts.items() if is_number(value)}
        own = {"seconds": record.seconds, "peak_memory": record.peak_memory}
        known: dict[str, Any] = {**facts, **own, OBJECTIVE: record.objective.value}
        unknown = [name for name in self._objectives if name not in known]
        if unknown and record.status is Status.COMPLETED and not self._complete():
            raise ConfigError(
                f"hydra.sweeper.objectives={self._objectives} is invalid: the run {record.name} has no number "
                f"{unknown[0]}; it has {', '.join(sorted(known))}"
            )
        found = [known.get(name) for name in self._objectives]
        return [float(value) for value in found] if all(map(is_number, found)) else None  # type: ignore[arg-type]


def _reports(record: RunRecord, rows: Sequence[Mapping[str, Any]]) -> dict[int, float]:
    """Some values of the objective by the step, the last ones of a run that was pruned or diverged among them."""
    metric = record.objective.name
    found = {int(row["step"]): float(row[metric]) for row in rows if is_number(row.get(metric))}
    if record.objective.value is not None and record.steps is not None:
        found[int(record.steps)] = record.objective.value
    steps = sorted(found)
    return {step: found[step] for step in steps[:: -max(1, len(steps) // _MOST_REPORTS)][::-1]}


def _opened(path: Path, space: Space, objectives: Sequence[str], direction: str) -> Study:
    """The study in a journal, made where there is none."""
    mend(path)
    directions = [StudyDirection[_WORDS[direction] if name == OBJECTIVE else "MINIMIZE"] for name in objectives]
    mine = space.describe() | {"objectives": ", ".join(objectives)}
    try:
        storage = JournalStorage(JournalFileBackend(str(path)))
        study = optuna.create_study(storage=storage, study_name=_NAME, directions=directions, load_if_exists=True)
        check_content(study, space)
    except Exception as error:  # optuna reports damage with whatever its reader stumbles over
        raise _damaged(path, error) from error
    known, trials = study.user_attrs.get("space", mine), study.get_trials(deepcopy=False)
    other = differences(_comparable(known, study.directions), _comparable(mine, directions))
    if other and (not trials or _same_trials(known, mine, trials)):
        optuna.delete_study(storage=storage, study_name=_NAME)  # it was invalid, and has no result to lose
        study = optuna.create_study(storage=storage, study_name=_NAME, directions=directions)
    elif other:
        raise ConfigError(
            f"{path} holds a search of another space ({other}) and was left as it is; name another sweep.name=NAME, or "
            "repeat the command as it was"
        )
    if "space" not in study.user_attrs:
        study.set_user_attr("space", mine)
    return study


def _comparable(space: Mapping[str, str], directions: Sequence[StudyDirection]) -> dict[str, str]:
    """What two searches of one folder must agree in; earlier releases named the step of whole numbers where it is 1."""
    texts = {key: re.sub(r"^(int .*), step 1$", r"\1", text) for key, text in space.items()}
    return texts | {"direction": ", ".join(one.name.lower() for one in directions)}


def _same_trials(known: Mapping[str, str], mine: Mapping[str, str], trials: Sequence[FrozenTrial]) -> bool:
    """Whether no trial has a result, and a new search asks for the same ones: only what is optimised has changed."""
    none = not any(trial.state.is_finished() for trial in trials)
    return none and {**known, "objectives": ""} == {**mine, "objectives": ""}


def _damaged(path: Path, error: Exception) -> ConfigError:
    reason = f"{type(error).__name__}: {error}".replace("\n", " ")[:200]
    return ConfigError(
        f"{path} is damaged and cannot be read ({reason}); move it away: the same command then starts the search anew, "
        "and skips the runs that are complete"
    )


def _check(n_trials: int, objectives: list[str], direction: str) -> None:
    if n_trials < 1:
        raise ConfigError(f"hydra.sweeper.n_trials={n_trials} is invalid: at least one trial")
    if not objectives or len(set(objectives)) < len(objectives):
        raise ConfigError(
            f"hydra.sweeper.objectives={objectives} is invalid: one or more, each once, of {OBJECTIVE}, seconds, "
            "peak_memory and the numbers that runs record"
        )
    if OBJECTIVE in objectives and direction not in _WORDS:
        raise ConfigError(
            "a search needs to know which values are better: set sweep.objective.direction=min or max in the config, "
            "or name other objectives, such as hydra.sweeper.objectives=[seconds]"
        )
