"""Journals of earlier releases: trials that were told without a result are open again. Never imports torch."""

from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeps.errors import RecordError
from sweeps.record.records import RunDir

if TYPE_CHECKING:
    from optuna.study import Study
    from optuna.trial import FrozenTrial


def reopened(optuna: Any, study: "Study", path: Path, mark: str) -> "Study":
    """The study at `path`, in which nothing counts as a result that was not measured.

    Earlier releases told a failed run as FAIL, and one that was interrupted or never began as pruned; the values of
    those that were made up have the attribute `mark`. Such a trial keeps its number and what was drawn for it.
    """
    trials = study.get_trials(deepcopy=False)
    if all(_is_sound(trial, path.parent, mark) for trial in trials):
        return study
    new = path.with_name(f"{path.name}.new")
    new.unlink(missing_ok=True)
    copy = optuna.create_study(
        storage=_storage(optuna, new), study_name=study.study_name, directions=list(study.directions)
    )
    for key, value in study.user_attrs.items():
        copy.set_user_attr(key, value)
    for trial in trials:
        copy.add_trial(trial if _is_sound(trial, path.parent, mark) else _open(optuna, trial, mark))
    new.replace(path)
    loaded: Study = optuna.load_study(storage=_storage(optuna, path), study_name=study.study_name)
    return loaded


def _is_sound(trial: "FrozenTrial", sweep: Path, mark: str) -> bool:
    """Whether a trial has not ended, or ended as its run did."""
    if trial.state.name == "FAIL":
        return False
    if trial.state.name != "PRUNED" and mark not in trial.user_attrs:
        return True
    try:
        return RunDir(sweep / Path(str(trial.user_attrs.get("run", ""))).name).read().status.is_finished
    except RecordError:
        return True  # whoever moved the run away need not do it again


def _open(optuna: Any, trial: "FrozenTrial", mark: str) -> "FrozenTrial":
    attributes = {key: value for key, value in trial.user_attrs.items() if key != mark}
    created: FrozenTrial = optuna.trial.create_trial(
        state=optuna.trial.TrialState.RUNNING,
        params=trial.params,
        distributions=trial.distributions,
        user_attrs=attributes,
        system_attrs=trial.system_attrs,
    )
    return created


def _storage(optuna: Any, path: Path) -> Any:
    return optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(path)))
