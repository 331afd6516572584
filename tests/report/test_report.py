"""The page says what the records say, whatever state the sweep is in, and nothing in them can break it."""

import html
import json
import re
import shlex
import statistics
import subprocess
import sys
from html.parser import HTMLParser
from pathlib import Path

import pytest

from sweeps.record.identity import run_id
from sweeps.record.lock import owned
from sweeps.record.records import Failure, RunDir, Status
from sweeps.vision.confusion import PNG, Confusion, Pair, write

from .conftest import FULL_NAME

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "report.py"
CHARTS = {
    "curves_test_acc", "curves_train_loss", "curves_by_rate", "learning_rate", "heat_map", "pareto_parameters",
    "pareto_seconds", "time",
}  # fmt: skip


class Tags(HTMLParser):
    """Every start tag of a page with its attributes."""

    def __init__(self, page):
        super().__init__()
        self.found = []
        self.feed(page)

    def handle_starttag(self, tag, attributes):
        self.found.append((tag, dict(attributes)))


def test_every_run_has_a_line_failures_included(report, sweep):
    done = report(sweep)
    assert (done.code, done.path) == (0, sweep / "report.html")
    lines = [attributes for tag, attributes in Tags(done.page).found if tag == "tr" and "data-status" in attributes]
    assert len(lines) == len(done.data["runs"]) == 11
    assert sorted({line["data-status"] for line in lines}) == sorted(
        ["completed", "diverged", "running", "interrupted", "failed", "unreadable"]
    )
    assert "CUDA out of memory: 2.1 GiB more were asked for; use trainer.batch_size=64" in done.page
    assert "schema version 99" in done.page


def test_what_was_chosen_on_the_test_set_is_said(report, sweep, run_in, study):
    assert "Chosen on the test set." in report(sweep).page
    run_in(objective=("val_acc", "max", "last", "val"))
    page = report(study).page
    assert "Chosen on the test set." not in page
    assert "chosen on the validation split, not on the test set" in page


def test_curves_in_the_page_are_those_of_the_records(report, sweep):
    data = report(sweep).data
    assert data["schema"] == 1
    for run in data["runs"]:
        rows = RunDir(run["path"]).read_metrics() if run["status"] != "unreadable" else []
        assert run["metrics"] == {key: [row[key] for row in rows] for key in (rows[0] if rows else {})}


def test_chart_data_are_the_means_of_the_records(report, sweep):
    data = report(sweep).data
    seeds = [
        RunDir(run["path"]).read_metrics() for run in data["runs"] if (run["model"], run["lr"]) == ("alexnet", 0.01)
    ]
    assert len(seeds) == 3
    best = [row for row in data["charts"]["curves_test_acc"] if row["model"] == "alexnet"]
    for row in best:
        values = [rows[row["epoch"] - 1]["test_acc"] for rows in seeds]
        assert (row["n"], row["low"], row["high"]) == (3, min(values), max(values))
        assert row["mean"] == pytest.approx(statistics.fmean(values))
    points = {row["run"]: row["value"] for row in data["charts"]["learning_rate"]}
    finished = {run["name"]: run["value"] for run in data["runs"] if run["status"] in ("completed", "diverged")}
    assert points == finished
    cells = {(row["model"], row["rate"]): row for row in data["charts"]["heat_map"]}
    assert cells["alexnet", 0.01]["mean"] == pytest.approx(0.92)
    assert cells["alexnet", 0.01]["is_best"]
    assert (cells["vgg11", 0.1]["mean"], cells["vgg11", 0.1]["shown"]) == (None, "diverged")
    times = {row["run"]: row["seconds"] for row in data["charts"]["time"]}
    assert times == {run["name"]: run["seconds"] for run in data["runs"] if run["seconds"]}


def test_the_pareto_front_holds_what_nothing_beats(report, run_in, study):
    for model, parameters, accuracy in (("a", 10, 0.5), ("b", 20, 0.8), ("c", 30, 0.7), ("d", 40, 0.9)):
        run_in(model=model, parameters=parameters, accuracies=(accuracy,))
    rows = report(study).data["charts"]["pareto_parameters"]
    assert {row["model"] for row in rows if row["front"]} == {"a", "b", "d"}


def test_a_loss_is_better_when_it_is_less(report, run_in, study):
    objective = ("test_loss", "min", "last", "test")
    for model, parameters, accuracy in (("a", 10, 0.5), ("b", 20, 0.8), ("c", 30, 0.7)):
        run_in(model=model, parameters=parameters, accuracies=(accuracy,), objective=objective)
    rows = report(study).data["charts"]["pareto_parameters"]
    assert {row["model"] for row in rows if row["front"]} == {"a", "b"}


def caption(page, figure):
    return html.unescape(re.search(rf'<figure id="{figure}".*?<figcaption>(.*?)</figcaption>', page, re.DOTALL)[1])


def layers_of(figure):
    """The layers of a chart as they are drawn, each with its own `rows`."""
    drawn = figure.chart.to_dict()
    return [{**layer, "rows": drawn["datasets"][layer["data"]["name"]]} for layer in drawn["layer"]]


def test_pruned_runs_are_told_apart_and_left_out_of_lines_and_fronts(report, run_in, study):
    for lr, parameters, accuracy in ((0.01, 10, 0.7), (0.1, 20, 0.8)):
        run_in(lr=lr, parameters=parameters, accuracies=(0.3, 0.4, 0.5, accuracy))
    run_in(lr=0.03, parameters=5, accuracies=(0.35,), status=Status.PRUNED)
    run_in(lr=0.1, seed=1, parameters=20, accuracies=(0.2,), status=Status.PRUNED)
    done = report(study)
    charts = done.data["charts"]
    points = {(row["lr"], row["seed"]): row["pruned"] for row in charts["learning_rate"]}
    assert points == {(0.01, 0): False, (0.1, 0): False, (0.03, 0): True, (0.1, 1): True}
    assert "2 runs that were stopped early; the lines leave them out" in caption(done.page, "learning_rate")
    assert [row["value"] for row in charts["pareto_parameters"]] == [0.8, 0.7]
    assert "Left out: 2 runs that were stopped early." in caption(done.page, "pareto_parameters")
    whole = [row for row in charts["curves_by_rate"] if row["rate"] == 0.1]
    assert [row["mean"] for row in whole] == [0.3, 0.4, 0.5, 0.8]  # no step where the pruned seed ends


def test_the_lines_of_the_sensitivity_pass_through_whole_runs_alone(run_in, study):
    from sweeps.report.content import read
    from sweeps.report.figures import figures_of

    for lr, accuracy in ((0.01, 0.7), (0.1, 0.8), (0.3, 0.75)):
        run_in(lr=lr, accuracies=(0.5, accuracy))
    run_in(lr=0.03, accuracies=(0.35,), status=Status.PRUNED)
    (figure,) = [figure for figure in figures_of(read([study])) if figure.name == "learning_rate"]
    line, whole, pruned, _ = layers_of(figure)
    assert {row["lr"] for row in line["rows"]} == {0.01, 0.1, 0.3}
    assert [len(layer["rows"]) for layer in (whole, pruned)] == [3, 1]
    assert (whole["mark"]["filled"], pruned["mark"]["filled"]) == (True, False)


def test_no_rate_is_lost(report, run_in, study):
    from sweeps.report.content import read
    from sweeps.report.figures import figures_of

    rates = [0.001 * 2**step for step in range(10)]
    for lr in rates:
        run_in(lr=lr, accuracies=(0.5, 0.5 + lr / 10))
    figures = {figure.name: figure for figure in figures_of(read([study]))}
    assert {row["rate"] for row in figures["curves_by_rate"].rows} == set(rates)
    line, *_ = layers_of(figures["learning_rate"])
    assert {row["lr"] for row in line["rows"]} == set(rates)


def test_rates_that_are_not_drawn_are_counted(report, run_in, study, monkeypatch):
    from sweeps.report import data

    monkeypatch.setattr(data, "MOST_RATES", 2)
    for lr in (0.01, 0.1, 1.0):
        run_in(lr=lr)
    page = report(study).page
    assert re.search("the 2 best rates are drawn; left out, .*: 1 curve of 3.", caption(page, "curves_by_rate"))


def test_words_and_captions_have_the_labels_of_the_table(report, run_in, study):
    for lr in (0.1, 0.2):
        run = run_in(lr=lr, overrides=["dataset=fashion_mnist", "trainer.bn_reestimate=50", f"optim.lr={lr}"])
        write(run, Confusion("test", 2, ["cat", "dog"], [[5, 1], [3, 7]], [Pair(1, 0, 3, [PNG])]))
    done = report(study)
    assert [row["says"] for row in done.data["charts"]["learning_rate"]] == [
        "optim.lr=0.1: 0.6000",
        "optim.lr=0.2: 0.6000",
    ]
    assert caption(done.page, "confusion_1_alexnet").startswith("What optim.lr=0.1 takes")
    for words in re.findall(r"<(?:figure|h4).*?</(?:figure|h4)>", done.page, re.DOTALL):
        assert "bn_reestimate" not in words


def test_repeats_are_told_as_cells_before_the_runs(report, run_in, study):
    for lr, figures in ((0.01, (0.70, 0.72, 0.71)), (0.1, (0.80, 0.81, 0.83))):
        for seed, accuracy in enumerate(figures):
            run_in(lr=lr, seed=seed, accuracies=(0.5, accuracy))
    page = report(study).page
    cells, _, runs = page.partition('<section id="table">')
    heads = re.findall(r'<th scope="col"[^>]*>([^<]*)</th>', cells)
    assert heads[:5] == ["lr", "n", "mean", "std", "95 % interval"]
    best, other = re.findall(r"<tr[^>]*>\s*((?:<td[^>]*>[^<]*</td>\s*)+)</tr>", cells)
    assert re.findall(r">([^<\n]+)<", best)[:4] == ["0.1", "3", "*0.8133", "0.0153"]
    assert re.findall(r">([^<\n]+)<", other)[:4] == ["0.01", "3", "0.7100", "0.0100"]
    assert ", p = " in other
    assert "the best cell was chosen on the test set. It is marked *" in cells
    assert "★" not in runs  # of single runs none is the best


def test_advice_is_given_with_repeats_and_without(report, run_in, study):
    for lr in (0.01, 0.1):
        run_in(lr=lr, accuracies=(lr,))
    page = report(study).page
    assert "which is not evidence" in page.partition('<section id="table">')[0]
    assert 'id="cells"' not in page
    assert "★" in page
    for lr in (0.01, 0.1):
        run_in(lr=lr, seed=1, accuracies=(lr + 0.3,))
    assert "its seeds disagree" in report(study).page


def test_what_a_pruner_saved_is_said(report, run_in, study):
    settings = {"trainer": {"epochs": 4, "batch_size": 128}}
    run_in(lr=0.1, accuracies=(0.5, 0.6, 0.7, 0.8), **settings)
    assert "stopped early" not in report(study).page
    for lr, accuracies in ((0.2, (0.4,)), (0.3, (0.4, 0.5))):
        run_in(lr=lr, accuracies=accuracies, status=Status.PRUNED, **settings)
    run_in(lr=0.9, accuracies=(None,), status=Status.DIVERGED, **settings)
    assert "Pruning: 7 of 12 epochs trained." in report(study).page


def test_the_mean_of_equal_figures_is_that_figure(report, run_in, study):
    for seed in range(3):
        run_in(seed=seed, accuracies=(0.1, 0.1))
    rows = report(study).data["charts"]["curves_test_acc"]
    assert [(row["low"], row["mean"], row["high"]) for row in rows] == [(0.1, 0.1, 0.1)] * 2


def test_costs_that_are_all_the_same_are_not_drawn(report, run_in, study):
    for lr, epochs in ((0.1, 2), (0.2, 3)):
        run_in(lr=lr, accuracies=(0.5,) * epochs)
    charts = report(study).data["charts"]
    assert "pareto_parameters" not in charts
    assert "pareto_seconds" in charts


def test_many_rates_have_a_heat_map_of_the_whole_width(run_in, study):
    from sweeps.report.content import read
    from sweeps.report.figures import figures_of

    def is_wide():
        return next(figure.wide for figure in figures_of(read([study])) if figure.name == "heat_map")

    for at in range(5):
        run_in(lr=0.01 * 2**at)
    assert not is_wide()
    run_in(lr=1.0)
    assert is_wide()


def test_every_chart_is_in_the_page_and_beside_it_as_svg_pdf_and_png(report, sweep, made_up):
    made_up.write_run(sweep, model="lenet_bn", lr=0.01, parameters=61_706, accuracies=(0.5, 0.6, 0.7))
    done = report(sweep, figures=True)
    figures = {attributes["id"] for tag, attributes in Tags(done.page).found if tag == "figure"}
    assert figures == CHARTS
    files = {path.name for path in (sweep / "report").iterdir()}
    assert files == {f"{name}.{kind}" for name in CHARTS for kind in ("svg", "pdf", "png")}
    svg = (sweep / "report" / "heat_map.svg").read_text(encoding="utf-8")
    assert re.search(r'<svg[^>]* width="84\.00mm"', svg)
    assert 'href="../report.html#run-' in svg
    assert (sweep / "report" / "heat_map.pdf").read_bytes().startswith(b"%PDF")
    assert (sweep / "report" / "heat_map.png").read_bytes().startswith(PNG)


def test_ids_are_not_used_twice_and_links_lead_somewhere(report, sweep):
    found = Tags(report(sweep).page).found
    ids = [attributes["id"] for _, attributes in found if "id" in attributes]
    assert len(ids) == len(set(ids))
    places = {attributes.get("href") or attributes.get("xlink:href") or "" for tag, attributes in found if tag == "a"}
    assert {place[1:] for place in places if place.startswith("#")} <= set(ids)
    assert not [place for place in places if "//" in place]


def test_nothing_is_fetched_and_no_script_but_the_pages_own_may_run(report, sweep):
    page = report(sweep).page
    for tag, attributes in Tags(page).found:
        assert tag not in ("iframe", "object", "embed")
        for key in ("src", "action", "data"):
            assert attributes.get(key, "data:").startswith("data:")
    (policy,) = [
        attributes["content"] for tag, attributes in Tags(page).found if attributes.get("http-equiv") is not None
    ]
    assert policy.startswith("default-src 'none';")
    assert "script-src 'sha256-" in policy
    assert "@import" not in page
    assert not re.search(r"url\((?!#)", page)


def test_names_and_values_are_text(report, run_in, study):
    run_in(name="evil", target=f"mylab.{FULL_NAME}", overrides=[f"model={FULL_NAME}"], status=Status.FAILED,
           accuracies=(), error=Failure("error", FULL_NAME, FULL_NAME))  # fmt: skip
    run_in(name="also", target=f"mylab.{FULL_NAME}", overrides=["+a=" + FULL_NAME])
    record = RunDir(study / "also")
    content = record.read()
    content.name = FULL_NAME
    record.write(content)
    done = report(study)
    assert done.page.count("<script") == 2  # the data and the page's own
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in done.page
    assert {run["name"] for run in done.data["runs"]} == {"evil", FULL_NAME}


def test_names_from_records_become_neither_markup_nor_files_that_cannot_be(report, run_in, study):
    metric = f'a/"><b id=inj>{"x" * 300}_acc'
    rows = [{"epoch": 1, "train_loss": 1.0, metric: 0.5}]
    run_in(name="run", model="y" * 300, rows=rows, objective=(metric, "max", "last", "test"))
    done = report(study, figures=True)
    assert done.code == 0, done.err
    assert "<b id=inj" not in done.page
    assert len(list((study / "report").glob("curves_a____*.svg"))) == 1


def test_counts_of_a_cell_without_a_figure_are_whole(report, run_in, study):
    run_in(lr=0.1, accuracies=(0.5,))
    for seed in range(11):
        run_in(lr=1.0, seed=seed, accuracies=(), status=Status.DIVERGED)
    run_in(lr=1.0, seed=11, accuracies=(), status=Status.FAILED)
    shown = [row["shown"] for row in report(study).data["charts"]["heat_map"]]
    assert shown == ["0.5000", "11 diverged\nfailed"]


@pytest.mark.parametrize(("last", "ticks"), [(1, [1]), (3, [1, 2, 3]), (25, [3, 6, 9, 12, 15, 18, 21, 24])])
def test_ticks_of_epochs_are_whole(last, ticks):
    from sweeps.report.charts import _epochs

    assert _epochs([{"epoch": epoch + 1} for epoch in range(last)]).to_dict()["axis"]["values"] == ticks


def test_a_repeat_line_keeps_where_the_configs_lie(report, run_in, study):
    run = run_in(overrides=["optim=mine"])
    record = run.read()
    record.environment = {"command": ["sweeps", "--config-dir", "my conf", "-m", "optim=mine,sgd", "--config-name=own"]}
    run.write(record)
    (shown,) = report(study).data["runs"]
    assert shown["repeat"] == "python -m sweeps --config-dir 'my conf' --config-name=own optim=mine sweep=repeat"


def test_a_repeat_line_composes_the_same_run(report, made_up, compose, tmp_path):
    overrides = ["model=nin", "optim.lr=0.05", "seed=3", "sweep=study", "model.blocks=[[8,11,4,0],[8,3,1,1]]"]
    config = compose(*overrides)
    made_up.write_run(tmp_path / "study", config=config, overrides=overrides, name="cell")
    (run,) = report(tmp_path / "study").data["runs"]
    words = shlex.split(run["repeat"])
    assert words[:3] == ["python", "-m", "sweeps"]
    assert words[-1] == "sweep=repeat"
    again = compose(*words[3:])
    assert run_id(again) == run_id(config)
    assert again["sweep"] == "repeat"


def test_settings_of_two_runs_differ_where_they_differ(report, run_in, study):
    run_in(model="alexnet", lr=0.1)
    run_in(model="nin", lr=0.1)
    data = report(study).data
    assert data["common"]["optim.lr"] == 0.1
    assert {key for run in data["runs"] for key in run["settings"]} == {"model", "model._target_"}


def test_the_confusion_of_each_networks_best_run_is_shown_with_images(report, run_in, study):
    confusion = Confusion("test", 2, ["cat", "<dog>"], [[5, 1], [3, 7]], [Pair(1, 0, 3, [PNG + b"1"])])
    for accuracy, lr in ((0.5, 0.1), (0.6, 0.2)):
        run = run_in(lr=lr, accuracies=(accuracy,))
        write(run, confusion)
    done = report(study)
    rows = done.data["charts"]["confusion_1_alexnet"]
    assert [row["count"] for row in rows] == [5, 1, 3, 7]
    assert "&lt;dog&gt; taken for cat: 3" in done.page
    assert done.page.count("data:image/png;base64,") == 1
    assert "optim.lr=0.2" in done.page.partition('id="confusion"')[2].partition("</section>")[0]


@pytest.mark.parametrize(
    "content", ["{", '{"labels": ["a"]}', '{"labels":["a"],"counts":[[1,2]],"pairs":[],"epoch":1}']
)
def test_a_damaged_confusion_is_left_out(report, run_in, study, content):
    run_in().confusion.write_text(content, encoding="utf-8")
    assert "No finished run has left a confusion.json." in report(study).page


def test_provenance_tells_commands_commit_and_changes(report, run_in, study):
    run_in()
    start = {"began": "2026-01-01", "command": ["python", "-m", "sweeps", "-m", "model=nin"],
             "packages": {"torch": "9.9"}, "git": {"commit": "abcdef", "dirty": True}, "diff": "+ a <b>"}  # fmt: skip
    (study / "sweep.json").write_text(json.dumps({"invocations": [start, start]}), encoding="utf-8")
    page = report(study).page
    for text in ("python -m sweeps -m model=nin", "commit abcdef with changes", "torch 9.9", "+ a &lt;b&gt;"):
        assert text in page
    assert "The same changes as above." in page


def test_an_empty_folder_is_refused_with_the_layout(report, tmp_path):
    done = report(tmp_path)
    assert done.code == 2
    assert re.fullmatch(r"report: .* holds no runs; .*run\.json\n", done.err)
    assert report(tmp_path / "no").code == 2


def test_a_sweep_in_progress_has_a_page_of_what_there_is(report, run_in, study):
    run_in(model="nin", status=Status.RUNNING, accuracies=(0.3, 0.4))
    run_in(model="alexnet", status=Status.PENDING, accuracies=())
    done = report(study)
    assert "2 runs: 1 pending, 1 running" in done.page
    assert [row["mean"] for row in done.data["charts"]["curves_test_acc"]] == [0.3, 0.4]


def test_a_sweep_of_failures_alone_has_a_page_without_charts(report, run_in, study):
    for lr in (0.1, 0.2):
        run_in(lr=lr, status=Status.FAILED, accuracies=(), error=Failure("data", "no images"))
    done = report(study)
    assert done.code == 0
    assert "There is nothing to draw yet: no run has a figure." in done.page
    assert done.page.count("data: no images") >= 2


def test_damaged_files_are_told_and_cost_no_other_run(report, run_in, study):
    torn = run_in(lr=0.1)
    torn.metrics.write_text("what\n" + torn.metrics.read_text(encoding="utf-8"), encoding="utf-8")
    run_in(lr=0.2).record.write_text("{ half", encoding="utf-8")
    run_in(lr=0.3)
    with (study / "optim.lr=0.3" / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"epoch": 3, "te')
    done = report(study)
    assert len(done.data["runs"]) == 3
    assert "line 1 of" in done.page
    assert "is not a run record" in done.page
    (whole,) = [run for run in done.data["runs"] if run["lr"] == 0.3]
    assert whole["metrics"]["epoch"] == [1, 2]


def test_several_folders_make_one_page_where_it_is_asked_for(report, made_up, tmp_path):
    for name in ("one", "two"):
        made_up.write_run(tmp_path / name, model="nin")
    done = report(tmp_path / "one", tmp_path / "two", "--output", tmp_path / "all.html")
    assert done.path == tmp_path / "all.html"
    assert [run["link"] for run in done.data["runs"]] == ["one/model%3Dnin/", "two/model%3Dnin/"]
    assert not (tmp_path / "all").exists()


def test_a_page_that_cannot_be_written_is_one_line(report, sweep):
    done = report(sweep, "--output", sweep / "no" / "page.html")
    assert done.code == 2
    assert "cannot be written" in done.err


def test_watch_ends_when_nobody_is_at_work(report, sweep, run_in, study, monkeypatch):
    run_in()
    assert report(study, "--watch", "5").data["refresh"] is None
    from sweeps.report import cli

    pages = []

    def leave(seconds):
        pages.append((seconds, (study / "report.html").read_text(encoding="utf-8")))
        lock.close()

    from contextlib import ExitStack

    lock = ExitStack()
    lock.enter_context(owned(study))
    monkeypatch.setattr(cli.time, "sleep", leave)
    assert report(study, "--watch", "7").data["refresh"] is None
    ((seconds, page),) = pages
    assert seconds == 7
    assert '"refresh": 7.0' in page


def test_without_the_extra_the_way_to_it_is_told(report, sweep, monkeypatch):
    from sweeps.report import cli

    monkeypatch.setattr(cli.importlib.util, "find_spec", lambda name: None)
    done = report(sweep)
    assert done.code == 2
    assert "pip install 'hydra-sweeps[report]'" in done.err


@pytest.mark.slow
@pytest.mark.parametrize("command", [[str(SCRIPT)], ["-m", "sweeps.report"]], ids=["script", "module"])
def test_the_commands_work_from_any_folder_without_torch(sweep, tmp_path, command):
    # Not `sys.modules["torch"] = None`: scipy looks there, and takes whatever it finds for torch.
    code = (
        "import runpy, sys\n"
        "class NoTorch:\n"
        "    def find_spec(self, name, path=None, target=None):\n"
        "        if name == 'torch':\n"
        "            raise ModuleNotFoundError(name)\n"
        "sys.meta_path.insert(0, NoTorch())\n"
        "sys.argv = sys.argv[1:]\n"
    )
    code += "runpy.run_path(sys.argv[0], run_name='__main__')" if command[0] != "-m" else (
        "sys.argv.pop(0); runpy.run_module(sys.argv[0], run_name='__main__')"
    )  # fmt: skip
    done = subprocess.run(
        [sys.executable, "-c", code, *command, str(sweep)], cwd=tmp_path, capture_output=True, text=True, timeout=120
    )
    assert done.returncode == 0, done.stderr
    assert (sweep / "report.html").is_file()


def test_no_character_of_a_label_ends_the_process_that_draws(run_in, study):
    """In a process of its own: what draws would not raise, it would abort."""
    for lr in (0.1, 0.2):
        write(run_in(lr=lr), Confusion("test", 2, ["cat\x1b]0;x\x07\x1b[31m", "\x00\ufffe"], [[5, 1], [3, 7]], []))
    done = subprocess.run([sys.executable, SCRIPT, study], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "cat]0;x[31m" in (study / "report.html").read_text()


def test_a_chart_that_cannot_be_drawn_is_left_out(report, run_in, study, monkeypatch):
    from sweeps.report import render

    draw = render.vl_convert.vegalite_to_svg
    failed = []

    def fail_once(spec):
        if not failed:
            failed.append(spec)
            raise ValueError("no axis has room for it")
        return draw(spec)

    monkeypatch.setattr(render.vl_convert, "vegalite_to_svg", fail_once)
    for lr in (0.1, 0.2):
        run_in(lr=lr)
    done = report(study)
    assert done.code == 0
    assert "cannot be drawn and is left out" in done.err
    assert "curves_train_loss" in done.data["charts"]  # the next one is drawn
