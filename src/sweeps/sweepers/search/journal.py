"""The file of a study, which somebody else may have made: mended where a kill tore it, checked before use.

Never imports torch.
"""

import os
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any

from sweeps.errors import ConfigError
from sweeps.record.files import LINES_LIMIT, open_to_append
from sweeps.record.typed import is_number
from sweeps.sweepers.search.space import Space

if TYPE_CHECKING:
    from optuna.study import Study

_BLOCK = 1 << 20


def check_content(study: "Study", space: Space) -> None:
    """Whether a journal says what this package wrote into it.

    Raises:
        ValueError: it does not.
    """
    known = study.user_attrs.get("space", {})
    if not isinstance(known, dict) or not all(isinstance(text, str) for text in known.values()):
        raise ValueError(f"its space is {known!r}")
    if known and known != space.describe() | {"objectives": known.get("objectives")}:
        return  # of another space, which is said elsewhere
    axes, count = space.named, len(study.directions)
    if known and count != len(known["objectives"].split(", ")):
        raise ValueError(f"it has {count} directions")
    for place, trial in enumerate(study.get_trials(deepcopy=False)):
        values = trial.values if trial.values is not None else []
        if trial.number != place or not all(map(is_number, [*values, *trial.intermediate_values.values()])):
            raise ValueError(f"trial {trial.number} has the values {values}")
        if trial.state.name == "COMPLETE":
            if len(values) != count:
                raise ValueError(f"trial {trial.number} has the values {values}")
            _check_whole(space, trial.params)
        for name, value in trial.params.items():
            if name not in axes or not axes[name].holds(value):
                raise ValueError(f"trial {trial.number} has {name}={value!r}")


def _check_whole(space: Space, params: Mapping[str, Any]) -> None:
    """Raises a KeyError where a trial that is told lacks a parameter."""
    space.draw(lambda name, axis: params[name])


def mend(path: Path) -> None:
    """Take away what a killed search left: half of a last line, and locks, since the folder has one owner.

    Raises:
        ConfigError: the journal is no ordinary file, or of a size that no search makes.
    """
    for lock in path.parent.glob(f"{path.name}*.lock*"):
        lock.unlink(missing_ok=True)
    try:
        with open_to_append(path) as file:
            size = file.seek(0, os.SEEK_END)
            if size > LINES_LIMIT:
                raise OSError(f"its {size:,} bytes are more than the {LINES_LIMIT:,} that are read")
            whole = size
            while whole:
                start = max(whole - _BLOCK, 0)
                file.seek(start)
                end = file.read(whole - start).rfind(b"\n") + 1
                whole = start + end
                if end:
                    break
            if whole < size:
                file.truncate(whole)
    except OSError as error:
        raise ConfigError(f"{path} cannot be used ({error}); move it away, or name another sweep=NAME") from error
