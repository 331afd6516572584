"""How a network is trained: the loop, the step, the schedules, what is measured and what is kept."""

from sweeps.vision.training.best import BestWeights
from sweeps.vision.training.cuda_graphs import RECORDED_AFTER
from sweeps.vision.training.engine import Engine
from sweeps.vision.training.loop import Loaders, is_time, run_epochs
from sweeps.vision.training.metrics import Means, Totals
from sweeps.vision.training.mistakes import confusion_of
from sweeps.vision.training.schedules import Schedule, constant, cosine, one_cycle, step
from sweeps.vision.training.step import Step

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
