"""The benchmark as a program: what it promises to write and what it refuses. No timing decides anything here."""

import json
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from benchmarks.bench import cli, measure, seam
from benchmarks.bench.contenders import Contender, Outcome
from benchmarks.bench.report import summarize

SCRIPT = Path(__file__).resolve().parents[2] / "scripts" / "bench.py"
CASE = {"steps": 200, "classes": 10}


def bench(*arguments: str | Path) -> subprocess.CompletedProcess[str]:
    return subprocess.run([sys.executable, SCRIPT, *arguments], capture_output=True, text=True)


def measurement(contender: str, number: int = 1, **figures: Any) -> dict[str, Any]:
    evaluated = contender != "floor"
    return {
        "round": number,
        "contender": contender,
        "seconds": 1.0,
        "train_seconds": 1.0,
        "steps": 200,
        "train_loss": 0.8,
        "train_acc": 0.7,
        "train_eval_loss": 0.8 if evaluated else None,
        "train_eval_acc": 0.7 if evaluated else None,
        "test_loss": 0.8 if evaluated else None,
        "test_acc": 0.7 if evaluated else None,
        "load_before": 0.0,
        "load_after": 0.0,
        **figures,
    }


@pytest.fixture(scope="module")
def quick_report(tmp_path_factory: pytest.TempPathFactory) -> dict[str, Any]:
    """What `--quick` wrote."""
    output = tmp_path_factory.mktemp("bench") / "bench.json"
    # One thread: two wait for each other, which takes long on a busy machine.
    done = bench("--quick", "--threads", "1", "--device", "cpu", "--memory", "--models", "lenet_bn", "--output", output)
    assert done.returncode == 0, done.stdout + done.stderr
    assert "training part, ours / floor" in done.stdout
    report: dict[str, Any] = json.loads(output.read_text(encoding="utf-8"))
    return report


@pytest.mark.slow
def test_quick_measures_everything_and_writes_every_figure(quick_report: dict[str, Any]) -> None:
    assert quick_report["schema_version"] == cli.SCHEMA_VERSION
    assert quick_report["started"] <= quick_report["ended"]
    assert quick_report["threads"] == 1
    assert quick_report["cpus"] >= 1
    assert quick_report["environment"]["packages"]["torch"]
    assert quick_report["environment"]["device"]
    assert quick_report["environment"]["command"][:2] == ["bench.py", "--quick"]
    assert quick_report["startup"]["peak_rss_bytes"] > 50e6
    assert len(quick_report["startup"]["help_seconds"]["all"]) == 1

    [model] = quick_report["models"]
    assert model["problems"] == []
    assert {"textbook_over_ours", "textbook_over_default", "ours_over_floor"} <= set(model["summary"]["ratios"])
    names = ["textbook", "ours", "default", "floor", "lightning"]
    assert [done["contender"] for done in model["measurements"]] == names
    for done in model["measurements"]:
        assert done["seconds"] >= done["train_seconds"] > 0
        assert done["steps"] == model["case"]["steps"] == 20
        assert {"load_before", "load_after"} <= set(done)


@pytest.mark.slow
def test_textbook_and_ours_do_the_same_arithmetic(quick_report: dict[str, Any]) -> None:
    by_name = {done["contender"]: done for done in quick_report["models"][0]["measurements"]}
    theirs, own, lightning = by_name["textbook"], by_name["ours"], by_name["lightning"]
    assert lightning["test_loss"] == pytest.approx(theirs["test_loss"], rel=1e-4)
    for key in ("train_loss", "train_acc", "train_eval_loss", "train_eval_acc", "test_loss", "test_acc"):
        assert own[key] == pytest.approx(theirs[key], rel=1e-4), key


def test_every_contender_is_first_in_some_round(monkeypatch: pytest.MonkeyPatch) -> None:
    class NoCase:
        def task(self, contender: Contender) -> None:
            return None

    outcome = Outcome(seconds=1.0, train_seconds=1.0, steps=20, train_loss=0.8, train_acc=0.7)
    monkeypatch.setattr(measure, "CONTENDERS", dict.fromkeys(("a", "b", "c"), Contender(lambda task: outcome)))
    orders = [
        "".join(done["contender"] for done in measure.measure_round(NoCase(), number, list(measure.CONTENDERS)))
        for number in (1, 2, 3, 4)
    ]
    assert orders == ["abc", "bca", "cab", "abc"]


def test_medians_and_ratios() -> None:
    seconds = {"textbook": (10.0, 30.0, 20.0), "ours": (5.0, 5.0, 4.0), "floor": (2.0, 4.0, 4.0)}
    measurements = [
        measurement(name, number, seconds=value, train_seconds=value)
        for name, values in seconds.items()
        for number, value in enumerate(values, start=1)
    ]
    summary = summarize(measurements)
    assert summary["times"]["textbook"]["seconds"] == {"median": 20.0, "min": 10.0, "max": 30.0}
    assert summary["ratios"]["textbook_over_ours"] == {
        "of_medians": 4.0,
        "of_rounds": {"median": 5.0, "min": 2.0, "max": 6.0},
    }
    assert summary["ratios"]["ours_over_floor"]["of_medians"] == 1.25


def test_like_is_compared_with_like() -> None:
    assert measure.problems(CASE, [measurement(name) for name in ("textbook", "ours", "floor")]) == []


@pytest.mark.parametrize(
    ("figures", "complaint"),
    [
        ({"steps": 199}, "round 1, ours: 199 steps, 200 are an epoch"),
        ({"train_acc": 0.1}, "little more than guessing"),
        ({"train_loss": 0.9}, "train_loss is 0.8000 of textbook and 0.9000 of ours"),
        ({"test_acc": 0.1}, "test_acc is 0.7000 of textbook and 0.1000 of ours"),
    ],
)
def test_work_that_was_not_done_is_named(figures: dict[str, float], complaint: str) -> None:
    found = measure.problems(CASE, [measurement("textbook"), measurement("ours", **figures)])
    assert any(complaint in line for line in found), found


def test_interrupted_benchmark_keeps_its_finished_rounds(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    class TinyCase:
        def describe(self) -> dict[str, Any]:
            return CASE

    def two_rounds(case: object, number: int, names: list[str]) -> Iterator[dict[str, Any]]:
        yield measurement("ours", number)
        if number == 3:
            raise KeyboardInterrupt
        yield measurement("textbook", number)

    monkeypatch.setattr(measure, "prepare", lambda *args, **kwargs: TinyCase())
    monkeypatch.setattr(measure, "warm_up", lambda case, names: None)
    monkeypatch.setattr(measure, "measure_round", two_rounds)
    output = tmp_path / "bench.json"
    assert cli.main(["--device", "cpu", "--output", str(output)]) == 130
    assert "interrupted" in capsys.readouterr().err

    report = json.loads(output.read_text(encoding="utf-8"))
    assert report["ended"] is None
    assert [done["round"] for done in report["models"][0]["measurements"]] == [1, 1, 2, 2]


def test_unknown_model_is_answered_with_the_known_ones() -> None:
    done = bench("--models", "lenet_bn,lenet_nb")
    assert done.returncode == 2
    assert "lenet_nb is not known; known are alexnet, " in done.stderr
    assert done.stdout == ""


@pytest.mark.parametrize(
    ("arguments", "complaint"),
    [
        (["--images", "0"], "0 is not a whole number of 1 or more"),
        (["--rounds", "few"], "few is not a whole number of 1 or more"),
        (["--quick", "--images", "5"], "dataset.limit=5"),
        (["--quick", "--device", "abacus"], "device=abacus is unknown"),
        (["--quick", "--output", "no/such/folder/bench.json"], "cannot be written"),
    ],
)
def test_mistakes_are_named_with_their_rule(
    arguments: list[str], complaint: str, capsys: pytest.CaptureFixture[str]
) -> None:
    try:
        code = cli.main(arguments)
    except SystemExit as exit:
        code = exit.code
    assert code == 2
    assert complaint in capsys.readouterr().err


@pytest.mark.slow
def test_the_cost_of_the_engine_is_measured(tmp_path: Path) -> None:
    output = tmp_path / "seam.json"
    done = bench("--seam", "--quick", "--device", "cpu", "--output", output)
    assert done.returncode == 0, done.stdout + done.stderr
    found = json.loads(output.read_text(encoding="utf-8"))["seam"]
    for key, *_, words in seam.GOALS:
        assert len(found[key]["all"]) == 1
        assert words in done.stdout
    assert found["composition"]["median"] > 0
