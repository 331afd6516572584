#!/usr/bin/env python
"""A sweep as one page: `python scripts/report.py multirun/lr_study`. Works without installation."""

import sys
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[1] / "src"))

from sweeps.report.cli import main

if __name__ == "__main__":
    sys.exit(main())
