"""The engine's choices that `scripts/bench.py --engines` compares. Never imports torch."""

from collections.abc import Mapping

# What is set in the `trainer` group; the first is what the others are compared with.
ENGINES: Mapping[str, Mapping[str, str]] = {
    "auto": {},
    "no graphs": {"capture": "never"},
    "fp32": {"precision": "fp32"},
    "tf32": {"precision": "tf32"},
    "bf16": {"precision": "bf16"},
    "contiguous": {"memory_format": "contiguous"},
    "channels_last": {"memory_format": "channels_last"},
    "compiled": {"compile": "default"},
    "reduce-overhead": {"compile": "reduce-overhead"},
}
