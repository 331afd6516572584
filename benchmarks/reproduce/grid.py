"""The book's grid as an ordinary sweep of this project, in a process of its own. Never imports torch."""

import os
import signal
import subprocess
import sys
import time
from collections.abc import Sequence
from pathlib import Path
from types import FrameType

import sweeps
from benchmarks.reproduce.published import published
from benchmarks.reproduce.results import network_of
from sweeps.errors import ConfigError, RecordError
from sweeps.launchers.local.slots import available_cores, visible_gpus
from sweeps.record.records import RunRecord, Status, find_runs

BN_REESTIMATE = 50  # batches; does nothing to a network without BatchNorm
TABLE_RUNS = 21  # 7 networks x 3 seeds

# Which device a name means; torch, which it takes, is seconds and a gigabyte that this process does without.
_PROBE = """\
import sys
from sweeps.vision.devices import choose_device, describe_device
print(describe_device(choose_device(sys.argv[1])))
"""

_SIGNALS = [getattr(signal, name) for name in ("SIGINT", "SIGTERM", "SIGHUP") if hasattr(signal, name)]


def arguments(
    models: Sequence[str], seeds: Sequence[int], epochs: int, *, device: str, sweep: str, output: str
) -> list[str]:
    """What follows `python -m sweeps` for this part of the grid.

    The number of threads depends on the machine and not on the part, so that parts go together.
    """
    words = [
        "-m",
        f"model={','.join(models)}",
        f"seed={','.join(str(seed) for seed in seeds)}",
        f"trainer.epochs={epochs}",
        f"trainer.bn_reestimate={BN_REESTIMATE}",
        "trainer.save_weights=false",
        f"device={device}",
        f"sweep={sweep}",
        f"output={_quoted(output)}",
    ]
    if device == "cpu" or (device == "auto" and not visible_gpus()):
        words.append(f"hydra.launcher.threads={max(1, available_cores() // TABLE_RUNS)}")
    return words


class Sweep:
    """A sweep under way. Every signal that this process gets is passed on to it as Ctrl-C.

    The first one lets the runs under way finish their epoch and write a checkpoint, the second one ends them.
    """

    def __init__(self, words: Sequence[str], folder: Path) -> None:
        self.was_asked = False  # by a signal
        self.ran_out = False  # of time
        self._command = [sys.executable, "-m", "sweeps", *words]
        self._folder = folder
        self._process: subprocess.Popen[bytes] | None = None

    def run(self, time_limit: float | None, grace: float) -> int:
        """Do it in `folder`; returns its exit code.

        After `time_limit` seconds it is asked to stop, `grace` seconds later told to, and after as long again killed.
        """
        steps = [] if time_limit is None else [time_limit, time_limit + grace, time_limit + 2 * grace]
        began = time.monotonic()
        heard = _SIGNALS if signal.getsignal(_SIGNALS[-1]) is not signal.SIG_IGN else _SIGNALS[:-1]  # after nohup
        before = {number: signal.signal(number, self._pass_on) for number in heard}
        try:
            # In a group of its own: Ctrl-C in a terminal would reach it twice otherwise.
            self._process = subprocess.Popen(self._command, cwd=self._folder, env=_environment(), process_group=0)
            if self.was_asked:
                self._process.send_signal(signal.SIGINT)
            for number, step in enumerate(steps):
                try:
                    return self._process.wait(max(0.0, began + step - time.monotonic()))
                except subprocess.TimeoutExpired:
                    self.ran_out = True
                    self._process.send_signal(signal.SIGINT) if number < 2 else self._process.kill()
            return self._process.wait()
        finally:
            for number, handler in before.items():
                signal.signal(number, handler)

    def _pass_on(self, number: int, frame: FrameType | None) -> None:
        self.was_asked = True
        if self._process is not None:
            self._process.send_signal(signal.SIGINT)


def finished_runs(folder: Path) -> list[RunRecord]:
    """The finished runs of the book's networks in a sweep's folder; none where there is no folder."""
    done = (Status.COMPLETED, Status.DIVERGED)
    records = _records(folder, complain=True)
    return [record for record in records if record.status in done and network_of(record) in published()]


def refuse_other_device(folder: Path, name: str, device: str) -> None:
    """See that no run in `folder` was measured on another device than the one that `device` means here.

    A sweep skips what is finished and goes on with what is not, wherever that was begun.

    Raises:
        ConfigError: one was.
    """
    there = {_without_threads(str(record.environment.get("device") or "")) for record in _records(folder)} - {""}
    if not there:
        return
    done = subprocess.run([sys.executable, "-c", _PROBE, device], env=_environment(), capture_output=True, text=True)
    here = _without_threads(done.stdout.strip())
    if done.returncode == 0 and there - {here}:
        raise ConfigError(
            f"{folder} holds runs measured on {', '.join(sorted(there - {here}))}, and this is {here}: they must not "
            f"mix. Name another sweep, such as --sweep {name}_2; all of them go into the same results"
        )


def _without_threads(device: str) -> str:
    return device.rpartition(", ")[0] or device


def _records(folder: Path, *, complain: bool = False) -> list[RunRecord]:
    records = []
    for run in find_runs(folder) if folder.is_dir() else ():
        try:
            records.append(run.read())
        except RecordError as error:
            if complain:
                print(f"reproduce: left out: {error}", file=sys.stderr)
    return records


def _environment() -> dict[str, str]:
    """The sweep runs the same code as this process, installed or not."""
    source = str(Path(sweeps.__file__).resolve().parents[1])
    paths = [source, *filter(None, [os.environ.get("PYTHONPATH")])]
    return {**os.environ, "PYTHONPATH": os.pathsep.join(paths)}


def _quoted(text: str) -> str:
    """`text` as a value of Hydra's command line."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'")
    return text if text.replace("_", "").replace("-", "").isalnum() else f"'{escaped}'"
