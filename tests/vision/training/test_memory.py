"""A step holds what backpropagation needs, and little more."""

import json
import subprocess
import sys

import pytest

# Prints the peak memory of a process that trains two batches, and the bytes that autograd keeps for one of them.
STEPS = """\
import json, sys
import torch
from sweeps.record.processes import peak_rss
from sweeps.vision import models
from sweeps.vision.data import ImageSet
from sweeps.vision.task import train_epoch
from tests.vision.training.conftest import silent, training_of

batch = int(sys.argv[1])
torch.set_num_threads(2)
images = ImageSet(torch.zeros(2 * batch, 1, 28, 28, dtype=torch.uint8), torch.arange(2 * batch) % 10)
training = training_of(models.alexnet(image_size=224), images=images, size=224, batch_size=batch, lr=0.01)
weights = {parameter.untyped_storage().data_ptr() for parameter in training.network.parameters()}
kept = {}

def note(tensor):
    storage = tensor.untyped_storage()
    if storage.data_ptr() not in weights:
        kept[storage.data_ptr()] = storage.nbytes()
    return tensor

hooks = torch.autograd.graph.saved_tensors_hooks(note, lambda tensor: tensor)

def on_batch(name, epoch, done, count, totals):
    hooks.__enter__() if done == 1 else hooks.__exit__(None, None, None)

train_epoch(training, 1, on_batch)
print(json.dumps({"peak": peak_rss(), "kept": sum(kept.values())}))
"""


def measure(batch: int) -> dict[str, int]:
    done = subprocess.run([sys.executable, "-c", STEPS, str(batch)], capture_output=True, text=True, check=True)
    found: dict[str, int] = json.loads(done.stdout)
    return found


@pytest.mark.slow
def test_large_images_cost_what_backpropagation_keeps_of_them_and_at_most_a_fifth_more() -> None:
    small, large = measure(2), measure(128)  # two images of 224 pixels have as many as 128 of 28
    needed = small["peak"] + large["kept"] - small["kept"]
    assert large["kept"] > 10 * small["kept"] > 0
    assert large["peak"] <= 1.2 * needed, (small, large)
