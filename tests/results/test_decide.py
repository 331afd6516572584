"""`decide`, `wait` and `watch --events`: a program reads an exit code, and JSON."""

import json

import pytest

from sweeps import decide, watch
from sweeps.record.lock import owned
from sweeps.record.records import LOOKS, SWEEP_FILES, Status
from sweeps.results.looks import Look, Looks
from sweeps.summarize import main as summarize

NOISE = (0.001, -0.002, 0.002, -0.001, 0.0015)


@pytest.fixture
def study(tmp_path, regression_in):
    """A sweep of three settings with five seeds; the loss of lr=0.3 is lower than lr=0.1's, and like lr=0.2's."""
    for seed, noise in enumerate(NOISE):
        for lr, loss in ((0.1, 0.2 + 2 * noise), (0.2, 0.1 - noise), (0.3, 0.1 + noise)):
            regression_in(loss, lr=lr, seed=seed)
    (tmp_path / "study" / SWEEP_FILES[0]).touch()
    return tmp_path / "study"


@pytest.mark.parametrize(
    ("first", "second", "more", "code", "says"),
    [
        ("lr=0.1", "lr=0.3", (), 0, "Yes: lr=0.3 is better than lr=0.1"),
        ("lr=0.3", "lr=0.1", (), 1, "not better: No: lr=0.3 is better than lr=0.1"),
        ("lr=0.2", "lr=0.3", (), 3, "undecided: Not shown"),
        ("lr=0.2", "lr=0.3", ("--indifference", "0.05"), 1, "not better: Not shown"),
        ("lr=0.2", "lr=7", (), 2, "lr=7 fits no run"),
    ],
)
def test_the_exit_code_is_the_answer(study, capsys, first, second, more, code, says):
    assert decide.main([str(study), first, second, *more]) == code
    printed = capsys.readouterr()
    assert says in printed.out + printed.err


def test_a_setting_that_lost_seeds_is_not_better(study, regression_in, capsys):
    for seed in range(5):
        lost = {"status": Status.DIVERGED} if seed == 3 else {}
        regression_in(0.01 + NOISE[seed], lr=0.5, seed=seed, **lost)
    assert decide.main([str(study), "lr=0.1", "lr=0.5"]) == 1
    assert "lost 1 of 5 runs" in capsys.readouterr().out


def test_json_has_the_decision_and_what_it_rests_on(study, capsys):
    assert decide.main([str(study), "lr=0.1", "lr=0.3", "--json"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert found["decision"] == "better"
    assert found["n"] == 5
    assert found["p"] < 0.05


def test_a_decision_is_a_look_and_the_same_results_are_one_look(study, regression_in):
    for _ in range(3):
        decide.decide([study], "lr=0.1", "lr=0.3")
    assert [look.alpha for look in Looks(study).all] == [pytest.approx(0.04)]
    for lr in (0.1, 0.2, 0.3):
        regression_in(lr, lr=lr, seed=5)
    decide.decide([study], "lr=0.1", "lr=0.3")
    assert [look.alpha for look in Looks(study).all] == [pytest.approx(0.04), pytest.approx(0.005)]


def test_a_table_of_a_sweep_that_is_not_finished_is_no_look_but_a_decision_is(study, regression_in, capsys):
    regression_in(0.1, lr=0.9, seed=0, status=Status.INTERRUPTED)
    assert summarize([str(study)]) == 0
    assert not (study / LOOKS).exists()
    decide.decide([study], "lr=0.1", "lr=0.3")
    assert len(Looks(study).all) == 1


def test_settings_in_folders_of_their_own_are_counted_in_both(study, tmp_path, regression_in, made_up):
    other = tmp_path / "other"
    for seed, noise in enumerate(NOISE):
        made_up.write_regression(other, (0.05 + noise,), lr=0.7, seed=seed)
    (other / SWEEP_FILES[0]).touch()
    first = decide.decide([study, other], "lr=0.1", "lr=0.7")
    again = decide.decide([study, other], "lr=0.1", "lr=0.7")
    assert first.comparison.p == again.comparison.p
    assert (
        [look.alpha for look in Looks(study).all] == [look.alpha for look in Looks(other).all] == [pytest.approx(0.04)]
    )


def test_where_nothing_is_left_to_spend_nothing_is_decided(study):
    Looks(study).add(Look("race", {"a": 2}, 0.05))
    found = decide.decide([study], "lr=0.1", "lr=0.3")
    assert (found.verdict, found.more_seeds) == ("undecided", None)
    assert found.comparison.p is None


@pytest.mark.parametrize("text", ["nan", "inf", "-1", "1e308", "much"])
def test_a_difference_is_a_number(study, text, capsys):
    with pytest.raises(SystemExit) as raised:
        decide.main([str(study), "lr=0.1", "lr=0.3", f"--indifference={text}"])
    assert raised.value.code == 2


def test_a_setting_that_lost_all_seeds_is_not_better_and_one_without_common_seeds_is_undecided(study, regression_in):
    for seed in range(3):
        regression_in(0.5, lr=0.5, seed=seed, status=Status.DIVERGED)
        regression_in(0.01, lr=0.6, seed=seed + 100)
    assert decide.main([str(study), "lr=0.1", "lr=0.5"]) == 1
    assert decide.main([str(study), "lr=0.1", "lr=0.6"]) == 3


@pytest.mark.parametrize(
    "content",
    [
        "{",
        "[]",
        '{"by": 1}',
        '{"by": "x", "alpha": "much"}',
        '{"by": "x", "alpha": NaN}',
        '{"by": "x", "alpha": 0.01, "out": {"a": NaN}}',
        '{"by": "x", "alpha": 0, "seeds": {"a": []}}',
        "[" * 10_000,
    ],
)
def test_a_damaged_ledger_counts_as_none(study, content):
    (study / LOOKS).write_text(content + "\n")
    assert Looks(study).all == []
    assert decide.decide([study], "lr=0.1", "lr=0.3").exit_code == 0


def test_a_ledger_cannot_make_a_look_cheaper_than_free(study):
    (study / LOOKS).write_text('{"by": "x", "alpha": -5, "seeds": {"a": 3}, "out": {"b": -1}}\n')
    assert (Looks(study).spent, Looks(study).out(3)) == (0.0, {"b": 0})


def test_nothing_is_written_through_a_link(study, tmp_path):
    (tmp_path / "elsewhere").touch()
    (study / LOOKS).symlink_to(tmp_path / "elsewhere")
    assert decide.decide([study], "lr=0.1", "lr=0.3").exit_code == 0
    assert (tmp_path / "elsewhere").read_bytes() == b""


def test_looks_by_hand_never_spend_more_than_five_percent(tmp_path):
    looks = Looks(tmp_path)
    for n in range(2, 40):
        seeds = {"a": n, "b": n}
        looks.add(Look("reader", seeds, looks.level(seeds)))
    assert 0.0499 < sum(look.alpha for look in looks.all) <= 0.05
    assert Looks(tmp_path).all == looks.all


@pytest.mark.parametrize(("until", "code"), [("done", 0), ("failed", 1), ("decided", 1)])
def test_wait_ends_with_the_sweep(study, until, code):
    assert watch.wait_main([str(study), "--until", until]) == code


def test_wait_sees_a_decision_and_a_failure_and_gives_up_after_its_timeout(study, tmp_path, regression_in):
    for seed, noise in enumerate(NOISE):
        regression_in(0.01 + noise / 2, lr=0.4, seed=seed)
    assert watch.wait_main([str(study), "--until", "decided"]) == 0
    with owned(study):
        assert watch.wait_main([str(study), "--until", "failed", "--timeout", "0.1", "--interval", "0.01"]) == 3
        regression_in(lr=0.9, seed=0, status=Status.FAILED)
        assert watch.wait_main([str(study), "--until", "failed"]) == 0
    assert watch.wait_main([str(tmp_path / "nowhere")]) == 2


def test_events_say_how_every_run_stands_and_what_was_looked_at(study, capsys):
    decide.decide([study], "lr=0.1", "lr=0.3")
    assert watch.main([str(study), "--events"]) == 0
    events = [json.loads(line) for line in capsys.readouterr().out.splitlines()]
    assert [event["event"] for event in events] == ["run"] * 15 + ["look", "end"]
    first = {key: events[0][key] for key in ("run", "status", "step", "value", "problem")}
    assert first == {"run": "lr=0.1,seed=0", "status": "completed", "step": 1, "value": 0.202, "problem": None}
    assert {event["setting_id"] for event in events if event["event"] == "run"} == set(events[-2]["seeds"])
    assert events[-1]["counts"] == {"completed": 15}
