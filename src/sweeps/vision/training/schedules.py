"""How the learning rate changes: each builder returns a factor of `optim.lr` for the share of steps that are done.

A factor that is a function of progress alone needs no state, so a resumed run has nothing to restore.
"""

import math
from collections.abc import Callable, Sequence

from sweeps import ConfigError

Schedule = Callable[[float], float]  # share of steps done, 0 to below 1 -> factor of optim.lr


def constant() -> Schedule:
    """The rate never changes."""
    return lambda progress: 1.0


def cosine(*, warmup: float = 0.0, final: float = 0.0) -> Schedule:
    """A linear climb during the share `warmup`, then half a cosine from 1 down to `final` (Loshchilov, Hutter 2017)."""
    _check_share("warmup", warmup)
    _check_share("final", final)

    def factor(progress: float) -> float:
        if progress < warmup:
            return progress / warmup
        return _half_cosine(1.0, final, (progress - warmup) / (1 - warmup))

    return factor


def step(*, milestones: Sequence[float], gamma: float = 0.1) -> Schedule:
    """Times `gamma` at each of `milestones`, which are shares of all steps."""
    for milestone in milestones:
        _check_share("milestones", milestone)
    if not gamma > 0:
        raise ConfigError(f"schedule.gamma={gamma} is invalid: a factor above 0, such as schedule.gamma=0.1")
    return lambda progress: gamma ** sum(progress >= milestone for milestone in milestones)


def one_cycle(*, warmup: float = 0.3, start: float = 25.0, final: float = 1e-4) -> Schedule:
    """Up from 1 / `start` to 1 during the share `warmup`, then down to `final` (Smith, Topin 2018)."""
    _check_share("warmup", warmup)
    _check_share("final", final)
    if not start >= 1:
        raise ConfigError(f"schedule.start={start} is invalid: the first rate is optim.lr / start, so at least 1")

    def factor(progress: float) -> float:
        if progress < warmup:
            return _half_cosine(1 / start, 1.0, progress / warmup)
        return _half_cosine(1.0, final, (progress - warmup) / (1 - warmup))

    return factor


def _half_cosine(begin: float, end: float, share: float) -> float:
    return end + (begin - end) * (1 + math.cos(math.pi * share)) / 2


def _check_share(key: str, value: float) -> None:
    if not 0 <= value < 1:
        raise ConfigError(f"schedule.{key}={value} is invalid: a share from 0 to below 1")
