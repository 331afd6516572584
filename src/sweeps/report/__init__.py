"""`python -m sweeps.report DIR`: a sweep as one page and as figures, from its records alone; never imports torch."""
