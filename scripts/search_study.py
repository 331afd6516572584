#!/usr/bin/env python
"""Measure pruning, search and statistics and write docs/search.md: `python scripts/search_study.py statistics`."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.search_study.cli import main

if __name__ == "__main__":
    sys.exit(main())
