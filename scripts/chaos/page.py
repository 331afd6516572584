"""The counts of `scripts/chaos.py`, over many invocations in one file, and their part of docs/reliability.md."""

import fcntl
import json
import platform
import subprocess
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from importlib import metadata
from pathlib import Path
from typing import Any

from sweeps.record.files import atomic_write, to_json

from .witness import PHASES

ROOT = Path(__file__).resolve().parents[2]
PAGE = ROOT / "docs" / "reliability.md"
PRODUCT = ("src", "conf")
PACKAGES = ("torch", "hydra-core", "omegaconf")


def commit() -> str:
    """The last commit that changed what is tested, with a + where something is not committed."""

    def git(*arguments: str) -> str:
        return subprocess.run(["git", "-C", str(ROOT), *arguments], capture_output=True, text=True, check=False).stdout

    changed = git("status", "--porcelain", "--", *PRODUCT).strip()
    return git("log", "-1", "--format=%h", "--abbrev=12", "--", *PRODUCT).strip() + ("+" if changed else "")


def read(path: Path) -> dict[str, Any]:
    """What was counted so far; nothing where there is no such file."""
    return json.loads(path.read_text()) if path.exists() else {}


def add(path: Path, mode: str, one: Mapping[str, Any]) -> dict[str, Any]:
    """Add the counts of one sweep, or of several, to those of its mode; returns all of them.

    Raises:
        ValueError: the file counts kills of another commit.
    """
    with _locked(path):
        versions = {name: metadata.version(name) for name in PACKAGES}
        new = {"commit": commit(), "python": platform.python_version(), "packages": versions, "modes": {}}
        found = read(path) or new
        check(path, found)
        found["modes"] = plus(found["modes"], {mode: one})
        atomic_write(path, (to_json(found, indent=1) + "\n").encode())
    return found


def check(path: Path, found: Mapping[str, Any]) -> None:
    """Counts of two commits do not add up.

    Raises:
        ValueError: the file counts kills of another commit.
    """
    if found and found["commit"] != commit():
        raise ValueError(f"{path} counts kills of commit {found['commit']}, and this is {commit()}: move it away")


def plus(one: Mapping[str, Any], two: Mapping[str, Any]) -> dict[str, Any]:
    """The sum of two counts, key by key; lists one behind the other."""
    total = dict(one)
    for key, value in two.items():
        if isinstance(value, Mapping):
            total[key] = plus(total.get(key, {}), value)
        else:
            total[key] = total[key] + value if key in total else value
    return {key: total[key] for key in sorted(total)}


@contextmanager
def _locked(path: Path) -> Iterator[None]:
    path.parent.mkdir(parents=True, exist_ok=True)
    with (path.parent / f".{path.name}.lock").open("w") as file:
        fcntl.flock(file, fcntl.LOCK_EX)
        yield


def write(json: Path) -> Path:
    """Write the page beside the counts; those of the fuzzer are beside them, too. Returns where."""
    text = page(read(json), read(json.with_name("fuzz.json")))
    atomic_write(json.with_suffix(".md"), text.encode())
    return json.with_suffix(".md")


def page(killed: Mapping[str, Any], fuzzed: Mapping[str, Any]) -> str:
    """docs/reliability.md with these counts between its marks; what was not counted says how to."""
    text = PAGE.read_text(encoding="utf-8")
    for name, parts in (("kills", _kills(killed)), ("inputs", _fuzz(fuzzed))):
        start, end = f"<!-- {name}: ", f"<!-- end of {name} -->"
        before, mark, rest = text.partition(start)
        words, _, rest = rest.partition("-->")
        text = "\n\n".join([f"{before}{mark}{words}-->", *parts, end + rest.partition(end)[2]])
    return text


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
    return ", ".join([f"Python {found['python']}", *(f"{name} {packages[name]}" for name in PACKAGES)])
