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

from sweeps.record.lock import owned
from sweeps.record.records import Failure, RunDir, Status
from sweeps.report import content

from .conftest import FULL_NAME, write_run

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "report.py"
PNG = b"\x89PNG\r\n\x1a\n"
MAX = ("score", "max", "last", "val")
UNRANKED = ("score", "", "last", "")
RETURNED = ("", "min", "last", "")
CHARTS = {
    "curves_test_acc", "curves_train_loss", "curves_by_optim_lr", "by_model", "by_optim_lr", "heat_map",
    "cost_parameters", "time",
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
    run_in(lr=0.1)
    page = report(study).page
    assert "Chosen on the test set." not in page
    assert "chosen on the validation split, not on the test set" in page


def test_curves_in_the_page_are_those_of_the_records(report, sweep):
    data = report(sweep).data
    assert data["schema"] == 2
    for run in data["runs"]:
        rows = RunDir(run["path"]).read_metrics() if run["status"] != "unreadable" else []
        assert run["metrics"] == {key: [row[key] for row in rows] for key in (rows[0] if rows else {})}


def test_chart_data_are_the_means_of_the_records(report, sweep):
    data = report(sweep).data
    seeds = [
        RunDir(run["path"]).read_metrics()
        for run in data["runs"]
        if run["status"] == "completed" and "model=alexnet,optim.lr=0.01" in run["name"]
    ]
    assert len(seeds) == 3
    best = [row for row in data["charts"]["curves_test_acc"] if row["category"] == "alexnet"]
    for row in best:
        values = [rows[int(row["step"]) - 1]["test_acc"] for rows in seeds]
        assert (row["n"], row["low"], row["high"]) == (3, min(values), max(values))
        assert row["mean"] == pytest.approx(statistics.fmean(values))
    finished = {run["name"]: run["value"] for run in data["runs"] if run["status"] in ("completed", "diverged")}
    for chart in ("by_optim_lr", "by_model"):
        assert {row["run"]: row["value"] for row in data["charts"][chart]} == finished
    places = {(row["down"], row["across"]): row for row in data["charts"]["heat_map"]}
    assert places["alexnet", "0.01"]["mean"] == pytest.approx(0.92)
    assert places["alexnet", "0.01"]["is_best"]
    assert (places["vgg11", "0.1"]["mean"], places["vgg11", "0.1"]["shown"]) == (None, "diverged")
    times = {row["run"]: row["seconds"] for row in data["charts"]["time"]}
    assert times == {run["name"]: run["seconds"] for run in data["runs"] if run["seconds"]}


def test_the_front_holds_what_no_other_setting_beats(report, run_in, study):
    for model, parameters, score in (("a", 10, 0.5), ("b", 20, 0.8), ("c", 30, 0.7), ("d", 40, 0.9)):
        run_in(model=model, facts={"parameters": parameters}, values=(score,), objective=MAX)
    rows = report(study).data["charts"]["cost_parameters"]
    assert {row["category"] for row in rows if row["front"]} == {"a", "b", "d"}


def test_survivors_are_no_front(report, run_in, study):
    for model, parameters, score in (("a", 10, 0.9), ("b", 20, 0.8)):
        for seed in (0, 1):
            status = Status.DIVERGED if (model, seed) == ("a", 1) else Status.COMPLETED
            run_in(
                model=model, seed=seed, facts={"parameters": parameters}, values=(score,), objective=MAX, status=status
            )
    rows = report(study).data["charts"]["cost_parameters"]
    assert {row["category"] for row in rows if row["front"]} == {"b"}


def test_a_loss_is_better_when_it_is_less(report, run_in, study):
    for model, parameters, loss in (("a", 10, 0.9), ("b", 20, 0.4), ("c", 30, 0.6)):
        run_in(model=model, facts={"parameters": parameters}, values=(loss,))
    rows = report(study).data["charts"]["cost_parameters"]
    assert {row["category"] for row in rows if row["front"]} == {"a", "b"}


def test_a_plain_regression_has_every_chart(report, regression):
    done = report(regression)
    assert set(done.data["charts"]) == {
        "curves_val_loss", "curves_lr", "curves_by_net_width", "by_kernel", "by_net_width", "by_l2", "heat_map",
        "cost_seconds", "cost_weights", "time",
    }  # fmt: skip
    assert done.data["axes"] == ["kernel", "net.width", "l2"]
    curve = [row for row in done.data["charts"]["curves_val_loss"] if row["category"] == "rbf"]
    assert [row["step"] for row in curve] == [0.25, 0.5, 0.75, 1.0]
    assert curve[-1]["mean"] == pytest.approx(1 / 64 + 0.005 + 0.25)
    assert "val_loss against width" in done.page
    for word in ("accuracy", "epoch", "image", "class ", "network", "cell"):
        assert word not in re.sub(r"<(style|script|svg)\b.*?</\1>", "", done.page, flags=re.DOTALL).lower()


def test_without_a_direction_nothing_is_ranked_and_the_page_says_so(report, run_in, study):
    for model, lr in (("a", 0.1), ("a", 0.2), ("b", 0.1)):
        run_in(model=model, lr=lr, values=(0.5, lr), objective=UNRANKED)
    done = report(study)
    assert "no ranking: sweep.objective.direction is not set" in done.page
    assert "★" not in done.page
    assert 'class="best"' not in done.page
    assert [run["name"] for run in done.data["runs"]] == ["model=a,lr=0.1", "model=a,lr=0.2", "model=b,lr=0.1"]
    assert {run["rank"] for run in done.data["runs"]} == {None}
    assert "heat_map" not in done.data["charts"]
    assert len({row["label"] for row in done.data["charts"]["curves_score"]}) == 3
    assert "cost_seconds" not in done.data["charts"]  # all took as long
    assert len(done.data["charts"]["by_lr"]) == 3


def test_a_returned_value_alone_has_no_curves_and_everything_else(report, run_in, study):
    for kernel, width in (("rbf", 8), ("rbf", 16), ("linear", 8), ("linear", 16)):
        run_in(kernel=kernel, width=width, rows=[], value=1 / width, objective=RETURNED, seconds=float(width))
    done = report(study)
    assert set(done.data["charts"]) == {"by_kernel", "by_width", "heat_map", "cost_seconds", "time"}
    assert "Ranked by the returned value" in done.page
    assert "objective against width" in done.page


def test_one_report_for_each_run_has_no_curves(report, run_in, study):
    for lr in (0.1, 0.2):
        run_in(lr=lr, values=(lr,))
    assert set(report(study).data["charts"]) == {"by_lr", "time"}


def test_values_that_are_no_numbers_are_categories(report, run_in, study):
    for place, clip in enumerate((None, 1.0, "norm")):
        run_in(clip=clip, overrides=[f"clip={'null' if clip is None else clip}"], values=(0.5 + place / 10,))
    rows = report(study).data["charts"]["by_clip"]
    assert sorted(row["at_text"] for row in rows) == ["1", "norm", "null"]
    assert len({row["category"] for row in rows}) == 3


def caption(page, figure):
    return html.unescape(
        re.search(rf'<figure id="chart-{figure}".*?<figcaption>(.*?)</figcaption>', page, re.DOTALL)[1]
    )


def layers_of(figure):
    """The layers of a chart as they are drawn, each with its own `rows`."""
    drawn = figure.chart.to_dict()
    return [{**layer, "rows": drawn["datasets"][layer["data"]["name"]]} for layer in drawn["layer"]]


def test_pruned_runs_are_distinguished_and_left_out_of_lines_and_fronts(report, run_in, study):
    for lr, parameters, score in ((0.01, 10, 0.7), (0.1, 20, 0.8)):
        run_in(lr=lr, facts={"parameters": parameters}, values=(0.3, 0.4, 0.5, score), objective=MAX)
    stopped = {"status": Status.PRUNED, "objective": MAX}
    run_in(lr=0.03, facts={"parameters": 5}, values=(0.35,), **stopped)
    run_in(lr=0.1, seed=1, facts={"parameters": 20}, values=(0.2,), **stopped)
    done = report(study)
    charts = done.data["charts"]
    points = {(row["at"], row["seed"]): row["pruned"] for row in charts["by_lr"]}
    assert points == {(0.01, "0"): False, (0.1, "0"): False, (0.03, "0"): True, (0.1, "1"): True}
    assert "2 runs that were stopped early; the lines leave them out" in caption(done.page, "by_lr")
    assert sorted(row["value"] for row in charts["cost_parameters"]) == [0.7, 0.8]
    assert "Left out: 2 runs that were stopped early." in caption(done.page, "cost_parameters")
    whole = [row for row in charts["curves_by_lr"] if row["at"] == 0.1]
    assert [row["mean"] for row in whole] == [0.3, 0.4, 0.5, 0.8]  # no drop where the pruned seed ends


def test_lines_pass_through_completed_runs_alone(run_in, study):
    from sweeps.report.content import read
    from sweeps.report.figures import figures_of

    for lr, loss in ((0.01, 0.7), (0.1, 0.8), (0.3, 0.75)):
        run_in(lr=lr, values=(0.9, loss))
    run_in(lr=0.03, values=(0.35,), status=Status.PRUNED)
    (figure,) = [figure for figure in figures_of(read([study])) if figure.name == "by_lr"]
    line, whole, pruned, _ = layers_of(figure)
    assert {row["at"] for row in line["rows"]} == {0.01, 0.1, 0.3}
    assert [len(layer["rows"]) for layer in (whole, pruned)] == [3, 1]
    assert (whole["mark"]["filled"], pruned["mark"]["filled"]) == (True, False)


def test_no_value_is_lost(run_in, study):
    from sweeps.report.content import read
    from sweeps.report.figures import figures_of

    rates = [0.001 * 2**step for step in range(10)]
    for lr in rates:
        run_in(lr=lr, values=(0.5, 0.5 + lr / 10))
    figures = {figure.name: figure for figure in figures_of(read([study]))}
    assert {row["at"] for row in figures["curves_by_lr"].rows} == set(rates)
    line, *_ = layers_of(figures["by_lr"])
    assert {row["at"] for row in line["rows"]} == set(rates)


def test_curves_that_are_not_drawn_are_counted(report, run_in, study, monkeypatch):
    from sweeps.report import figures

    monkeypatch.setattr(figures, "MOST_LINES", 2)
    for lr in (0.01, 0.1, 1.0):
        run_in(lr=lr)
    page = report(study).page
    assert re.search("The first 2 are drawn; left out here, .*: 1 curve of 3.", caption(page, "curves_by_lr"))


def test_repeats_are_compared_as_settings_before_the_runs(report, run_in, study):
    for lr, scores in ((0.01, (0.70, 0.72, 0.71)), (0.1, (0.80, 0.81, 0.83))):
        for seed, score in enumerate(scores):
            run_in(lr=lr, seed=seed, values=(0.5, score), objective=MAX)
    page = report(study).page
    settings, _, runs = page.partition('<section id="table">')
    heads = re.findall(r'<th scope="col"[^>]*>([^<]*)</th>', settings)
    assert heads[:5] == ["lr", "n", "mean", "std", "95 % interval"]
    best, other = re.findall(r"<tr[^>]*>\s*((?:<td[^>]*>[^<]*</td>\s*)+)</tr>", settings)
    assert re.findall(r">([^<\n]+)<", best)[:4] == ["0.1", "3", "*0.8133", "0.0153"]
    assert re.findall(r">([^<\n]+)<", other)[:4] == ["0.01", "3", "0.7100", "0.0100"]
    assert ", p = " in other
    assert "the best setting was chosen on the validation split" in settings
    assert "★" not in runs  # of single runs none is the best


def test_advice_is_given_with_repeats_and_without(report, run_in, study):
    for lr in (0.01, 0.1):
        run_in(lr=lr, values=(lr,), objective=MAX)
    page = report(study).page
    assert "which is not evidence" in page.partition('<section id="table">')[0]
    assert 'id="settings"' not in page
    assert "★" in page
    for lr in (0.01, 0.1):
        run_in(lr=lr, seed=1, values=(lr + 0.3,), objective=MAX)
    assert "its seeds disagree" in report(study).page


def test_what_a_pruner_saved_is_said(report, run_in, study):
    run_in(lr=0.1, values=(0.5, 0.6, 0.7, 0.8), max_steps=4)
    assert "Pruning:" not in report(study).page
    for lr, values in ((0.2, (0.4,)), (0.3, (0.4, 0.5))):
        run_in(lr=lr, values=values, status=Status.PRUNED, max_steps=4)
    run_in(lr=0.9, values=(None,), status=Status.DIVERGED, max_steps=4)
    assert "Pruning: 7 of 12 steps" in report(study).page


def test_the_mean_of_equal_values_is_that_value(report, run_in, study):
    for seed in range(3):
        run_in(seed=seed, values=(0.1, 0.1))
    rows = report(study).data["charts"]["curves_val_loss"]
    assert [(row["low"], row["mean"], row["high"]) for row in rows] == [(0.1, 0.1, 0.1)] * 2


def test_costs_that_are_all_the_same_are_not_drawn(report, run_in, study):
    for lr, steps in ((0.1, 2), (0.2, 3)):
        run_in(lr=lr, values=(0.5,) * steps, facts={"parameters": 7, "solver": "sgd"})
    charts = report(study).data["charts"]
    assert "cost_parameters" not in charts
    assert "cost_solver" not in charts
    assert "cost_seconds" in charts


def test_many_values_have_a_heat_map_of_the_whole_width(run_in, study):
    from sweeps.report.content import read
    from sweeps.report.figures import figures_of

    def is_wide():
        return next(figure.wide for figure in figures_of(read([study])) if figure.name == "heat_map")

    for at in range(5):
        run_in(lr=0.01 * 2**at, model="ab"[at % 2])
    assert not is_wide()
    run_in(lr=1.0, model="a")
    assert is_wide()


def test_every_chart_is_in_the_page_and_beside_it_as_svg_pdf_and_png(report, sweep):
    done = report(sweep, figures=True)
    figures = {attributes["id"] for tag, attributes in Tags(done.page).found if tag == "figure"}
    assert figures == {f"chart-{name}" for name in CHARTS}
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
    run_in(name="evil", model=FULL_NAME, status=Status.FAILED, values=(), error=Failure("error", FULL_NAME, FULL_NAME),
           facts={FULL_NAME: FULL_NAME})  # fmt: skip
    run_in(name="also", model="a", overrides=["+a=" + FULL_NAME])
    for opening in "[{":  # some reader of values may go as deep
        run_in(name=f"deep {opening}", model=opening * 500, overrides=["model=" + opening * 500])
    record = RunDir(study / "also")
    content = record.read()
    content.name = FULL_NAME
    record.write(content)
    done = report(study)
    assert done.page.count("<script") == 2  # the data and the page's own
    assert "&lt;script&gt;alert(1)&lt;/script&gt;" in done.page
    assert {run["name"] for run in done.data["runs"]} == {"evil", FULL_NAME, "deep [", "deep {"}


def test_nothing_of_a_record_is_a_template(report, run_in, study):
    for lr in (0.1, 0.2):
        run_in(lr=lr, model="{{ 7 * 7 }}", values=(lr,), name=f"{{% raw %}} {lr}")
    assert "{{ 7 * 7 }}" in report(study).page


def test_what_cannot_be_printed_is_left_out(report, run_in, study):
    run_in(lr=0.1, error=Failure("error", "red\x1b[31m \u202egnp"), status=Status.FAILED, values=())
    page = report(study).page.partition('<script type="application/json"')[0]
    assert "red[31m gnp" in page
    assert "\x1b" not in page
    assert "\u202e" not in page


def test_names_from_records_become_neither_markup_nor_files_that_cannot_be(report, run_in, study):
    metric = f'a/"><b id=inj>{"x" * 300}_acc'
    rows = [{"step": step, "train_loss": 1.0, metric: step / 2} for step in (1, 2)]
    run_in(name="run", model="y" * 300, rows=rows, objective=(metric, "max", "last", "test"))
    done = report(study, figures=True)
    assert done.code == 0, done.err
    assert "<b id=inj" not in done.page
    assert len(list((study / "report").glob("curves_a____*.svg"))) == 1


def test_charts_whose_names_become_the_same_are_two(report, run_in, study):
    rows = [{"step": step, "val_loss": 1.0, "a.b": step, "a/b": -step} for step in (1, 2)]
    run_in(lr=0.1, rows=rows)
    assert {"curves_a_b", "curves_a_b_2"} <= set(report(study).data["charts"])


def test_counts_of_a_place_without_a_value_are_whole(report, run_in, study):
    run_in(model="a", lr=0.1, values=(0.5,))
    for seed in range(11):
        run_in(model="a", lr=1.0, seed=seed, values=(), status=Status.DIVERGED)
    run_in(model="a", lr=1.0, seed=11, values=(), status=Status.FAILED)
    run_in(model="b", lr=0.1, values=(0.6,))
    places = {(row["down"], row["across"]): row["shown"] for row in report(study).data["charts"]["heat_map"]}
    assert places["a", "1"] == "11 diverged\nfailed"
    assert places["a", "0.1"] == "0.5000"


@pytest.mark.parametrize(
    ("first", "last", "found"),
    [
        (1, 1, [1]),
        (1, 3, [1, 2, 3]),
        (1, 25, [5, 10, 15, 20, 25]),
        (100, 7777, [1000, 2000, 3000, 4000, 5000, 6000, 7000]),
    ],
)
def test_ticks_of_steps_are_whole(first, last, found):
    from sweeps.report.charts import ticks

    assert ticks(first, last) == found


@pytest.mark.parametrize(
    ("command", "line"),
    [
        (["sweeps", "--config-dir", "my conf", "-m", "optim=mine,sgd", "--config-name=own"],
         "python -m sweeps -m --config-dir 'my conf' --config-name=own optim=mine"),
        (["python", "-m", "sweeps", "-m", "optim=mine,sgd"], "python -m sweeps -m optim=mine"),
        (["python", "-m", "sweeps", "optim=mine"], "python -m sweeps optim=mine"),
        (["train.py", "-m", "optim=mine,sgd", "sweep.name=study"], "python train.py -m optim=mine"),
    ],
)  # fmt: skip
def test_a_repeat_line_keeps_the_program_and_where_its_configs_are(report, run_in, study, command, line):
    run = run_in(overrides=["optim=mine", "sweep.name=study", "sweep.on_mismatch=rerun"], name="run")
    record = run.read()
    record.environment = {"command": command}
    run.write(record)
    (shown,) = report(study).data["runs"]
    assert shown["repeat"] == f"{line} sweep.name=repeat"


def test_the_engine_may_be_mounted_elsewhere(report, run_in, study):
    run = run_in(lr=0.1, name="run")
    record = run.read()
    record.ignore = ["engine", "device"]
    run.write(record)
    (shown,) = report(study).data["runs"]
    assert shlex.split(shown["repeat"])[-2:] == ["lr=0.1", "engine.name=repeat"]


def test_settings_of_two_runs_differ_where_they_differ(report, run_in, study):
    run_in(model="alexnet", lr=0.1)
    run_in(model="nin", lr=0.1)
    data = report(study).data
    assert data["common"]["lr"] == 0.1
    assert {key for run in data["runs"] for key in run["settings"]} == {"model"}


def test_provenance_has_commands_commit_and_changes(report, run_in, study):
    run_in()
    start = {"began": "2026-01-01", "command": ["python", "-m", "sweeps", "-m", "model=nin"],
             "packages": {"torch": "9.9"}, "git": {"commit": "abcdef", "dirty": True}, "diff": "+ a <b>"}  # fmt: skip
    (study / "sweep.json").write_text(json.dumps({"invocations": [start, start]}), encoding="utf-8")
    page = report(study).page
    for text in ("python -m sweeps -m model=nin", "commit abcdef with changes", "torch 9.9", "+ a &lt;b&gt;"):
        assert text in page
    assert "The same changes as above." in page


def test_an_empty_folder_is_an_error_with_the_layout(report, tmp_path):
    done = report(tmp_path)
    assert done.code == 2
    assert re.fullmatch(r"report: .* holds no runs; .*run\.json\n", done.err)
    assert report(tmp_path / "no").code == 2


def test_a_sweep_in_progress_has_a_page_of_what_there_is(report, run_in, study):
    run_in(model="nin", status=Status.RUNNING, values=(0.3, 0.4))
    run_in(model="alexnet", status=Status.PENDING, values=())
    done = report(study)
    assert "2 runs: 1 pending, 1 running" in done.page
    assert [row["mean"] for row in done.data["charts"]["curves_val_loss"]] == [0.3, 0.4]


def test_a_sweep_of_failures_alone_has_a_page_without_charts(report, run_in, study):
    for lr in (0.1, 0.2):
        run_in(lr=lr, status=Status.FAILED, values=(), error=Failure("data", "no data"))
    done = report(study)
    assert done.code == 0
    assert "There is nothing to draw yet: no run has a value." in done.page
    assert done.page.count("data: no data") >= 2


def test_damaged_files_are_listed_and_cost_no_other_run(report, run_in, study):
    torn = run_in(lr=0.1)
    torn.metrics.write_text("what\n" + torn.metrics.read_text(encoding="utf-8"), encoding="utf-8")
    run_in(lr=0.2).record.write_text("{ half", encoding="utf-8")
    run_in(lr=0.3)
    with (study / "lr=0.3" / "metrics.jsonl").open("a", encoding="utf-8") as file:
        file.write('{"step": 3, "te')
    done = report(study)
    assert len(done.data["runs"]) == 3
    assert "line 1 of" in done.page
    assert "is not a run record" in done.page
    (whole,) = [run for run in done.data["runs"] if run["name"] == "lr=0.3"]
    assert whole["metrics"]["step"] == [1, 2]


def test_of_very_many_reports_some_are_drawn_and_the_page_says_so(report, run_in, study, monkeypatch):
    monkeypatch.setattr(content, "MOST_REPORTS", 10)
    run_in(lr=0.1, values=tuple(1 / (step + 1) for step in range(100)))
    done = report(study)
    (steps,) = (run["metrics"]["step"] for run in done.data["runs"])
    assert (steps[0], steps[-1]) == (1, 100)
    assert 10 <= len(steps) <= 11
    assert "metrics.jsonl is large: 11 of its lines were read, spread over all of it" in done.page


def test_several_folders_make_one_page_where_it_is_asked_for(report, tmp_path):
    for name in ("one", "two"):
        write_run(tmp_path / name, model="nin")
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


def test_without_the_extra_the_error_says_how_to_get_it(report, sweep, monkeypatch):
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
    for place, kernel in enumerate(("cat\x1b]0;x\x07\x1b[31m", "\x00\ufffe", "b")):
        rows = [{"step": step, "val_loss": 1.0, "a\x1b\ufffe": step} for step in (1, 2)]
        run_in(name=str(place), kernel=kernel, lr=place, rows=rows)
    done = subprocess.run([sys.executable, SCRIPT, study], capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr
    assert "cat]0;x[31m" in (study / "report.html").read_text()


def test_a_chart_that_cannot_be_drawn_is_left_out(report, run_in, study, monkeypatch):
    from sweeps.report import render

    draw = render.vl_convert.vegalite_to_svg
    failed = []

    def fail_once(spec, **options):
        if not failed:
            failed.append(spec)
            raise ValueError("no axis has room for it")
        return draw(spec, **options)

    monkeypatch.setattr(render.vl_convert, "vegalite_to_svg", fail_once)
    for lr in (0.1, 0.2):
        run_in(lr=lr)
    done = report(study)
    assert done.code == 0
    assert "cannot be drawn and is left out" in done.err
    assert "by_lr" in done.data["charts"]  # the next one is drawn


def test_what_is_the_same_in_all_runs_is_a_sentence_and_no_column(report, run_in, study):
    for lr in (0.1, 0.2):
        run_in(lr=lr, width=8, facts={"solver": "<sgd>", "parameters": int(lr * 100)})
    page = report(study).page
    assert "<p>In all runs: width=8, solver=&lt;sgd&gt;, steps=2.</p>" in page
    heads = re.findall(r'<button type="button">([^<]*)</button></th>', page)
    assert heads == ["#", "run", "lr", "val_loss", "parameters", "status", "seconds"]


def test_numbers_of_any_size_cost_no_chart(report, run_in, study):
    for lr in (0.1, 2**62):
        rows = [{"step": step, "val_loss": lr / step} for step in (1e90, 2e90)]
        run_in(lr=lr, rows=rows, seed=10**99, name=str(lr))
    done = report(study)
    assert done.err == ""
    assert {"curves_val_loss", "curves_by_lr", "by_lr", "time"} <= set(done.data["charts"])
