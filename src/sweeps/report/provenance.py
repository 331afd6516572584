"""Where the figures come from: commands, code, versions, devices, the order of the images. Never imports torch."""

from collections.abc import Iterator
from html import escape
from typing import Any

from sweeps.report.content import Content, command_line
from sweeps.results import format as text

_DIFFS = 500_000  # characters of all diffs together
_ORDERS = 20


def provenance(content: Content) -> Iterator[str]:
    """The section of the page."""
    yield '<section id="provenance"><h2>Provenance</h2>'
    yield "<p>Each run's own command, device, versions and repeat line stand in its details (… in the table).</p>"
    if content.invocations:
        yield "<h3>How the sweep was started</h3><ol>"
        room = _DIFFS
        seen: set[str] = set()
        for one in content.invocations:
            diff = str(one.get("diff") or "")
            shown = diff if diff not in seen and len(diff) <= room else ""
            room -= len(shown)
            yield _invocation(one, diff, shown, diff in seen)
            seen.add(diff)
        yield "</ol>"
    else:
        yield "<p>No sweep.json tells how these runs were started: they were run one by one, or copied singly.</p>"
    yield from _orders(content)
    yield "</section>"


def _invocation(one: dict[str, Any], diff: str, shown: str, is_again: bool) -> str:
    git = one.get("git") if isinstance(one.get("git"), dict) else None
    packages = one.get("packages") if isinstance(one.get("packages"), dict) else {}
    code = "an installed package" if git is None else f"commit {git.get('commit')}"
    if git is not None and git.get("dirty"):
        code += " with changes"
    facts = [
        f"began {one.get('began')}",
        code,
        f"on {one.get('device')} ({one.get('platform')}, Python {one.get('python')})",
        ", ".join(f"{name} {version}" for name, version in (packages or {}).items()),
    ]
    changes = ""
    if shown:
        changes = f"<details><summary>The changes</summary><pre>{escape(shown)}</pre></details>"
    elif diff:
        changes = f"<p>{'The same changes as above.' if is_again else 'The changes stand in sweep.json.'}</p>"
    return (
        f"<li><code>{escape(text.clean(command_line(one.get('command'))))}</code>"
        f"<p>{escape(text.clean('; '.join(facts)))}</p>{changes}</li>"
    )


def _orders(content: Content) -> Iterator[str]:
    """Which runs saw the same images in the same order."""
    groups: dict[str, list[str]] = {}
    for entry in content.entries:
        if entry.record is not None and entry.record.data_order:
            groups.setdefault(str(entry.record.data_order), []).append(entry.row.name)
    if not groups:
        return
    yield "<h3>Order of the training images</h3>"
    yield "<p>Runs with the same hash saw the same batches in the same order.</p><ul>"
    for order, names in list(groups.items())[:_ORDERS]:
        example = names[0] if len(names) == 1 else f"{text.plural(len(names), 'run')}, such as {names[0]}"
        yield f"<li><code>{escape(text.clean(order))}</code>: {escape(example)}</li>"
    if len(groups) > _ORDERS:
        yield f"<li>and {len(groups) - _ORDERS} more, in the details of the runs</li>"
    yield "</ul>"
