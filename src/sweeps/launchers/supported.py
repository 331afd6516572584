"""Which settings of the engine a sweeper, a launcher or a single run supports: others are invalid there."""

import contextlib
import dataclasses
from collections.abc import Iterator
from pathlib import Path
from typing import Any, cast

from hydra.types import RunMode
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import OmegaConfBaseException

from sweeps.config import SweepConfig, mount_of, settings_of
from sweeps.decision import check_engine
from sweeps.errors import ConfigError
from sweeps.record.identity import target_of
from sweeps.trackers import make_trackers

_OURS = "hydra_plugins.sweeps."
# What only we do, with the values that mean nothing is to be done.
_BY_SWEEPERS: dict[str, tuple[Any, ...]] = {
    "name": (None,),
    "repeats": (None,),
    "zip": ([],),
    "exclude": ([],),
    "confirm": (0,),
}
_BY_LAUNCHERS: dict[str, tuple[Any, ...]] = {
    "plan": (False,),
    "on_failure": ("continue",),
    "stop_after": (None,),
    "retries": (0,),
    "timeout": (None,),
}


def check_supported(config: DictConfig, hydra: Any) -> None:
    """Refuse settings of the engine that cannot work, or that the chosen sweeper, launcher or mode would ignore.

    `hydra` is Hydra's node.
    """
    mount = mount_of(config)
    if mount is None:
        return
    settings: Any = settings_of(config)
    for key in _missing(SweepConfig, settings):
        raise ConfigError(f"{mount}.{key} is missing: it cannot be deleted; set it to what you want")
    with contextlib.suppress(OmegaConfBaseException):  # a value that follows from what each run sets: checked there
        plain = cast(dict[str, Any], OmegaConf.to_container(settings, resolve=True))
        check_engine(plain, mount)
        if hydra.mode is RunMode.MULTIRUN and not _is_ours(hydra.launcher):
            make_trackers(plain["tracker"])  # our launchers have their workers do so, before the first run
    if hydra.mode is RunMode.RUN:
        _check_single(settings, mount, hydra)
        return
    for part, keys, ours in (("sweeper", (*_BY_SWEEPERS, "pruner"), "grid"), ("launcher", _BY_LAUNCHERS, "local")):
        if _is_ours(hydra[part]):
            continue
        for key in keys:
            if key == "name" and Path(str(hydra.sweep.dir)).match(str(settings.name)):
                continue  # the application's own hydra.sweep.dir follows from it
            if asked := _asked(settings, mount, key):
                chosen = hydra.runtime.choices.get(f"hydra/{part}")
                raise ConfigError(
                    f"{asked} is invalid with hydra/{part}={chosen}, which would ignore it: use hydra/{part}={ours}. "
                    "No run was started"
                )


def _is_ours(plugin: Any) -> bool:
    return str(plugin.get("_target_")).startswith(_OURS)


def _check_single(settings: Any, mount: str, hydra: Any) -> None:
    typed = set(map(target_of, hydra.overrides.task))  # a config may set the same keys for its sweeps
    for key in (*_BY_SWEEPERS, *_BY_LAUNCHERS, "pruner"):
        if key != "name" and f"{mount}.{key}" in typed and (asked := _asked(settings, mount, key)):
            raise ConfigError(f"{asked} needs -m: a single run would ignore it. No run was started")
    if not hydra.run.dir:
        raise ConfigError("hydra.run.dir= is invalid: it names the folder of a run, such as hydra.run.dir=multirun/one")
    if settings.name is not None and not set(Path(str(settings.name)).parts) <= set(Path(str(hydra.run.dir)).parts):
        raise ConfigError(
            f"{mount}.name={settings.name} names a sweep, and a single run lives in hydra.run.dir={hydra.run.dir}: add "
            f"-m, or choose the folder, hydra.run.dir={settings.output}/{settings.name}/NAME. No run was started"
        )
    if str(hydra.launcher.get("_target_")).endswith(".SlurmLauncher"):
        raise ConfigError(
            "hydra/launcher=slurm submits a sweep and needs -m (a sweep may have one run); no run was started"
        )


def _asked(settings: Any, mount: str, key: str) -> str | None:
    """What the settings ask for by a key that others than our sweepers and launchers ignore, as it is typed."""
    if key == "pruner":  # the others need no sweeper of ours
        is_halving = str(settings.pruner and settings.pruner.get("_target_")).endswith(".HalvingPruner")
        return f"{mount}/pruner=halving" if is_halving else None
    return None if settings[key] in (_BY_SWEEPERS | _BY_LAUNCHERS)[key] else f"{mount}.{key}={_shown(settings[key])}"


def _missing(schema: type, config: Any, prefix: str = "") -> Iterator[str]:
    """The keys of the schema that were deleted from `config`."""
    for field in dataclasses.fields(schema):
        key = f"{prefix}{field.name}"
        if field.name == "defaults":
            continue
        if field.name not in config.keys():  # noqa: SIM118  a key whose value is missing counts as absent in `in`
            yield key
        elif isinstance(field.type, type) and dataclasses.is_dataclass(field.type):
            yield from _missing(field.type, config._get_node(field.name), f"{key}.")


def _shown(value: Any) -> str:
    if OmegaConf.is_config(value):
        return "[...]"
    return str(value).lower() if isinstance(value, bool) else str(value)
