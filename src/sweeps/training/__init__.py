"""How a network is trained: the loop, the step, the schedules, what is measured and what is kept."""

from sweeps.training.best import BestWeights
from sweeps.training.capture import RECORDED_AFTER
from sweeps.training.engine import Engine
from sweeps.training.loop import Loaders, is_time, run_epochs
from sweeps.training.metrics import Means, Totals
from sweeps.training.mistakes import confusion_of
from sweeps.training.schedules import Schedule, constant, cosine, one_cycle, step
from sweeps.training.step import Step

__all__ = [
    "RECORDED_AFTER",
    "BestWeights",
    "Engine",
    "Loaders",
    "Means",
    "Schedule",
    "Step",
    "Totals",
    "confusion_of",
    "constant",
    "cosine",
    "is_time",
    "one_cycle",
    "run_epochs",
    "step",
]
