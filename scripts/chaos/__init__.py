"""Sweeps are killed, stopped and starved of room at random moments, finished, and compared with undisturbed ones.

`scripts/chaos.py` is the command. A worker imports this package for its network: nothing here imports torch early.
"""

from typing import Any

from . import page, tally
from .compare import compare
from .drive import Driver
from .kill import Outcome, torment, undisturbed
from .modes import APPS, GRID, MODES, REGRESSION, RUNS, STEPS, SWEEP, VISION, App, Mode
from .processes import Kin, session_members, survivors_of, wait_until, workers_of
from .starts import ForkServer, start

__all__ = [
    "APPS",
    "GRID",
    "MODES",
    "REGRESSION",
    "RUNS",
    "STEPS",
    "SWEEP",
    "VISION",
    "App",
    "Driver",
    "ForkServer",
    "Kin",
    "Mode",
    "Outcome",
    "compare",
    "lenet_with_dropout",
    "page",
    "session_members",
    "start",
    "survivors_of",
    "tally",
    "torment",
    "undisturbed",
    "wait_until",
    "workers_of",
]


def lenet_with_dropout(**options: Any) -> Any:
    """LeNet with running statistics and, in front of its last layer, dropout: more has to come back than weights."""
    from torch import nn

    from sweeps.vision.models import lenet_bn

    network = lenet_bn(**options)
    assert isinstance(network, nn.Sequential)
    return nn.Sequential(*network[:-1], nn.Dropout(0.3), network[-1])
