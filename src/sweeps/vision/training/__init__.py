"""How a network is trained. Public are the schedules, which a config names."""

from sweeps.vision.training.schedules import constant, cosine, one_cycle, step

__all__ = ["constant", "cosine", "one_cycle", "step"]
