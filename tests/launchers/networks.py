"""Networks that misbehave, for sweeps with SWEEPS_ALLOW_TARGETS=networks: the product has no hooks for tests.

What a test wants beyond a run's settings comes from the environment, so that it changes no run's identity:
FAULTS_ONCE names a folder in which a fault leaves its mark, and then does not happen again; TRACES one in which every
process notes what it does.
"""

import ctypes
import os
import signal
import sys
import time
from pathlib import Path

import torch
from torch import nn

from sweeps.errors import ConfigError, DataError
from sweeps.vision.models import lenet_bn


def _raise(error):
    raise error


FAULTS = {
    "none": lambda: None,
    "diverge": lambda: None,
    "exception": lambda: _raise(ArithmeticError("the network has had enough")),
    "exit": lambda: os._exit(7),
    "sys_exit": lambda: sys.exit(0),
    "oom": lambda: _raise(torch.OutOfMemoryError("tried to allocate more than there is")),
    "kill": lambda: os.kill(os.getpid(), signal.SIGKILL),
    "segfault": lambda: ctypes.string_at(0),
    "hang": lambda: time.sleep(10_000),
    "config": lambda: _raise(ConfigError("this cannot work; choose something else")),
    "data": lambda: _raise(DataError("the images are gone; download them again")),
}


class Faulty(nn.Module):
    """Does what it should for `after` training batches, then what it should not."""

    def __init__(self, network, fault, after):
        super().__init__()
        self.network = network
        self._fault = fault
        self._after = after
        self._batches = 0

    def forward(self, images):
        if images.is_meta:  # the check before the sweep, with which nothing is wrong
            return self.network(images)
        trace(f"{self._fault} {'train' if self.training else 'evaluate'}")
        if self.training:
            self._batches += 1
            if self._batches > self._after and is_due(self._fault):
                FAULTS[self._fault]()
        logits = self.network(images)
        return logits * float("nan") if self._fault == "diverge" else logits


def faulty(*, fault, after=0, **options):
    """LeNet with a fault, one of FAULTS, that shows after so many training batches of one process."""
    assert fault in FAULTS
    return Faulty(lenet_bn(**options), fault, after)


def refused(*, bad=False, **options):
    """LeNet, or a network that cannot be built."""
    if bad:
        raise ConfigError("this network cannot be built; choose +model.bad=false")
    return lenet_bn(**options)


def is_due(fault):
    """Whether a fault happens: always, or once where FAULTS_ONCE is set."""
    folder = os.environ.get("FAULTS_ONCE")
    if folder is None:
        return True
    try:
        (Path(folder) / fault).touch(exist_ok=False)
    except FileExistsError:
        return False
    return True


def trace(what):
    """Note what this process does, where and when, for whoever set TRACES."""
    folder = os.environ.get("TRACES")
    if folder is None:
        return
    gpu, threads = os.environ.get("CUDA_VISIBLE_DEVICES"), os.environ.get("OMP_NUM_THREADS")
    with (Path(folder) / f"{os.getpid()}.txt").open("a") as file:
        file.write(f"{time.monotonic_ns()} {gpu} {threads} {torch.get_num_threads()} {what}\n")
