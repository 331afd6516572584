"""docs/reliability.md says what was counted, and what was not; how the driver tells two sweeps apart."""

import json
import shutil
from pathlib import Path

import pytest

from sweeps.record.records import RunDir, Status

from .conftest import chaos

DOCS = Path(__file__).resolve().parents[2] / "docs"
ONE = {
    "kills": {"SIGKILL": {"in training": 1200, "start-up": 30}, "disk full": {"at the end": 4}},
    "placed": {"in the parent": 1234},
    "starts": 1300,
    "sweeps": 40,
    "runs": 240,
    "attempts": 1400,
    "faults": [],
    "seconds": 3000.0,
}
PACKAGES = {"torch": "2.14", "hydra-core": "1.3.8", "omegaconf": "2.3"}
MADE = {"commit": "0123456789ab", "python": "3.11.7", "packages": PACKAGES}
FOUND = {**MADE, "modes": {"grid": ONE}}
FUZZED = {
    **MADE,
    "command": "scripts/fuzz.py --seconds 3600 --seed 1",
    "seconds": 3600,
    "inputs": 10000,
    "targets": {"records": {"inputs": 9000, "seconds": 3000.0}, "overrides": {"inputs": 1000, "seconds": 600.0}},
    "findings": [{"signature": "records: a traceback", "input": "x"}],
}


def test_the_committed_page_is_that_of_the_committed_counts():
    read = chaos.page.read
    page = chaos.page.page(read(DOCS / "reliability.json"), read(DOCS / "fuzz.json"))
    assert page == (DOCS / "reliability.md").read_text(), "scripts/chaos.py --kills 0 --json docs/reliability.json"


def test_the_page_tells_what_was_counted_and_how_to_count_the_rest():
    text = chaos.page.page({}, {})
    assert text.count("Not counted yet: `scripts/") == 2
    text = chaos.page.page(FOUND, FUZZED)
    assert "1,234 kills in 1,300 starts of 40 sweeps, whose 240 runs were started 1,400 times; no differences" in text
    assert "| SIGKILL | 1230 | 1230 |" in text
    assert "30 start-up, 1200 in training, 0 between runs, 4 at the end" in text
    assert "10,000 inputs to 2 targets in 60 minutes of the processor; findings: 1" in text
    assert "* records: a traceback" in text


def test_what_differed_stands_on_the_page():
    found = FOUND | {"modes": {"grid": ONE | {"faults": ["1-grid-0: lr=0.1: other weights"]}}}
    text = chaos.page.page(found, {})
    assert "1 difference" in text
    assert "* 1-grid-0: lr=0.1: other weights" in text


def test_counts_of_several_invocations_add_up_and_those_of_another_commit_do_not(tmp_path):
    file = tmp_path / "reliability.json"
    chaos.page.add(file, "grid", ONE)
    chaos.page.add(file, "grid", ONE)
    found = chaos.page.add(file, "halving", ONE | {"faults": ["one"]})
    assert found == chaos.page.read(file)
    assert found["commit"] == chaos.page.commit()
    assert found["modes"]["grid"]["kills"]["SIGKILL"] == {"in training": 2400, "start-up": 60}
    assert found["modes"]["halving"]["faults"] == ["one"]
    file.write_text(json.dumps(FOUND))
    with pytest.raises(ValueError, match="counts kills of commit 0123456789ab"):
        chaos.page.add(file, "grid", ONE)


def test_a_difference_is_seen(tmp_path, run_into):
    """A driver that never finds anything has to show that it could."""
    for place in ("one", "two"):
        for seed in (0, 1):
            run_into(RunDir(tmp_path / place / f"seed={seed}"), f"seed={seed}", "trainer.epochs=2")
    one, two = tmp_path / "one", tmp_path / "two"
    assert chaos.compare(one, two) == []

    run = RunDir(one / "seed=0")
    kept = shutil.copytree(one, tmp_path / "kept")

    def seen():
        found = chaos.compare(one, two)
        shutil.rmtree(one)
        shutil.copytree(kept, one)
        return found

    shutil.copy(two / "seed=1" / "weights.safetensors", run.path)
    assert seen() == ["seed=0: other weights"]
    shutil.copy(two / "seed=1" / "predictions.safetensors", run.path)
    assert seen() == ["seed=0: other predictions"]
    rows = run.read_metrics()
    run.write_metrics([rows[0], rows[1] | {"test_loss": 0.0}])
    assert seen() == ["seed=0: other metrics"]
    run.append_metrics(rows[1])
    assert seen()[0] == "seed=0: metrics of the steps [1, 2, 2]"
    record = run.read()
    record.status = Status.RUNNING
    run.write(record)
    assert "seed=0: running: None" in seen()
    (one / "seed=1" / ".run.json.1-2.tmp").touch()
    assert "seed=1/.run.json.1-2.tmp is left over" in seen()
    run.checkpoint.touch()
    assert "seed=0: its checkpoint is left over" in seen()
    shutil.rmtree(run.path)
    assert seen() == ["runs: ['seed=1'] instead of ['seed=0', 'seed=1']"]
