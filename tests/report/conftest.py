"""Run directories as a sweep would leave them, and the report of a folder."""

import json
import re
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace

import pytest

from ..analysis.conftest import _write_run, made_up, run_in, study, sweep  # noqa: F401 - fixtures

FULL_NAME = "<script>alert(1)</script>\"'&amp;" + "x" * 300


@pytest.fixture
def report(capsys) -> Callable[..., SimpleNamespace]:
    """Call the command, for the page alone unless `figures`; `page` is what it wrote, `data` the JSON in it."""
    from sweeps.report.cli import main

    def call(*arguments: object, figures: bool = False) -> SimpleNamespace:
        code = main([*map(str, arguments), *([] if figures else ["--no-figures"])])
        said = capsys.readouterr()
        path = Path(said.out.split()[-1]) if code == 0 else None
        page = path.read_text(encoding="utf-8") if path else ""
        found = re.search(r'<script type="application/json" id="data">(.*?)</script>', page, re.DOTALL)
        data = json.loads(found[1]) if found else None
        return SimpleNamespace(code=code, out=said.out, err=said.err, path=path, page=page, data=data)

    return call
