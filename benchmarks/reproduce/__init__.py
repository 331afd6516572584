"""The book's table anew.

Reading order: published (what others measured), results (what was measured here), page (docs/results.md), cli.
"""
