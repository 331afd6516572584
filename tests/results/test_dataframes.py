"""A sweep as data frames, for notebooks."""

import re
import subprocess
import sys
from pathlib import Path

import pytest

import sweeps
from sweeps.errors import RecordError
from sweeps.record.records import RunDir, Status

DOCS = Path(__file__).resolve().parents[2] / "docs" / "comparing.md"


def test_a_sweep_is_two_data_frames(run_in, study):
    for lr, final in ((0.1, 0.5), (0.5, 0.7)):
        run_in(lr=lr, seed=0, accuracies=(0.4, final))
    run_in(lr=1e38, status=Status.DIVERGED, accuracies=())
    runs, reports = sweeps.load(study)
    assert list(runs["run"]) == ["optim.lr=0.5,seed=0", "optim.lr=0.1,seed=0", "optim.lr=1e+38"]
    assert list(runs["optim.lr"]) == [0.5, 0.1, 1e38]
    assert list(runs["status"]) == ["completed", "completed", "diverged"]
    assert list(runs["is_best"]) == [True, False, False]
    assert runs["value"].isna().tolist() == [False, False, True]
    assert set(runs["objective"]) == {"test_acc"}
    assert set(runs["split"]) == {"test"}
    assert runs["setting_id"].nunique() == 3
    assert set(runs["facts.parameters"]) == {46_764_746}
    assert (runs["last.test_loss"][0], runs["last.test_acc"][0]) == (0.6, 0.7)
    for name in runs["run"][:2]:
        own = reports[reports["run"] == name]
        rows = RunDir(study / name).read_metrics()
        assert own["test_acc"].tolist() == [row["test_acc"] for row in rows]
        assert own["step"].tolist() == [1, 2]
        assert own["elapsed"].tolist() == [2.5, 5.0]


def test_a_sweep_without_a_report_has_an_empty_frame_of_them(regression_in, study):
    regression_in(value=1.0)
    found = sweeps.load(study)
    assert list(found.runs["value"]) == [1.0]
    assert (len(found.reports), list(found.reports.columns)) == (0, ["run", "seed", "step"])


def test_damaged_records_are_rows_too(run_in, study):
    run_in(name="a")
    run_in(name="b").record.write_text("{", encoding="utf-8")
    assert list(sweeps.load(study).runs["status"]) == ["completed", "unreadable"]


def test_a_setting_with_the_name_of_a_field_has_a_column_of_its_own(regression_in, study):
    for path in ("short", "long"):
        regression_in(0.5, path=path)
    runs = sweeps.load(study).runs
    assert list(runs["settings.path"]) == ["long", "short"]
    assert list(runs["path"]) == [str(study / "path=long"), str(study / "path=short")]


def test_the_example_in_the_docs_works(run_in, study, tmp_path, monkeypatch):
    run_in(accuracies=(0.5, 0.4))
    (tmp_path / "multirun").mkdir()
    (tmp_path / "multirun" / "study").symlink_to(study)
    monkeypatch.chdir(tmp_path)
    blocks = re.findall(r"```python\n(.*?)```", DOCS.read_text(encoding="utf-8"), re.DOTALL)
    (example,) = [block for block in blocks if "sweeps.load(" in block]
    names: dict[str, object] = {}
    exec(example, names)
    assert names["curve"].tolist() == [0.5, 0.4]


def test_no_sweep_is_an_error(tmp_path):
    with pytest.raises(RecordError, match="is not a folder"):
        sweeps.load(tmp_path / "no")


def test_importing_the_package_costs_nothing():
    code = "import sys, sweeps; print({'torch', 'pandas', 'hydra'} & set(sys.modules))"
    done = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, timeout=60)
    assert done.stdout == "set()\n"
