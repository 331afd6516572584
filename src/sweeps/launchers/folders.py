"""Where a sweep and its runs live: decided here, once, for parent, workers, searches and clusters. Never imports torch.

The parent asks `claim_folder` for the sweep's folder and `Folders` for each run's, and passes them on. What a user may
set (`sweep.output`, `sweep.name`, `hydra.sweep.dir`, `hydra.sweep.subdir`) is honoured; by default a run's folder
follows from its overrides alone, without composing them.
"""

import itertools
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, cast

from hydra.core.config_loader import ConfigLoader
from hydra.core.hydra_config import HydraConfig
from hydra.errors import HydraException
from omegaconf import DictConfig, OmegaConf, open_dict, read_write
from omegaconf.errors import OmegaConfBaseException

from sweeps.config import ignored_of, mount_of, settings_of
from sweeps.decision import check_above
from sweeps.errors import ConfigError
from sweeps.record.identity import labels, run_name, sweep_folder
from sweeps.record.records import SKIPPED_FOLDERS

SUBDIR = "${hydra.job.num}"  # Hydra's own: the run's name takes its place
RUN_NAME = "${sweeps.run_name:"  # how an application's config says the same
BY_TIME = "multirun/${now:%Y-%m-%d}/${now:%H-%M-%S}"


class Folders:
    """The folders of the runs of one sweep.

    Args:
        folder: the sweep's own, as `claim_folder` gave it.
    """

    def __init__(self, loader: ConfigLoader, config: DictConfig, folder: Path) -> None:
        self.folder = folder
        self._loader, self._config = loader, config
        self._names: dict[tuple[int, tuple[str, ...]], str] = {}
        self._ignore, self._mount = ignored_of(config), mount_of(config)
        written = str(_raw(config, "hydra.sweep.subdir"))
        typed = _is_typed(config, "hydra.sweep.subdir")
        self.are_default = not typed and (written == SUBDIR or written.startswith(RUN_NAME))

    def name(self, overrides: Sequence[str], number: int) -> str:
        """The folder of the run with this number, relative to the sweep's."""
        if self.are_default:
            return run_name(overrides, self._ignore)
        # halving limits each of its rounds; the run is the same in all of them
        key = number, tuple(one for one in overrides if not one.startswith(f"{self._mount}.pause_at="))
        if key not in self._names:
            self._names[key] = self._composed(key[1], number)
        return self._names[key]

    def pinned(self, name: str) -> list[str]:
        """The overrides by which a launcher that is not ours puts a run into this folder."""
        return [f"hydra.sweep.subdir={_quoted(name)}"]

    def _composed(self, overrides: Sequence[str], number: int) -> str:
        pinned = {"hydra.sweep.dir": str(self.folder)}
        with hydra_config(compose(self._loader, self._config, overrides, number, pinned)) as job:
            subdir = str(job.hydra.sweep.subdir)
        name = os.path.normpath(subdir)
        parts = Path(name).parts
        if name.startswith(".") or "/." in name or Path(name).is_absolute() or SKIPPED_FOLDERS & set(parts):
            raise ConfigError(
                f"hydra.sweep.subdir={subdir} is invalid: each run needs a folder of its own below {self.folder}, such "
                "as hydra.sweep.subdir='${hydra.job.num}'. No run was started"
            )
        for above in Path(name).parents:
            if (self.folder / above).is_symlink() and above.parts:
                raise ConfigError(
                    f"{self.folder / above} is a link, and a sweep writes into its own folder alone; remove it, or "
                    "choose another hydra.sweep.subdir. No run was started"
                )
        return name

    def names(self, jobs: Sequence[Sequence[str]], first: int = 0) -> list[str]:
        """The folders of jobs numbered from `first`.

        Raises:
            ConfigError: two would live in one folder, or one inside another's; names both.
        """
        names = [self.name(overrides, number) for number, overrides in enumerate(jobs, start=first)]
        if self.are_default:  # equal names are equal settings
            return names
        by_name: dict[str, str] = {}
        for name, label in zip(names, labels(jobs, self._ignore), strict=True):
            if by_name.setdefault(name, label) != label:
                raise _together(by_name[name], label, self.folder / name)
        for name, label in by_name.items():
            for above in Path(name).parents:
                if str(above) in by_name:
                    raise _together(by_name[str(above)], label, self.folder / above)
        return names


def compose(
    loader: ConfigLoader, config: DictConfig, overrides: Sequence[str], number: int, pinned: dict[str, Any]
) -> DictConfig:
    """The config of the job with this number, Hydra's own node included; `pinned` has values that are settled."""
    try:
        job = loader.load_sweep_config(config, list(overrides))
    except (HydraException, OmegaConfBaseException) as error:  # not all of Hydra's can be sent to another process
        raise ConfigError(str(error)) from error
    except (AttributeError, KeyError, TypeError, ValueError) as error:
        raise ConfigError(f"Hydra cannot compose {','.join(overrides)}: {error}") from error
    with open_dict(job):
        for key, value in pinned.items():
            OmegaConf.update(job, key, value)
        job.hydra.job.id, job.hydra.job.num = str(number), number
    return job


@contextmanager
def hydra_config(config: DictConfig, output_dir: Path | None = None) -> Iterator[DictConfig]:
    """Inside the block `${hydra:...}` in `config` has the values that it has in a job."""
    before, flag = HydraConfig.instance().cfg, config.hydra._get_node_flag("readonly")
    if output_dir is not None:
        with read_write(config.hydra), open_dict(config.hydra.runtime):
            config.hydra.runtime.output_dir = str(output_dir.absolute())
    HydraConfig.instance().set_config(config)
    try:
        yield config
    finally:
        HydraConfig.instance().cfg = before
        OmegaConf.set_readonly(config.hydra, flag)


def claim_folder(config: DictConfig) -> tuple[Path, list[Path]]:
    """Make the sweep's folder and settle it in `config`; returns it, and what had to be made for it, itself first.

    It is what was typed as hydra.sweep.dir, else the `name` of the engine's node below its `output`, else what the
    application's config says. One that is named by the time is new: two sweeps of the same second get two folders.
    """
    mount = mount_of(config)
    folder, by_time = _place_of(config, mount)
    first = folder
    absent = [place for place in folder.absolute().parents if not place.exists()]
    check_above(folder)
    for number in itertools.count(2):
        made = [] if folder.exists() else [folder.absolute()]
        try:
            folder.mkdir(parents=True, exist_ok=not by_time)
            break
        except FileExistsError:
            if not by_time:
                raise ConfigError(
                    f"{folder} is a file, and a sweep needs a folder; choose another sweep.name=NAME"
                ) from None
            folder = first.with_name(f"{first.name}-{number}")
        except OSError as error:
            raise ConfigError(
                f"cannot make the folder {folder}: {error.strerror}; choose another one: sweep.output=FOLDER"
            ) from error
    with read_write(config.hydra):
        config.hydra.sweep.dir = str(folder)
        # jobs are composed from the overrides, under whatever launcher
        config.hydra.overrides.hydra.append(f"hydra.sweep.dir={_quoted(str(folder))}")
        if mount is not None:  # written by the run itself, once the folder is known to be its own
            config.hydra.overrides.hydra.append("hydra.output_subdir=null")
    return folder, [*made, *absent]


def title_of(folder: Path) -> str:
    """What a sweep is called on the terminal."""
    return folder.absolute().resolve().name or str(folder)


def _place_of(config: DictConfig, mount: str | None) -> tuple[Path, bool]:
    """The sweep's folder, and whether it is named by the time."""
    written = str(_raw(config, "hydra.sweep.dir"))
    if mount is not None and not _is_typed(config, "hydra.sweep.dir"):
        settings = settings_of(config)
        with hydra_config(config):
            if settings.name is not None:
                return Path(sweep_folder(settings.output, settings.name)), False
        if written == BY_TIME and settings.output:
            written = f"{settings.output.rstrip('/')}/{BY_TIME.partition('/')[2]}"
            with read_write(config.hydra):
                config.hydra.sweep.dir = written
    with hydra_config(config):
        folder = str(config.hydra.sweep.dir)
    if not folder:
        raise ConfigError("hydra.sweep.dir= is invalid: it names the folder of a sweep, such as hydra.sweep.dir=study")
    return Path(folder), "${now:" in written


def _is_typed(config: DictConfig, key: str) -> bool:
    """Whether a key of Hydra's own was given on the command line."""
    typed = OmegaConf.to_container(config.hydra.overrides.hydra, resolve=False)
    return any(str(one).lstrip("+").startswith(f"{key}=") for one in cast(list[str], typed))


def _raw(config: DictConfig, key: str) -> Any:
    """The value at `key` as it was written, interpolations and all."""
    parent, _, last = key.rpartition(".")
    node = OmegaConf.select(config, parent) if parent else config
    found = node._get_node(last)
    return found._value() if found is not None else None


def _quoted(text: str) -> str:
    """`text` as a value in Hydra's grammar of overrides."""
    return "'" + text.replace("\\", "\\\\").replace("'", "\\'") + "'"


def _together(one: str, other: str, folder: Path) -> ConfigError:
    return ConfigError(
        f"{one} and {other} would both live in {folder}: let hydra.sweep.subdir tell them apart, or leave it out. No "
        "run was started"
    )
