"""Where curves and pictures of a run go.

`sweeps.tracking.tensorboard.TensorBoardTracker` is imported only where a config asks for it.
"""

from sweeps.tracking.tracker import NullTracker

__all__ = ["NullTracker"]
