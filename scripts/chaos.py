#!/usr/bin/env python
"""Kill small sweeps again and again, and see that they end as if nobody had: `scripts/chaos.py --help`."""

import sys
from pathlib import Path

sys.path.insert(1, str(Path(__file__).resolve().parents[1] / "src"))

from chaos.cli import main  # the package beside this file

if __name__ == "__main__":
    sys.exit(main())
