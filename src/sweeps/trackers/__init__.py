"""Where the metrics of a run go besides its own folder.

A tracker is a class of `Tracker`'s methods, named by a `_target_` in group `sweep/tracker`. Those that need a package
of their own are imported only where a config asks for them.
"""

from sweeps.trackers.tracker import Tracker, Trackers, make_trackers

__all__ = ["Tracker", "Trackers", "make_trackers"]
