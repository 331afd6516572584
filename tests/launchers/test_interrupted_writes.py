"""A process that ends at any step of any write leaves the old file or the new one, and the run resumes from there."""

import json
import os
import subprocess
import sys

import pytest

from .conftest import HERE, PATIENCE

pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(not hasattr(os, "fork"), reason="ends forks of a process"),
]

WHILE_WRITING = ("before opening", "before writing", "half way through", "before syncing")
RENAMED = (*WHILE_WRITING, "before naming", "after naming")


@pytest.fixture(scope="module")
def reports(tmp_path_factory):
    """What `crashing.py` found out, one report for each step of a run's writing."""
    command = [sys.executable, HERE / "crashing.py", tmp_path_factory.mktemp("crashing")]
    done = subprocess.run(command, capture_output=True, text=True, timeout=PATIENCE)
    assert done.returncode == 0, done.stderr
    return [json.loads(line) for line in done.stdout.splitlines()]


@pytest.mark.parametrize(
    ("file", "steps"),
    [
        ("run.json", RENAMED),
        ("checkpoint.pt", (*RENAMED, "before removing")),
        ("weights.safetensors", RENAMED),
        ("predictions.safetensors", RENAMED),
        ("metrics.jsonl", RENAMED),
        ("folder", ("before syncing",)),
    ],
)
def test_every_step_was_tried(reports, file, steps):
    tried = {report["step"] for report in reports}
    assert {f"{step} {file}" for step in steps} <= tried


def test_the_process_ended_at_each_of_them(reports):
    assert [report["number"] for report in reports] == list(range(1, len(reports) + 1))
    assert {report["exit_code"] for report in reports} == {42}


@pytest.mark.parametrize("when", ["damage", "damage_again"])
def test_what_is_left_is_the_old_or_the_new(reports, when):
    assert {report["step"]: report[when] for report in reports if report[when]} == {}


def test_the_run_resumes_and_ends_equal_to_an_undisturbed_one(reports):
    assert {report["step"]: report["code_of_the_rest"] for report in reports if report["code_of_the_rest"]} == {}
    different = {report["step"]: report["differences"] for report in reports if report["differences"]}
    assert different == {}
