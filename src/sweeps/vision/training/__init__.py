"""How a network is trained: its parts, the schedules, what is measured and what is kept."""

from sweeps.vision.training.cuda_graphs import RECORDED_AFTER
from sweeps.vision.training.engine import Engine, Loaders, Training
from sweeps.vision.training.metrics import Means, Totals
from sweeps.vision.training.schedules import Schedule, constant, cosine, one_cycle, step
from sweeps.vision.training.watch import OnBatch, Watch, epoch_seed

__all__ = [
    "RECORDED_AFTER",
    "Engine",
    "Loaders",
    "Means",
    "OnBatch",
    "Schedule",
    "Totals",
    "Training",
    "Watch",
    "constant",
    "cosine",
    "epoch_seed",
    "one_cycle",
    "step",
]
