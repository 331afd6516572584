"""`plan=true`: what a sweep would cost, before it is begun."""

from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from sweeps.launchers.local.pool import Pool
from sweeps.launchers.preflight import ask
from sweeps.launchers.runs import Cell, Cost
from sweeps.launchers.signals import StopRequest
from sweeps.launchers.view import View, duration

BYTES_PER_PARAMETER = 4  # single precision


def show_plan(
    cells: Sequence[Cell],
    todo: Sequence[Cell],
    pool: Pool,
    stop: StopRequest,
    view: View,
    at_a_time: int | None = None,
) -> None:
    """Print the kinds of cells with their size and an estimate of time and memory, from a probe of each.

    `at_a_time` is how many cells run side by side: as many as `pool` has workers, unless they run elsewhere.
    """
    console = view.console
    kinds: dict[str, list[Cell]] = {}
    for cell in todo:
        kinds.setdefault(cell.report.kind, []).append(cell)
    costs: list[Cost] = []
    for number, alike in enumerate(kinds.values(), start=1):
        view.note(f"timing a batch of {alike[0].label} ({number} of {len(kinds)})")
        first = alike[0]
        assert first.folder is not None
        probe = {"folder": first.folder.path, "number": first.number, "overrides": first.overrides}
        costs += ask(pool, [("probe", probe)], stop)
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("cells", overflow="fold", min_width=20)
    for header in ("runs", "parameters", "MMAC", "epochs", "time each", "memory"):
        table.add_column(header, justify="right")
    seconds = 0.0
    for alike, cost in zip(kinds.values(), costs, strict=True):
        by_epochs: dict[int, list[Cell]] = {}
        for cell in alike:
            by_epochs.setdefault(cell.report.epochs_left, []).append(cell)
        for epochs, group in by_epochs.items():
            estimate = cost.epoch_seconds * epochs
            seconds += estimate * len(group)
            table.add_row(
                Text(_in_short(group, cells)),
                str(len(group)),
                f"{group[0].report.parameters:,}",
                f"{group[0].report.forward_macs / 1e6:,.1f}",
                str(epochs),
                duration(estimate),
                f"{cost.peak_memory / 2**20:,.0f} MiB",
            )
    console.print(table)
    workers = max(min(at_a_time or len(pool.workers), len(todo)), 1)
    kept = sum(cell.report.parameters for cell in todo if cell.report.keeps_weights) * BYTES_PER_PARAMETER
    largest = max((cell.report.parameters for cell in todo), default=0) * BYTES_PER_PARAMETER
    together = duration(seconds / workers)
    console.print(
        f"{len(todo)} of {len(cells)} cells to do: about {together} with {workers} at a time ({duration(seconds)} of "
        f"work, estimated from one batch with one run alone). Disk: {kept / 2**20:,.0f} MiB of weights to keep, up to "
        f"{workers * 3 * largest / 2**20:,.0f} MiB of checkpoints meanwhile. Nothing was started.",
        soft_wrap=True,
        highlight=False,
    )


def _in_short(group: Sequence[Cell], cells: Sequence[Cell]) -> str:
    """A line for each key in which `cells` differ, with the values that `group` has."""
    if len(group) == 1:
        return group[0].label
    common = set(cells[0].overrides).intersection(*(cell.overrides for cell in cells))
    values: dict[str, dict[str, None]] = {}
    for cell in group:
        for override in cell.overrides:
            if override not in common:
                key, _, value = override.partition("=")
                values.setdefault(key, {})[value] = None
    return "\n".join(f"{key}={','.join(of)}" for key, of in values.items())
