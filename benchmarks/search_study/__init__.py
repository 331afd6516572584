"""What pruning, search and statistics are worth, measured: the instrument behind `scripts/search_study.py`."""
