"""Panels of an application are made of checked pieces, and a function is called only where its name is allowed."""

import re
import sys
from types import ModuleType

import altair as alt
import pytest

from sweeps.record.records import RunDir, Status
from sweeps.report import Figure, Images, Panel, Table, Text
from sweeps.vision.confusion import NAME, PNG, Confusion, Pair, write

from .conftest import FULL_NAME, TEST_ACC, VISION_PANELS


@pytest.fixture
def mylab(monkeypatch):
    """A package of the user's own; its `panels` returns what a test puts into `found`."""
    module = ModuleType("mylab")
    module.found, module.calls = [], []

    def panels(runs):
        module.calls.append(runs)
        return module.found

    panels.__module__ = "mylab"
    module.panels = panels
    monkeypatch.setitem(sys.modules, "mylab", module)
    monkeypatch.setenv("SWEEPS_ALLOW_TARGETS", "mylab")
    return module


def panel_of(page, title):
    return re.search(rf'<section class="panel"><h2>{re.escape(title)}</h2>(.*?)</section>', page, re.DOTALL)[1]


def test_panels_are_shown_as_text_tables_images_and_charts(report, run_in, study, mylab):
    run = run_in(lr=0.1, panels="mylab.panels")
    rows = [{"x": 1, "says": "one <b>", "link": "https://example.org/"}]
    chart = alt.Chart(alt.InlineData(values=rows)).mark_point().encode(x="x:Q", href="link:N")
    mylab.found = [
        Panel(FULL_NAME, [
            Text(FULL_NAME), Table(["name", FULL_NAME], [["a", 0.5], [FULL_NAME, None]]),
            Images("Samples", [(FULL_NAME, [PNG + b"1"])], run=run.path),
            Figure("time", "Residuals", FULL_NAME, rows, chart, run=run.path),
        ])
    ]  # fmt: skip
    done = report(study, figures=True)
    assert done.code == 0, done.err
    assert done.page.count("<script") == 2
    assert 'href="https:' not in done.page
    assert done.page.count("data:image/png;base64,") == 1
    assert "<td>0.5000</td>" in done.page
    assert done.page.count('Of <a href="#run-1">') == 2
    assert 'id="chart-time"' in done.page
    assert 'id="chart-time_2"' in done.page
    assert "one &lt;b&gt;" in done.page
    assert (study / "report" / "time_2.pdf").is_file()
    ((path, record),) = mylab.calls[0]
    assert (path, record.status) == (run.path, Status.COMPLETED)


def test_functions_get_their_own_runs_the_best_first(report, run_in, study, mylab):
    for lr in (0.3, 0.1, 0.2):
        run_in(lr=lr, values=(lr,), panels="mylab.panels")
    run_in(lr=0.4, values=(0.4,))
    report(study)
    assert [record.config["lr"] for _, record in mylab.calls[0]] == [0.1, 0.2, 0.3]


@pytest.mark.parametrize("name", ["mylab.panels", "os.system", "shutil.rmtree", "sweeps.targets.os.system", "panels"])
def test_what_a_record_names_is_called_only_where_somebody_allows_it(report, run_in, study, mylab, monkeypatch, name):
    monkeypatch.delenv("SWEEPS_ALLOW_TARGETS")
    run_in(lr=0.1, panels=name)
    left_out = panel_of(report(study).page, "Panels left out")
    assert left_out.count("<p>") == 1
    assert f"sweep.hooks.panels={name}" in left_out
    if name == "mylab.panels":
        assert "SWEEPS_ALLOW_TARGETS=mylab" in left_out
    assert mylab.calls == []


@pytest.mark.parametrize(
    "found",
    [
        None,
        ["<b>"],
        [Panel("a", ["<b>"])],
        [Panel("a", [Table(["x"], [[1, 2]])])],
        [Panel("a", [Figure("a", "a", "a", [], "no chart")])],
        [Panel("a", [Figure("a", "a", "a", [{"says": object()}], {"mark": "point"})])],
    ],
)
def test_a_panel_that_is_none_is_left_out_with_the_reason(report, run_in, study, mylab, found):
    mylab.found = found
    run_in(lr=0.1, panels="mylab.panels")
    done = report(study)
    assert done.code == 0
    assert "sweep.hooks.panels=mylab.panels failed: " in panel_of(done.page, "Panels left out")


def test_a_function_that_leaves_is_left_out_with_the_reason(report, run_in, study, mylab, monkeypatch):
    def panels(runs):
        sys.exit(0)

    panels.__module__ = "mylab"
    mylab.panels = panels
    run_in(lr=0.1, panels="mylab.panels")
    done = report(study)
    assert done.code == 0
    assert "sweep.hooks.panels=mylab.panels failed: SystemExit: 0" in panel_of(done.page, "Panels left out")


def test_a_chart_reads_no_file(report, run_in, study, mylab):
    """Its data are in it: where they are to be read from elsewhere it is not drawn."""
    secret = study.parent / "secret.json"
    secret.write_text('[{"a": "SECRET"}]')
    chart = {"data": {"url": str(secret)}, "mark": "text", "encoding": {"text": {"field": "a"}}}
    mylab.found = [Panel("a", [Figure("mine", "a", "a", [], chart)])]
    run_in(lr=0.1, panels="mylab.panels")
    done = report(study)
    assert "the chart mine cannot be drawn and is left out" in done.err
    assert "SECRET" not in done.page


def test_an_image_is_a_png_file():
    with pytest.raises(ValueError, match="is not a PNG file"):
        Images("Samples", [("one", [b"<svg onload=alert(1)>"])])


def test_the_confusion_of_each_networks_best_run_is_shown_with_its_mistakes(report, run_in, study):
    confusion = Confusion("test", 2, ["cat", "<dog>"], [[5, 1], [3, 7]], [Pair(1, 0, 3, [PNG + b"1"])])
    for score, lr in ((0.5, 0.1), (0.6, 0.2)):
        config = {"model": {"_target_": "sweeps.vision.models.alexnet"}, "optim": {"lr": lr}, "seed": 0}
        run = run_in(values=(score,), objective=TEST_ACC, panels=VISION_PANELS, config=config,
                     overrides=[f"optim.lr={lr}"])  # fmt: skip
        write(run.path, confusion)
    done = report(study)
    rows = done.data["charts"]["confusion_1_alexnet"]
    assert [row["count"] for row in rows] == [5, 1, 3, 7]
    shown = panel_of(done.page, "Confusion matrix")
    assert "Most frequent mistakes: alexnet" in shown
    assert "&lt;dog&gt; classified as cat: 3" in shown
    assert shown.count("data:image/png;base64,") == 1
    assert "optim.lr=0.2" in shown
    assert "optim.lr=0.1" not in shown


@pytest.mark.parametrize(
    "content",
    [
        "{",
        '{"labels": ["a"]}',
        '{"labels":["a"],"counts":[[1,2]],"pairs":[],"epoch":1}',
        '{"split":"test","labels":["a"],"counts":[[1]],"pairs":[[Infinity,0,1,[]]],"epoch":1}',
        '{"split":"test","labels":["a"],"counts":[[1]],"pairs":[{"true":Infinity,"guess":0,"count":1,"images":[]}],'
        '"epoch":1}',
    ],
)
def test_a_damaged_confusion_is_left_out(report, run_in, study, content):
    run = run_in(lr=0.1, panels=VISION_PANELS)
    assert isinstance(run, RunDir)
    (run.path / NAME).write_text(content, encoding="utf-8")
    assert "No completed run has left a confusion.json." in report(study).page


def test_no_character_of_a_label_ends_the_process_that_draws(report, run_in, study):
    write(
        run_in(lr=0.1, panels=VISION_PANELS).path,
        Confusion("test", 2, ["cat\x1b]0;x\x07\x1b[31m", "\x00\ufffe"], [[5, 1], [3, 7]], []),
    )
    done = report(study)
    assert done.code == 0
    assert "cat]0;x[31m" in done.page
