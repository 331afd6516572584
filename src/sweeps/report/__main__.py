"""`python -m sweeps.report`. Never imports torch."""

import sys

from sweeps.report.cli import main

if __name__ == "__main__":
    sys.exit(main())
