"""The engine's settings: one node, typed, in the config of any Hydra application.

An application gets it by `- sweep: default` in its defaults list, or by `+sweep=default` on the command line. It is
found by its type, so it may be mounted elsewhere: `- sweep@engine: default`. Never imports torch.
"""

import functools
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from typing import Any

from hydra._internal.config_repository import IConfigRepository
from hydra._internal.defaults_list import Overrides
from hydra.core.config_store import ConfigStore
from hydra.core.override_parser.types import Override
from omegaconf import DictConfig, OmegaConf

from sweeps.errors import ConfigError

AUTO = "auto"  # repeats: see `sweeps.sweepers.race`
MOUNT = "sweep"  # where the node stands unless the application says otherwise


@dataclass
class ObjectiveConfig:
    """What runs are ranked by, and what the Hydra task returns to a sweeper."""

    # A metric that the run reports. null: the number that the training function returns.
    metric: str | None = None
    # Which values are better: min or max. Nothing is ranked, pruned or searched without it.
    direction: str | None = None
    # What the metric was measured on: train, val or test. Tables say what a best run was chosen on.
    split: str | None = None
    # last: the last reported value; best: the best one, which is optimistic, since it was chosen by looking.
    report: str = "last"


@dataclass
class PrunerConfig:
    """`sweep/pruner=none`: every run is trained to completion. Other pruners add their own parameters.

    Settings are compared, by the mean over those of their seeds that have reported as many steps. A pruner changes how
    far a run is trained, not what it computes, so none of this is part of a run's identity.
    """

    _target_: str | None = None
    # What runs are compared by. null: the objective, unless that is measured on the test set, which must not choose.
    metric: str | None = None
    direction: str | None = None  # null: that of the objective
    # Also resume runs that a pruner has stopped before; it may stop them again.
    resume_pruned: bool = False
    keep_checkpoint: bool = True  # of a pruned run, to resume from: model and optimizer state, on disk


@dataclass
class MedianPrunerConfig(PrunerConfig):
    """`sweep/pruner=median`: stop a run whose best value is worse than the median of the others at the same step."""

    _target_: str | None = "sweeps.pruners.MedianPruner"
    n_startup_trials: int = 4  # other settings that must have reported this step before a run can be stopped
    n_warmup_steps: float = 1.0  # steps that every run is given


@dataclass
class SuccessiveHalvingPrunerConfig(PrunerConfig):
    """`sweep/pruner=asha`: at each rung the best one in `reduction_factor` continues; no run waits for others."""

    _target_: str | None = "sweeps.pruners.SuccessiveHalvingPruner"
    min_resource: float | None = None  # the first rung, in steps; null: a tenth of sweep.max_steps, and at least 1
    reduction_factor: int = 3  # the next rung is so many times as far, up to sweep.max_steps / reduction_factor


@dataclass
class HyperbandPrunerConfig(SuccessiveHalvingPrunerConfig):
    """`sweep/pruner=hyperband`: asha with several first rungs, for some settings none, in case early values mislead."""

    _target_: str | None = "sweeps.pruners.HyperbandPruner"


@dataclass
class HalvingPrunerConfig(SuccessiveHalvingPrunerConfig):
    """`sweep/pruner=halving`: all runs to the first rung, the best of them to the next: fewest steps, in rounds."""

    _target_: str | None = "sweeps.pruners.HalvingPruner"


@dataclass
class PatientPrunerConfig(PrunerConfig):
    """`sweep/pruner=patience`: stop a run whose value has not improved for some steps; it compares no other runs."""

    _target_: str | None = "sweeps.pruners.PatientPruner"
    patience: float = 3.0  # steps without improvement
    min_delta: float = 0.0  # a smaller change is no improvement


@dataclass
class HooksConfig:
    """Functions that an application may add, by name: `package.module.function`, or a function beside the task's."""

    # check(cfg): raise sweeps.ConfigError if these settings cannot work; may return facts, {"parameters": 61706}.
    # Called for every setting before the first run starts.
    check: str | None = None
    # cost(cfg): {"seconds_per_step": 1.2, "memory": bytes, "disk": bytes} for sweep.plan=true; each may be left out.
    cost: str | None = None
    # advise(cfg, swept): a list of sentences to warn with before a sweep over the keys `swept`; cfg is that of one run.
    advise: str | None = None
    # panels(runs): extra sections for the report; see sweeps.report.
    panels: str | None = None


@dataclass
class SweepConfig:
    """Settings of the sweep. None of them can change what a run computes."""

    # The folder of the sweep below `output`; the same name again continues it. null: named by date and time.
    name: str | None = None
    output: str = "multirun"  # where sweeps are written, relative to the folder the command is typed in
    objective: ObjectiveConfig = field(default_factory=ObjectiveConfig)
    pruner: Any = None  # see group sweep/pruner
    tracker: Any = None  # see group sweep/tracker; several by name: {csv: {...}, tensorboard: {...}}
    # Steps of a whole run, such as ${epochs}: for pruners, progress bars and the time that is left. null: unknown.
    max_steps: float | None = None
    # Pause runs at this step, with a checkpoint; a later command with a larger value, or null, resumes them.
    pause_at: float | None = None
    checkpoint_every: int = 1  # reports between checkpoints of what restore() was given; 0 writes none
    # The key whose value is a run's seed: runs that differ in nothing else are repeats of one setting.
    seed_key: str = "seed"
    # Seeds of every setting: sweep.repeats=3 is seed=0,1,2. auto: more seeds where they are needed, until it is decided
    # which setting is the best, with 95 % confidence; settings that cannot be it get no more.
    repeats: int | str | None = None
    max_repeats: int = 20  # of sweep.repeats=auto: seeds of one setting, at most
    max_runs: int | None = None  # of sweep.repeats=auto: runs in all, at most
    # Of sweep.repeats=auto: a difference too small to matter. It is decided, too, once none can be better by more.
    indifference: float | None = None
    # Afterwards, so many fresh seeds of the best setting and of the one without swept values: their means are free of
    # the luck by which the best was chosen. Needs repeats.
    confirm: int = 0
    # Keys that cannot change a result (device, data.root, num_workers): no part of a run's identity.
    ignore: list[Any] = field(default_factory=list)
    # Swept keys whose values go side by side: sweep.zip=[model,lr]; several sets: [[model,lr],[epochs,batch_size]].
    zip: list[Any] = field(default_factory=list)
    exclude: list[Any] = field(default_factory=list)  # settings to leave out: sweep.exclude=[{model:nin,lr:1.0}]
    plan: bool = False  # compose and check every run, print what the sweep would cost, and stop
    on_failure: str = "continue"  # after a failed run: continue with the others, or stop
    stop_after: int | None = None  # stop after so many failed runs
    retries: int = 0  # further attempts of a failed run, from its last checkpoint; never for invalid settings
    timeout: float | None = None  # seconds that one attempt may take before it counts as failed(timeout)
    # Where a run's folder holds a run with other settings: refuse, rerun (the old one is deleted) or keep it.
    on_mismatch: str = "refuse"
    hooks: HooksConfig = field(default_factory=HooksConfig)
    # `_self_` before the groups, so that the pruner that is chosen wins over the null above.
    defaults: list[Any] = field(
        default_factory=lambda: [
            "_self_",
            {"pruner": "none"},
            {"tracker": "tensorboard"},
            {"override /hydra/launcher@_global_.hydra.launcher": "local"},
            {"override /hydra/sweeper@_global_.hydra.sweeper": "grid"},
        ]
    )


def register() -> None:
    """Store the group `sweep` and its subgroups in Hydra's ConfigStore.

    Hydra calls this at every start. What an application has stored under the name of a tracker before stays.
    """
    keep_own_keys()
    store = ConfigStore.instance().store
    known = ConfigStore.instance().repo.get("sweep", {}).get("tracker", {})
    store(group="sweep", name="default", node=SweepConfig, provider="sweeps")
    for name, pruner in PRUNERS.items():
        # "none" is open: a pruner of one's own begins with `defaults: [none]` and adds its parameters.
        node = pruner if pruner is not PrunerConfig else asdict(pruner())
        store(group="sweep/pruner", name=name, node=node, provider="sweeps")
    for name, tracker in TRACKERS.items():
        if f"{name}.yaml" in known:
            continue
        store(group="sweep/tracker", name=name, node={name: tracker}, provider="sweeps")


def keep_own_keys() -> None:
    """Let `sweep=1` set the key `sweep` of an application that has one.

    Hydra takes a word for a config group's as soon as there is a group of that name, and ours is there wherever this
    package is installed. So what is no option of the group is left to the application.
    """
    original = Overrides.__init__
    if hasattr(original, "__wrapped__"):
        return

    @functools.wraps(original)
    def init(self: Overrides, repo: IConfigRepository, overrides_list: list[Override]) -> None:
        own = [one for one in overrides_list if _is_own(one, repo)]
        original(self, repo, [one for one in overrides_list if one not in own])
        self.config_overrides[:] = [one for one in overrides_list if one in own or one in self.config_overrides]

    Overrides.__init__ = init  # type: ignore[method-assign]


def _is_own(override: Override, repo: IConfigRepository) -> bool:
    if override.key_or_group != MOUNT or override.package is not None or override.is_sweep_override():
        return False
    value, options = override.value(), repo.get_group_options(MOUNT)
    chosen = value if isinstance(value, list) else [value]
    return not override.is_delete() and not all(isinstance(one, str) and one in options for one in chosen)


PRUNERS: Mapping[str, type[PrunerConfig]] = {
    "none": PrunerConfig,
    "median": MedianPrunerConfig,
    "asha": SuccessiveHalvingPrunerConfig,
    "hyperband": HyperbandPrunerConfig,
    "halving": HalvingPrunerConfig,
    "patience": PatientPrunerConfig,
}
TRACKERS: Mapping[str, Mapping[str, Any]] = {
    "none": {"_target_": "sweeps.trackers.Tracker"},
    "tensorboard": {"_target_": "sweeps.trackers.tensorboard.TensorBoardTracker"},
    "csv": {"_target_": "sweeps.trackers.csv.CsvTracker"},
    "mlflow": {"_target_": "sweeps.trackers.mlflow.MlflowTracker", "uri": None, "experiment": "sweeps"},
    "wandb": {"_target_": "sweeps.trackers.wandb.WandbTracker", "mode": "offline", "project": "sweeps"},
}


def mount_of(config: DictConfig) -> str | None:
    """The dotted key at which the engine's node stands in an application's config; None where there is none."""
    return _search(config, "")


def settings_of(config: DictConfig) -> SweepConfig:
    """The engine's node of an application's config."""
    mount = mount_of(config)
    if mount is None:
        raise ConfigError(
            "this application has no settings of sweeps: add the line `- sweep: default` to the defaults list of its "
            "config, or +sweep=default to the command line"
        )
    node: SweepConfig = OmegaConf.select(config, mount)
    return node


def ignored_of(config: DictConfig) -> tuple[str, ...]:
    """The keys of an application's config that name no run: the engine's node and `sweep.ignore`."""
    mount = mount_of(config)
    return () if mount is None else (mount, *map(str, settings_of(config).ignore))


def _search(node: DictConfig, prefix: str) -> str | None:
    for key in node:
        child = node._get_node(key)
        if not isinstance(child, DictConfig) or child._is_none() or child._is_missing() or child._is_interpolation():
            continue
        name = f"{prefix}{key!s}"
        kind = OmegaConf.get_type(child)
        if isinstance(kind, type) and issubclass(kind, SweepConfig):
            return name
        found = _search(child, f"{name}.") if key != "hydra" and prefix.count(".") < 2 else None
        if found is not None:
            return found
    return None


def lookup(config: Mapping[str, Any], key: str) -> Any:
    """The value at a dotted key of plain data, or None where there is none."""
    node: Any = config
    for part in key.split("."):
        if not isinstance(node, Mapping) or part not in node:
            return None
        node = node[part]
    return node
