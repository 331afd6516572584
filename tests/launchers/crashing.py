"""Does one small run again and again, and ends its process at another step of its writing each time.

    python crashing.py FOLDER

Prints a line of JSON for every step: which one it was, and what was wrong with what it left behind. A run is done in a
fork of this process, so that torch is loaded once.
"""

import json
import os
import random
import sys
from pathlib import Path

import hydra
import torch
from hydra import initialize_config_dir
from safetensors.torch import load_file

from sweeps import task
from sweeps.launchers.folders import hydra_config
from sweeps.launchers.job import without_hydra
from sweeps.progress import Progress
from sweeps.record.provenance import code_state, folder_of_code
from sweeps.record.records import RunDir, RunRecord, Status
from sweeps.record.resolved import resolve
from sweeps.vision.build import check_parts, load
from sweeps.vision.config import conf_dir, plain, register_schema
from sweeps.vision.outputs import PREDICTIONS, WEIGHTS
from sweeps.vision.task import train

CRASHED = 42
OVERRIDES = (
    "dataset=fashion_mnist_mini",
    "dataset.limit=20",
    "dataset.test_limit=10",
    "trainer.batch_size=10",
    "trainer.epochs=2",
    "trainer.threads=1",
    "optim.momentum=0.9",
    "sweep/tracker=none",
    "device=cpu",
    "sweep.name=crash",
)


class Tripwire:
    """Ends the process at the step with this number; the last step that it passed is in a file."""

    def __init__(self, number, trace):
        self._left = number
        self._trace = trace

    def step(self, what, path):
        """Pass a step, or end here."""
        self._left -= 1
        if self._left == 0:
            self._trace.write_text(f"{what} {real_name(path)}")
            os._exit(CRASHED)

    def install(self):
        """Watch every write of this process."""
        opening, replacing, unlinking, syncing = Path.open, Path.replace, Path.unlink, os.fsync
        tripwire = self

        def watched_open(path, mode="r", *arguments, **options):
            if mode not in ("wb", "a"):
                return opening(path, mode, *arguments, **options)
            tripwire.step("before opening", path)
            return Watched(opening(path, mode, *arguments, **options), path, tripwire)

        def watched_replace(path, target):
            tripwire.step("before naming", path)
            result = replacing(path, target)
            tripwire.step("after naming", path)
            return result

        def watched_unlink(path, *arguments, **options):
            if path.exists():
                tripwire.step("before removing", path)
            unlinking(path, *arguments, **options)

        def watched_sync(descriptor):
            tripwire.step("before syncing", Path(f"/proc/self/fd/{descriptor}").readlink())
            syncing(descriptor)

        Path.open, Path.replace, Path.unlink, os.fsync = watched_open, watched_replace, watched_unlink, watched_sync


class Watched:
    """A file whose writes are steps: before, and with the first half on the disk."""

    def __init__(self, file, path, tripwire):
        self._file, self._path, self._tripwire = file, path, tripwire

    def __enter__(self):
        return self

    def __exit__(self, *error):
        self._file.close()

    def __getattr__(self, name):
        return getattr(self._file, name)

    def write(self, data):
        self._tripwire.step("before writing", self._path)
        half = len(data) // 2
        self._file.write(data[:half])
        self._file.flush()
        self._tripwire.step("half way through", self._path)
        self._file.write(data[half:])


def real_name(path):
    """`run.json` for `.run.json.123-abcd.tmp`; `folder` for the run's own."""
    if not path.suffix:
        return "folder"
    return ".".join(path.name.split(".")[1:3]) if path.name.startswith(".") else path.name


def in_a_fork(work):
    """Do something in a copy of this process; gives its exit code."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            work()
            code = 0
        finally:
            sys.stderr.flush()
            os._exit(code)
    return os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])


def do(config, folder, number=0, trace=None):
    """The run, until the end or the step with this number."""
    if number:
        Tripwire(number, trace).install()
    own, sweep = without_hydra(config), folder.path.parent
    with hydra_config(config.copy(), folder.path):
        found = resolve(own, (folder.path, sweep))
        task.do_run(train, own, folder, found, sweep, None, Progress())


def damage(folder):
    """What is wrong with a run that was cut off; nothing, if every file is an old one or a new one."""
    if not folder.record.exists():
        left = [path.name for path in folder.path.glob("*") if not path.name.startswith(".")]
        return [f"no record, but {left}"] if left else []
    record = RunRecord.from_json(folder.record.read_text(), folder.record)
    rows = folder.read_metrics()
    found = []
    if [row["step"] for row in rows] != list(range(1, len(rows) + 1)):
        found.append(f"metrics of {[row['step'] for row in rows]}")
    if folder.checkpoint.exists():
        state = torch.load(folder.checkpoint, weights_only=True)
        if state["run_id"] != record.run_id or state["step"] > len(rows):
            found.append(f"a checkpoint after step {state['step']} with {len(rows)} rows of metrics")
    for name in (WEIGHTS, PREDICTIONS):
        if (folder.path / name).exists() and not load_file(folder.path / name):
            found.append(f"nothing in {name}")
    status = folder.read().status
    if status not in (Status.INTERRUPTED, Status.COMPLETED):
        found.append(f"the state {status}")
    if status is Status.COMPLETED and not ((folder.path / WEIGHTS).exists() and len(rows) == record.steps == 2):
        found.append("completed, and yet not")
    return found


def differences(folder, other):
    """In what two completed runs differ."""
    untimed = ("elapsed", "examples_per_second")
    rows, others = (
        [{key: value for key, value in row.items() if key not in untimed} for row in each.read_metrics()]
        for each in (folder, other)
    )
    found = [] if rows == others else [f"metrics {rows} instead of {others}"]
    for name in (WEIGHTS, PREDICTIONS):
        if (folder.path / name).read_bytes() != (other.path / name).read_bytes():
            found.append(name)
    if folder.read().status is not Status.COMPLETED:
        found.append(f"the state {folder.read().status}")
    left = {path.name for path in folder.path.iterdir()} - {path.name for path in other.path.iterdir()}
    return found + [f"left behind: {name}" for name in sorted(left)]


def main():
    torch.set_num_threads(1)
    root, dice = Path(sys.argv[1]), random.Random(0)
    register_schema()
    with initialize_config_dir(str(conf_dir()), version_base="1.3"):
        config = hydra.compose("config", overrides=list(OVERRIDES), return_hydra_config=True)
    settings = plain(without_hydra(config))
    load(settings)  # once for all forks, as what they would import
    check_parts(settings)
    code_state(folder_of_code(train))
    reference = RunDir(root / "reference")
    assert in_a_fork(lambda: do(config, reference)) == 0
    for number in range(1, 10_000):
        folder, trace = RunDir(root / str(number)), root / "trace.txt"
        code = in_a_fork(lambda folder=folder, trace=trace, number=number: do(config, folder, number, trace))
        if code == 0:
            return  # there are no more steps
        report = {"number": number, "step": trace.read_text(), "exit_code": code, "damage": damage(folder)}
        again = dice.randint(1, 30)  # and once more, somewhere in what is left
        in_a_fork(lambda folder=folder, trace=trace, again=again: do(config, folder, again, trace))
        report["damage_again"] = damage(folder)
        report["code_of_the_rest"] = in_a_fork(lambda folder=folder: do(config, folder))
        report["differences"] = differences(folder, reference)
        print(json.dumps(report), flush=True)


if __name__ == "__main__":
    main()
