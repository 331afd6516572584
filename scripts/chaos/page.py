"""docs/reliability.md, from the counts of `scripts/chaos.py` and `scripts/fuzz.py`."""

from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import Any

from sweeps.record.files import atomic_write

from . import tally
from .witness import PHASES

PROMISED = """
* However and whenever a process ends: repeating the command until it exits with 0 gives the same result as if nothing
  had happened. On the CPU that holds to the last bit of weights, predictions, metrics and records.
* Completed runs are not repeated, and their records are not written again. No run is lost, and none runs twice. An
  interrupted run resumes from its last checkpoint: at most the work since the last report is lost.
* A file holds its old content or its new one, never a part. No temporary file, lock or process is left behind.
* A full disk fails the run that was writing. Once there is space, the same command resumes it.
* A search ends with the number of trials that was asked for. With one worker, and while no run fails, it chooses the
  same trials.
"""
COMPARED = """
A driver starts small sweeps (6 runs of a LeNet with dropout, flips and crops; with `--app regression`, of the script in
`examples/regression`) and disturbs each a few dozen times: most often just after something was written, sometimes while
the command starts or when a run has just ended. It then repeats the command until it exits with 0, and compares the
sweep with an undisturbed one: weights, predictions, confusion matrices, `metrics.jsonl` and `run.json` (without times,
processes and the number of attempts), the list of files, the trials of a search. It looks for leftover files and
processes, and for completed records that were written again.
"""
NOT_PROMISED = """
* Equal bits on a GPU, with another number of threads, or on another machine.
* Equal trials where a search runs several at a time: which one ends first is chance. There the trials are counted.
* Protection from disks that report `fsync` as done when it is not. Power cuts were not tried, only ends of processes.
* Anything about a sweep's folder that another program changes while the sweep runs.
"""


def write(json: Path) -> Path:
    """Write the page beside the counts; those of the fuzzer are beside them, too. Returns where."""
    text = page(tally.read(json), tally.read(json.with_name("fuzz.json")))
    atomic_write(json.with_suffix(".md"), text.encode())
    return json.with_suffix(".md")


def page(killed: Mapping[str, Any], fuzzed: Mapping[str, Any]) -> str:
    """The page; what was not measured says how to."""
    parts = [
        "# Reliability",
        "Made by `scripts/chaos.py --kills 0 --json docs/reliability.json` from the counts in that file and in "
        "docs/fuzz.json; do not edit.",
        "## What is promised",
        PROMISED.strip(),
        "## How it was tested",
        "### Kills",
        COMPARED.strip(),
        *_kills(killed),
        "### Damaged and hostile input",
        *_fuzz(fuzzed),
        "## What is not promised",
        NOT_PROMISED.strip(),
    ]
    return "\n\n".join(parts) + "\n"


def _kills(found: Mapping[str, Any]) -> Iterator[str]:
    if not found:
        yield "Not counted yet: `scripts/chaos.py --kills 1000 --json docs/reliability.json`, an hour on two cores."
        return
    yield (
        f"**{summary(found['modes'])}** (commit {found['commit']}, {_versions(found)}). Repeat it with "
        "`scripts/chaos.py --kills 1000 --seed 1 --json FILE`; the test suite does 25."
    )
    yield tables(found["modes"])
    faults = [text for one in found["modes"].values() for text in one["faults"]]
    if faults:
        yield "Findings:"
        yield "\n".join(f"* {text}" for text in faults)
    if note := found.get("note"):  # by hand: what has become of it
        yield str(note)


def summary(modes: Mapping[str, Any]) -> str:
    """All counts in one line."""
    kills = sum(_by_phase(modes).values())
    starts, sweeps, runs, attempts = (
        sum(one[key] for one in modes.values()) for key in ("starts", "sweeps", "runs", "attempts")
    )
    faults = sum(len(one["faults"]) for one in modes.values())
    return (
        f"{kills:,} kills in {starts:,} starts of {sweeps:,} sweeps, whose {runs:,} runs were started {attempts:,} "
        f"times; {faults or 'no'} difference{'s' * (faults != 1)}"
    )


def tables(modes: Mapping[str, Any]) -> str:
    """Kills by kind and mode, and by the moment."""
    kinds = sorted({kind for one in modes.values() for kind in one["kills"]})
    rows = [[kind, *(sum(one["kills"].get(kind, {}).values()) for one in modes.values())] for kind in kinds]
    rows = [[*row, sum(row[1:])] for row in rows]
    rows.append(["all", *(sum(column) for column in list(zip(*rows, strict=True))[1:])])
    phases = _by_phase(modes)
    placed = Counter[str]()
    for one in modes.values():
        placed.update(one["placed"])
    return "\n\n".join(
        [
            _table(["kills", *modes, "all"], rows),
            "By moment, judged from what was on the disk: "
            + ", ".join(f"{phases[phase]} {phase}" for phase in PHASES)
            + ". Runs in worker processes: "
            + f"{placed['in workers']} kills; in the process of the command (`hydra.launcher.workers=0`): "
            + f"{placed['in the parent']}.",
        ]
    )


def _by_phase(modes: Mapping[str, Any]) -> Counter[str]:
    found = Counter[str]()
    for one in modes.values():
        for phases in one["kills"].values():
            found.update(phases)
    return found


def _table(head: Sequence[Any], rows: Sequence[Sequence[Any]]) -> str:
    lines = [head, ["---", *["---:"] * (len(head) - 1)], *rows]
    return "\n".join(f"| {' | '.join(str(value or '') for value in line)} |" for line in lines)


def _fuzz(found: Mapping[str, Any]) -> Iterator[str]:
    promise = (
        "Every reader of a run's folder, and every parser of what a user types, is given damaged, huge and hostile "
        "input. It answers with one sentence: no traceback, no hang, no code executed, no file written elsewhere."
    )
    if not found:
        yield f"{promise} Not counted yet: `scripts/fuzz.py --help`."
        return
    targets, findings = found["targets"], found["findings"]
    yield (
        f"{promise} **{found['inputs']:,} inputs to {len(targets)} targets in {found['seconds'] / 60:,.0f} minutes of "
        f"the processor; findings: {len(findings) or 'none'}** (commit {found['commit'][:12]}, {_versions(found)}). "
        f"Repeat it with `{found['command']} --json FILE`."
    )
    rows = [[name, f"{one['inputs']:,}", round(one["seconds"])] for name, one in sorted(targets.items())]
    yield _table(["target", "inputs", "seconds"], rows)
    if findings:
        yield "\n".join(["Findings:", "", *(f"* {one['signature']}" for one in findings)])


def _versions(found: Mapping[str, Any]) -> str:
    """Of Python, torch and Hydra."""
    packages = found["packages"]
    return ", ".join([f"Python {found['python']}", *(f"{name} {packages[name]}" for name in tally.PACKAGES)])
