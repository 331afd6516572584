"""The measuring instrument behind `scripts/bench.py`: how fast is the package, and against what?

Reading order: contenders, measure, report, startup, cli.
"""
