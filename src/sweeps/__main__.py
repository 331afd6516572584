"""`python -m sweeps` and the console script `sweeps`."""

import sys

from sweeps.vision.app import main

if __name__ == "__main__":
    sys.argv[0] = "python -m sweeps"  # what usage messages and records call this program, instead of __main__.py
    main()
