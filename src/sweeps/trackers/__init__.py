"""Where curves and pictures of a run go.

The trackers other than the null one are imported only where a config asks for them.
"""

from sweeps.trackers.composite import Several, followed
from sweeps.trackers.tracker import NullTracker

__all__ = ["NullTracker", "Several", "followed"]
