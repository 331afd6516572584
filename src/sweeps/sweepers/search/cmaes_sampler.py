"""optuna's CMA-ES over a journal that somebody else may have written. Never imports torch."""

import io
import pickle
from typing import Any

import cmaes
from optuna.samplers import CmaEsSampler
from optuna.trial import FrozenTrial

# What a pickled optimizer is made of, and nothing else is made from a journal.
_PARTS = {
    *(("cmaes._cma", "CMA"), ("cmaes._sepcma", "SepCMA"), ("cmaes._cmawm", "CMAwM")),
    *(("numpy", name) for name in ("dtype", "ndarray")),
    *((f"numpy.{core}.multiarray", name) for core in ("core", "_core") for name in ("_reconstruct", "scalar")),
}


class JournalCmaEsSampler(CmaEsSampler):
    """Optuna keeps its optimizer as a pickle in the study; here it is read by one who knows an optimizer's parts alone.

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
