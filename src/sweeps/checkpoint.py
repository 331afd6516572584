"""The checkpoint of a run: what `restore` was given, and the random states. Nothing is ever unpickled.

Imports torch only when a checkpoint is written or read.
"""

import io
import logging
import random
import sys
import zipfile
from collections.abc import Mapping
from pathlib import Path
from typing import Any

from sweeps.errors import ReportError
from sweeps.record.files import atomic_write

log = logging.getLogger(__name__)

_ARRAY = "__ndarray__"
_MOST_SHARED = 100  # names of one tensor, as tied layers have them


def save(path: Path, run_id: str, step: float, stateful: Mapping[str, Any], *, verify: bool) -> None:
    """Replace the checkpoint by the states of `stateful` after `step`.

    Args:
        verify: read it back, to see that it holds nothing that must be unpickled.

    Raises:
        ReportError: some state holds such a thing; names it.
    """
    import torch

    states = {name: _portable(one.state_dict()) for name, one in stateful.items()}
    for name, state in states.items() if verify else ():
        _verify(name, state)
    buffer = io.BytesIO()
    torch.save({"run_id": run_id, "step": step, "states": states, "random": _random_states()}, buffer)
    atomic_write(path, buffer.getbuffer())


def _verify(name: str, state: Any) -> None:
    import torch

    buffer = io.BytesIO()
    try:
        torch.save(state, buffer)
        buffer.seek(0)
        torch.load(buffer, weights_only=True)
    except Exception as error:  # torch reports it with whatever its reader stumbles over
        reason = str(error).strip().splitlines()[-1] if str(error).strip() else type(error).__name__
        raise ReportError(
            f"restore({name}=...) cannot be saved: its state_dict() has to consist of tensors, arrays, numbers, texts, "
            f"lists and dicts ({reason})"
        ) from error


def load(path: Path, run_id: str) -> dict[str, Any] | None:
    """The content of the checkpoint; None where there is none that can be trusted, damaged or of another run."""
    if not path.is_file():
        return None
    import torch

    try:
        size = path.stat().st_size
        with zipfile.ZipFile(path) as archive:  # ours are not compressed, and take no more memory than they are long
            entries = archive.infolist()
        if any(entry.compress_type != zipfile.ZIP_STORED for entry in entries):
            raise ValueError("its content is compressed")
        if sum(entry.file_size for entry in entries) > size:
            raise ValueError("its content is longer than the file")
        found = torch.load(path, map_location="cpu", weights_only=True)
        _refuse_what_grows(found, size)
        step, states = found["step"], found["states"]
        if found["run_id"] != run_id:
            return None
        if isinstance(step, bool) or not isinstance(step, (int, float)) or not isinstance(states, dict):
            raise ValueError("it holds something else")
        return {"step": step, "states": _original(states), "random": found["random"]}
    except Exception as error:  # torch reports damage with whatever its reader stumbles over
        log.warning("%s cannot be used and is ignored: %s", path, error)
        return None


def _refuse_what_grows(content: Any, size: int) -> None:
    """Raise a ValueError where a copy of what was loaded would be far longer than the file: an object may make one.

    A tensor may repeat one number many times, and a list may hold another one many times.
    """
    import torch

    waiting, parts, length = [content], 1, 0
    while waiting:
        node = waiting.pop()
        if isinstance(node, torch.Tensor) and node.layout is torch.strided:
            length += _length(node)
            if _is_repeated(node) or length > _MOST_SHARED * size:
                raise ValueError("a tensor in it is larger than what is stored")
        elif isinstance(node, (Mapping, list, tuple, set)):
            parts += len(node)
            if parts > size:
                raise ValueError("it holds more than is stored")
            waiting += node.values() if isinstance(node, Mapping) else node


def _length(tensor: Any) -> int:
    return int(tensor.numel() * tensor.element_size())


def _is_repeated(tensor: Any) -> bool:
    """Whether a tensor has more numbers than its memory holds, as `expand` makes it."""
    return _length(tensor) > int(tensor.untyped_storage().nbytes())


def put_back(states: Mapping[str, Any], stateful: Mapping[str, Any]) -> str:
    """Load saved states into objects; returns why they do not fit, empty where they do."""
    if states.keys() != stateful.keys():
        return f"it holds {', '.join(states)}, and restore() was given {', '.join(stateful)}"
    for name, one in stateful.items():
        if problem := _misfit(states[name], one.state_dict(), name):
            return problem
    for name, one in stateful.items():
        try:
            one.load_state_dict(states[name])
        except Exception as error:  # whatever an object has to say against it
            return f"{name}: {error}"
    return ""


def _misfit(saved: Any, own: Any, name: str) -> str:
    """Which tensor of a saved state has another shape than that of the object now; empty where all fit."""
    if isinstance(saved, Mapping) and isinstance(own, Mapping):
        for key in saved:
            if key in own and (found := _misfit(saved[key], own[key], f"{name}.{key}")):
                return found
    elif hasattr(saved, "shape") and hasattr(own, "shape") and tuple(saved.shape) != tuple(own.shape):
        return f"{name} has the shape {list(saved.shape)} in the checkpoint and {list(own.shape)} now"
    return ""


def _random_states() -> dict[str, Any]:
    import torch

    version, internal, gauss = random.getstate()
    states: dict[str, Any] = {"python": [version, list(internal), gauss], "torch": torch.get_rng_state()}
    if numpy := sys.modules.get("numpy"):
        kind, keys, position, has_gauss, cached = numpy.random.get_state()
        states["numpy"] = [kind, [int(key) for key in keys], int(position), int(has_gauss), float(cached)]
    if torch.cuda.is_available() and torch.cuda.is_initialized():
        states["cuda"] = torch.cuda.get_rng_state_all()
    return states


def restore_random_states(states: Mapping[str, Any]) -> None:
    """Put the random states of a checkpoint in place; what cannot be taken over is left as it is."""
    import numpy
    import torch

    try:
        version, internal, gauss = states["python"]
        random.setstate((version, tuple(internal), gauss))
        if "numpy" in states:
            kind, keys, *rest = states["numpy"]
            numpy.random.set_state((kind, numpy.array(keys, dtype=numpy.uint32), *rest))
        torch.set_rng_state(states["torch"])
        if "cuda" in states and len(states["cuda"]) == torch.cuda.device_count():
            torch.cuda.set_rng_state_all(states["cuda"])
    except (LookupError, TypeError, ValueError, RuntimeError, OverflowError, AttributeError) as error:
        log.warning("the random states of the checkpoint cannot be used: %s", error)


def _portable(value: Any) -> Any:
    """`value` with arrays of numpy as tensors, which can be read without unpickling, and every tensor in full."""
    if isinstance(value, Mapping):
        return {key: _portable(item) for key, item in value.items()}
    if type(value) in (list, tuple):
        return type(value)(_portable(item) for item in value)
    import torch

    if isinstance(value, torch.Tensor) and value.layout is torch.strided and _is_repeated(value):
        return value.contiguous()
    numpy = sys.modules.get("numpy")
    if numpy is not None and isinstance(value, numpy.ndarray):
        return {_ARRAY: torch.from_numpy(value.copy())}
    return value.item() if numpy is not None and isinstance(value, numpy.generic) else value


def _original(value: Any) -> Any:
    if isinstance(value, dict) and value.keys() == {_ARRAY}:
        return value[_ARRAY].numpy()
    if isinstance(value, dict):
        return {key: _original(item) for key, item in value.items()}
    return type(value)(_original(item) for item in value) if type(value) in (list, tuple) else value
