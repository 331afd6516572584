"""A search without a run: which trials it asks for, what it remembers, what is invalid."""

import json
import os
import pickle
import re

import pytest
from hydra.core.override_parser.overrides_parser import OverridesParser

from sweeps.errors import ConfigError
from sweeps.record.records import Objective, RunRecord, Status

optuna = pytest.importorskip("optuna")
from sweeps.sweepers.search.space import space_of  # noqa: E402
from sweeps.sweepers.search.trials import JOURNAL_NAME, Search  # noqa: E402

pytestmark = pytest.mark.filterwarnings("ignore::optuna.exceptions.ExperimentalWarning")

SPACE = ("optim.lr=tag(log,interval(1e-4,1))", "model=a,b")


def opened(folder, *arguments, **options):
    space = space_of(OverridesParser.create().parse_overrides(list(arguments or SPACE)))
    given = {"sampler": "tpe", "seed": 0, "n_trials": 12, "objectives": ["objective"], "direction": "max"} | options
    return Search(folder, space, **given)


def record(value, status=Status.COMPLETED, **more):
    return RunRecord(
        "id",
        "setting",
        "run",
        "s",
        status,
        Objective(metric="acc", direction="max", split="val", report="last", value=value),
        **more,
    )


def quality(asked):
    """A made-up accuracy with its best at a rate of 0.1 and model b."""
    given = dict(part.split("=") for part in asked.drawn)
    return 1 / (1 + abs(float(given["optim.lr"]) - 0.1)) + (given["model"] == "b")


def finish(search, most=100):
    drawn = []
    while len(drawn) < most and (asked := search.ask()) is not None:
        drawn.append(tuple(asked.drawn))
        search.tell(asked.number, record(quality(asked)))
    return drawn


@pytest.mark.parametrize("sampler", ["tpe", "random", "qmc", "cmaes"])
def test_a_search_that_is_cut_short_and_repeated_draws_the_same_trials(tmp_path, sampler):
    whole, parts = tmp_path / "whole", tmp_path / "parts"
    for folder in (whole, parts):
        folder.mkdir()
    expected = finish(opened(whole, sampler=sampler))
    found = []
    for _ in range(4):
        found += finish(opened(parts, sampler=sampler), most=3)
    assert found == expected
    assert len(set(expected)) == 12
    assert finish(opened(parts, sampler=sampler)) == []


def test_another_seed_draws_other_trials(tmp_path):
    (tmp_path / "a").mkdir()
    assert finish(opened(tmp_path, sampler="random")) != finish(opened(tmp_path / "a", sampler="random", seed=1))


def test_a_trial_that_was_never_finished_is_asked_again_and_none_is_stuck(tmp_path):
    for _ in range(10):  # as after ten kills, each in the middle of two trials
        search = opened(tmp_path, n_trials=6)
        lost = [search.ask(), search.ask()]
    search = opened(tmp_path, n_trials=6)
    assert [search.ask().drawn for _ in lost] == [asked.drawn for asked in lost]
    search = opened(tmp_path, n_trials=6)
    finish(search)
    assert (search.finished, search.has_more) == (6, False)
    assert {trial.state.name for trial in search._study.trials} == {"COMPLETE"}


@pytest.mark.parametrize("damage", [b'{"op_code": 4, "worker', b"\x00\x00"])
def test_a_torn_journal_is_mended(tmp_path, damage):
    finish(opened(tmp_path), most=3)
    with (tmp_path / JOURNAL_NAME).open("ab") as file:
        file.write(damage)
    (tmp_path / f"{JOURNAL_NAME}.lock").touch()
    search = opened(tmp_path)
    assert search.finished == 3
    assert len(finish(search)) == 9
    assert opened(tmp_path).finished == 12


@pytest.mark.parametrize(
    ("written", "instead"),
    [
        (r"^", "garbage\n"),
        (r'"op_code": ?\d+', '"op_code": 99'),
        (r'"values": ?\[[^]]+\]', '"values": ["good"]'),
        (r'"values": ?\[[^]]+\]', '"values": [1, 2]'),
        (r'"values": ?\[[^]]+\]', '"values": 5'),
    ],
)
def test_a_journal_that_is_damaged_in_the_middle_is_named(tmp_path, written, instead):
    finish(opened(tmp_path), most=3)
    path = tmp_path / JOURNAL_NAME
    damaged, count = re.subn(written, instead, path.read_text(), count=1)
    assert count == 1
    path.write_text(damaged)
    with pytest.raises(ConfigError, match=r"study\.journal is damaged and cannot be read .*; move it away"):
        opened(tmp_path)


def test_n_trials_is_a_total(tmp_path):
    finish(opened(tmp_path, n_trials=5))
    assert opened(tmp_path, n_trials=5).has_more is False
    assert len(finish(opened(tmp_path, n_trials=8))) == 3
    with pytest.raises(ConfigError, match=r"n_trials=4 is less than the 8 trials in .* it is a total; use 8 or more"):
        opened(tmp_path, n_trials=4)


def test_only_what_was_measured_is_a_result(tmp_path):
    search = opened(tmp_path, n_trials=4)
    outcomes = [
        record(0.5), record(None, Status.DIVERGED), record(float("nan")), record(0.4, Status.PRUNED, steps=3),
    ]  # fmt: skip
    for outcome in outcomes:
        search.tell(search.ask().number, outcome)
    states = [trial.state.name for trial in search._study.trials]
    assert states == ["COMPLETE", "PRUNED", "PRUNED", "PRUNED"]
    assert search._study.trials[3].intermediate_values == {3: 0.4}
    assert [values for _, values in search.best()] == [[0.5]]
    search = opened(tmp_path, n_trials=5)
    asked = search.ask()
    for status in (Status.FAILED, Status.INTERRUPTED, Status.PENDING):
        with pytest.raises(AssertionError):
            search.tell(asked.number, record(None, status))


@pytest.mark.parametrize("sampler", ["tpe", "gp", "grid"])
def test_a_trial_without_a_result_is_asked_once_a_search_and_hinders_no_other(tmp_path, sampler):
    arguments = ("a=1,2", "b=range(0,3)")
    search = opened(tmp_path, *arguments, sampler=sampler, n_trials=6)
    failed = search.ask()
    for number in range(1, 6):
        search.tell(search.ask().number, record(0.1 * number))
    assert (search.ask(), search.has_more, search.finished, search.total) == (None, False, 5, 6)
    again = opened(tmp_path, *arguments, sampler=sampler, n_trials=6)
    assert (again.has_more, again.ask()) == (True, failed)
    again.tell(failed.number, record(0.5))
    assert (again.has_more, again.finished) == (False, 6)


def test_several_objectives_have_a_front(tmp_path):
    search = opened(tmp_path, objectives=["objective", "seconds"], n_trials=3)
    for value, seconds in ((0.9, 10.0), (0.8, 5.0), (0.7, 20.0)):
        search.tell(search.ask().number, record(value, seconds=seconds))
    assert sorted(values for _, values in search.best()) == [[0.8, 5.0], [0.9, 10.0]]


def test_a_number_that_runs_record_can_be_an_objective(tmp_path):
    search = opened(tmp_path, objectives=["size", "objective"], n_trials=3)
    for value, size in ((0.9, 10), (0.8, 20), (0.7, 30)):
        search.tell(search.ask().number, record(value, facts={"size": size, "device": "cpu"}))
    assert [values for _, values in search.best()] == [[10.0, 0.9]]


def test_an_objective_that_no_run_has_is_named_with_those_that_are_there(tmp_path):
    search = opened(tmp_path, objectives=["beauty"], n_trials=3, direction="None")
    asked = search.ask()
    says = r"objectives=\['beauty'\] is invalid: .* no number beauty; it has objective, peak_memory, seconds, size"
    with pytest.raises(ConfigError, match=says):
        search.tell(asked.number, record(0.9, facts={"size": 10, "name": "x", "ok": True}))
    search = opened(tmp_path, objectives=["size"], n_trials=3)
    assert search.ask() == asked, "the run that is complete counts for the corrected command"
    search.tell(asked.number, record(0.9, facts={"size": 10}))
    search.tell(search.ask().number, record(0.9))
    assert [values for _, values in search.best()] == [[10.0]], "a run that lacks it later has no value"


def test_what_a_pruned_run_has_reported_is_in_the_journal(tmp_path):
    search = opened(tmp_path, n_trials=1)
    rows = [{"step": 0.5, "loss": 2.0}, *({"step": step, "acc": step / 1000} for step in range(1, 101))]
    rows += [{"step": 101, "acc": None}]
    search.tell(search.ask().number, record(0.1, Status.PRUNED, steps=100), rows)
    found = search._study.trials[0].intermediate_values
    assert 10 <= len(found) <= 25
    assert (max(found), found[100]) == (100, 0.1)


def test_another_direction_is_another_search(tmp_path):
    finish(opened(tmp_path), most=2)
    with pytest.raises(ConfigError, match=r"another space \(direction: maximize -> minimize\)"):
        opened(tmp_path, direction="min")


def test_journals_of_earlier_releases_are_read(tmp_path):
    space = ("a=range(1,9)", "b=interval(0,1)")
    journal = tmp_path / JOURNAL_NAME
    study = optuna.create_study(
        study_name="search",
        storage=optuna.storages.JournalStorage(optuna.storages.journal.JournalFileBackend(str(journal))),
    )
    study.set_user_attr("space", {"a": "int 1 to 8, step 1", "b": "float 0 to 1", "objectives": "objective"})
    trial = study.ask()
    study.tell(trial, trial.suggest_int("a", 1, 8) + trial.suggest_float("b", 0, 1))
    search = opened(tmp_path, *space, direction="min")
    assert (search.finished, search.ask().number) == (1, 1)


def test_a_loss_is_searched_downwards(tmp_path):
    search = opened(tmp_path, direction="min", n_trials=2)
    for value in (0.9, 0.1):
        search.tell(search.ask().number, record(value))
    assert [values for _, values in search.best()] == [[0.1]]


@pytest.mark.parametrize("sampler", ["gp", "cmaes"])
def test_samplers_that_look_at_complete_trials_alone_keep_away_from_what_diverges(tmp_path, sampler):
    """Everything above 0.5 diverges, and more is better: without that it stays at the upper end."""
    pytest.importorskip("cmaes")
    search = opened(tmp_path, "optim.lr=interval(0,1)", sampler=sampler, n_trials=30)
    diverged = []
    while (asked := search.ask()) is not None:
        rate = float(asked.drawn[0].partition("=")[2])
        diverged.append(rate > 0.5)
        search.tell(asked.number, record(None, Status.DIVERGED) if rate > 0.5 else record(rate))
    assert sum(diverged[15:]) <= 10
    assert len(search.best()) == 1
    assert search.best()[0][1][0] <= 0.5
    assert search.finished == 30


def test_a_search_that_was_invalid_before_its_first_trial_keeps_nobody_out(tmp_path):
    opened(tmp_path, "optim.lr=interval(0,1)")
    search = opened(tmp_path, "optim.lr=interval(0.1,1)", direction="min")
    search.tell(search.ask().number, record(0.5))
    with pytest.raises(ConfigError, match="holds a search of another space"):
        opened(tmp_path, "optim.lr=interval(0,1)")


def test_a_grid_ends_when_every_combination_was_drawn_once(tmp_path):
    grid = ("a=1,2", "b=range(0,3)")
    search = opened(tmp_path, *grid, sampler="grid", n_trials=50)
    assert search.total == 6
    drawn = []
    while (asked := search.ask()) is not None:
        drawn.append(tuple(asked.drawn))
        search.tell(asked.number, record(0.5))
    assert sorted(drawn) == [(f"a={a}", f"b={b}") for a in (1, 2) for b in (0, 1, 2)]


def test_tpe_learns_from_results(tmp_path):
    search = opened(tmp_path, n_trials=40)
    drawn = finish(search)
    late = [dict(part.split("=") for part in one) for one in drawn[20:]]
    assert sum(one["model"] == "b" for one in late) > 12


@pytest.mark.parametrize(
    ("options", "says"),
    [
        ({"sampler": "luck"}, "hydra.sweeper.sampler=luck is invalid: known are tpe, gp"),
        ({"n_trials": 0}, "n_trials=0 is invalid: at least one trial"),
        ({"objectives": []}, "one or more, each once, of objective, seconds, peak_memory"),
        ({"objectives": ["seconds", "seconds"]}, "one or more, each once"),
        ({"direction": "None"}, "set sweep.objective.direction=min or max in the config"),
        ({"sampler": "cmaes", "objectives": ["objective", "seconds"]}, "cmaes knows one objective"),
        ({"sampler": "grid"}, "grid needs values that can be counted, but optim.lr is float 0.0001 to 1, log"),
    ],
)
def test_options_that_cannot_work_are_invalid(tmp_path, options, says):
    with pytest.raises(ConfigError, match=says):
        opened(tmp_path, **options)


def test_another_space_in_the_same_folder_is_invalid_with_the_difference(tmp_path):
    finish(opened(tmp_path), most=2)
    with pytest.raises(ConfigError, match=r"holds a search of another space \(model: choice\(a, b\) -> choice\(a\)\)"):
        opened(tmp_path, SPACE[0], "model=choice(a)")
    assert opened(tmp_path).finished == 2


class Evil:
    """Runs a command where it is unpickled."""

    def __init__(self, command):
        self.command = command

    def __reduce__(self):
        return os.system, (self.command,)


@pytest.mark.parametrize("what", ["command", "number", "no pickle"])
def test_a_journal_runs_nothing_where_optuna_keeps_a_pickle_in_it(tmp_path, what):
    pytest.importorskip("cmaes")
    marker = tmp_path / "marker"
    search = opened(tmp_path, "optim.lr=interval(0,1)", "optim.momentum=interval(0,1)", sampler="cmaes", n_trials=3)
    asked = search.ask()
    data = {"command": pickle.dumps(Evil(f"touch {marker}")), "number": pickle.dumps(1), "no pickle": b"x"}[what]
    with (tmp_path / JOURNAL_NAME).open("a") as journal:
        line = {"op_code": 9, "worker_id": "x", "trial_id": asked.number}
        journal.write(json.dumps(line | {"system_attr": {"cma:optimizer:0": data.hex()}}) + "\n")
    search.tell(asked.number, record(0.1))
    search = opened(tmp_path, "optim.lr=interval(0,1)", "optim.momentum=interval(0,1)", sampler="cmaes", n_trials=3)
    with pytest.raises(ConfigError, match=f"{JOURNAL_NAME} is damaged and cannot be read"):
        search.ask()
    assert not marker.exists()


def test_a_journal_has_no_secret_and_is_not_for_the_world(tmp_path):
    opened(tmp_path, *SPACE, "+dataset.source.token=x1y2", "logger.uri=http://me:x1y2@host")
    journal = tmp_path / JOURNAL_NAME
    assert "x1y2" not in journal.read_text()
    assert journal.stat().st_mode & 0o007 == 0
    opened(tmp_path, *SPACE, "+dataset.source.token=x1y2", "logger.uri=http://me:x1y2@host")
