"""What was measured here: one entry per finished run, kept in `results.json`. Never imports torch."""

import json
import shlex
from collections.abc import Mapping
from dataclasses import asdict, dataclass
from datetime import datetime
from pathlib import Path
from typing import Any, NamedTuple, Self, get_origin, get_type_hints

from benchmarks.reproduce.published import SHARED_SETTINGS
from sweeps.errors import NewerRecordError, RecordError
from sweeps.record.files import to_json
from sweeps.record.identity import cell_id, run_id
from sweeps.record.records import RunRecord, Status
from sweeps.results.format import clean, number
from sweeps.vision.config import lookup

SCHEMA_VERSION = 1
UNKNOWN_DEVICE = "unknown device"

# The settings that the page shows and compares; the hash beside them is of all that can change a result.
SETTINGS = (
    *SHARED_SETTINGS,
    "optim.lr",
    "resize.size",
    "trainer.batch_size",
    "trainer.bn_reestimate",
    "trainer.precision",
    "trainer.memory_format",
    "trainer.compile",
)

_ARITHMETIC = ("precision", "memory_format", "compile")


class Key(NamedTuple):
    """What tells entries apart. `settings` is a hash of everything but the seed that can change the result."""

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
    dirty: bool
    command: str
    arithmetic: str
    versions: dict[str, str]

    @property
    def key(self) -> Key:
        """What this run is a measurement of."""
        return Key(self.device, self.network, self.settings, self.seed)

    @property
    def has_diverged(self) -> bool:
        """Whether a loss became NaN or infinite."""
        return self.status == Status.DIVERGED

    @classmethod
    def from_record(cls, record: RunRecord) -> Self:
        """The entry of a finished run.

        Raises:
            RecordError: the record lacks something, or a release wrote it that gave its settings another meaning.
        """
        if run_id(record.config) != record.run_id:
            raise RecordError(
                f"{record.name} was measured by a release that gave its settings another meaning; "
                "do it again in another sweep"
            )
        has_diverged = record.status is Status.DIVERGED
        last = {} if has_diverged else record.metrics.get("last", {})
        environment = record.environment
        git = environment.get("git") or {}
        seed: Any = record.config.get("seed")
        names = ("train_loss", "train_acc", "test_loss", "test_acc", "test_bn_loss", "test_bn_acc")
        entry = cls(
            device=clean(environment.get("device") or UNKNOWN_DEVICE),
            network=network_of(record),
            settings=cell_id(record.config),
            seed=seed,
            status=record.status.value,
            epochs=record.epochs,
            **{name: number(last.get(name)) for name in names},
            seconds=None if has_diverged else number(record.seconds),
            examples_per_second=None if has_diverged else number(record.examples_per_second),
            ended=record.ended,
            commit=clean(git.get("commit") or ""),
            dirty=bool(git.get("dirty")),
            command=clean(shlex.join(environment.get("command") or [])),
            arithmetic=clean(" ".join(f"{key}={environment[key]}" for key in _ARITHMETIC if key in environment)),
            versions={"python": clean(environment.get("python")), **(environment.get("packages") or {})},
        )
        try:
            entry.check()
        except ValueError as error:
            raise RecordError(f"the record of {record.name} cannot be reported: {error}") from error
        return entry

    def check(self) -> None:
        """Every field holds what belongs there.

        Raises:
            ValueError: one does not.
        """
        for name, hint in get_type_hints(type(self)).items():
            value = getattr(self, name)
            if hint == float | None:
                is_right = value is None or number(value) is not None
            else:
                is_right = type(value) is (get_origin(hint) or hint)
            if not is_right:
                raise ValueError(f"{name}={value!r} is not what belongs there")
        if datetime.fromisoformat(self.ended).tzinfo is None:
            raise ValueError(f"ended={self.ended!r} has no offset to UTC")


def network_of(record: RunRecord) -> str:
    """The name of a network of ours, as `model=` takes it; a longer one for somebody else's."""
    target = str(lookup(record.config, "model._target_"))
    return clean(target.removeprefix("sweeps.vision.models."))


class Results:
    """All entries, by their keys, and the readable settings that their hashes stand for."""

    def __init__(self) -> None:
        self.runs: dict[Key, Measured] = {}
        self.settings: dict[str, dict[str, Any]] = {}

    def add(self, entry: Measured, settings: Mapping[str, Any]) -> bool:
        """Take up an entry unless there is a later one of the same key; returns whether anything changed."""
        before = self.runs.get(entry.key)
        if before is not None and (before == entry or _ended(entry) < _ended(before)):
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
            RecordError: it is no results file, or one that another release wrote. It is left as it is.
        """
        results = cls()
        try:
            text = path.read_text(encoding="utf-8")
        except FileNotFoundError:
            return results
        except (OSError, UnicodeDecodeError) as error:
            raise RecordError(f"cannot read {path}: {error}; name another folder: --output DIR") from error
        try:
            data = json.loads(text)
            version = data["schema_version"]
        except (ValueError, KeyError, TypeError, RecursionError) as error:
            raise _damaged(path, error) from error
        if version != SCHEMA_VERSION:
            _refuse(path, version)
        try:
            for row in data["runs"]:
                entry = Measured(**row)
                entry.check()
                results.add(entry, {key: data["settings"][entry.settings].get(key) for key in SETTINGS})
        except (ValueError, KeyError, TypeError, AttributeError) as error:
            raise _damaged(path, error) from error
        return results


def _damaged(path: Path, error: Exception) -> RecordError:
    return RecordError(
        f"{path} is not a file of results ({type(error).__name__}: {error}) and was left as it is; "
        "move it away, or name another folder: --output DIR"
    )


def _refuse(path: Path, version: object) -> None:
    words = f"{path} has schema version {version!r}, this release knows {SCHEMA_VERSION}; it was left as it is"
    if isinstance(version, int) and version > SCHEMA_VERSION:
        raise NewerRecordError(f"{words}. A newer release wrote it: pip install --upgrade hydra-sweeps")
    raise RecordError(f"{words}. Move it away, or name another folder: --output DIR")


def _ended(entry: Measured) -> datetime:
    return datetime.fromisoformat(entry.ended)
