"""`plan=true`: what a sweep would cost, before it is begun."""

from collections.abc import Sequence

from rich import box
from rich.console import Console
from rich.table import Table
from rich.text import Text

from sweeps.launching.cells import Cell, Cost
from sweeps.launching.pool import Pool
from sweeps.launching.prepare import ask
from sweeps.launching.signals import StopRequest
from sweeps.launching.view import duration

BYTES_PER_PARAMETER = 4  # single precision


def show_plan(cells: Sequence[Cell], todo: Sequence[Cell], pool: Pool, stop: StopRequest, console: Console) -> None:
    """Print every cell with its size and an estimate of time and memory, from a probe of each distinct kind."""
    first = {cell.report.kind: cell for cell in reversed(todo)}
    costs = ask(pool, [("probe", {"overrides": cell.overrides}) for cell in first.values()], stop, workers=1)
    by_kind: dict[str, Cost] = dict(zip(first, costs, strict=True))
    table = Table(box=box.SIMPLE_HEAD)
    table.add_column("cell", overflow="fold")
    for header in ("parameters", "MMAC/image", "epochs", "time", "memory"):
        table.add_column(header, justify="right")
    seconds = 0.0
    for cell in cells:
        report = cell.report
        if cell not in todo:
            state = "same as above" if cell.same_as is not None else "finished"
            table.add_row(Text(cell.label), "", "", state, "", "")
            continue
        cost = by_kind[report.kind]
        estimate = cost.epoch_seconds * report.epochs_left
        seconds += estimate
        table.add_row(
            Text(cell.label),
            f"{report.parameters:,}",
            f"{report.forward_macs / 1e6:,.1f}",
            str(report.epochs_left),
            duration(estimate),
            f"{cost.peak_memory / 2**20:,.0f} MiB",
        )
    console.print(table)
    workers = max(len(pool.workers), 1)
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
