"""`python -m sweeps.report DIR`: a sweep as one page and as figures, from its records alone; never imports torch.

An application adds sections of its own by `sweep.hooks.panels`, the name of a function

    def panels(runs: list[tuple[Path, RunRecord]]) -> list[Panel]: ...

which gets the folders and records of the runs, the best first, and returns panels made of the classes below. Whatever
text they hold is escaped; there is no way to put markup of one's own into the page.
"""

from sweeps.report.panels import Content, Figure, Images, Panel, Table, Text

__all__ = ["Content", "Figure", "Images", "Panel", "Table", "Text"]
