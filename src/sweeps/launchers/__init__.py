"""From runs to processes: the checks before the first run, the scheduler, the display, and the launchers."""
