"""The measuring instruments behind `scripts/bench.py`, `scripts/reproduce.py` and `scripts/search_study.py`.

They are an application of `sweeps.vision` and no part of the wheel.
"""
