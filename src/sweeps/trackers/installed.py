"""The one warning where a tracker's own package is not installed. The run continues without that tracker."""

import functools
import importlib.util
import logging
import sys

log = logging.getLogger(__name__)


def is_installed(name: str, *modules: str) -> bool:
    """Whether the tracker `name` can work: all of `modules` are installed. If not, a warning says how to get them."""
    missing = [module for module in modules if importlib.util.find_spec(module) is None]
    if missing:
        _warn(name, ", ".join(missing))
    return not missing


@functools.cache
def _warn(name: str, missing: str) -> None:
    text = f"sweep/tracker={name} records nothing: {missing} is not installed; pip install 'hydra-sweeps[{name}]'"
    log.warning(text)
    print(f"warning: {text}", file=sys.stderr)  # the log goes to the run's own file
