"""Which device a run uses."""

import gc
import platform
import time

import torch

from sweeps.errors import ConfigError
from sweeps.record.processes import peak_rss, reset_peak_rss
from sweeps.record.provenance import processor


def choose_device(name: str) -> torch.device:
    """The device that `device=name` means; `auto` is CUDA where there is one, then mps, else the CPU.

    Raises:
        ConfigError: there is no such device here.
    """
    if name == "auto":
        name = "cuda" if torch.cuda.is_available() else "mps" if torch.backends.mps.is_available() else "cpu"
    try:
        device = torch.device(name)
    except RuntimeError as error:
        raise ConfigError(f"device={name} is refused: known are auto, cpu, cuda, cuda:1, mps") from error
    if device.type == "cuda":
        count = torch.cuda.device_count() if torch.cuda.is_available() else 0
        if count == 0:
            raise ConfigError(f"device={name}: torch sees no CUDA device here; use device=auto or device=cpu")
        if device.index is not None and device.index >= count:
            known = ", ".join(f"cuda:{index}" for index in range(count))
            raise ConfigError(f"device={name}: there is no such CUDA device; here are {known}")
    elif device.type == "mps" and not torch.backends.mps.is_available():
        raise ConfigError(f"device={name}: torch sees no Apple GPU here; use device=auto or device=cpu")
    elif device.type not in ("cpu", "mps"):
        raise ConfigError(f"device={name} is refused: known are auto, cpu, cuda, cuda:1, mps")
    return device


def describe_device(device: torch.device) -> str:
    """The device's name in words, such as `NVIDIA H100 80GB HBM3` or a processor's."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return f"Apple GPU, {platform.processor()}"
    return f"{processor()}, {torch.get_num_threads()} threads"


def peak_memory(device: torch.device) -> int:
    """The most memory held so far, in bytes: of the device where that is CUDA, else of the process."""
    return torch.cuda.max_memory_allocated(device) if device.type == "cuda" else peak_rss()


def release_memory(device: torch.device) -> None:
    """Give back what earlier runs of this process hold on a CUDA device: recorded graphs sit in reference cycles."""
    if device.type == "cuda":
        gc.collect()
        torch.cuda.empty_cache()


def reset_peak_memory(device: torch.device) -> None:
    """Forget the peak so far, where the system can."""
    if device.type == "cuda":
        torch.cuda.reset_peak_memory_stats(device)
    else:
        reset_peak_rss()


def now(device: torch.device) -> float:
    """The clock, in seconds, after the device has done all that was asked of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
    return time.perf_counter()
