"""What is tormented: small sweeps of every way to sweep, with several runs and many reports."""

from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

RUNS = 6
SWEEP = "chaos"
REGRESSION_SCRIPT = Path(__file__).resolve().parents[2] / "examples" / "regression" / "train.py"
EVERY = 200  # steps of the regression between two reports: as much work as an epoch of the other


@dataclass(frozen=True)
class App:
    """An application that is swept.

    `program` is what follows `python`, `size` the words for so many reports and so many examples.
    """

    name: str
    program: Sequence[str]
    fixed: Sequence[str]
    grid: Sequence[str]
    search: Sequence[str]
    size: Sequence[str]
    report: int = 1  # steps between two reports

    def words(self, *, reports: int, limit: int) -> tuple[str, ...]:
        """What every run has, and what gives it its size."""
        return (*self.fixed, *(word.format(steps=reports * self.report, limit=limit) for word in self.size))


VISION = App(
    "vision",
    ("-m", "sweeps"),
    fixed=(
        *("model._target_=chaos.lenet_with_dropout", "augment=flip_crop", "optim.momentum=0.9"),
        *("dataset=fashion_mnist_mini", "dataset.test_limit=100", "trainer.batch_size=10", "trainer.threads=1"),
        *("sweep/tracker=none", "device=cpu"),
    ),
    grid=("optim.lr=0.02,0.2", "seed=0,1,2"),
    search=("optim.lr=tag(log, interval(1e-3, 0.5))",),
    size=("dataset.limit={limit}", "trainer.epochs={steps}"),
)
REGRESSION = App(
    "regression",
    (str(REGRESSION_SCRIPT),),
    fixed=("width=64", "batch_size=512", f"report_every={EVERY}", "sweep/tracker=none"),
    grid=("lr=0.003,0.03", "seed=0,1,2"),
    search=("lr=tag(log, interval(1e-3, 0.1))",),
    size=("steps={steps}",),
    report=EVERY,
)
APPS = {app.name: app for app in (VISION, REGRESSION)}

# Two at a time, with as much work between two reports as a test needs to step in.
GRID = ("-m", f"sweep.name={SWEEP}", *VISION.grid, *VISION.words(reports=4, limit=1000), "hydra.launcher.workers=2")


@dataclass(frozen=True)
class Mode:
    """One way to sweep.

    `bits` says whether two undisturbed sweeps are equal to the last bit, `in_order` that a run which fails changes
    what the others come to: a search leaves it for the next command, and goes on with trials that see less. `reports`
    and `limit` are the size of a run. A mode that is `like` another one has the same reference.
    """

    name: str
    options: Sequence[str]
    share: int  # of a hundred kills, under each number of workers
    workers: Sequence[int] = (0, 2)
    share_of_pool: int = 4
    searches: bool = False
    pruner: str = ""
    bits: bool = True
    in_order: bool = False
    reports: int = 16
    limit: int = 200
    like: str = ""

    def arguments(self, workers: int, app: App = VISION) -> tuple[str, ...]:
        """The command line without the program's name."""
        axes = app.search if self.searches else app.grid
        pruner = (f"sweep/pruner={self.pruner}", f"sweep.pruner.min_resource={app.report}") if self.pruner else ()
        pool = () if self is SLURM else (f"hydra.launcher.workers={workers}",)
        size = app.words(reports=self.reports, limit=self.limit)
        return ("-m", f"sweep.name={SWEEP}", *axes, *self.options, *pruner, *size, *pool)

    def share_with(self, workers: int) -> int:
        """Of a hundred kills, how many are for this mode and this number of workers."""
        return self.share_of_pool if workers else self.share


SEARCH = ("hydra/sweeper=search", f"hydra.sweeper.n_trials={RUNS}")
SEARCHING = Mode("search", SEARCH, 18, workers=(0, 1), searches=True, pruner="asha", in_order=True)
IN_PARALLEL = Mode(
    "search, 2 at a time", SEARCH, 0, workers=(2,), share_of_pool=8, searches=True, pruner="asha", bits=False
)
MODES = {
    mode.name: mode
    for mode in (
        Mode("grid", (), 20, share_of_pool=8),
        Mode("halving", (), 18, pruner="halving"),
        SEARCHING,
        IN_PARALLEL,
        Mode("subdir", ("hydra.sweep.subdir=${hydra.job.num}",), 8),
        Mode("chdir", ("hydra.job.chdir=true",), 8),
    )
}
# It needs a cluster: see `chaos.slurm`.
SLURM = Mode("slurm", ("hydra/launcher=slurm", "hydra.launcher.poll=0.5"), 0, workers=(1,), limit=1000, like="grid")
