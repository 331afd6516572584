"""A checkpoint gives back what was saved; one that would take far more memory than it is long is ignored."""

import logging
import re
import resource
import zipfile
from pathlib import Path

import numpy as np
import pytest
import torch

from sweeps.checkpoint import load, put_back, save


class Kept:
    """Anything with a state."""

    def __init__(self, state=None):
        self.state = state

    def state_dict(self):
        return self.state

    def load_state_dict(self, state):
        self.state = state


def write(path, state):
    torch.save({"run_id": "a", "step": 1, "states": {"kept": state}, "random": {}}, path)


def nested(times):
    node = [0] * 10
    for _ in range(times):
        node = [node] * 10
    return node


BOMBS = {
    "one number, many times": lambda: {"state": {0: {"exp_avg": torch.zeros(1, dtype=torch.float64).expand(10**9)}}},
    "a tensor, many times": lambda: [one[:] for one in [torch.zeros(100_000)] * 2000],
    "a list, many times": lambda: nested(9),
}


@pytest.mark.parametrize("bomb", BOMBS.values(), ids=BOMBS.keys())
def test_a_checkpoint_that_would_grow_is_ignored(tmp_path, caplog, bomb):
    path = tmp_path / "checkpoint.pt"
    write(path, bomb())
    assert path.stat().st_size < 10**6
    before = resource.getrusage(resource.RUSAGE_SELF).ru_maxrss
    with caplog.at_level(logging.WARNING):
        assert load(path, "a") is None
    assert "cannot be used and is ignored" in caplog.text
    assert resource.getrusage(resource.RUSAGE_SELF).ru_maxrss - before < 200_000, "kilobytes"


def test_entries_that_share_their_bytes_are_no_checkpoint(tmp_path, caplog):
    path = tmp_path / "checkpoint.pt"
    write(path, {"a": torch.zeros(10_000)})
    with zipfile.ZipFile(path, "a") as archive:
        (first,) = [entry for entry in archive.infolist() if entry.filename.endswith("data/0")]
        for _ in range(3):
            archive.filelist.append(first)
        archive.writestr("checkpoint/more", b"")
    assert load(path, "a") is None
    assert "its content is longer than the file" in caplog.text


def test_states_that_share_or_repeat_memory_come_back(tmp_path):
    path, one = tmp_path / "checkpoint.pt", torch.arange(6.0)
    state = {"tied": [one] * 50, "part": one[2:4], "row": torch.ones(1).expand(1000), "array": np.arange(3)}
    save(path, "a", 3, {"kept": Kept(state)}, verify=True)
    found, kept = load(path, "a"), Kept(state)
    assert put_back(found["states"], {"kept": kept}) == ""
    assert all(torch.equal(again, one) for again in kept.state["tied"])
    assert torch.equal(kept.state["part"], one[2:4])
    assert torch.equal(kept.state["row"], torch.ones(1000))
    assert kept.state["array"].tolist() == [0, 1, 2]


def test_the_wrapper_of_a_generator_that_the_page_shows_works(tmp_path):
    page = Path(__file__).resolve().parents[1] / "docs" / "your-training-function.md"
    (block,) = re.findall(r"```python\n(class Randomness:.*?)```", page.read_text(encoding="utf-8"), re.DOTALL)
    found: dict = {}
    exec(block, found)
    rng = np.random.default_rng(3)
    rng.random(5)
    save(tmp_path / "checkpoint.pt", "a", 1, {"random": found["Randomness"](rng)}, verify=True)
    other = np.random.default_rng(4)
    states = load(tmp_path / "checkpoint.pt", "a")["states"]
    assert put_back(states, {"random": found["Randomness"](other)}) == ""
    assert other.random() == rng.random()
