"""Trials are asked for as workers become free: nobody waits for the slowest of a batch."""

import heapq
import io

from hydra.core.utils import JobReturn, JobStatus
from rich.console import Console

from sweeps.launchers.local.pool import Event
from sweeps.launchers.local.slots import Slot
from sweeps.launchers.runs import SweepRun
from sweeps.launchers.scheduler import Policy, Scheduler
from sweeps.launchers.signals import StopRequest
from sweeps.launchers.view import View
from sweeps.record.records import RunDir


class Worker:
    """Does a task in no time, of which its pool says how long it took."""

    def __init__(self, pool, name):
        self.pool, self.slot, self.task = pool, Slot(name, {}), None

    def submit(self, task, kind, content):
        self.task = task
        self.pool.began(self, float(content["overrides"][0]))

    def finish(self):
        self.task = None


class Pool:
    """Workers by a clock of its own."""

    def __init__(self, count):
        self.workers = [Worker(self, f"cpu {number}") for number in range(count)]
        self.clock, self.at_work, self.events = 0.0, 0.0, []

    @property
    def busy(self):
        return [worker for worker in self.workers if worker.task is not None]

    @property
    def idle(self):
        return [worker for worker in self.workers if worker.task is None]

    def began(self, worker, seconds):
        self.at_work += seconds
        heapq.heappush(self.events, (self.clock + seconds, worker.slot.name, worker))

    def poll(self, timeout):
        self.clock, _, worker = heapq.heappop(self.events)
        done = JobReturn(overrides=worker.task.overrides, status=JobStatus.COMPLETED, _return_value=0.0)
        return [Event(worker, "done", done)]

    def stop(self):
        raise AssertionError("nobody asked to stop")


class Feed:
    """Trials of which some take ten times as long; remembers what was told when the next one was asked for."""

    def __init__(self, durations):
        self.left, self.open, self.told = list(durations), [], []
        self.known_when_asked = []

    @property
    def has_more(self):
        return bool(self.left)

    def next(self):
        if not self.left:
            return None
        self.known_when_asked.append(len(self.told))
        number = len(self.told) + len(self.open)
        name = f"trial{number}"
        self.open.append(SweepRun(number, [str(self.left.pop(0))], name, name, RunDir(name)))
        return self.open[-1]

    def settle(self):
        self.told += [run for run in self.open if run.result is not None]
        self.open = [run for run in self.open if run.result is None]


def test_two_workers_are_busy_nine_tenths_of_the_time_with_trials_that_differ_tenfold():
    feed, pool = Feed([10, 1, 1, 10, 1, 1, 1, 10, 1, 10] * 4), Pool(2)
    view = View("search", Console(file=io.StringIO()), total=40)
    view.open()
    Scheduler([], pool, Policy(), view, feed).run(StopRequest())
    assert len(feed.told) == 40
    assert pool.at_work / (2 * pool.clock) > 0.9
    assert feed.known_when_asked[:4] == [0, 0, 1, 2], "each knows of all that have ended"
    in_batches = sum(max(pair) for pair in zip(*[iter([10, 1, 1, 10, 1, 1, 1, 10, 1, 10] * 4)] * 2, strict=True))
    assert pool.at_work / (2 * in_batches) < 0.65, "in batches of two they would wait"
