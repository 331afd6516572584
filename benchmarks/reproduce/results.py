"""What was measured here: one entry per finished run, kept in `results.json`. Never imports torch."""

import json
import shlex
import statistics
from collections.abc import Iterable, Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, Self

from benchmarks.reproduce.published import SHARED_SETTINGS, Published, published
from sweeps.config import lookup
from sweeps.errors import RecordError
from sweeps.record.files import parse_json, to_json
from sweeps.record.identity import digest
from sweeps.record.records import RunRecord, Status
from sweeps.record.typed import is_number, typed
from sweeps.terminal import clean

SCHEMA_VERSION = 1
UNKNOWN_DEVICE = "unknown device"
MANY = 10  # from so many runs on a spread is [p5, p95], below it is [min, max]
COLLAPSED_BELOW = 0.5  # train accuracy in the last epoch

# The settings that the page shows and compares; the hash beside them is of all that can change a result.
SETTINGS = (
    *SHARED_SETTINGS,
    *("optim.lr", "resize.size", "trainer.batch_size", "trainer.bn_reestimate", "trainer.precision"),
    *("trainer.memory_format", "trainer.compile"),
)
_FIGURES = ("train_loss", "train_acc", "test_loss", "test_acc", "test_bn_loss", "test_bn_acc", "examples_per_second")
_ARITHMETIC = ("precision", "memory_format", "compile")


class Key(NamedTuple):
    """What tells entries apart. `settings` is the run's setting_id."""

    device: str
    network: str
    settings: str
    seed: int


@dataclass(frozen=True)
class Measured:
    """One finished run: the figures of its last epoch, None where it has none (a diverged run has no losses).

    `test_acc` is measured with BatchNorm's running statistics, `test_bn_acc` with re-estimated ones. `seconds` is
    training and evaluation without start-up. `ended` is ISO 8601. `arithmetic` is what the `auto`s came to.
    """

    device: str
    network: str
    settings: str
    seed: int
    status: str
    epochs: int
    train_loss: float | None
    train_acc: float | None
    test_loss: float | None
    test_acc: float | None
    test_bn_loss: float | None
    test_bn_acc: float | None
    seconds: float | None
    examples_per_second: float | None
    ended: str
    commit: str
    dirty: Any  # whether the code had uncommitted changes
    command: str
    arithmetic: str
    versions: dict[str, str]

    @property
    def key(self) -> Key:
        """What this run is a measurement of."""
        return Key(self.device, self.network, self.settings, self.seed)

    @property
    def moment(self) -> datetime:
        """When it ended."""
        return datetime.fromisoformat(self.ended)

    @classmethod
    def parse(cls, data: object) -> Self:
        """An entry of `results.json`.

        Raises:
            ValueError: it is something else.
        """
        entry = typed(cls, data)
        if entry.moment.tzinfo is None:
            raise ValueError(f"ended={entry.ended!r} has no offset to UTC")
        return entry

    @classmethod
    def from_record(cls, record: RunRecord) -> Self:
        """The entry of a finished run.

        Raises:
            RecordError: the record lacks something, or a release wrote it that gave its settings another meaning.
        """
        if digest(record.settings()) != record.run_id:
            raise RecordError(
                f"{record.name} was measured by a release that gave its settings another meaning; "
                "repeat it in another sweep"
            )
        environment, git = record.environment, record.environment.get("git") or {}
        said = {**environment, **record.facts}
        figures = {**said, **record.metrics.get("last", {}), "seconds": record.seconds}
        if record.status is Status.DIVERGED:
            figures = {}
        try:
            return cls.parse(
                {
                    "device": _device(record),
                    "network": network_of(record),
                    "settings": record.setting_id,
                    "seed": record.seed,
                    "status": record.status.value,
                    "epochs": int(record.steps or 0),
                    **{name: _number(figures.get(name)) for name in (*_FIGURES, "seconds")},
                    "ended": record.ended,
                    "commit": clean(git.get("commit") or ""),
                    "dirty": bool(git.get("dirty")),
                    "command": clean(shlex.join(environment.get("command") or [])),
                    "arithmetic": clean(" ".join(f"{key}={said[key]}" for key in _ARITHMETIC if key in said)),
                    "versions": {"python": clean(environment.get("python")), **(environment.get("packages") or {})},
                }
            )
        except ValueError as error:
            raise RecordError(f"the record of {record.name} cannot be reported: {error}") from error


def network_of(record: RunRecord) -> str:
    """The name of a network of ours, as `model=` takes it; a longer one for any other."""
    return clean(str(lookup(record.config, "model._target_")).removeprefix("sweeps.vision.models."))


class Results:
    """All entries, by their keys, and the readable settings that their hashes stand for."""

    def __init__(self) -> None:
        self.runs: dict[Key, Measured] = {}
        self.settings: dict[str, dict[str, Any]] = {}

    def add(self, entry: Measured, settings: Mapping[str, Any]) -> bool:
        """Take up an entry unless there is a later one of the same key; returns whether anything changed."""
        before = self.runs.get(entry.key)
        if before is not None and (before == entry or entry.moment < before.moment):
            return False
        self.runs[entry.key] = entry
        self.settings[entry.settings] = dict(settings)
        return True

    def add_record(self, record: RunRecord) -> bool:
        """Take up a finished run; returns whether it is new, or newer than what was there.

        Raises:
            RecordError: it cannot be reported.
        """
        return self.add(Measured.from_record(record), {key: lookup(record.config, key) for key in SETTINGS})

    def to_json(self) -> str:
        """The content of `results.json`: sorted, a line per run, so that a difference can be read."""
        runs = [self.runs[key] for key in sorted(self.runs)]
        used = sorted({entry.settings for entry in runs})
        settings = ",\n".join(f"{json.dumps(name)}: {to_json(self.settings[name])}" for name in used)
        lines = ",\n".join(to_json(asdict(entry)) for entry in runs)
        head = f'"schema_version": {SCHEMA_VERSION},\n"settings": {{\n{settings}\n}}'
        return f'{{\n{head},\n"runs": [\n{lines}\n]\n}}\n'

    @classmethod
    def read(cls, path: Path) -> Self:
        """The content of `path`; empty where there is no such file.

        Raises:
            RecordError: it is not a results file, or one that another release wrote. It is left as it is.
        """
        results = cls()
        try:
            data = parse_json(path.read_text(encoding="utf-8"))
            if data["schema_version"] != SCHEMA_VERSION:
                raise ValueError(f"schema version {data['schema_version']!r}, this release knows {SCHEMA_VERSION}")
            for row in data["runs"]:
                entry = Measured.parse(row)
                results.add(entry, {key: data["settings"][entry.settings].get(key) for key in SETTINGS})
        except FileNotFoundError:
            return results
        except (OSError, ValueError, KeyError, TypeError, AttributeError) as error:
            raise RecordError(
                f"{path} is not a file of results ({type(error).__name__}: {error}) and was left as it is; "
                "move it away, or name another folder: --output DIR"
            ) from error
        return results


class Spread(NamedTuple):
    """Median and interval of `n` figures; `lowest` is the least of them."""

    n: int
    median: float
    low: float
    high: float
    lowest: float

    @classmethod
    def of(cls, figures: Iterable[float | None]) -> Self | None:
        """The spread of the figures that there are; None where there is none."""
        values = [value for value in figures if value is not None]
        if not values:
            return None
        low, high = min(values), max(values)
        if len(values) >= MANY:
            cuts = statistics.quantiles(values, n=20, method="inclusive")
            low, high = cuts[0], cuts[-1]
        return cls(len(values), statistics.median(values), low, high, min(values))


@dataclass(frozen=True)
class Group:
    """The runs of one network with the same settings on one device, in the order of their seeds."""

    network: str
    settings: Mapping[str, Any]
    settings_hash: str
    runs: tuple[Measured, ...]

    def spread(self, figure: str) -> Spread | None:
        """The spread of a figure over the runs that did not diverge."""
        return Spread.of(getattr(run, figure) for run in self.runs)

    @property
    def diverged(self) -> int:
        """How many runs diverged."""
        return sum(run.status == Status.DIVERGED for run in self.runs)

    @property
    def collapsed(self) -> int:
        """How many of the other runs learned next to nothing."""
        return sum(run.train_acc is not None and run.train_acc < COLLAPSED_BELOW for run in self.runs)

    @property
    def published(self) -> Published:
        """All published runs of this network."""
        return published()[self.network][0]

    @property
    def differences(self) -> dict[str, tuple[str, str]]:
        """The settings that differ from those of the published runs: key -> (here, there), as text."""
        pairs = {key: (self.settings.get(key), theirs) for key, theirs in self.published.settings.items()}
        texts = {key: (_text(key, ours), _text(key, theirs)) for key, (ours, theirs) in pairs.items() if ours != theirs}
        return {key: (ours, theirs) for key, (ours, theirs) in texts.items() if ours != theirs}

    @property
    def is_comparable(self) -> bool:
        """Whether the same was trained for as long on the same images: at most the learning rate differs."""
        return self.differences.keys() <= {"optim.lr"}


def groups_of(results: Results, device: str) -> list[Group]:
    """The groups on one device, networks in the order of the published table."""
    members: dict[tuple[str, str], list[Measured]] = {}
    for key in sorted(results.runs):
        if key.device == device:
            members.setdefault((key.network, key.settings), []).append(results.runs[key])
    return [
        Group(network, results.settings[settings], settings, tuple(runs))
        for name in published()
        for (network, settings), runs in members.items()
        if network == name
    ]


def _device(record: RunRecord) -> str:
    """What computed; a CPU by its name, which the application's fact leaves to the environment."""
    host = record.environment.get("device") or UNKNOWN_DEVICE
    device = str(record.facts.get("device") or host)
    return clean(f"{host}{device.removeprefix('CPU')}" if device.startswith("CPU, ") else device)


def _number(value: object) -> float | None:
    return value if isinstance(value, (int, float)) and is_number(value) else None


def _text(key: str, value: Any) -> str:
    """A setting; of a `_target_` its own name, since packages have been renamed."""
    if value is None:
        return "null"
    text = f"{value:g}" if is_number(value) else value if isinstance(value, str) else json.dumps(value, sort_keys=True)
    return text.rpartition(".")[2] if key.endswith("_target_") else text
