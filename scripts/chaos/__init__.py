"""Sweeps are killed, stopped and starved of room at random moments, finished, and compared with undisturbed ones.

`scripts/chaos.py` is the command. A worker imports this package for its network: nothing here imports torch early.
"""

from typing import Any

from . import page as page
from .compare import compare as compare
from .drive import Driver as Driver
from .drive import undisturbed as undisturbed
from .modes import GRID as GRID
from .modes import MODES as MODES
from .modes import REGRESSION as REGRESSION
from .modes import RUNS as RUNS
from .modes import SWEEP as SWEEP
from .processes import ForkServer as ForkServer
from .processes import session_members as session_members
from .processes import survivors_of as survivors_of
from .processes import wait_until as wait_until
from .processes import workers_of as workers_of


def lenet_with_dropout(**options: Any) -> Any:
    """LeNet with running statistics and, in front of its last layer, dropout: more has to come back than weights."""
    from torch import nn

    from sweeps.vision.models import lenet_bn

    network = lenet_bn(**options)
    assert isinstance(network, nn.Sequential)
    return nn.Sequential(*network[:-1], nn.Dropout(0.3), network[-1])
