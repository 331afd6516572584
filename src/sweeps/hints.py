"""What Hydra's errors about the engine's node do not say: what is to be done. Never imports torch."""

import difflib
import functools
from dataclasses import fields
from typing import Any

from hydra._internal.config_loader_impl import ConfigLoaderImpl
from hydra.errors import ConfigCompositionException
from omegaconf import DictConfig, OmegaConf
from omegaconf.errors import ConfigAttributeError, ConfigKeyError

from sweeps.config import PRUNERS, HooksConfig, ObjectiveConfig, PrunerConfig, SweepConfig


def add_hints() -> None:
    """Let Hydra's errors about the engine's node end in what is to be done."""
    original = ConfigLoaderImpl._load_configuration_impl
    if hasattr(original, "__wrapped__"):
        return

    @functools.wraps(original)
    def load(*arguments: Any, **options: Any) -> DictConfig:
        try:
            return original(*arguments, **options)
        except ConfigCompositionException as error:
            if hint := _hint(error):
                error.args = (f"{error}\n{hint}",)
            raise

    ConfigLoaderImpl._load_configuration_impl = load  # type: ignore[method-assign]


def _hint(error: ConfigCompositionException) -> str:
    """What to say to an error of Hydra's; empty where it is not about the engine's node."""
    text, cause = str(error), error.__cause__
    if text.startswith("In 'sweep/default': ConfigKeyError"):
        return (
            "Put `- sweep: default` before the dataclass in the defaults list; or, where the dataclass is the whole "
            "config, give it a field: sweep: Any = None"
        )
    if text.startswith("sweep/pruner") and "appears more than once" in text:
        return "The config has the line `- sweep: default` already: leave +sweep=default out"
    node = getattr(cause, "parent_node", None)
    if not isinstance(cause, (ConfigAttributeError, ConfigKeyError)) or not isinstance(node, DictConfig):
        return ""
    parent = node._get_parent()
    is_pruner = isinstance(parent, DictConfig) and _is_engine(parent) and parent._get_node("pruner") is node
    if not (is_pruner or _is_engine(node)):
        return ""
    key, known = str(cause.key), [str(name) for name in node if name not in ("defaults", "_target_")]
    full = str(cause.full_key)
    owners = [name for name, one in PRUNERS.items() if key in {field.name for field in fields(one)}]
    if is_pruner and owners:
        return f"It belongs to sweep/pruner={' or '.join(owners)}: choose that as well"
    similar = difflib.get_close_matches(key, known, 1)
    return f"Did you mean {full.removesuffix(key)}{similar[0]}?" if similar else f"There are: {', '.join(known)}"


def _is_engine(node: DictConfig) -> bool:
    kind = OmegaConf.get_type(node)
    return isinstance(kind, type) and issubclass(kind, (SweepConfig, ObjectiveConfig, HooksConfig, PrunerConfig))
