"""`sweep.repeats=auto`: who gets more seeds, when it is decided, and that an interruption changes neither."""

import json

import pytest

from sweeps.decide import decide
from sweeps.record.records import LOOKS, Status, find_runs
from sweeps.results.looks import Looks
from sweeps.results.runs import load
from sweeps.results.settings import BEST, MAY_BE, NOT_BEST, UNSTABLE, judged, settings_of
from sweeps.summarize import main as summarize
from sweeps.sweepers.race import FRESH, seeds_of_looks

RACE = ("-m", "epochs=1", "hydra.launcher.workers=0", "sweep.repeats=auto")
LOSS = """diverged = cfg.fault == "diverge" and cfg.seed == 1
        noise = random.Random(f"{cfg.seed} {cfg.lr}").gauss(0, 0.01)
        loss = float("nan") if diverged else abs(cfg.lr - 0.3) + noise"""


@pytest.fixture
def noisy(application):
    """The application, whose loss depends on the seed."""
    text = application.script.read_text().replace("import time", "import random\nimport time")
    before = next(line.strip() for line in text.splitlines() if line.strip().startswith("loss = "))
    application.script.write_text(text.replace(before, LOSS))
    return application


def seeds_in(folder):
    """How many seeds each rate got."""
    found = {}
    for run in find_runs(folder):
        record = run.read()
        assert record.status in (Status.COMPLETED, Status.DIVERGED)
        assert record.attempts == 1
        found.setdefault(record.config["lr"], set()).add(record.seed)
    return {lr: len(seeds) for lr, seeds in found.items()}


def decisions(folder):
    """The ledger without the times."""
    lines = [json.loads(line) for line in (folder / LOOKS).read_text().splitlines()]
    return [{key: value for key, value in line.items() if key != "at"} for line in lines]


def course(text):
    """What a race said of its blocks and of those that left."""
    return [line for line in text.splitlines() if line.startswith(("race, block", "  out: ", "decided", "undecided"))]


def test_looks_are_four_seeds_apart():
    assert seeds_of_looks(20) == [4, 8, 12, 16, 20]
    assert seeds_of_looks(10) == [4, 8, 10]
    assert seeds_of_looks(3) == [3]


def test_settings_that_cannot_be_the_best_leave_and_the_others_get_more_seeds(noisy, tmp_path):
    done = noisy(*RACE, "lr=0.29,0.3,1", "sweep.name=race", "sweep.max_repeats=10")
    assert done.code == 0, done.text
    folder = tmp_path / "multirun" / "race"
    seeds = seeds_in(folder)
    assert seeds[1] == 4
    assert seeds[0.3] > 4
    assert "out: lr=1: " in done.text
    standing = {one.runs[0].record.config["lr"]: one.standing for one in judged(settings_of(load([folder])))}
    assert standing[1] == NOT_BEST
    assert BEST in standing.values()
    spent = sum(line["alpha"] for line in decisions(folder))
    assert 0 < spent <= 0.05 + 1e-12

    before = (folder / LOOKS).read_bytes()
    again = noisy(*RACE, "lr=0.29,0.3,1", "sweep.name=race", "sweep.max_repeats=10")
    assert again.code == 0, again.text
    assert seeds_in(folder) == seeds
    assert course(again.text) == course(done.text)
    assert (folder / LOOKS).read_bytes() == before, "looking again at the same results is free"


@pytest.mark.parametrize("cut", [0, 1, 2])
def test_a_race_that_was_interrupted_goes_the_same_way(noisy, tmp_path, cut):
    command = (*RACE, "lr=0.28,0.3,0.7", "sweep.max_repeats=8")
    assert noisy(*command, "sweep.name=whole").code == 0
    assert noisy(*command, "sweep.name=cut", "sweep.max_runs=12").code == 0, "the first block alone"
    folder = tmp_path / "multirun" / "cut"
    lines = (folder / LOOKS).read_bytes().splitlines(keepends=True)
    assert len(lines) == 2
    (folder / LOOKS).write_bytes(b"".join(lines[: len(lines) - cut]))
    done = noisy(*command, "sweep.name=cut")
    assert done.code == 0, done.text
    whole = tmp_path / "multirun" / "whole"
    assert seeds_in(folder) == seeds_in(whole)
    assert decisions(folder) == decisions(whole)


def test_a_race_ends_where_no_rival_is_better_by_more_than_matters(noisy, tmp_path):
    done = noisy(*RACE, "lr=0.3,0.3001", "sweep.name=race", "sweep.indifference=0.2")
    assert done.code == 0, done.text
    assert "the other one left is not better by more than 0.2" in done.text
    assert seeds_in(tmp_path / "multirun" / "race") == {0.3: 4, 0.3001: 4}


def test_a_race_that_is_repeated_tells_who_left_when(noisy, tmp_path):
    command = (*RACE, "lr=0.29,0.3,0.31,0.7", "sweep.name=race", "sweep.max_repeats=20")
    first = noisy(*command)
    seeds = seeds_in(tmp_path / "multirun" / "race")
    assert len(set(seeds.values())) > 2, "some left early, and some later"
    assert course(noisy(*command).text) == course(first.text)


def test_a_setting_that_loses_a_seed_leaves_and_is_never_the_best(noisy, tmp_path):
    done = noisy(*RACE, "lr=0.2,0.3", "fault=diverge,none", "sweep.zip=[lr,fault]", "sweep.name=race")
    assert done.code == 0, done.text
    assert "it lost seeds (1 diverged)" in done.text
    found = judged(settings_of(load([tmp_path / "multirun" / "race"])))
    assert [one.standing for one in found] == [BEST, UNSTABLE]


def test_fresh_seeds_confirm_and_take_no_part_in_the_choice(noisy, tmp_path):
    command = ("-m", "epochs=1", "hydra.launcher.workers=0", "lr=0.3,1", "sweep.repeats=4", "sweep.name=study")
    done = noisy(*command, "sweep.confirm=2")
    assert done.code == 0, done.text
    assert "confirming lr=0.3" in done.text
    found = {one.runs[0].record.config["lr"]: one for one in settings_of(load([tmp_path / "multirun" / "study"]))}
    assert {lr: (one.n, len(one.fresh)) for lr, one in found.items()} == {0.3: (4, 2), 1: (4, 0), 0.1: (0, 2)}
    assert sorted(row.seed for row in found[0.3].runs) == [0, 1, 2, 3, FRESH, FRESH + 1]
    assert "On 2 fresh seeds, lr=0.3: " in done.text
    assert "On 2 fresh seeds, lr=0.1: " in done.text, "the default, though it is not in the grid"


def test_a_second_look_at_more_seeds_asks_for_more_and_the_same_results_for_nothing(noisy, tmp_path):
    command = ("-m", "epochs=1", "hydra.launcher.workers=0", "lr=0.29,0.3", "sweep.name=study")
    assert noisy(*command, "sweep.repeats=3").code == 0
    folder = tmp_path / "multirun" / "study"
    rows = load([folder])
    assert [line["alpha"] for line in decisions(folder)] == [pytest.approx(0.04)]
    assert judged(settings_of(rows))[1].p == pytest.approx(judged(settings_of(rows), 0.04)[1].p)
    assert noisy(*command, "sweep.repeats=3").code == 0
    assert len(decisions(folder)) == 1
    assert noisy(*command, "sweep.repeats=5").code == 0
    assert [line["alpha"] for line in decisions(folder)] == [pytest.approx(0.04), pytest.approx(0.005)]
    second = judged(settings_of(load([folder])))[1]
    assert second.standing in (MAY_BE, NOT_BEST)
    assert second.p == pytest.approx(judged(settings_of(load([folder])), 0.005)[1].p)
    assert "p counts an earlier look" in noisy(*command, "sweep.repeats=5").text


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("-m", "sweep.repeats=many"), "sweep.repeats=many is invalid: a number of seeds, or auto"),
        (("-m", "sweep.repeats=auto", "sweep.objective.direction=null"), "sweep.objective.direction=min or max"),
        (("-m", "sweep.repeats=auto", "seed=1,2"), "sweep.repeats=auto means seed="),
        (("-m", "sweep.repeats=auto", "sweep.max_repeats=1"), "sweep.max_repeats=1 is invalid: at least 2"),
        (("-m", "sweep.repeats=auto"), "compares settings, and there is one"),
        (("-m", "sweep.repeats=auto", "lr=1,2", "sweep.max_runs=7"), "sweep.max_runs=7 is too few"),
        (
            ("-m", "sweep.repeats=auto", "lr=1,2", "hydra.sweep.subdir=${hydra.job.num}"),
            "hydra.sweep.subdir is invalid",
        ),
        (("-m", "sweep.confirm=2", "lr=1,2"), "sweep.confirm=2 needs sweep.repeats"),
        (("-m", "sweep.repeats=auto", "hydra/sweeper=search"), "sweep.repeats is invalid with hydra/sweeper=search"),
    ],
)
def test_what_a_race_needs_is_said_before_the_first_run(application, tmp_path, arguments, says):
    done = application(*arguments, "hydra.launcher.workers=0")
    assert done.code == 1
    assert says in done.text
    assert not list((tmp_path / "multirun").rglob("run.json"))


def broken(noisy, at):
    """The application again, one run of which fails until a file `mended` is there."""
    text = noisy.script.read_text()
    fault = f"if (cfg.lr, cfg.seed) == {at} and not Path(__file__).with_name('mended').exists():"
    noisy.script.write_text(
        text.replace("diverged = ", f"{fault}\n            raise ValueError('a fault')\n        diverged = ")
    )


def test_a_run_that_failed_in_a_later_block_is_tried_again_and_its_setting_returns(noisy, tmp_path):
    broken(noisy, (0.3, 4))
    command = (*RACE, "lr=0.298,0.3", "sweep.max_repeats=8", "sweep.name=race")
    done = noisy(*command)
    assert done.code == 1
    assert "out: lr=0.3: it lost seeds (1 failed)" in done.text
    (noisy.folder / "mended").touch()
    again = noisy(*command)
    assert again.code == 0, again.text
    folder = tmp_path / "multirun" / "race"
    assert {run.read().status for run in find_runs(folder)} == {Status.COMPLETED}
    assert Looks(folder).spent <= 0.05
    assert len(list(find_runs(folder))) == 16


def test_a_summary_between_a_block_and_its_look_changes_no_decision(noisy, tmp_path):
    command = (*RACE, "lr=0.28,0.3,0.7", "sweep.max_repeats=8")
    assert noisy(*command, "sweep.name=whole").code == 0
    assert noisy(*command, "sweep.name=cut", "sweep.max_runs=12").code == 0
    folder = tmp_path / "multirun" / "cut"
    lines = (folder / LOOKS).read_bytes().splitlines(keepends=True)
    (folder / LOOKS).write_bytes(lines[0])
    summarize([str(folder)])
    assert noisy(*command, "sweep.name=cut").code == 0
    assert decisions(folder) == decisions(tmp_path / "multirun" / "whole")


def test_a_race_that_has_spent_its_error_rate_starts_no_further_runs(noisy, tmp_path):
    command = (*RACE, "lr=0.3,0.3001", "sweep.name=race")
    assert "undecided after 8 runs" in noisy(*command, "sweep.max_repeats=4").text
    done = noisy(*command, "sweep.max_repeats=12")
    assert "further seeds would decide nothing" in done.text
    assert len(list(find_runs(tmp_path / "multirun" / "race"))) == 8


def test_a_fresh_seed_that_is_lost_changes_no_choice(noisy, tmp_path):
    broken(noisy, (0.3, FRESH))
    done = noisy(
        "-m",
        "epochs=1",
        "hydra.launcher.workers=0",
        "lr=0.3,1",
        "sweep.repeats=4",
        "sweep.confirm=2",
        "sweep.name=study",
    )
    assert done.code == 1
    found = judged(settings_of(load([tmp_path / "multirun" / "study"])))
    assert {one.standing: one.runs[0].record.config["lr"] for one in found if one.n} == {BEST: 0.3, NOT_BEST: 1}
    assert "On 1 fresh seed, lr=0.3" in done.text


def test_equal_settings_race_once(noisy, tmp_path):
    done = noisy(*RACE, "lr=0.3,3e-1,1", "sweep.name=race", "sweep.max_repeats=8")
    assert done.code == 0, done.text
    assert "it has no result" not in done.text
    assert "lr=0.3 is the best, with 95 % confidence" in done.text


def test_decide_never_contradicts_the_table_where_the_leader_has_changed(noisy, tmp_path):
    folder = tmp_path / "multirun" / "race"
    assert noisy(*RACE, "lr=0.28,0.3,0.7", "sweep.name=race", "sweep.max_repeats=8").code == 0
    found = {one.standing: one for one in judged(settings_of(load([folder])))}
    best, out = found[BEST], found[NOT_BEST]
    assert decide([folder], out.label, best.label).verdict != "not better"
    assert decide([folder], best.label, out.label).verdict != "better"


def test_a_ledger_that_cannot_be_written_is_one_sentence(noisy, tmp_path):
    (tmp_path / "elsewhere").touch()
    folder = tmp_path / "multirun" / "race"
    folder.mkdir(parents=True)
    (folder / LOOKS).symlink_to(tmp_path / "elsewhere")
    done = noisy(*RACE, "lr=0.3,1", "sweep.name=race")
    assert done.code == 1
    assert "cannot write" in done.text
    assert (tmp_path / "elsewhere").read_bytes() == b""
