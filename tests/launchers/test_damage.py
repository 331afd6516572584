"""Disks that are full, folders that cannot be written, files that are broken: what was complete stays complete."""

import os
import shutil
import signal
import subprocess
import time

import pytest

from sweeps.config import ignored_of
from sweeps.progress import Progress
from sweeps.record.identity import run_name
from sweeps.record.records import RunDir, Status, find_runs

from .conftest import SMALL, contents, runs_by, untimed, weights_of

pytestmark = pytest.mark.slow

RUN = ("optim.momentum=0.9", *SMALL, "trainer.epochs=3")


class StopAfter(Progress):
    """Ctrl-C after a report."""

    def __init__(self, step):
        self._step = step

    def report(self, row):
        if row["step"] == self._step:
            raise KeyboardInterrupt


def cut(path, keep):
    path.write_bytes(path.read_bytes()[:keep])


def append(path, data):
    path.write_bytes(path.read_bytes() + data)


def set_clock(run, moment):
    for path in run.path.rglob("*"):
        os.utime(path, (moment, moment))


def pretend_to_run_elsewhere(run):
    text = run.record.read_text().replace('"interrupted"', '"running"')
    host = run.read().process.host
    run.record.write_text(text.replace(host, "elsewhere/01234567"))
    os.utime(run.record, (time.time() + 1e6,) * 2)  # ours jumped back


# What happens to a run that was interrupted after two of its three steps, and how many it then has to do.
DAMAGES = {
    "nothing": (lambda run: None, 1),
    "no checkpoint": (lambda run: run.checkpoint.unlink(), 3),
    "an empty checkpoint": (lambda run: cut(run.checkpoint, 0), 3),
    "half a checkpoint": (lambda run: cut(run.checkpoint, run.checkpoint.stat().st_size // 2), 3),
    "a checkpoint without its last byte": (lambda run: cut(run.checkpoint, -1), 3),
    "a checkpoint of something else": (lambda run: run.checkpoint.write_bytes(b"garbage" * 1000), 3),
    "a torn last line": (lambda run: append(run.metrics, b'{"step": 3, "elap'), 1),
    "a line of zeros": (lambda run: append(run.metrics, b"\0" * 300), 1),
    "no metrics": (lambda run: run.metrics.unlink(), 3),
    "metrics of one step": (lambda run: run.write_metrics(run.read_metrics()[:1]), 3),
    "an empty record": (lambda run: cut(run.record, 0), 1),
    "half a record": (lambda run: cut(run.record, run.record.stat().st_size // 2), 1),
    "a record of zeros": (lambda run: run.record.write_bytes(b"\0" * 4096), 1),
    "no record": (lambda run: run.record.unlink(), 1),
    "files from the future": (lambda run: set_clock(run, time.time() + 1e7), 1),
    "files from 1970": (lambda run: set_clock(run, 0), 1),
    "a record of a process elsewhere, from the future": (pretend_to_run_elsewhere, 1),
}
FINISHED = len(DAMAGES)  # the seed of a run that was complete


@pytest.fixture(scope="module")
def repaired(new_shell, run_into, compose_all, tmp_path_factory):
    """One command over a folder in which every run has another damage: how it ended, the runs, and undisturbed ones."""
    shell = new_shell()
    study = shell.folder / "multirun" / "study"
    others, ignored = tmp_path_factory.mktemp("others"), ignored_of(compose_all())
    for seed, damage in enumerate([*DAMAGES, None]):
        overrides = [*RUN, f"seed={seed}"]
        folder = RunDir(study / run_name(overrides, ignored))
        run_into(RunDir(others / str(seed)), *overrides)
        if damage is None:
            run_into(folder, *overrides)
        else:
            with pytest.raises(KeyboardInterrupt):
                run_into(folder, *overrides, progress=StopAfter(2))
            DAMAGES[damage][0](folder)
    complete = RunDir(study / run_name([*RUN, f"seed={FINISHED}"], ignored)).path
    before = {name: state for name, state in contents(complete).items() if name != "run.json"}
    command = (
        "-m",
        "sweep.name=study",
        "hydra.launcher.workers=2",
        *RUN,
        f"seed={','.join(map(str, range(FINISHED + 1)))}",
    )
    done = shell(*command)
    after = {name: state for name, state in contents(complete).items() if name != "run.json"}
    return (
        done,
        runs_by(study, "seed"),
        {seed: RunDir(others / str(seed)) for seed in range(FINISHED + 1)},
        before,
        after,
    )


def test_one_command_repairs_everything(repaired):
    done, runs, *_ = repaired
    assert done.code == 0, done.text
    assert {run.read().status for run in runs.values()} == {Status.COMPLETED}
    assert len(runs) == FINISHED + 1
    assert "1 already complete, skipped" in done.text or f"{FINISHED} to do" in done.text


@pytest.mark.parametrize("damage", DAMAGES)
def test_a_damaged_run_ends_equal_to_an_undisturbed_one(repaired, damage):
    done, runs, others, *_ = repaired
    seed = list(DAMAGES).index(damage)
    assert untimed(runs[seed]) == untimed(others[seed])
    assert weights_of(runs[seed]) == weights_of(others[seed])
    assert not runs[seed].checkpoint.exists()
    lines = [line for line in done.text.splitlines() if line.startswith(f"  seed={seed}  step ")]
    first = 4 - DAMAGES[damage][1]  # not every report of a run has its line; the first one has
    assert lines[0].startswith(f"  seed={seed}  step {first}/3  "), "it resumes from what is sound, and nothing else"


def test_what_was_complete_stays_complete(repaired):
    *_, before, after = repaired
    assert after == before


def test_a_finished_run_whose_record_is_empty_is_done_again_and_no_other(sweeps, tmp_path):
    command = ("-m", "sweep.name=study", "hydra.launcher.workers=0", *SMALL, "seed=0,1")
    sweeps(*command)
    runs = runs_by(tmp_path / "multirun" / "study", "seed")
    weights, metrics, other = weights_of(runs[1]), untimed(runs[1]), contents(runs[0].path)
    cut(runs[1].record, 0)
    done = sweeps(*command)
    assert done.code == 0
    assert (weights_of(runs[1]), untimed(runs[1])) == (weights, metrics)
    assert contents(runs[0].path) == other
    shutil.rmtree(runs[1].path)
    assert sweeps(*command).code == 0
    assert (weights_of(runs[1]), untimed(runs[1])) == (weights, metrics)
    assert contents(runs[0].path) == other


@pytest.fixture
def small_disk(tmp_path):
    """A file system of its own with room for little; give it more by calling it."""
    place = tmp_path / "multirun"
    place.mkdir()
    mounted = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=1200k", "tmpfs", place], capture_output=True, text=True
    )
    if mounted.returncode != 0:
        pytest.skip(f"no file system can be mounted here: {mounted.stderr.strip()}")
    yield lambda size: subprocess.run(["mount", "-o", f"remount,size={size}", place], check=True)
    subprocess.run(["umount", "--lazy", place], check=True)


def test_a_full_disk_costs_what_did_not_fit_and_nothing_else(sweeps, tmp_path, small_disk):
    command = ("-m", "sweep.name=study", "hydra.launcher.workers=0", *RUN, "seed=0,1,2,3,4,5")
    study = tmp_path / "multirun" / "study"
    done = sweeps(*command)
    assert (done.code, "Traceback" in done.text) == (1, False), done.text
    assert "No space left on device" in done.text
    complete = {run.path: contents(run.path) for run in find_runs(study) if run.read().status is Status.COMPLETED}
    assert 1 <= len(complete) < 6
    for path in complete:
        assert len(RunDir(path).read_metrics()) == 3

    small_disk("64m")
    done = sweeps(*command)
    assert done.code == 0, done.text
    runs = list(find_runs(study))
    assert [run.read().status for run in runs] == [Status.COMPLETED] * 6
    assert {path: contents(path) for path in complete} == complete
    for run in runs:
        assert [row["step"] for row in run.read_metrics()] == [1, 2, 3]
    assert len({weights_of(run) for run in runs}) == 6


def test_a_disk_without_room_for_the_first_byte(sweeps, tmp_path, small_disk):
    (tmp_path / "multirun" / "ballast").write_bytes(b"\0" * (1200 << 10))
    for arguments in (("-m",), ()):
        done = sweeps(*arguments, "sweep.name=study", "hydra.launcher.workers=0", *SMALL)
        assert (done.code, "Traceback" in done.text) == (1, False), done.text
        assert "No space left on device; choose another folder: sweep.output=FOLDER" in done.text


@pytest.fixture
def read_only():
    """Make a folder one that nobody can write to, not even root; it can be written to again after the test."""
    frozen = set()

    def freeze(folder):
        if os.geteuid() != 0:
            folder.chmod(0o555)
        elif subprocess.run(["chattr", "+i", folder], capture_output=True).returncode != 0:
            pytest.skip("root can write everywhere, and this file system knows no immutable folders")
        frozen.add(folder)
        return lambda: thaw(folder)

    def thaw(folder):
        frozen.remove(folder)
        if os.geteuid() != 0:
            folder.chmod(0o755)
        else:
            subprocess.run(["chattr", "-i", folder], check=True)

    yield freeze
    for folder in list(frozen):
        thaw(folder)


def test_what_happens_to_a_folder_in_mid_sweep_costs_that_run_alone(shell, read_only):
    study, away = shell.folder / "multirun" / "study", shell.folder / "away"
    command = ("-m", "sweep.name=study", "hydra.launcher.workers=1", "seed=0,1,2,3", *SMALL, "trainer.epochs=30")
    started = shell.start(*command)

    def at_work(seed):
        def look():
            run = runs_by(study, "seed").get(seed) if study.is_dir() else None
            return run if run is not None and len(run.read_metrics()) >= 2 else None

        return started.wait_for(look, f"two steps of seed {seed}")

    writable = [read_only(at_work(0).path)]

    run = at_work(1)
    (worker,) = started.workers
    os.kill(worker, signal.SIGSTOP)
    writable.append(read_only(run.path))
    os.kill(worker, signal.SIGKILL)

    run = at_work(2)
    run.path.rename(away)
    run.path.write_text("a file in its place")

    done = started.end()
    assert (done.code, "Traceback" in done.text) == (1, False), done.text
    assert "error: 3 of 4 runs failed" in done.text
    assert "seed=1: ended by SIGKILL" in done.text
    assert "its record cannot be written: " in done.text
    runs = runs_by(study, "seed")
    assert runs.keys() == {0, 1, 3}
    assert runs[0].read().status is Status.INTERRUPTED, "nobody could write that it failed"
    assert runs[1].read().status is Status.INTERRUPTED
    assert runs[3].read().status is Status.COMPLETED
    complete = contents(runs[3].path)

    for make in writable:
        make()
    run.path.unlink()
    away.rename(run.path)
    done = shell(*command)
    assert done.code == 0, done.text
    for seed, run in runs_by(study, "seed").items():
        assert run.read().status is Status.COMPLETED
        assert [row["step"] for row in run.read_metrics()] == list(range(1, 31)), f"seed {seed}"
    assert contents(runs[3].path) == complete
