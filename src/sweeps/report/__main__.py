"""`python -m sweeps.report`. Never imports torch."""

import sys

from sweeps.report.cli import main

sys.exit(main())
