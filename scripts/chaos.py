#!/usr/bin/env python
"""Kill a small sweep with SIGKILL again and again, and see that it ends as one that nobody disturbed.

    scripts/chaos.py --kills 100 --seed 1 --output /tmp/chaos

Kills a random worker, the parent or the whole process group at random moments, types the same command again, and
compares weights, metrics and records with an undisturbed sweep, to the last bit. The test suite does it with fewer
kills. Needs Linux; exit code 1 if anything differs.
"""

import argparse
import dataclasses
import json
import os
import random
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from sweeps.records import RunDir, RunRecord, find_runs

EPOCHS = 4
CELLS = 6
SWEEP = "chaos"
GRID = (
    "-m",
    f"sweep={SWEEP}",
    "optim.lr=0.02,0.2",
    "seed=0,1,2",
    "model._target_=chaos.lenet_with_dropout",  # this file: what has to come back is more than the weights
    "optim.momentum=0.9",
    "augment=flip_crop",
    "dataset=fashion_mnist_mini",
    "dataset.limit=1000",
    "dataset.test_limit=100",
    f"trainer.epochs={EPOCHS}",
    "trainer.batch_size=10",
    "trainer.threads=1",
    "hydra.launcher.workers=2",
    "tracker=none",
    "device=cpu",
)
PATIENCE = 300.0  # seconds; a safety net that decides nothing

# What two equal runs may differ in: the clock, the process, and how often they were begun.
UNEQUAL = ("started", "ended", "seconds", "examples_per_second", "process", "attempts", "peak_memory", "environment")


def lenet_with_dropout(**options: Any) -> Any:
    """LeNet with running statistics and, in front of its last layer, dropout."""
    from torch import nn

    from sweeps.models import lenet_bn

    network = lenet_bn(**options)
    assert isinstance(network, nn.Sequential)
    return nn.Sequential(*network[:-1], nn.Dropout(0.3), network[-1])


@dataclass(frozen=True)
class Kin:
    """A living process of a session."""

    pid: int
    parent: int
    command: str

    @property
    def is_worker(self) -> bool:
        """Whether it was spawned to work, and not to look after semaphores."""
        return "multiprocessing.spawn" in self.command


def session_members(session: int) -> list[Kin]:
    """Every living process of a session; a zombie counts as dead."""
    found = []
    for entry in Path("/proc").iterdir():
        if not entry.name.isdigit():
            continue
        try:
            state, parent, _, its_session = (entry / "stat").read_text().rpartition(")")[2].split()[:4]
            command = (entry / "cmdline").read_bytes().replace(b"\0", b" ").decode(errors="replace")
        except OSError:  # it ended meanwhile
            continue
        if int(its_session) == session and state not in "ZX":
            found.append(Kin(int(entry.name), int(parent), command))
    return found


def workers_of(parent: int) -> list[int]:
    """The worker processes of a sweep's parent process, which leads its session."""
    return sorted(kin.pid for kin in session_members(parent) if kin.is_worker and kin.parent == parent)


def wait_until(holds: Callable[[], Any], what: str, patience: float = PATIENCE) -> Any:
    """What `holds` returns as soon as that is true."""
    deadline = time.monotonic() + patience
    while not (value := holds()):
        if time.monotonic() > deadline:
            raise TimeoutError(f"waited {patience:.0f} s in vain for {what}")
        time.sleep(0.01)
    return value


def start(folder: Path, arguments: Sequence[str]) -> subprocess.Popen[bytes]:
    """Type the command in `folder`, in a session of its own."""
    folder.mkdir(parents=True, exist_ok=True)
    here = Path(__file__).resolve().parent
    path = os.pathsep.join(filter(None, (str(here), os.environ.get("PYTHONPATH"))))
    environment = {**os.environ, "PYTHONPATH": path, "SWEEPS_ALLOW_TARGETS": "chaos"}
    with (folder / "output.txt").open("ab") as output:
        return subprocess.Popen(
            [sys.executable, "-m", "sweeps", *arguments],
            cwd=folder,
            env=environment,
            stdin=subprocess.DEVNULL,
            stdout=output,
            stderr=subprocess.STDOUT,
            start_new_session=True,
        )


@dataclass
class Witness:
    """Looks at a sweep while it is tormented, and remembers what must not change any more."""

    folder: Path
    finished: dict[Path, tuple[int, int, bytes]] = field(default_factory=dict)

    def look(self) -> int:
        """How many epochs are on the disk; newly finished records are remembered."""
        epochs = 0
        for run in self._runs():
            epochs += len(run.read_metrics())
            if run.path not in self.finished:
                before = self._trace(run)
                record = RunRecord.from_json(before[2].decode(), run.record)  # a torn record ends the test here
                if record.status.is_finished:
                    self.finished[run.path] = before
        return epochs

    def meddled(self) -> list[str]:
        """The finished runs whose record was written again."""
        return [path.name for path, trace in self.finished.items() if self._trace(RunDir(path)) != trace]

    def _runs(self) -> Iterator[RunDir]:
        if self.folder.is_dir():
            yield from find_runs(self.folder)

    def _trace(self, run: RunDir) -> tuple[int, int, bytes]:
        with run.record.open("rb") as file:  # one file for all three, even if it is replaced meanwhile
            state = os.fstat(file.fileno())
            return state.st_ino, state.st_mtime_ns, file.read()


@dataclass
class Report:
    """What was done to the sweeps in `rounds`, and what should not be: `meddled` runs, `survivors`."""

    rounds: list[Path] = field(default_factory=list)
    kills: Counter[str] = field(default_factory=Counter)
    starts: int = 0
    meddled: list[str] = field(default_factory=list)
    survivors: list[Kin] = field(default_factory=list)


def torment(
    output: Path, *, kills: int, seed: int, grid: Sequence[str] = GRID, say: Callable[[str], None] = lambda text: None
) -> Report:
    """Kill sweeps of `grid` until it was done `kills` times, each sweep until it is complete; one follows the other."""
    dice, report = random.Random(seed), Report()
    victims = _victims(dice)
    while report.kills.total() < kills:
        folder = output / f"round-{len(report.rounds) + 1}"
        report.rounds.append(folder / "multirun" / SWEEP)
        witness = Witness(report.rounds[-1])
        sessions, calm, code = [], 0, -1
        while code != 0:
            process = start(folder, grid)
            sessions.append(process.pid)
            report.starts += 1
            calm = calm + 1 if report.kills.total() >= kills else 0
            if calm > 2:
                raise AssertionError(f"left alone, the sweep does not end: see {folder / 'output.txt'}")
            code = _let_live(process, witness, dice, victims, report, kills, say)
        witness.look()
        report.meddled += witness.meddled()
        report.survivors += survivors_of(sessions)
    return report


def _let_live(
    process: subprocess.Popen[bytes],
    witness: Witness,
    dice: random.Random,
    victims: Iterator[str],
    report: Report,
    kills: int,
    say: Callable[[str], None],
) -> int:
    """Follow one start of the command to its end, natural or not; returns its exit code."""
    while report.kills.total() < kills:
        after_start = dice.random() < 0.4  # while it starts, composes, loads, restores
        epochs = 0 if after_start else dice.randint(1, 2)
        pause = dice.uniform(0, 4) if after_start else dice.uniform(0, 0.6)
        goal = witness.look() + epochs
        if not _reach(process, lambda goal=goal: witness.look() >= goal):  # type: ignore[misc]
            break
        moment = time.monotonic() + pause
        if not _reach(process, lambda moment=moment: time.monotonic() >= moment):  # type: ignore[misc]
            break
        victim = next(victims)
        if not _kill(process, victim, dice):
            break
        report.kills[victim] += 1
        say(f"kill {report.kills.total()}: the {victim}, {witness.look()} of {CELLS * EPOCHS} epochs done")
        if victim != "worker":
            break
    return _end_of(process)


def _victims(dice: random.Random) -> Iterator[str]:
    """Whom to kill next, for ever; each kind as often as any other."""
    while True:
        yield from dice.sample(("worker", "parent", "group"), 3)


def _reach(process: subprocess.Popen[bytes], is_time: Callable[[], bool]) -> bool:
    """Wait until it is time; False if the process ended before."""
    wait_until(lambda: process.poll() is not None or is_time(), "progress")
    return process.poll() is None


def _kill(process: subprocess.Popen[bytes], victim: str, dice: random.Random) -> bool:
    """False if the process, and what it might kill, ended before."""
    if victim == "group":
        os.killpg(process.pid, signal.SIGKILL)
    elif victim == "parent":
        process.kill()
    else:
        return _kill_worker(process, dice)
    return True


def _kill_worker(process: subprocess.Popen[bytes], dice: random.Random) -> bool:
    """Kill one as soon as there is one."""
    while _reach(process, lambda: workers_of(process.pid)):
        try:
            os.kill(dice.choice(workers_of(process.pid)), signal.SIGKILL)
        except (IndexError, ProcessLookupError):  # it ended meanwhile
            continue
        return True
    return False


def _end_of(process: subprocess.Popen[bytes]) -> int:
    try:
        return process.wait(PATIENCE)
    except subprocess.TimeoutExpired:
        os.killpg(process.pid, signal.SIGKILL)
        process.wait()
        raise


def survivors_of(sessions: Sequence[int]) -> list[Kin]:
    """The processes that are left of sessions whose leader is gone, once they had time to notice."""

    def left() -> list[Kin]:
        return [kin for session in sessions for kin in session_members(session)]

    try:
        wait_until(lambda: not left(), "the workers to notice that their parent is gone", patience=60.0)
    except TimeoutError:
        survivors = left()
        for kin in survivors:
            os.kill(kin.pid, signal.SIGKILL)
        return survivors
    return []


def compare(folder: Path, reference: Path) -> list[str]:
    """In what the sweep in `folder` differs from the one in `reference`, in words; empty for equal ones."""
    runs, others = ({run.path.name: run for run in find_runs(place)} for place in (folder, reference))
    found = [] if runs.keys() == others.keys() else [f"runs: {sorted(runs)} instead of {sorted(others)}"]
    for name in sorted(runs.keys() & others.keys()):
        run, other = runs[name], others[name]
        if run.weights.read_bytes() != other.weights.read_bytes():
            found.append(f"{name}: other weights")
        epochs = [row["epoch"] for row in map(json.loads, run.metrics.read_text().splitlines())]
        if epochs != list(range(1, EPOCHS + 1)):
            found.append(f"{name}: metrics of the epochs {epochs}")
        if _without_time(run.read_metrics()) != _without_time(other.read_metrics()):
            found.append(f"{name}: other metrics")
        record, expected = (_without_time(dataclasses.asdict(each.read())) for each in (run, other))
        changed = [key for key in expected if record[key] != expected[key]]
        if changed:
            found.append(f"{name}: other {', '.join(changed)} in its record")
    return found


def _without_time(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _without_time(item) for key, item in value.items() if key not in UNEQUAL}
    return [_without_time(item) for item in value] if isinstance(value, list) else value


def undisturbed(output: Path, grid: Sequence[str] = GRID) -> Path:
    """Do the sweep once in peace; returns its folder."""
    code = _end_of(start(output, grid))
    if code != 0:
        raise AssertionError(f"undisturbed, the sweep ends with exit code {code}: see {output / 'output.txt'}")
    return output / "multirun" / SWEEP


def main() -> int:
    """The command line."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").partition("\n")[0])
    parser.add_argument("--kills", type=int, default=100, help="how often to kill (default: %(default)s)")
    parser.add_argument("--seed", type=int, default=0, help="of the victims and moments (default: %(default)s)")
    parser.add_argument("--output", type=Path, help="folder for the sweeps (default: a new one for temporary files)")
    options = parser.parse_args()
    output = options.output or Path(tempfile.mkdtemp(prefix="chaos-"))
    if output.exists() and any(output.iterdir()):
        parser.error(f"--output={output} is not empty: name a new folder")
    print(f"sweeps and their output in {output}")
    reference = undisturbed(output / "undisturbed")
    report = torment(output, kills=options.kills, seed=options.seed, say=lambda text: print(text, flush=True))
    faults = [f"{folder.parents[1].name}: {text}" for folder in report.rounds for text in compare(folder, reference)]
    faults += [f"{name}: written again after it was finished" for name in report.meddled]
    faults += [f"process {kin.pid} is left: {kin.command}" for kin in report.survivors]
    by_victim = ", ".join(
        f"{count} of {'a' if victim == 'worker' else 'the'} {victim}" for victim, count in sorted(report.kills.items())
    )
    print(f"{report.kills.total()} kills ({by_victim}), {report.starts} starts, {len(report.rounds)} sweeps completed")
    print("\n".join(faults) or "all equal to the undisturbed sweep, to the last bit")
    return 1 if faults else 0


if __name__ == "__main__":
    sys.exit(main())
