#!/usr/bin/env python
"""Rank the runs of a sweep: `python scripts/summarize.py multirun/lr_study`. Works without installation."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from sweeps.summarize import main

if __name__ == "__main__":
    sys.exit(main())
