"""The book's table anew: what is behind `scripts/reproduce.py`.

Reading order: published (what others measured), results (what was measured here), figures (medians and spreads), page
(docs/results.md), grid (the sweep), cli.
"""
