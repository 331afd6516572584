"""Where curves and pictures of a run go.

The trackers other than the null one are imported only where a config asks for them.
"""

from sweeps.tracking.several import Several, followed
from sweeps.tracking.tracker import NullTracker

__all__ = ["NullTracker", "Several", "followed"]
