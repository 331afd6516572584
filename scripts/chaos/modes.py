"""What is tormented: small sweeps of every way to sweep, with several runs and many epochs."""

from collections.abc import Sequence
from dataclasses import dataclass

EPOCHS = 4
CELLS = 6
SWEEP = "chaos"
FIXED = (
    "model._target_=chaos.lenet_with_dropout",
    "optim.momentum=0.9",
    "augment=flip_crop",
    "dataset=fashion_mnist_mini",
    "dataset.test_limit=100",
    "trainer.batch_size=10",
    "trainer.threads=1",
    "sweep/tracker=none",
    "device=cpu",
)
AXES = ("optim.lr=0.02,0.2", "seed=0,1,2")

# Two at a time, with as much work between two epochs as a test needs to step in.
GRID = (
    "-m",
    f"sweep.name={SWEEP}",
    *AXES,
    *FIXED,
    "dataset.limit=1000",
    f"trainer.epochs={EPOCHS}",
    "hydra.launcher.workers=2",
)


@dataclass(frozen=True)
class Mode:
    """One way to sweep.

    `bits` says whether two undisturbed sweeps are equal to the last bit, `in_order` that a run which fails changes
    what the others come to: a search leaves it for the next command, and goes on with trials that see less.
    """

    name: str
    options: Sequence[str]
    share: int  # of a hundred kills, under each number of workers
    workers: Sequence[int] = (0, 2)
    share_of_pool: int = 4
    bits: bool = True
    in_order: bool = False
    epochs: int = 16
    limit: int = 200

    def arguments(self, workers: int) -> tuple[str, ...]:
        """The command line without the program's name."""
        size = (f"dataset.limit={self.limit}", f"trainer.epochs={self.epochs}", f"hydra.launcher.workers={workers}")
        return ("-m", f"sweep.name={SWEEP}", *FIXED, *self.options, *size)

    def share_with(self, workers: int) -> int:
        """Of a hundred kills, how many are for this mode and this number of workers."""
        return self.share_of_pool if workers else self.share


SEARCH = ("hydra/sweeper=search", "optim.lr=tag(log, interval(1e-3, 0.5))", "hydra.sweeper.n_trials=6")
MODES = {
    mode.name: mode
    for mode in (
        Mode("grid", AXES, 20, share_of_pool=8),
        Mode("halving", (*AXES, "sweep/pruner=halving"), 18),
        Mode("search", (*SEARCH, "sweep/pruner=asha"), 18, workers=(0, 1), in_order=True),
        Mode("search, 2 at a time", (*SEARCH, "sweep/pruner=asha"), 0, workers=(2,), share_of_pool=8, bits=False),
        Mode("subdir", (*AXES, "hydra.sweep.subdir=${hydra.job.num}"), 8),
        Mode("chdir", (*AXES, "hydra.job.chdir=true"), 8),
    )
}
