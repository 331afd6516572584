"""The journal of a search, which somebody else may have made: mended where a kill tore it, checked before use."""

import os
from pathlib import Path

from optuna.study import Study

from sweeps.errors import ConfigError
from sweeps.record.files import LINES_LIMIT, open_to_append
from sweeps.record.typed import is_number
from sweeps.sweepers.search.space import Space, holds


def check_content(study: Study, space: Space) -> None:
    """Whether a journal says what this package wrote into it.

    Raises:
        ValueError, KeyError: it does not.
    """
    known = study.user_attrs.get("space", {})
    if not isinstance(known, dict) or not all(isinstance(text, str) for text in known.values()):
        raise ValueError(f"its space is {known!r}")
    axes, count = space.named, len(study.directions)
    if known and count != len(known["objectives"].split(", ")):
        raise ValueError(f"it has {count} directions")
    same_space = not known or {**space.describe(), "objectives": ""} == {**known, "objectives": ""}
    for place, trial in enumerate(study.get_trials(deepcopy=False)):
        values = trial.values if trial.values is not None else []
        if trial.number != place or not all(map(is_number, [*values, *trial.intermediate_values.values()])):
            raise ValueError(f"trial {trial.number} has the values {values}")
        if trial.state.name == "COMPLETE" and len(values) != count:
            raise ValueError(f"trial {trial.number} has the values {values}")
        if not same_space:
            continue  # which is said elsewhere
        if trial.state.name == "COMPLETE":
            params = trial.params
            space.draw(lambda name, axis, params=params: params[name])  # type: ignore[misc]
        for name, value in trial.params.items():
            if name not in axes or not holds(axes[name], value):
                raise ValueError(f"trial {trial.number} has {name}={value!r}")


def mend(path: Path) -> None:
    """Take away what a killed search left: half of a last line, and locks, since the folder has one owner."""
    for lock in path.parent.glob(f"{path.name}*.lock*"):
        if lock.is_dir() and not lock.is_symlink():
            raise ConfigError(f"{lock} is a folder, where the journal's lock has to be; move it away")
        lock.unlink(missing_ok=True)
    try:
        with open_to_append(path) as file:
            size = file.seek(0, os.SEEK_END)
            if size > LINES_LIMIT:
                raise OSError(f"its {size:,} bytes are more than the {LINES_LIMIT:,} that are read")
            file.seek(0)
            if (whole := file.readall().rfind(b"\n") + 1) < size:
                file.truncate(whole)
    except OSError as error:
        raise ConfigError(f"{path} cannot be used ({error}); move it away, or name another sweep.name=NAME") from error
