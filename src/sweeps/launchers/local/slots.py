"""Where runs can go: slots of GPUs, or shares of the CPU."""

import os
import subprocess
from dataclasses import dataclass
from pathlib import Path

from sweeps.errors import ConfigError

MEMORY_PER_WORKER = 1 << 30  # bytes: torch itself, the images, a small network


@dataclass(frozen=True)
class Slot:
    """A place for one run at a time, by a name of its own; `environment` is set before its worker process starts."""

    name: str
    environment: dict[str, str]


def make_slots(
    *,
    jobs: int,
    device: str = "auto",
    workers: int | None = None,
    gpus: int | None = None,
    runs_per_gpu: int = 1,
    threads: int | None = None,
) -> list[Slot]:
    """The slots of this machine for a sweep of `jobs` runs; none for `workers=0`, which is this process.

    The number of threads follows from the machine and the whole sweep, not from what is left of it: on the CPU
    another number of threads changes the last bits of a result.
    """
    cores = available_cores()
    check_count("workers", workers, 0)
    check_count("gpus", gpus, 0)
    check_count("runs_per_gpu", runs_per_gpu, 1)
    check_count("threads", threads, 1)
    if threads is not None and threads > cores:
        raise ConfigError(f"hydra.launcher.threads={threads} is invalid: there are {cores} cores for this process")
    if workers == 0:
        return []
    chosen = _choose_gpus(device, gpus)
    names = chosen * runs_per_gpu  # every GPU has one run before two share one
    if names:
        if workers is not None and workers > len(names):
            raise ConfigError(
                f"hydra.launcher.workers={workers} is invalid: the GPUs have {len(names)} slots; "
                "hydra.launcher.runs_per_gpu makes more of them"
            )
        names = names[: jobs if workers is None else workers]
        share = str(threads or max(1, cores // len(names)))
        numbers = [f".{index // len(chosen)}" if runs_per_gpu > 1 else "" for index in range(len(names))]
        return [
            Slot(f"gpu {name}{number}", {"CUDA_VISIBLE_DEVICES": name, "OMP_NUM_THREADS": share})
            for name, number in zip(names, numbers, strict=True)
        ]
    count = min(cores, jobs) if workers is None else workers
    share = str(threads or max(1, cores // count))
    if workers is None:
        count = max(1, min(count, cores // int(share), available_memory() // MEMORY_PER_WORKER))
    hidden = {"CUDA_VISIBLE_DEVICES": ""} if device == "cpu" or gpus == 0 else {}
    return [Slot(f"cpu {number}", {"OMP_NUM_THREADS": share, **hidden}) for number in range(count)]


def check_count(key: str, value: int | None, least: int) -> None:
    """Refuse an option, of the launcher where its key says no more, that is too small; None leaves the choice to us."""
    if value is not None and value < least:
        option = key if "." in key else f"hydra.launcher.{key}"
        raise ConfigError(f"{option}={value} is invalid: at least {least}, or null")


def available_cores() -> int:
    """The cores that this process may use, which a batch system or a container may have cut."""
    cores = len(os.sched_getaffinity(0)) if hasattr(os, "sched_getaffinity") else os.cpu_count() or 1
    return min(cores, _given_by_slurm("SLURM_CPUS_ON_NODE") or cores)  # not every cluster binds a job to its cores


def available_memory() -> int:
    """Bytes that new processes may use; plenty where the system does not say."""
    given = (_given_by_slurm("SLURM_MEM_PER_NODE") or 1 << 30) << 20  # in MiB
    try:
        lines = Path("/proc/meminfo").read_text(encoding="ascii").splitlines()
    except OSError:
        return given
    free = next((int(line.split()[1]) * 1024 for line in lines if line.startswith("MemAvailable")), given)
    return min(free, given)


def visible_gpus() -> list[str]:
    """What CUDA_VISIBLE_DEVICES may say of the GPUs that this process was given: indices or identifiers.

    Asks the driver's own tool, since asking torch would cost the parent process seconds and a gigabyte. A job of Slurm
    that was given none may still see those of others there.
    """
    given = os.environ.get("CUDA_VISIBLE_DEVICES")
    if given is not None:
        return [name.strip() for name in given.split(",") if name.strip() not in ("", "-1", "NoDevFiles")]
    if "SLURM_JOB_ID" in os.environ and _slurm_manages_gpus():
        return []
    return _output("nvidia-smi", "--query-gpu=index", "--format=csv,noheader").split()


def _given_by_slurm(key: str) -> int | None:
    """How much of something the Slurm job that this process belongs to was given on this node, if it says so."""
    value = os.environ.get(key, "") if "SLURM_JOB_ID" in os.environ else ""
    return int(value) if value.isdigit() and value != "0" else None


def _slurm_manages_gpus() -> bool:
    """Whether this node's GPUs are Slurm's to give, so that a job that was told of none has none."""
    node = os.environ.get("SLURMD_NODENAME", "")
    return " Gres=gpu" in _output("scontrol", "--oneliner", "show", "node", node)


def _output(*command: str) -> str:
    """What a program prints; nothing where it is missing, fails or does not answer."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, timeout=30)
    except (OSError, subprocess.TimeoutExpired):
        return ""
    return done.stdout if done.returncode == 0 else ""


def _choose_gpus(device: str, gpus: int | None) -> list[str]:
    kind, _, index = device.partition(":")
    visible = visible_gpus() if kind in ("auto", "cuda") and gpus != 0 else []
    if gpus is not None and gpus > len(visible):
        raise ConfigError(f"hydra.launcher.gpus={gpus} is invalid: {len(visible)} are visible to this process")
    if index.isdigit() and visible:
        if int(index) >= len(visible):
            raise ConfigError(f"device={device}: there is no such CUDA device; {len(visible)} are visible")
        return [visible[int(index)]]
    return visible[:gpus]
