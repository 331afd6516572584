#!/usr/bin/env python
"""Train the book's table and report it: `python scripts/reproduce.py --help`. Works without installation."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))
sys.path.insert(0, str(Path(__file__).resolve().parents[1]))

from benchmarks.reproduce.cli import main

if __name__ == "__main__":
    sys.exit(main())
