"""From a command line to runs: `grid` for all combinations, `search` for those that optuna chooses."""
