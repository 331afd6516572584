"""The book's table anew: every number of the page against hand computation, and results that nobody loses."""

import json
import os
import signal
import subprocess
import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from benchmarks.reproduce import cli
from benchmarks.reproduce.page import MARK, is_cuda, page
from benchmarks.reproduce.published import published
from benchmarks.reproduce.results import SCHEMA_VERSION, Results, Spread, groups_of
from sweeps.record.identity import run_id, setting_id
from sweeps.record.records import Objective, RunDir, RunRecord, Status, find_runs

ROOT = Path(__file__).resolve().parents[2]
SCRIPT = ROOT / "scripts" / "reproduce.py"
CPU, GPU = "AMD EPYC, 1 threads", "NVIDIA H100 80GB HBM3"
NETWORKS = ["alexnet", "vgg11", "nin", "googlenet", "lenet_bn", "resnet18", "densenet"]


def config_of(network: str, seed: int, **changed: Any) -> dict[str, Any]:
    """The book's recipe as a resolved config; `changed` by dotted keys, with __ for the dot."""
    recipe = {**published()[network][0].settings, **({"optim.lr": 0.1} if network == "vgg11" else {})}
    trainer = {"bn_reestimate": 50, "precision": "auto", "memory_format": "auto", "compile": "none"}
    config: dict[str, Any] = {
        "model": {"_target_": f"sweeps.vision.models.{network}"},
        "seed": seed,
        "trainer": trainer,
    }
    for key, value in {**recipe, **{key.replace("__", "."): value for key, value in changed.items()}}.items():
        group, _, leaf = key.rpartition(".")
        (config.setdefault(group, {}) if group else config)[leaf] = value
    return config


def record_of(
    network: str = "lenet_bn",
    seed: int = 0,
    *,
    device: str = CPU,
    status: Status = Status.COMPLETED,
    loss: float = 0.27,
    train_acc: float = 0.9,
    acc: float = 0.85,
    bn_acc: float | None = None,
    seconds: float = 40.0,
    rate: float = 15000.0,
    ended: str = "2026-01-02T03:04:05+00:00",
    **changed: Any,
) -> RunRecord:
    figures = {
        "step": 10,
        "examples_per_second": rate,
        "train_loss": loss,
        "train_acc": train_acc,
        "test_loss": 0.4,
        "test_acc": acc,
    }
    if bn_acc is not None:
        figures |= {"test_bn_loss": 0.4 if bn_acc == acc else 0.3, "test_bn_acc": bn_acc}
    config = config_of(network, seed, **changed)
    return RunRecord(
        run_id=run_id(config, ()),
        setting_id=setting_id(config, (), ["seed"]),
        name=f"model={network},seed={seed}",
        sweep="reproduce",
        status=status,
        objective=Objective("test_acc", "max", "test", "last", acc),
        config=config,
        seed=seed,
        steps=10,
        metrics={"last": figures, "best": figures},
        seconds=seconds,
        ended=ended,
        facts={
            "device": device,
            "precision": "fp32",
            "memory_format": "contiguous_format",
            "compile": "none",
        },
        environment={
            "python": "3.11.7",
            "host": "somewhere",
            "command": ["python", "-m", "sweeps", "-m", f"model={network}", "seed=0,1,2"],
            "packages": {"torch": "2.14.1"},
            "git": {"commit": "ab" * 20, "dirty": False},
        },
    )


def results_of(*records: RunRecord) -> Results:
    results = Results()
    for record in records:
        results.add_record(record)
    return results


def rows_of(text: str, device: str, title: str) -> dict[str, list[str]]:
    """A table of the page: the cells of each row by its first one, without the numbers of notes."""
    section = text.split(f"## {device}\n")[1].split(f"### {title}\n\n")[1].split("\n\n")[0]
    rows = [[cell.strip() for cell in line.strip("|").split("|")] for line in section.splitlines()[2:]]
    return {cells[0].partition(" (")[0]: cells[1:] for cells in rows}


@pytest.fixture
def multirun(tmp_path: Path) -> Path:
    """Where `put` writes runs."""
    return tmp_path / "multirun"


@pytest.fixture
def put(multirun):
    """Leave a record as a sweep would."""

    def write(record: RunRecord, sweep: str = "reproduce") -> RunDir:
        run = RunDir(multirun / sweep / f"{record.name},{len(list(find_runs(multirun))) if multirun.is_dir() else 0}")
        run.path.mkdir(parents=True)
        run.write(record, durable=False)
        return run

    return write


@pytest.fixture
def reproduce(tmp_path, multirun, capsys):
    """Call the command on the folders of this test; returns exit code and both streams."""

    def call(*words: str) -> tuple[int, str, str]:
        try:
            code = cli.main(["--runs", str(multirun), "--output", str(tmp_path / "docs"), *words])
        except SystemExit as end:
            code = end.code
        return code, *capsys.readouterr()

    return call


# What others measured


def test_the_published_table_is_what_it_says():
    assert list(published()) == NETWORKS
    everything = {name: entries[0] for name, entries in published().items()}
    assert sum(entry.runs for entry in everything.values()) == 792
    assert {name: entry.train_loss.median for name, entry in everything.items()} == {
        "alexnet": 0.329, "vgg11": 0.177, "nin": 0.386, "googlenet": 0.246,
        "lenet_bn": 0.264, "resnet18": 0.013, "densenet": 0.150,
    }  # fmt: skip
    assert {name: (entry.collapsed, entry.diverged) for name, entry in everything.items() if entry.diverged} == {
        "nin": (11, 2),
        "googlenet": (0, 2),
    }
    for entry in (entry for entries in published().values() for entry in entries):
        for figures in (entry.train_loss, entry.train_acc, entry.test_acc):
            assert figures.p5 <= figures.median <= figures.p95
            assert figures.median in figures
            assert figures.p95 + 1 not in figures


@pytest.mark.parametrize("network", NETWORKS)
def test_our_recipes_are_the_published_settings(network, compose):
    record = record_of(network)
    record.config = compose(f"model={network}")
    record.run_id = run_id(record.config, record.ignore)
    results = results_of(record)
    (settings,) = results.settings.values()
    assert None not in {settings[key] for key in settings if key.startswith(("optim", "trainer.b", "resize"))}
    (group,) = groups_of(results, CPU)
    assert group.differences == ({"optim.lr": ("0.1", "0.05")} if network == "vgg11" else {})
    assert group.is_comparable


# Figures


def test_a_spread_of_few_is_least_and_greatest():
    assert Spread.of([0.3, 0.1, 0.2]) == Spread(3, 0.2, 0.1, 0.3, 0.1)
    assert Spread.of([None, 0.5, None]) == Spread(1, 0.5, 0.5, 0.5, 0.5)
    assert Spread.of([None]) is None


def test_a_spread_of_many_is_the_5th_and_95th_percentile():
    found = Spread.of([10.0, 20, 30, 40, 50, 60, 70, 80, 90, 110])
    # The 5th percentile of ten lies 0.05 * 9 = 0.45 of the way from the first to the second.
    assert (found.n, found.median, found.lowest) == (10, 55, 10)
    assert (found.low, found.high) == pytest.approx((10 + 0.45 * 10, 90 + 0.55 * 20))


def test_which_devices_are_gpus():
    assert [is_cuda(name) for name in (GPU, CPU, "AMD EPYC, 64 threads", "Apple GPU, arm", "unknown device")] == [
        True, False, False, False, False,
    ]  # fmt: skip


def test_a_cpu_has_its_name_and_its_threads():
    record = record_of(device="CPU, 4 threads")
    record.environment["device"] = "AMD EPYC"
    assert [key.device for key in results_of(record).runs] == ["AMD EPYC, 4 threads"]


# The page


def test_a_table_of_three_seeds():
    runs = (
        (0.268, 0.82, 0.872, 40, 15000),
        (0.2665, 0.88, 0.887, 44, 14000),
        (0.279, 0.85, 0.864, 41, 16000),
    )
    results = results_of(
        *(
            record_of(seed=seed, loss=loss, acc=acc, bn_acc=bn_acc, seconds=seconds, rate=rate)
            for seed, (loss, acc, bn_acc, seconds, rate) in enumerate(runs)
        )
    )
    text = page(results)
    assert rows_of(text, CPU, "Train loss")["lenet_bn"] == [
        "3", "0.2680 [0.2665, 0.2790]", "0.2640 [0.2187, 0.2780]", "yes",
        "0 (published: 0 of 134)", "0 (published: 0 of 134)",
    ]  # fmt: skip
    assert rows_of(text, CPU, "Test accuracy")["lenet_bn"] == [
        "3", "0.8500 [0.8200, 0.8800]", "0.8200", "0.8720 [0.8640, 0.8870]", "0.8640", "0.8455 [0.7478, 0.8793]",
    ]  # fmt: skip
    assert rows_of(text, CPU, "Time")["lenet_bn"] == [
        "3", "41.0 [40.0, 44.0]", "15,000 [14,000, 16,000]", "61,251",
    ]  # fmt: skip
    assert "The 14 since then: train loss 0.2695 [0.2617, 0.2814]; our median is inside" in text
    assert "(1)" in text


def test_collapse_and_divergence_among_ten_seeds():
    results = results_of(
        *(
            record_of(
                "nin", seed, loss=0.35 + seed / 100, train_acc=0.87, acc=0.8 + seed / 100, bn_acc=0.8 + seed / 100
            )
            for seed in range(9)
        ),
        record_of("nin", 9, loss=2.303, train_acc=0.1, acc=0.1, bn_acc=0.1),
        record_of("nin", 10, status=Status.DIVERGED, loss=0.9, acc=0.3, seconds=1.0, rate=1.0),
    )
    text = page(results)
    # Ten figures: .35 ... .43 and 2.303; the median is between .39 and .40, p95 is .43 + .55 * (2.303 - .43).
    assert rows_of(text, CPU, "Train loss")["nin"] == [
        "11", "0.3950 [0.3545, 1.4602]", "0.3860 [0.3319, 2.3030]", "yes",
        "1 (published: 11 of 101)", "1 (published: 2 of 101)",
    ]  # fmt: skip
    # .10, .80 ... .88: the median is between .83 and .84, p5 is .1 + .45 * .7, p95 is .87 + .55 * .01.
    assert rows_of(text, CPU, "Test accuracy")["nin"][1:5] == ["0.8350 [0.4150, 0.8755]", "0.1000", "no BatchNorm", "-"]
    assert rows_of(text, CPU, "Time")["nin"][1] == "40.0 [40.0, 40.0]", "a diverged run has no time"


def test_one_run_is_called_a_single_run():
    text = page(results_of(record_of("resnet18", loss=0.02, bn_acc=0.91)))
    assert rows_of(text, CPU, "Train loss")["resnet18"][:4] == [
        "1", "0.0200 (single run)", "0.0130 [0.0090, 0.0190]", "no",
    ]  # fmt: skip
    assert rows_of(text, CPU, "Test accuracy")["resnet18"][1:5] == [
        "0.8500 (single run)", "-", "0.9100 (single run)", "-",
    ]  # fmt: skip
    assert "1 run, measured 2026-01-02." in text


def test_the_median_decides_and_not_the_interval():
    losses = {"alexnet": (0.33, 0.34, 0.35), "vgg11": (0.1, 0.171, 0.3), "densenet": (0.138, 0.1404, 0.15)}
    records = (record_of(name, seed, loss=loss) for name, of in losses.items() for seed, loss in enumerate(of))
    text = page(results_of(*records))
    found = rows_of(text, CPU, "Train loss")
    assert {name: cells[3] for name, cells in found.items()} == {"alexnet": "no", "vgg11": "yes", "densenet": "no"}
    assert "densenet: until 2022-03" in text
    assert "train loss 0.1405 [0.1390, 0.1430]; our median is inside" in text


def test_what_was_chosen_is_said_for_each_network():
    first, second = record_of(device=GPU), record_of("nin", device=GPU)
    second.facts |= {"precision": "bf16", "memory_format": "channels_last"}
    text = page(results_of(first, second))
    assert (
        "* Computed with `precision=bf16 memory_format=channels_last compile=none trainer.bn_reestimate=50` (nin)."
        in text
    )
    assert "compile=none trainer.bn_reestimate=50` (lenet_bn)." in text


def test_only_divergence():
    text = page(results_of(record_of("googlenet", status=Status.DIVERGED)))
    assert rows_of(text, CPU, "Train loss")["googlenet"][1:4] == ["-", "0.2460 [0.2380, 0.2770]", "-"]
    assert rows_of(text, CPU, "Test accuracy")["googlenet"][1:5] == ["-"] * 4
    assert rows_of(text, CPU, "Time")["googlenet"][1:3] == ["-", "-"]


def test_devices_do_not_mix_and_gpus_come_first():
    text = page(results_of(record_of(loss=0.3), record_of(device=GPU, loss=0.2), record_of(seed=1, loss=0.4)))
    assert text.index(f"## {GPU}") < text.index(f"## {CPU}")
    assert rows_of(text, GPU, "Train loss")["lenet_bn"][:2] == ["1", "0.2000 (single run)"]
    assert rows_of(text, CPU, "Train loss")["lenet_bn"][:2] == ["2", "0.3500 [0.3000, 0.4000]"]


def test_another_rate_is_noted_and_another_length_does_not_compare():
    text = page(results_of(record_of("vgg11", loss=0.175), record_of("alexnet", loss=0.33, trainer__epochs=1)))
    assert rows_of(text, CPU, "Train loss")["vgg11"][3] == "yes"
    assert "1. alexnet: `trainer.epochs=1` (published: 10). These runs do not compare" in text
    assert "2. vgg11: `optim.lr=0.1` (published: 0.05).\n" in text
    assert rows_of(text, CPU, "Train loss")["alexnet"][3] == "-"


def test_settings_do_not_mix():
    results = results_of(record_of(loss=0.2), record_of(seed=1, loss=0.3, trainer__precision="bf16"))
    found = rows_of(page(results), CPU, "Train loss")
    assert sorted(cells[:2] for cells in found.values()) == [["1", "0.2000 (single run)"], ["1", "0.3000 (single run)"]]
    assert sorted(found) == sorted(f"lenet_bn, settings {name}" for name in results.settings)


def test_what_is_needed_to_get_the_figures_again():
    first, second = record_of(), record_of("nin", ended="2026-01-05T03:04:05+00:00")
    second.environment["git"] = {"commit": "cd" * 20, "dirty": True}
    text = page(results_of(first, second))
    assert text.startswith(MARK)
    assert "Do not edit it" in text.splitlines()[0]
    assert "* 2 runs, measured 2026-01-02 to 2026-01-05." in text
    assert "* Versions: python 3.11.7, torch 2.14.1." in text
    assert "* Commit: abababababab, cdcdcdcdcdcd with uncommitted changes." in text
    assert (
        "* Computed with `precision=fp32 memory_format=contiguous_format compile=none trainer.bn_reestimate=50`.\n"
        in text
    )
    assert "* Command: `python -m sweeps -m model=lenet_bn seed=0,1,2`" in text
    assert "* Command: `python -m sweeps -m model=nin seed=0,1,2`" in text
    assert "somewhere" not in text, "whose machine it was is nobody's business"


def test_what_has_not_been_measured_is_listed():
    records = [record_of("lenet_bn", seed) for seed in range(3)]
    text = page(results_of(*records, record_of("nin"), record_of("densenet", trainer__epochs=2)))
    gaps = text.split("## What has not been measured\n")[1]
    assert "* No CUDA device" in gaps
    assert f"* {CPU}: not measured in full: alexnet, vgg11, googlenet, resnet18, densenet.\n" in gaps
    assert f"* {CPU}: fewer than 3 seeds: nin (1).\n" in gaps

    text = page(results_of(*(record_of(name, seed, device=GPU) for name in NETWORKS for seed in range(3))))
    assert text.split("## What has not been measured\n")[1] == "\n* No CPU.\n"
    everywhere = [record_of(name, seed, device=of) for name in NETWORKS for seed in range(3) for of in (GPU, CPU)]
    assert "Nothing is missing" in page(results_of(*everywhere))
    plain = page(results_of(record_of(trainer__bn_reestimate=0)))
    assert f"* {CPU}: without re-estimated BatchNorm statistics: lenet_bn.\n" in plain


def test_names_from_records_cannot_break_the_page():
    record = record_of(device="A|B <b>`x`\n# C")
    record.environment["command"] = ["`rm`\n"]
    text = page(results_of(record))
    assert r"## A\|B \<b\>\`x\` # C" in text
    assert "`rm`" not in text


# The results file


def test_the_committed_page_is_that_of_the_committed_results():
    results = Results.read(ROOT / "docs/results.json")
    assert page(results) == (ROOT / "docs/results.md").read_text()
    assert results.to_json() == (ROOT / "docs/results.json").read_text()


def test_the_same_results_make_the_same_bytes(tmp_path):
    records = [record_of(name, seed, device=of) for name in ("nin", "vgg11") for seed in (0, 1) for of in (CPU, GPU)]
    one, other = results_of(*records), results_of(*reversed(records))
    assert one.to_json() == other.to_json()
    assert page(one) == page(other)
    (tmp_path / "results.json").write_text(one.to_json())
    again = Results.read(tmp_path / "results.json")
    assert again.to_json() == one.to_json()
    assert page(again) == page(one)
    assert json.loads(one.to_json())["schema_version"] == SCHEMA_VERSION


def test_a_later_run_of_the_same_replaces_an_earlier_one():
    results = results_of(record_of(loss=0.2, ended="2026-01-02T00:00:00+00:00"))
    assert results.add_record(record_of(loss=0.3, ended="2026-01-02T00:00:00-01:00"))
    assert not results.add_record(record_of(loss=0.4, ended="2026-01-01T00:00:00+00:00"))
    assert not results.add_record(record_of(loss=0.3, ended="2026-01-02T00:00:00-01:00")), "nothing new"
    assert [run.train_loss for run in results.runs.values()] == [0.3]
    assert results.add_record(record_of(seed=1))
    assert results.add_record(record_of(device=GPU))
    assert results.add_record(record_of(optim__lr=0.5))
    assert len(results.runs) == 4


def test_what_was_measured_elsewhere_stays(reproduce, put, multirun, tmp_path):
    put(record_of(device=GPU))
    code, out, _ = reproduce("--report-only")
    assert (code, "has 1 runs, 1 of them new" in out) == (0, True)
    (multirun / "reproduce").rename(multirun / "away")
    put(record_of(seed=1))
    put(record_of(seed=2, status=Status.INTERRUPTED))
    put(record_of(seed=3, status=Status.FAILED))
    put(record_of(seed=4), sweep="other")
    put(record_of(seed=5, model___target_="torchvision.models.resnet18"))
    assert reproduce("--report-only")[0] == 0
    runs = json.loads((tmp_path / "docs/results.json").read_text())["runs"]
    assert [(run["device"], run["seed"]) for run in runs] == [(CPU, 1), (GPU, 0)]
    text = (tmp_path / "docs/results.md").read_text()
    assert text == page(Results.read(tmp_path / "docs/results.json"))
    assert f"## {GPU}" in text

    (multirun / "reproduce").rename(multirun / "away as well")
    before = (tmp_path / "docs/results.json").read_bytes()
    assert reproduce("--report-only")[0] == 0, "the page can be made without any run directory"
    assert (tmp_path / "docs/results.json").read_bytes() == before


def test_damaged_records_are_left_out_and_named(reproduce, put):
    put(record_of())
    put(record_of(seed=1)).record.write_text("{ half")
    put(record_of(seed=2, ended="yesterday"))
    put(record_of(seed="two"))
    other_release = record_of(seed=3)
    other_release.run_id = "0" * 12
    put(other_release)
    code, out, err = reproduce("--report-only")
    assert (code, "has 1 runs" in out) == (0, True)
    assert err.count("left out") == 4
    assert "was measured by a release that gave its settings another meaning" in err
    assert "is not a run record" in err
    assert "yesterday" in err
    assert "seed='two' is not a whole number" in err


def results_text(**changed: Any) -> str:
    return json.dumps({**json.loads(results_of(record_of()).to_json()), **changed})


def run_text(**changed: Any) -> str:
    data = json.loads(results_of(record_of()).to_json())
    data["runs"][0] |= changed
    return json.dumps(data)


INVALID_FILES = {
    "newer": (results_text(schema_version=SCHEMA_VERSION + 1), ["schema version 2, this release knows 1"]),
    "no schema": ('{"models": []}', ["schema_version"]),
    "half a file": (results_text()[:200], ["JSONDecodeError"]),
    "a list": ("[]", []),
    "no runs": (results_text(runs=None), []),
    "no settings": (results_text(settings={}), []),
    "a word for a figure": (run_text(train_loss="low"), ["train_loss='low'"]),
    "a figure for a word": (run_text(device=3), ["device=3"]),
    "no number": (run_text(seconds=float("nan")), ["seconds=nan"]),
    "no offset": (run_text(ended="2026-01-02T03:04:05"), ["ended="]),
}


@pytest.mark.parametrize(("text", "fragments"), INVALID_FILES.values(), ids=INVALID_FILES.keys())
def test_a_file_that_is_not_ours_is_left_as_it_is(text, fragments, reproduce, put, tmp_path, monkeypatch):
    monkeypatch.setattr(cli, "run", None)  # an error before anything is trained
    put(record_of())
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/results.json").write_text(text)
    for words in (["--report-only"], []):
        code, _, err = reproduce(*words)
        assert code == 2
        for fragment in ["is not a file of results", *fragments]:
            assert fragment in err
        assert len(err.splitlines()) == 1
    assert (tmp_path / "docs/results.json").read_text() == text
    assert not (tmp_path / "docs/results.md").exists()


def test_a_page_written_by_hand_is_left_as_it_is(reproduce, put, tmp_path):
    put(record_of())
    (tmp_path / "docs").mkdir()
    (tmp_path / "docs/results.md").write_text("# My results\n")
    code, _, err = reproduce("--report-only")
    assert (code, "was not made by this command" in err) == (2, True)
    assert [path.name for path in (tmp_path / "docs").iterdir()] == ["results.md"]


# The command line

INVALID = {
    "unknown network": (["--models", "lenet_bn,lenet"], ["lenet is not known", *NETWORKS]),
    "no network": (["--models", ","], ["names nothing"]),
    "no seed": (["--seeds", "0"], ["0 is neither a number of seeds nor a list"]),
    "a word for seeds": (["--seeds", "few"], ["few is neither"]),
    "no epoch": (["--epochs", "0"], ["0 is not a whole number"]),
    "unknown option": (["--model", "nin", "--sed", "3"], ["--sed"]),
    "a sweep outside": (["--sweep", "../up"], ["sweep.name='../up' is invalid"]),
    "nothing to report": (["--report-only"], ["nothing to report"]),
    "a file for a folder": (["--output", str(SCRIPT)], ["Not a directory"]),
}


@pytest.mark.parametrize(("words", "fragments"), INVALID.values(), ids=INVALID.keys())
def test_a_mistake_is_answered_in_words(words, fragments, reproduce, monkeypatch):
    monkeypatch.setattr(cli, "run", None)
    code, out, err = reproduce(*words)
    assert (code, out) == (2, "")
    for fragment in fragments:
        assert fragment in err
    assert "Traceback" not in err


def test_seeds_are_a_number_or_a_list():
    assert [cli.seeds(text) for text in ("3", "7,", "2,0,2")] == [[0, 1, 2], [7], [2, 0]]


def test_the_sweep_is_an_ordinary_one(monkeypatch):
    monkeypatch.setattr(cli, "available_cores", lambda: 64)
    monkeypatch.setattr(cli, "visible_gpus", list)
    assert cli.arguments(["nin", "alexnet"], [0, 1], 10, "auto", "reproduce", "my runs") == [
        "-m", "model=nin,alexnet", "seed=0,1", "trainer.epochs=10", "trainer.bn_reestimate=50",
        "trainer.save_weights=false", "device=auto", "sweep.name=reproduce", "sweep.output='my runs'",
        "hydra.launcher.threads=3",
    ]  # fmt: skip
    monkeypatch.setattr(cli, "visible_gpus", lambda: ["0"])
    assert not any("threads" in word for word in cli.arguments(["nin"], [0], 10, "auto", "reproduce", "runs"))


SLEEPER = """
import signal, sys, time
seen = []
signal.signal(signal.SIGINT, lambda *_: seen.append(1) if sys.argv[1] == "stubborn" else sys.exit(130))
print("ready", flush=True)
time.sleep(0 if sys.argv[1] == "short" else 60)
"""


@pytest.mark.parametrize(
    ("kind", "limit", "code"), [("short", 5.0, 0), ("long", 1.0, 3), ("stubborn", 1.0, 3), ("failing", None, 1)]
)
def test_out_of_time_it_is_interrupted_then_killed(kind, limit, code, monkeypatch, tmp_path):
    monkeypatch.setattr(cli, "GRACE", 0.3)
    (tmp_path / "sweeps.py").write_text(SLEEPER if kind != "failing" else "raise SystemExit(1)")
    monkeypatch.setattr(cli, "environment", lambda: {**os.environ, "PYTHONPATH": str(tmp_path)})
    before = signal.getsignal(signal.SIGINT)
    assert cli.run([kind], tmp_path, limit) == code
    assert signal.getsignal(signal.SIGINT) is before


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_every_signal_reaches_the_sweep_as_ctrl_c(number, monkeypatch, tmp_path):
    (tmp_path / "sweeps.py").write_text(SLEEPER)
    monkeypatch.setattr(cli, "environment", lambda: {**os.environ, "PYTHONPATH": str(tmp_path)})
    timer = threading.Timer(1.0, os.kill, (os.getpid(), number))
    timer.start()
    assert cli.run(["long"], tmp_path, None) == cli.EXIT_INTERRUPTED
    timer.join()


def test_a_failed_run_does_not_hide_the_finished_ones(reproduce, put, tmp_path, monkeypatch):
    monkeypatch.setattr(cli, "run", lambda words, folder, limit: put(record_of()) and 1)
    assert reproduce("--models", "lenet_bn")[0] == 1
    assert len(json.loads((tmp_path / "docs/results.json").read_text())["runs"]) == 1


@pytest.mark.slow
def test_cut_into_pieces_it_comes_to_the_same(tmp_path):
    """Interrupted in its first run, then short of time, then done; each epoch is done once and every figure kept."""
    words = ["--models", "lenet_bn", "--seeds", "2", "--epochs", "20", "--device", "cpu", "--output", tmp_path / "docs"]
    words += ["--runs", tmp_path / "multirun"]
    extra = ["--", "dataset=fashion_mnist_mini", "dataset.limit=100", "dataset.test_limit=50", "trainer.batch_size=25"]
    extra += ["sweep/tracker=none", "hydra.launcher.workers=1"]

    def call(*more: str, waiting_for=lambda: True) -> tuple[int, str]:
        command = [sys.executable, "-W", "error::DeprecationWarning:sweeps", SCRIPT, *words, *more, *extra]
        process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
        if not more:
            while not waiting_for():
                assert process.poll() is None, "it ended before it could be interrupted"
                time.sleep(0.02)
            process.send_signal(signal.SIGINT)
        out = process.communicate(timeout=120)[0]
        return process.returncode, out

    def epochs() -> list[list[dict[str, Any]]]:
        return [run.read_metrics() for run in find_runs(tmp_path / "multirun")]

    code, out = call(waiting_for=lambda: (tmp_path / "multirun").is_dir() and any(len(rows) > 2 for rows in epochs()))
    assert code == 130, out
    before = epochs()
    assert 2 < len(before[0]) < 20
    assert not any(before[1:])
    assert not (tmp_path / "docs/results.json").exists(), "nothing is finished"

    code, out = call("--time-limit", "0.05")
    assert code == 3, out
    assert epochs() == before

    code, out = call("--time-limit", "500")
    assert code == 0, out
    after = epochs()
    assert [[row["step"] for row in rows] for rows in after] == [list(range(1, 21))] * 2
    assert after[0][: len(before[0])] == before[0]
    runs = json.loads((tmp_path / "docs/results.json").read_text())["runs"]
    assert [run["seed"] for run in runs] == [0, 1]
    for run, rows in zip(runs, after, strict=True):
        for key in ("train_loss", "train_acc", "test_loss", "test_acc", "test_bn_loss", "test_bn_acc"):
            assert run[key] == rows[-1][key]
        assert run["seconds"] == pytest.approx(rows[-1]["elapsed"])
    assert str(tmp_path) not in (tmp_path / "docs/results.json").read_text()
    text = (tmp_path / "docs/results.md").read_bytes()
    assert b"These runs do not compare" in text
    assert cli.main([*map(str, words), "--report-only"]) == 0
    assert (tmp_path / "docs/results.md").read_bytes() == text
