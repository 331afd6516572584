"""What `_target_` may name, and how it is made. This module never imports torch.

Hydra's own `instantiate` reads interpolations in what it gets, so text that was checked could become something else.
Here a node is plain data, resolved before: a `${...}` in it is text, and each `_target_` is checked where it is called.
"""

import functools
import importlib
import os
import re
import sys
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from reprlib import repr as short
from types import ModuleType
from typing import Any, cast

from sweeps.errors import ConfigError

# Lists of what is allowed, one for each use: a list of what is not would never be whole, and a name on one list is no
# answer where another is asked for. A network of the package is `sweeps.vision.models.NAME`, or
# `sweeps.vision.models.NAME.NAME` where it is not exported.
_PARTS = {
    "network": r"sweeps\.vision\.models\.([a-z][a-z0-9_]*)(\.\1)?|torchvision\.models\.[a-z][a-z0-9_]*",
    "optimizer": r"torch\.optim\.(SGD|Adam|AdamW|NAdam|RAdam|Adamax|Adagrad|Adadelta|RMSprop|Rprop|ASGD|Adafactor|"
    r"Muon)",
    "schedule": r"sweeps\.vision\.training\.(constant|cosine|step|one_cycle)",
    "data source": r"sweeps\.vision\.data\.(IdxFiles|TorchvisionSet)",
    "tracker": r"sweeps\.vision\.trackers\.(TensorBoardTracker|MlflowTracker|WandbTracker)|sweeps\.trackers\.(Tracker"
    r"|tensorboard\.TensorBoardTracker|csv\.CsvTracker|mlflow\.MlflowTracker|wandb\.WandbTracker)",
    "pruner": r"sweeps\.pruners\.(Median|Patient|SuccessiveHalving|Hyperband|Halving)Pruner",
}
_HOOKS = {
    "check": "sweeps.vision.checks.check",
    "cost": "sweeps.vision.cost.cost",
    "advise": "sweeps.vision.checks.advise",
    "panels": "sweeps.vision.panels.panels",
}
_EXTRA = "SWEEPS_ALLOW_TARGETS"
_WORDS = ("_target_", "_args_", "_partial_", "_recursive_", "_convert_")


def check_targets(config: Any, part: str = "") -> None:
    """Refuse any `_target_`, at any depth, that is not on the list of `part`, or on none where no part is named."""
    allowed = _PARTS[part] if part else "|".join(_PARTS.values())
    for target in _targets(config):
        _check(target, allowed)


def make(node: Any, part: str) -> Any:
    """What `node`, plain data, describes by its `_target_`, nodes in its arguments included.

    The arguments are those beside `_target_`, after the positional ones of `_args_`; `_partial_: true` makes a
    function that waits for further ones.

    Args:
        part: what it is to be, a key of `_PARTS`: a config names what is on that list, and what the environment allows.

    Raises:
        ConfigError: it is no such node, names a target off the list, or cannot be made with these arguments.
    """
    name = target_of(node)
    try:
        return _made(node, _PARTS[part])
    except RecursionError as error:
        raise ConfigError(f"_target_={name} cannot be made: it is nested too deep") from error


def target_of(node: Any) -> str:
    """The dotted name that `node` describes."""
    if not isinstance(node, Mapping) or "_target_" not in node:
        raise ConfigError(f"{short(node)} cannot be made: it needs a _target_, the dotted name of a function or class")
    target = node["_target_"]
    if not isinstance(target, str):
        raise ConfigError(f"_target_={short(target)} is invalid: it must be the dotted name of a function or class")
    return target


def named(name: str, key: str, home: str = "") -> Callable[..., Any]:
    """The function that the setting `key` names.

    One without dots is beside the training function, in the module `home`; others are of the package of `home`, the
    shipped application's for this hook, or allowed by the environment.

    Raises:
        ConfigError: there is none, or it is somebody else's.
    """
    module = sys.modules.get(home)
    spec = getattr(module, "__spec__", None)
    package = (spec.name if spec is not None else home).partition(".")[0]
    is_near, role = "." not in name, key.rpartition(".")[2]
    if is_near and not hasattr(module, name):
        raise ConfigError(f"{key}={name} is invalid: {home or 'the application'} has no function of that name")
    try:
        if not is_near and (package in ("", "__main__") or not _is_within(name, package)):
            if name != _HOOKS[role] and not _is_extra(name):
                raise ConfigError(
                    f"is not allowed: it is neither of the application's own package nor {_HOOKS[role]}; to allow what "
                    f"a package defines, name it in the environment: {_EXTRA}={name.partition('.')[0]}"
                )
            return _find(name, re.escape(_HOOKS[role]))
        found = getattr(module, name) if is_near else _import(name)
    except ConfigError as error:
        raise ConfigError(f"{key}={name}: {str(error).removeprefix(f'_target_={name} ')}") from error
    # A module has names of others, too: `train.os.system`, or a `system` that it has imported.
    if not callable(found) or not _is_of(found, module, package):
        raise ConfigError(
            f"{key}={name} is invalid: a hook is a function that is defined in the module of the training function, "
            f"beside it, or in its package; wrap it in one of your own, or allow it in the environment by its full "
            f"name: {_EXTRA}"
        )
    return cast(Callable[..., Any], found)


def _is_of(found: Any, module: ModuleType | None, package: str) -> bool:
    """Whether `found` is defined in `module`, in a module of the same folder, or in `package`."""
    home = getattr(found, "__module__", None)
    if not isinstance(home, str) or module is None:
        return False
    if home == module.__name__ or (package not in ("", "__main__") and _is_within(home, package)):
        return True
    mine, its = (getattr(one, "__file__", None) for one in (module, sys.modules.get(home)))
    return bool(mine and its and Path(mine).resolve().parent == Path(its).resolve().parent)


def _made(node: Any, allowed: str) -> Any:
    if isinstance(node, (list, tuple)):
        return [_made(item, allowed) for item in node]
    if not isinstance(node, Mapping):
        return node
    if "_target_" not in node:
        return {key: _made(value, allowed) for key, value in node.items()}
    name = _check(node["_target_"], allowed)
    partial, positional = node.get("_partial_", False), node.get("_args_", [])
    if not isinstance(partial, bool) or not isinstance(positional, (list, tuple)):
        raise ConfigError(f"_target_={name} cannot be made: _partial_ is true or false, and _args_ a list")
    if node.get("_recursive_", True) is not True or node.get("_convert_", "all") not in ("all", "object", "partial"):
        raise ConfigError(
            f"_target_={name} cannot be made: arguments are always made first and are plain lists and dicts; "
            "leave _recursive_ and _convert_ out"
        )
    target = _find(name, allowed)
    args = _made(positional, allowed)
    kwargs = {key: _made(value, allowed) for key, value in node.items() if key not in _WORDS}
    try:
        return functools.partial(target, *args, **kwargs) if partial else target(*args, **kwargs)
    except (TypeError, ValueError, LookupError, OSError) as error:
        reason = f"{type(error).__name__}: {error}" if isinstance(error, (LookupError, OSError)) else error
        raise ConfigError(f"_target_={name} cannot be made: {reason}") from error


def _check(target: Any, allowed: str) -> str:
    """`target`, which matches the pattern `allowed`, or which the environment allows."""
    name = target_of({"_target_": target})
    if re.fullmatch(allowed, name) is None and not _is_extra(name):
        raise ConfigError(
            f"_target_={name} is not allowed here: a config may build sweeps.vision.models.*, torchvision.models.*, "
            "the optimizers of torch.optim, and the package's own schedules, trackers and data sources, each in its "
            "place. "
            f"For your own code name its package in the environment: {_EXTRA}={name.partition('.')[0]}"
        )
    return name


def _find(target: str, allowed: str) -> Callable[..., Any]:
    """The function or class of this dotted name, which matches the pattern `allowed` or is allowed otherwise."""
    found = _import(target)
    if isinstance(found, ModuleType) or not callable(found):
        raise ConfigError(f"_target_={target} cannot be made: it is a {type(found).__name__}, no function or class")
    if re.fullmatch(allowed, target) is None and target not in _extra():
        # A package has names of others, too: `mypackage.os.system`, or `mypackage.Path.touch`.
        home = str(getattr(found, "__module__", None))
        if not any(_is_within(home, prefix.partition(".")[0]) for prefix in _extra()):
            raise ConfigError(
                f"_target_={target} is not allowed: it is defined in {home}, which {_EXTRA} does not name; add the "
                f"whole name to it where you want this: {_EXTRA}={','.join((*_extra(), target))}"
            )
    return cast(Callable[..., Any], found)


def _import(target: str) -> Any:
    """What the longest part of `target` that is a module has under the rest of the name."""
    parts = target.split(".")
    try:
        for length in range(len(parts) - 1, 0, -1):
            path = ".".join(parts[:length])
            try:
                found: Any = importlib.import_module(path)
            except ModuleNotFoundError as error:
                if error.name is None or not _is_within(path, error.name):
                    raise  # the module is there and needs another one that is not
                continue
            return functools.reduce(getattr, parts[length:], found)
        raise ImportError(f"no module named {parts[0]!r}")
    except (ImportError, AttributeError, ValueError) as error:
        raise ConfigError(f"_target_={target} cannot be made: {error}") from error


def _extra() -> tuple[str, ...]:
    """What the environment allows: packages, modules, or single names."""
    names = (name.strip().rstrip(".") for name in os.environ.get(_EXTRA, "").split(","))
    return tuple(name for name in names if name)


def _is_extra(name: str) -> bool:
    return any(_is_within(name, prefix) for prefix in _extra())


def _is_within(name: str, prefix: str) -> bool:
    return name == prefix or name.startswith(f"{prefix}.")


def _targets(node: Any) -> Iterator[Any]:
    """Every value of a key `_target_` at any depth."""
    waiting = [node]  # no recursion: a record may be nested deeper than Python likes
    while waiting:
        node = waiting.pop()
        if isinstance(node, Mapping):
            if "_target_" in node:
                yield node["_target_"]
            waiting += [value for key, value in node.items() if key != "_target_"]
        elif isinstance(node, (list, tuple)):
            waiting += node
