"""Which device a run uses."""

import platform
import time

import torch

from sweeps import ConfigError


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
        raise ConfigError(f"device={name} is unknown: it is one of auto, cpu, cuda, cuda:1, mps") from error
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
        raise ConfigError(f"device={name} is unknown: it is one of auto, cpu, cuda, cuda:1, mps")
    return device


def describe_device(device: torch.device) -> str:
    """The device's name in words, such as `NVIDIA H100 80GB HBM3` or a processor's."""
    if device.type == "cuda":
        return torch.cuda.get_device_name(device)
    if device.type == "mps":
        return f"Apple GPU, {platform.processor()}"
    threads = torch.get_num_threads()
    return f"CPU, {threads} thread{'s' * (threads > 1)}"


def now(device: torch.device) -> float:
    """The clock, in seconds, after the device has done all that was asked of it."""
    if device.type == "cuda":
        torch.cuda.synchronize(device)
    elif device.type == "mps":
        torch.mps.synchronize()
    return time.perf_counter()
