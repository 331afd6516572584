"""A run of the engine without its launchers, which can be interrupted and resumed in this process."""

from types import SimpleNamespace

import pytest

from sweeps.progress import Progress
from sweeps.record.records import Objective, RunDir, RunRecord, Status
from sweeps.recorded_run import RecordedRun
from sweeps.run import making_current
from sweeps.trackers import Trackers

TIMING = ("elapsed",)


class Engine:
    """Does a training function as one run in a folder, as often as it is called."""

    def __init__(self, path):
        self.folder = RunDir(path)
        path.mkdir()
        self.progress = Progress()

    def __call__(self, train, judge=None):
        record = RunRecord(
            run_id="0123456789ab", setting_id="ba9876543210", name="run", sweep="study", status=Status.RUNNING,
            objective=Objective("val_loss", "min", "val", "last"), seed=0,
        )  # fmt: skip
        settings = {"checkpoint_every": 1, "on_mismatch": "refuse", "pruner": {"keep_checkpoint": True}}
        resolved, trackers = SimpleNamespace(seed=0, settings=settings), Trackers([], self.folder, record)
        run = RecordedRun(self.folder, record, resolved, judge, trackers, self.progress, was_stopped=False)
        with making_current(run):
            return train()

    @property
    def rows(self):
        """The metrics without what the clock says."""
        return [{k: v for k, v in row.items() if k not in TIMING} for row in self.folder.read_metrics()]


class Killed(Exception):
    """Ends a training function where a kill would: what is on the disk then is what counts."""


@pytest.fixture
def engine(tmp_path):
    """Make runs in folders of their own, by name."""
    return lambda name: Engine(tmp_path / name)
