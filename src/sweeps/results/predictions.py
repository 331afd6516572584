"""The per-example predictions that a run leaves behind, read without torch."""

from pathlib import Path
from typing import Any

from sweeps.record.files import LINES_LIMIT, read_bytes
from sweeps.record.records import RunDir


def right_answers(run: Path, split: str) -> tuple[Any, Any] | None:
    """(right, labels) of the final network on the images of `split`, one entry per image; None where none were kept.

    A file that is damaged counts as none: it is evidence beside the run's figures, not one of them.
    """
    path = RunDir(run).predictions
    try:
        content = read_bytes(path, LINES_LIMIT)
    except OSError:
        return None
    from safetensors import SafetensorError
    from safetensors.numpy import load

    try:
        kept = load(content)
    except (LookupError, TypeError, ValueError, SafetensorError):
        return None
    labels = kept.get(f"{split.removesuffix('_bn')}_labels")
    predicted = kept.get(split)
    if labels is None or predicted is None or labels.shape != predicted.shape or labels.ndim != 1:
        return None
    return predicted == labels, labels
