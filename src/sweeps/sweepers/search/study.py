"""The study: an append-only journal in the sweep's folder that knows every trial. Never imports torch.

Only a run that has its result is told. A trial that was asked for and not told, because its run failed, or somebody
stopped the search, or the machine did, stays open, and the next command asks for it again first: its run goes on from
its checkpoint. So no trial is lost, repeating the command ends with the same number of trials, and samplers learn from
nothing but what was measured.
"""

import contextlib
import hashlib
import math
import pickle
import warnings
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from sweeps.errors import ConfigError
from sweeps.record.records import RunRecord, Status
from sweeps.sweepers.search.journal import check_content, mend
from sweeps.sweepers.search.reopening import reopened
from sweeps.sweepers.search.space import Axis, Space, differences

if TYPE_CHECKING:
    from optuna.samplers import BaseSampler
    from optuna.study import Study
    from optuna.trial import FrozenTrial, Trial

JOURNAL_NAME = "study.journal"
SAMPLERS = ("tpe", "gp", "cmaes", "qmc", "random", "grid")
OBJECTIVES = ("objective", "seconds", "parameters", "peak_memory")  # all but the first: less is better
_STUDY = "search"
_STOPPED = "stopped"  # of a trial: its run was pruned or diverged, its values are those of the worst so far


class Asked(NamedTuple):
    """A trial to do: its number, what was drawn for it, and all of its overrides."""

    number: int
    drawn: list[str]
    overrides: list[str]


class Search:
    """Asks and tells. Its sampler is made anew for each trial from (seed, number): a repeat draws the same trials."""

    def __init__(self, study: "Study", space: Space, *, sampler: str, seed: int, n_trials: int, objectives: list[str]):
        self._study, self._space = study, space
        self._sampler, self._seed = sampler, seed
        self._objectives = objectives
        size = space.size if sampler == "grid" else None
        self.total = n_trials if size is None else min(n_trials, size)
        self._open: dict[int, Trial] = {}

    @classmethod
    def open(
        cls,
        folder: Path,
        space: Space,
        *,
        sampler: str,
        seed: int,
        n_trials: int,
        objectives: list[str],
        direction: str,
    ) -> "Search":
        """The search of a sweep's folder, new or as it was left; the caller owns the folder.

        Raises:
            ConfigError: optuna is missing, an option is wrong, or the folder holds another search.
        """
        _check(space, sampler, n_trials, objectives)
        optuna = _optuna()
        path = folder / JOURNAL_NAME
        mend(path)
        directions = ["maximize" if direction == "max" else "minimize", *["minimize"] * (len(objectives) - 1)]
        if objectives[0] != "objective":
            directions[0] = "minimize"
        described = space.describe() | {"objectives": ", ".join(objectives)}
        try:
            storage = optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))
            study = optuna.create_study(storage=storage, study_name=_STUDY, directions=directions, load_if_exists=True)
            check_content(study, space)
        except Exception as error:  # optuna reports damage with whatever its reader stumbles over
            raise _damaged(path, error) from error
        if study.user_attrs.get("space", described) != described and not study.get_trials(deepcopy=False):
            optuna.delete_study(storage=storage, study_name=_STUDY)  # it was refused before its first trial
            study = optuna.create_study(storage=storage, study_name=_STUDY, directions=directions)
        known = study.user_attrs.get("space")
        if known is None:
            study.set_user_attr("space", described)
        elif known != described:
            raise ConfigError(
                f"{path} holds a search of another space ({differences(known, described)}) and was left as it is; "
                "name another sweep=NAME, or repeat the command as it was"
            )
        study = reopened(optuna, study, path, _STOPPED)
        search = cls(study, space, sampler=sampler, seed=seed, n_trials=n_trials, objectives=objectives)
        existing = len(study.get_trials(deepcopy=False))
        if n_trials < existing:
            raise ConfigError(
                f"hydra.sweeper.n_trials={n_trials} is less than the {existing} trials that {path} holds: it is a "
                f"total; use {existing} or more"
            )
        return search

    @property
    def finished(self) -> int:
        """How many trials have a result."""
        return sum(trial.state.is_finished() for trial in self._study.get_trials(deepcopy=False))

    @property
    def has_more(self) -> bool:
        """Whether there is a trial to ask for."""
        trials = self._study.get_trials(deepcopy=False)
        return len(trials) < self.total or any(
            not trial.state.is_finished() and trial.number not in self._open for trial in trials
        )

    def ask(self) -> Asked | None:
        """The next trial: one that an earlier search asked for and never told, else a new one; None if there is none.

        One that is not told, since its run failed, is not asked for again by this search.
        """
        optuna = _optuna()
        trials = self._study.get_trials(deepcopy=False)
        left = [one for one in trials if not one.state.is_finished() and one.number not in self._open]
        if not left and len(trials) >= self.total:
            return None
        number = left[0].number if left else len(trials)
        self._study.sampler = self._make_sampler(number)
        try:
            trial = optuna.trial.Trial(self._study, left[0]._trial_id) if left else self._study.ask()
            drawn = self._space.draw(lambda name, axis: _suggest(trial, name, axis))
        except pickle.UnpicklingError as error:
            raise _damaged(Path(JOURNAL_NAME), error) from error
        self._open[trial.number] = trial
        return Asked(trial.number, drawn, [*self._space.fixed, *drawn])

    def tell(self, number: int, record: RunRecord) -> None:
        """The result of a trial: its run has finished. One that diverged or was pruned is worse than all the others.

        gp and cmaes look at complete trials alone: to them such a run is one that ended as the worst so far.
        """
        assert record.status.is_finished
        trial = self._open.pop(number)
        values = self._values(record)
        if record.status is Status.COMPLETED and values is not None:
            outcome: dict[str, Any] = {"values": values}
        else:
            value, worst = record.objective.value, self._worst()
            if value is not None and len(self._objectives) == 1 and record.epochs:
                trial.report(value, step=record.epochs)
            outcome = {"state": _optuna().trial.TrialState.PRUNED}
            if self._sampler in ("gp", "cmaes") and worst is not None:
                trial.set_user_attr(_STOPPED, record.status.value)
                outcome = {"values": worst}
        trial.set_user_attr("run", record.name)
        with contextlib.suppress(RuntimeError):  # a finished grid asks optuna's own loop, which is not there, to stop
            self._study.tell(trial, **outcome)

    def best(self) -> list[tuple[list[str], list[float]]]:
        """(what was drawn, values) of the best trial, or of all that no other beats in every objective."""
        done = self._complete()
        if not done:
            return []
        if len(self._objectives) == 1:
            found = [max(done, key=lambda trial: self._gains(trial)[0])]
        else:
            found = [trial for trial in self._study.best_trials if _STOPPED not in trial.user_attrs]
        return [(self._drawn(trial.params), list(trial.values)) for trial in found]

    def _complete(self) -> list["FrozenTrial"]:
        """The trials whose runs came to their end."""
        trials = self._study.get_trials(deepcopy=False)
        return [trial for trial in trials if trial.state.name == "COMPLETE" and _STOPPED not in trial.user_attrs]

    def _gains(self, trial: "FrozenTrial") -> list[float]:
        signs = [1.0 if direction.name == "MAXIMIZE" else -1.0 for direction in self._study.directions]
        return [sign * value for sign, value in zip(signs, trial.values, strict=True)]

    def _worst(self) -> list[float] | None:
        """The worst value of every objective so far."""
        done = self._complete()
        if not done:
            return None
        return [min(done, key=lambda trial: self._gains(trial)[at]).values[at] for at in range(len(self._objectives))]

    def _drawn(self, params: Mapping[str, Any]) -> list[str]:
        return self._space.draw(lambda name, axis: params[name])

    def _values(self, record: RunRecord) -> list[float] | None:
        known = {"objective": record.objective.value, **{key: getattr(record, key) for key in OBJECTIVES[1:]}}
        found = [known[name] for name in self._objectives]
        return None if any(value is None or not math.isfinite(value) for value in found) else [float(v) for v in found]

    def _make_sampler(self, number: int) -> "BaseSampler":
        samplers = _optuna().samplers
        seed = int.from_bytes(hashlib.sha256(f"{self._seed} {number}".encode()).digest()[:4])
        sampler: BaseSampler
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # "experimental" says nothing to whoever asked for it by name
            if self._sampler == "grid":
                grid = {key: _numbers(axis) for key, axis in self._space.axes.items()}
                sampler = samplers.GridSampler(grid, seed=self._seed)
            elif self._sampler == "qmc":  # one sequence for all trials
                sampler = samplers.QMCSampler(seed=self._seed, scramble=True, warn_asynchronous_seeding=False)
            elif self._sampler == "cmaes":
                from sweeps.sweepers.search.cmaes_sampler import JournalCmaEsSampler

                sampler = JournalCmaEsSampler(seed=seed)
            elif self._sampler == "gp":
                sampler = samplers.GPSampler(seed=seed)
            elif self._sampler == "random":
                sampler = samplers.RandomSampler(seed=seed)
            else:
                # what is at work counts as bad until it is told: workers do not all draw the same promising place
                sampler = samplers.TPESampler(seed=seed, constant_liar=True)
        return sampler


def _damaged(path: Path, error: Exception) -> ConfigError:
    reason = f"{type(error).__name__}: {error}".replace("\n", " ")[:200]
    return ConfigError(
        f"{path} is damaged and cannot be read ({reason}); move it away: the same command then begins the study anew, "
        "and finds the runs that are finished"
    )


def _suggest(trial: "Trial", key: str, axis: Axis) -> Any:
    if axis.kind == "choice":
        return trial.suggest_categorical(key, axis.choices)
    if axis.kind == "int":
        step = {} if axis.log else {"step": int(axis.step or 1)}
        return trial.suggest_int(key, int(axis.low), int(axis.high), log=axis.log, **step)
    return trial.suggest_float(key, axis.low, axis.high, step=axis.step, log=axis.log)


def _numbers(axis: Axis) -> list[Any]:
    kinds = {"choice": str, "int": int, "float": float}
    return [kinds[axis.kind](value) for value in axis.values or []]


def _check(space: Space, sampler: str, n_trials: int, objectives: list[str]) -> None:
    if sampler not in SAMPLERS:
        raise ConfigError(f"hydra.sweeper.sampler={sampler} is refused: known are {', '.join(SAMPLERS)}")
    if n_trials < 1:
        raise ConfigError(f"hydra.sweeper.n_trials={n_trials} is refused: at least one trial")
    unknown = [name for name in objectives if name not in OBJECTIVES]
    if unknown or not objectives or len(set(objectives)) < len(objectives):
        raise ConfigError(
            f"hydra.sweeper.objectives={objectives} is refused: one or more of {', '.join(OBJECTIVES)}, each once"
        )
    if sampler == "cmaes" and len(objectives) > 1:
        raise ConfigError("hydra.sweeper.sampler=cmaes knows one objective; choose tpe, gp or random for several")
    if sampler == "grid":
        if space.when:
            raise ConfigError(
                "hydra.sweeper.sampler=grid knows no conditions (hydra.sweeper.when); choose tpe or random"
            )
        for key, axis in space.axes.items():
            if axis.values is None and axis.count is not None:
                raise ConfigError(
                    f"hydra.sweeper.sampler=grid: {key} has {axis.count:,} values; use fewer, or a search"
                )
            if axis.values is None:
                raise ConfigError(
                    f"hydra.sweeper.sampler=grid needs values that can be counted, but {key} is {axis}; list them, or "
                    "use range()"
                )


def _optuna() -> Any:
    try:
        import optuna
    except ImportError as error:
        raise ConfigError("hydra/sweeper=search needs optuna: pip install 'hydra-sweeps[search]'") from error
    optuna.logging.set_verbosity(optuna.logging.WARNING)
    return optuna
