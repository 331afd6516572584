"""`sweep.plan=true`: what a sweep would cost, before it is started. Never imports torch."""

from collections.abc import Sequence

from rich import box
from rich.table import Table
from rich.text import Text

from sweeps.launchers.local.pool import Pool
from sweeps.launchers.preflight import ask
from sweeps.launchers.runs import Cost, SweepRun
from sweeps.launchers.signals import StopRequest
from sweeps.launchers.view import View, duration
from sweeps.results.format import BLANK, fact, plural, steps
from sweeps.terminal import clean


def show_plan(
    runs: Sequence[SweepRun],
    todo: Sequence[SweepRun],
    pool: Pool,
    stop: StopRequest,
    view: View,
    at_a_time: int | None = None,
) -> None:
    """Print what is to be done, with what the application's hooks say of it: facts, time, memory and disk.

    Args:
        at_a_time: how many runs there may be at a time; as many as `pool` has workers unless they run elsewhere.
    """
    costs = _costs(todo, pool, stop, view)
    rows: dict[tuple[str, ...], list[SweepRun]] = {}
    facts = list(dict.fromkeys(name for run in todo for name in run.preflight.facts))
    for run in todo:
        cost, left = costs.get(run.preflight.setting_id, Cost()), run.preflight.steps_left
        seconds = _seconds(run, cost)
        known = [fact(run.preflight.facts.get(name)) for name in facts]
        known += [BLANK if left is None else steps(left), BLANK if seconds is None else duration(seconds)]
        known.append(BLANK if cost.memory is None else _mebibytes(cost.memory))
        rows.setdefault(tuple(known), []).append(run)
    names = [*facts, "steps left", "time each", "memory"]
    shown = [column for column, _ in enumerate(names) if any(row[column] != BLANK for row in rows)]
    table = Table(box=box.SIMPLE_HEAD, padding=(0, 1, 0, 0))
    table.add_column("settings", overflow="fold", min_width=20)
    for header in ("runs", *(names[column] for column in shown)):
        table.add_column(Text(clean(header)), justify="right")
    for row, alike in rows.items():
        table.add_row(Text(_in_short(alike, runs)), str(len(alike)), *(Text(row[column]) for column in shown))
    if rows:
        view.console.print(table)
    at_once = max(min(at_a_time or len(pool.workers), len(todo)), 1)
    text = f"{len(todo)} of {plural(len(runs), 'run')} to do{_total(todo, costs, at_once)} Nothing was started."
    view.console.print(text, soft_wrap=True, highlight=False)


def _costs(todo: Sequence[SweepRun], pool: Pool, stop: StopRequest, view: View) -> dict[str, Cost]:
    """The cost of a run of every setting, by its `setting_id`; none where the application has no `sweep.hooks.cost`.

    One worker answers, alone: the hook may measure, and may keep what it has measured before.
    """
    settings: dict[str, SweepRun] = {}
    for run in todo:
        settings.setdefault(run.preflight.setting_id, run)
    runs = [(run.folder.path, run.preflight.composed) for run in settings.values()]
    costs: list[Cost] = ask(pool, [("cost", {"runs": runs[:1]})], stop)[0]
    if costs and runs[1:]:
        view.note(f"{view.title}: asking for the cost of {plural(len(runs), 'setting')} ...")
        costs += ask(pool, [("cost", {"runs": runs[1:]})], stop)[0]
    return dict(zip(settings, costs, strict=False))  # an application without the hook gives none


def _total(todo: Sequence[SweepRun], costs: dict[str, Cost], at_once: int) -> str:
    """Time and disk of all runs, as far as they are known."""
    if not todo:
        return "."
    lefts = [run.preflight.steps_left for run in todo]
    text = f", {steps(sum(left or 0 for left in lefts))} steps" if None not in lefts else ""
    if not costs:
        return f"{text}. How long they take is not known: the application has no sweep.hooks.cost."
    each = [_seconds(run, costs[run.preflight.setting_id]) for run in todo]
    seconds = sum(one for one in each if one is not None)
    if None not in each:
        text += f": about {duration(seconds / at_once)} with {at_once} at a time ({duration(seconds)} of work)"
    disk = sum(costs[run.preflight.setting_id].disk or 0 for run in todo)
    return f"{text}. Disk: {_mebibytes(disk)}." if disk else f"{text}."


def _seconds(run: SweepRun, cost: Cost) -> float | None:
    left = run.preflight.steps_left
    return None if left is None or cost.seconds_per_step is None else left * cost.seconds_per_step


def _mebibytes(size: float) -> str:
    return f"{size / 2**20:,.0f} MiB"


def _in_short(alike: Sequence[SweepRun], runs: Sequence[SweepRun]) -> str:
    """A line for each key in which `runs` differ, with the values that those `alike` have."""
    if len(alike) == 1:
        return alike[0].label
    common = set(runs[0].overrides).intersection(*(run.overrides for run in runs))
    values: dict[str, dict[str, None]] = {}
    for run in alike:
        for override in run.overrides:
            if override not in common:
                key, _, value = override.partition("=")
                values.setdefault(key, {})[value] = None
    return "\n".join(f"{key}={','.join(of)}" for key, of in values.items())
