"""What the entries come to: medians with their spread, for the runs that share a device, a network and settings.

Never imports torch.
"""

import json
import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Self

from benchmarks.reproduce.published import Published, published
from benchmarks.reproduce.results import UNKNOWN_DEVICE, Measured, Results
from sweeps.results.format import setting

COLLAPSED_BELOW = 0.5  # train accuracy in the last epoch
MANY = 10  # from so many runs on a spread is [p5, p95], below it is [min, max]
SEEDS_WANTED = 3


@dataclass(frozen=True)
class Spread:
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
        return sum(run.has_diverged for run in self.runs)

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
        return {key: (_text(ours), _text(theirs)) for key, (ours, theirs) in pairs.items() if ours != theirs}

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


def devices_of(results: Results) -> list[str]:
    """The names of all devices, GPUs first."""
    names = {key.device for key in results.runs}
    return sorted(names, key=lambda name: (not is_cuda(name), name))


def is_cuda(device: str) -> bool:
    """Whether a device that a record names (`sweeps.vision.devices.describe_device`) is a CUDA device."""
    is_cpu = re.search(r", \d+ threads$", device)
    return not is_cpu and not device.startswith(("Apple GPU", UNKNOWN_DEVICE))


def missing(groups: Sequence[Group]) -> list[str]:
    """What a device lacks of the book's table, in sentences."""
    seeds: dict[str, set[int]] = {name: set() for name in published()}
    for group in groups:
        if group.is_comparable:
            seeds[group.network] |= {run.seed for run in group.runs}
    none = [name for name, found in seeds.items() if not found]
    few = [f"{name} ({len(found)})" for name, found in seeds.items() if 0 < len(found) < SEEDS_WANTED]
    plain = [
        group.network for group in groups if group.is_comparable and not group.settings.get("trainer.bn_reestimate")
    ]
    sentences = []
    if none:
        sentences.append(f"not measured in full: {', '.join(none)}.")
    if few:
        sentences.append(f"fewer than {SEEDS_WANTED} seeds: {', '.join(few)}.")
    if plain:
        sentences.append(f"without re-estimated BatchNorm statistics: {', '.join(dict.fromkeys(plain))}.")
    return sentences


def _text(value: Any) -> str:
    if value is None:
        return "null"
    return json.dumps(value, sort_keys=True) if isinstance(value, dict) else setting(value)
