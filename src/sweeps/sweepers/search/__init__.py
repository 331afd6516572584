"""`hydra/sweeper=search`: trials instead of a grid. optuna chooses them; what runs them is the same as for a grid."""

from sweeps.sweepers.search.space import Axis, Space, space_of
from sweeps.sweepers.search.study import Search
from sweeps.sweepers.search.sweep import sweep

__all__ = ["Axis", "Search", "Space", "space_of", "sweep"]
