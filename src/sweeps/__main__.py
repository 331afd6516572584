"""`python -m sweeps` and the console script `sweeps`."""

from sweeps.app import main

if __name__ == "__main__":
    main()
