"""How a network is trained: the loop, the step, the schedules, what is measured and what is kept."""

from sweeps.training.loop import Diverged, Loaders, run_epochs
from sweeps.training.metrics import Means, Totals
from sweeps.training.progress import Progress
from sweeps.training.schedules import Schedule, constant, cosine, one_cycle, step
from sweeps.training.step import Step

__all__ = [
    "Diverged",
    "Loaders",
    "Means",
    "Progress",
    "Schedule",
    "Step",
    "Totals",
    "constant",
    "cosine",
    "one_cycle",
    "run_epochs",
    "step",
]
