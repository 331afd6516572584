"""What the script beside this file imports, as a user's script imports its own modules."""

import os
import sys
import time
from pathlib import Path

import torch


def batch(step):
    """Points of a line, the same for every run."""
    inputs = torch.randn(32, 3, generator=torch.Generator().manual_seed(step))
    return inputs, inputs.sum(dim=1, keepdim=True)


def fail(fault):
    """What a test wants to go wrong; once where FAULTS_ONCE names a folder, in which it leaves its mark."""
    folder = os.environ.get("FAULTS_ONCE")
    if folder is not None:
        try:
            Path(folder, fault).touch(exist_ok=False)
        except FileExistsError:
            return
    if fault == "exception":
        raise ArithmeticError("the model has had enough")
    if fault == "exit":
        sys.exit(3)
    if fault == "hang":
        time.sleep(10_000)
