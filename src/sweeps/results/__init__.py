"""From run directories to tables. Reads records only; never imports torch.

rows = rank(load(folders))               # one `RunRow` per run directory, unreadable ones included
settings = judged(settings_of(rows))     # one `Setting` per setting_id, the best first
columns = columns_of(rows)               # what differs between the runs, objective, facts
print_summary(console, folder)           # what `python -m sweeps.summarize FOLDER` shows
"""

from sweeps.results.ranking import rank
from sweeps.results.runs import RunRow, load
from sweeps.results.settings import Setting, judged, settings_of
from sweeps.results.tables import print_summary

__all__ = ["RunRow", "Setting", "judged", "load", "print_summary", "rank", "settings_of"]
