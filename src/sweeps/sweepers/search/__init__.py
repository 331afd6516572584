"""`hydra/sweeper=search`: optuna chooses the runs, one trial each; what runs them is the same as for a grid.

The package needs optuna, an extra, and is imported where a search is asked for and nowhere else.
"""

from sweeps.errors import ConfigError as _ConfigError

try:
    import optuna
except ImportError as error:
    raise _ConfigError("hydra/sweeper=search needs optuna: pip install 'hydra-sweeps[search]'") from error

optuna.logging.set_verbosity(optuna.logging.WARNING)

from sweeps.sweepers.search.sweep import sweep  # noqa: E402  only once it is clear that there is an optuna

__all__ = ["sweep"]
