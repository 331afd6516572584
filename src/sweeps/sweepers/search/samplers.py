"""optuna's samplers by name, and what each can do."""

import hashlib
import io
import pickle
import warnings
from collections.abc import Sequence
from typing import Any

from optuna import samplers
from optuna.distributions import CategoricalDistribution, IntDistribution
from optuna.trial import FrozenTrial

from sweeps.errors import ConfigError
from sweeps.sweepers.search.space import Axis, Space, count_in, described, values_in

SAMPLERS = ("tpe", "gp", "cmaes", "qmc", "random", "grid")
ONLY_COMPLETE = ("gp", "cmaes")  # they look at nothing but complete trials

# What a pickled optimizer is made of, and nothing else is made from a journal.
_PARTS = {
    *(("cmaes._cma", "CMA"), ("cmaes._sepcma", "SepCMA"), ("cmaes._cmawm", "CMAwM")),
    *(("numpy", name) for name in ("dtype", "ndarray")),
    *((f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
}


def check_sampler(name: str, space: Space, objectives: Sequence[str]) -> None:
    """Raises a ConfigError if there is no such sampler, or it cannot search this space for these objectives."""
    option = f"hydra.sweeper.sampler={name}"
    if name not in SAMPLERS:
        raise ConfigError(f"{option} is invalid: known are {', '.join(SAMPLERS)}")
    if name == "cmaes" and len(objectives) > 1:
        raise ConfigError(f"{option} knows one objective; choose tpe, gp or random for several")
    if name == "cmaes":
        try:
            import cmaes  # noqa: F401
        except ImportError as error:
            raise ConfigError(f"{option} needs a package of its own: pip install cmaes") from error
    if name != "grid":
        return
    if space.when:
        raise ConfigError(f"{option} knows no conditions (hydra.sweeper.when); choose tpe or random")
    for key, axis in space.axes.items():
        if values_in(axis) is None and (count := count_in(axis)) is not None:
            raise ConfigError(f"{option}: {key} has {count:,} values; use fewer, or another sampler")
        if values_in(axis) is None:
            raise ConfigError(
                f"{option} needs values that can be counted, but {key} is {described(axis)}; list them, or use range()"
            )


def make_sampler(name: str, seed: int, number: int, space: Space) -> samplers.BaseSampler:
    """The sampler of one trial, from (seed, number): a repeated command draws the same trials."""
    own = int.from_bytes(hashlib.sha256(f"{seed} {number}".encode()).digest()[:4])
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # "experimental" is no news for those who asked for it by name
        if name == "grid":
            return samplers.GridSampler({key: _grid_of(axis) for key, axis in space.axes.items()}, seed=seed)
        if name == "qmc":  # one sequence for all trials
            return samplers.QMCSampler(seed=seed, scramble=True, warn_asynchronous_seeding=False)
        if name == "cmaes":
            return JournalCmaEsSampler(seed=own)
        if name == "gp":
            return samplers.GPSampler(seed=own)
        if name == "random":
            return samplers.RandomSampler(seed=own)
        # running trials count as bad until they have a result: workers do not all draw the same promising place
        return samplers.TPESampler(seed=own, constant_liar=True)


def _grid_of(axis: Axis) -> list[Any]:
    kind = str if isinstance(axis, CategoricalDistribution) else int if isinstance(axis, IntDistribution) else float
    return [kind(value) for value in values_in(axis) or []]


class JournalCmaEsSampler(samplers.CmaEsSampler):
    """CMA-ES over a journal that somebody else may have written.

    optuna keeps its optimizer as a pickle in the study; here it is read by an unpickler that knows the parts of an
    optimizer alone.

    Raises:
        pickle.UnpicklingError: the study holds something else.
    """

    def _restore_optimizer(self, completed_trials: list[FrozenTrial]) -> Any:
        for trial in reversed(completed_trials):
            attributes = {
                key: value for key, value in trial.system_attrs.items() if key.startswith(self._attr_key_optimizer)
            }
            if attributes:
                return _optimizer(bytes.fromhex(self._concat_optimizer_attrs(attributes)))
        return None


def _optimizer(data: bytes) -> Any:
    import cmaes

    try:
        found = _Unpickler(io.BytesIO(data)).load()
    except pickle.UnpicklingError:
        raise
    except Exception as error:  # a pickle is a program, which can fail in any way
        raise pickle.UnpicklingError(f"its optimizer cannot be read ({type(error).__name__}: {error})") from error
    if not isinstance(found, (cmaes.CMA, cmaes.SepCMA, cmaes.CMAwM)):
        raise pickle.UnpicklingError(f"its optimizer is a {type(found).__name__}")
    return found


class _Unpickler(pickle.Unpickler):
    def find_class(self, module: str, name: str) -> Any:
        if (module, name) not in _PARTS:
            raise pickle.UnpicklingError(f"its optimizer names {module}.{name}")
        return super().find_class(module, name)
