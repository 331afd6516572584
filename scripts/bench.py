#!/usr/bin/env python
"""Time the package against a tutorial's loop: `python scripts/bench.py --help`. Works without installation."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.bench.cli import main

if __name__ == "__main__":
    sys.exit(main())
