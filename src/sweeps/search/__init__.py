"""`hydra/sweeper=search`: trials instead of a grid. optuna chooses them; what runs them is the same as for a grid."""

from sweeps.search.searching import sweep
from sweeps.search.space import Axis, Space, space_of
from sweeps.search.study import Search

__all__ = ["Axis", "Search", "Space", "space_of", "sweep"]
