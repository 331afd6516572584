"""A grid as it is typed: seeds, policies, batches and rounds hold for the whole sweep under any launcher."""

import json

import pytest

from sweeps.record.records import Status, find_runs

from .conftest import runs_by

SWEEP = ("-m", "sweep.name=study", "epochs=1")
HERE, BASIC = "hydra.launcher.workers=0", "hydra/launcher=basic"
LAUNCHERS = pytest.mark.parametrize("launcher", [HERE, BASIC])


@pytest.fixture
def study(tmp_path):
    """The folder of the sweep."""
    return tmp_path / "multirun" / "study"


@LAUNCHERS
def test_a_sweep_over_seeds_can_be_extended_and_is_summarised(application, study, launcher):
    zipped = ("lr=0.1,1", "+extra=a,b", "sweep.zip=[lr,extra]", "sweep/pruner=none")
    done = application(*SWEEP, launcher, *zipped, "sweep.repeats=2")
    assert done.code == 0, done.text
    assert "lr=0.1" in done.text
    names = sorted(run.path.name for run in find_runs(study))
    assert len(names) == 4
    assert all(not {"repeats", "zip", "sweep", "pruner", "hydra"} & set(name.split("=")) for name in names)

    done = application(*SWEEP, launcher, *zipped, "sweep.repeats=3", "sweep.exclude=[{lr:1,seed:2}]")
    assert done.code == 0, done.text
    records = [run.read() for run in find_runs(study)]
    assert [record.status for record in records] == [Status.COMPLETED] * 5
    assert {record.attempts for record in records} == {1}
    assert len({record.setting_id for record in records}) == 2
    assert (study / "multirun.yaml").is_file()


def test_a_tracker_that_cannot_be_made_is_one_error_before_the_first_run(application, study):
    for launcher in (HERE, BASIC):
        done = application(*SWEEP, launcher, "lr=0.1,1", "sweep/tracker=csv", "+sweep.tracker.csv.separator=x")
        assert done.code == 1
        assert "CsvTracker cannot be made" in done.text
        assert not list(study.rglob("run.json"))


def test_a_damaged_line_before_the_checkpoint_is_left_out_and_the_run_resumes(application, study):
    sweep = ("-m", "sweep.name=study", HERE, "epochs=4")
    assert application(*sweep, "sweep.pause_at=3").code == 0
    (run,) = find_runs(study)
    lines = run.metrics.read_bytes().splitlines(keepends=True)
    run.metrics.write_bytes(b"".join([lines[0], b"garbage\n", lines[2]]))
    done = application(*sweep)
    assert done.code == 0, done.text
    assert [row["step"] for row in run.read_metrics()] == [1, 3, 4]
    (log,) = run.path.glob("*.log")
    assert "line 2 of" in log.read_text()
    assert run.metrics.read_bytes().startswith(lines[0] + lines[2])


def link(application, tmp_path, text):
    """A group of the application that is a link to another folder."""
    (tmp_path / "shared").mkdir(exist_ok=True)
    (tmp_path / "shared" / "big.yaml").write_text(text)
    if not (application.folder / "model").exists():
        (application.folder / "model").symlink_to(tmp_path / "shared")
        (application.folder / "model" / "circle").symlink_to(application.folder)
    return ["+model=big"]


def package(application, tmp_path, text):
    """A group of the application in a package."""
    (application.folder / "sweeps_test_package" / "model").mkdir(parents=True, exist_ok=True)
    (application.folder / "sweeps_test_package" / "__init__.py").touch()
    (application.folder / "sweeps_test_package" / "model" / "big.yaml").write_text(text)
    return ["+model=big", "hydra.searchpath=[pkg://sweeps_test_package]"]


def folder(application, tmp_path, text):
    """A group of the application in a folder that the command names."""
    (tmp_path / "other" / "model").mkdir(parents=True, exist_ok=True)
    (tmp_path / "other" / "model" / "big.yaml").write_text(text)
    return ["+model=big", f"hydra.searchpath=[{tmp_path / 'other'}]"]


@pytest.mark.parametrize("place", [link, package, folder])
def test_a_changed_setting_is_noticed_wherever_it_stands(application, tmp_path, place):
    command = (*SWEEP, HERE, "lr=0.1")
    assert application(*command, *place(application, tmp_path, "width: 3")).code == 0
    done = application(*command, *place(application, tmp_path, "width: 3"))
    assert (done.code, "already complete" in done.text, "checking" in done.text) == (0, True, False)
    done = application(*command, *place(application, tmp_path, "width: 7"))
    assert done.code == 1, done.text
    assert "holds a run with other settings (model.width: 3 -> 7)" in done.text


def test_complete_runs_have_the_objective_and_the_seed_that_are_asked_for_now(application, study):
    script = application.script.read_text().replace('{"loss": loss}', '{"loss": loss, "gain": -loss}')
    application.script.write_text(script)
    command = (*SWEEP, "epochs=3", HERE, "lr=0.1,0.2")
    assert application(*command).code == 0
    before = runs_by(study, "lr")[0.1].read()
    other = ("sweep.objective.metric=gain", "sweep.objective.direction=min", "sweep.objective.report=best")
    done = application(*command, *other, "sweep.seed_key=lr")
    assert done.code == 0, done.text
    assert "2 already complete" in done.text
    after = runs_by(study, "lr")[0.1].read()
    assert (after.objective.metric, after.objective.value) == ("gain", pytest.approx(-0.2))
    assert (after.seed, after.seed_keys, after.attempts) == (0.1, ["lr"], 1)
    assert (before.run_id, before.seconds, before.steps) == (after.run_id, after.seconds, after.steps)
    assert len({run.read().setting_id for run in find_runs(study)}) == 1
    done = application(*command, "sweep.objective.metric=nothing")
    assert done.code == 1
    assert "sweep.objective.metric=nothing was never reported by " in done.text
    assert application(*command).code == 0
    assert runs_by(study, "lr")[0.1].read().objective == before.objective


@pytest.mark.parametrize(
    ("setting", "says"),
    [
        ("sweep.max_steps=nan", "sweep.max_steps=nan is invalid"),
        ("sweep.retries=-1", "sweep.retries=-1 is invalid"),
        ("sweep.on_mismatch=x", "sweep.on_mismatch=x is invalid"),
        ("sweep.pause_at=-1", "sweep.pause_at=-1.0 is invalid"),
        ("sweep.objective.metric=step", "sweep.objective.metric=step is invalid: that is the engine's own name"),
        ("sweep.tracker=5", "sweep.tracker=5 is invalid"),
        ("++sweep.tracker.x=1", "'x': 1} is invalid: choose one by name"),
        ("++sweep.tracker={x:{_target_:os.getcwd}}", "_target_=os.getcwd is not allowed"),
        ("++sweep.tracker={x:{_target_:sweeps.trackers.csv.CsvTracker,no:1}}", "CsvTracker cannot be made"),
    ],
)
def test_settings_of_the_engine_are_checked_before_any_run_and_where_all_are_complete(
    application, study, setting, says
):
    done = application(*SWEEP, HERE, "lr=0.1,0.2", setting)
    assert done.code == 1
    assert says in done.text
    assert not study.exists()
    if "cannot be made" in says:  # which a worker finds out
        return
    assert application(*SWEEP, HERE, "lr=0.1").code == 0
    done = application(*SWEEP, HERE, "lr=0.1", setting)
    assert done.code == 1
    assert says in done.text


def test_swept_keys_may_stand_in_the_config(application, study):
    done = application(*SWEEP, HERE, "+hydra.sweeper.params.lr='0.1,0.2'")
    assert done.code == 0, done.text
    assert len(list(find_runs(study))) == 2


@pytest.mark.parametrize(("policy", "failed", "done"), [("sweep.on_failure=stop", 1, 0), ("sweep.stop_after=2", 2, 1)])
def test_a_policy_holds_across_batches(application, study, policy, failed, done):
    runs = ("sweep.zip=[fault,seed]", "fault=exception,none,exception,none", "seed=0,1,2,3")
    ended = application(*SWEEP, HERE, policy, *runs, "hydra.sweeper.max_batch_size=1")
    assert ended.code == 1
    left = 4 - failed - done
    assert f"error: {failed} of 4 runs failed and {left} were not started" in ended.text
    statuses = [run.read().status for run in find_runs(study)]
    assert statuses.count(Status.FAILED) == failed
    assert statuses.count(Status.COMPLETED) == done


def test_all_runs_are_checked_before_the_first_batch(application, tmp_path):
    before = set(tmp_path.iterdir())
    ended = application(*SWEEP, HERE, "lr=0.1,0.2,0.3,-1", "hydra.sweeper.max_batch_size=3")
    assert ended.code == 1
    assert "lr=-1" in ended.text
    assert "No run was started" in ended.text
    assert set(tmp_path.iterdir()) == before


def test_so_many_runs_at_a_time_are_at_most_so_many_workers(application, study):
    ended = application(*SWEEP, HERE, "seed=0,1", "hydra.sweeper.max_batch_size=0")
    assert "hydra.sweeper.max_batch_size=0 is invalid: at least 1, or null" in ended.text
    ended = application(*SWEEP, "hydra.launcher.workers=null", "seed=0,1", "hydra.sweeper.max_batch_size=1")
    assert ended.code == 0, ended.text
    (invocation,) = json.loads((study / "sweep.json").read_text())["invocations"]
    assert len(invocation["slots"]) == 1


HALVING = ("sweep/pruner=halving", "epochs=4", "fault=none,exception", "lr=0.1,0.3")


@LAUNCHERS
def test_a_run_that_fails_in_a_round_of_halving_is_not_tried_again_in_the_next(application, study, launcher):
    ended = application(*SWEEP, launcher, *HALVING)
    assert ended.code == 1
    assert "round 1 of 2: to step 1\n" in ended.text
    assert "round 2 of 2: to completion\n" in ended.text
    assert "error: 2 of 4 runs failed; the run.json of each" in ended.text
    records = [run.read() for run in find_runs(study)]
    assert sorted(record.status.value for record in records) == ["completed", "failed", "failed", "pruned"]
    assert {record.attempts for record in records if record.status is Status.FAILED} == {1}
    assert {record.steps for record in records if record.status is Status.PRUNED} == {1}


def test_after_enough_failures_no_further_round_starts(application, study):
    ended = application(*SWEEP, HERE, *HALVING, "sweep.stop_after=2")
    assert ended.code == 1
    assert "round 2 of 2:" not in ended.text
    assert "error: 2 of 4 runs failed; round 2 of 2 was not started; the run.json" in ended.text
    assert {run.read().attempts for run in runs_by(study, "fault").values()} == {1}
    ended = application(*SWEEP, HERE, *HALVING)
    assert {run.read().attempts for run in find_runs(study) if run.read().status is Status.FAILED} == {2}


def test_the_longest_run_sets_the_rounds_of_halving(application, study):
    ended = application("-m", "sweep.name=study", HERE, "sweep/pruner=halving", "epochs=2,9", "lr=0.1,0.3")
    assert ended.code == 0, ended.text
    assert "sweep.max_steps is 2 to 9 in these runs; the largest sets the rounds" in ended.text
    assert "round 2 of 3: to step 3\n" in ended.text
    ended = application("-m", "sweep.name=short", HERE, "sweep/pruner=halving", "epochs=9", "lr=1", "sweep.pause_at=3")
    assert "round 2 of 2: to step 3\n" in ended.text, "a limit that was given holds in every round"


MOUNTED = """
defaults:
  - sweep@engine: default
  - override sweep/tracker@engine.tracker: none
  - _self_
lr: 0.1
number: {seed: 0}
epochs: 4
fault: none
pause: 0
sweep: 1
engine:
  objective: {metric: loss, direction: min}
  max_steps: ${epochs}
  seed_key: number.seed
"""


@LAUNCHERS
def test_the_engine_may_be_mounted_elsewhere(application, study, launcher):
    (application.folder / "config.yaml").write_text(MOUNTED)
    typed = (
        "engine.name=study",
        "engine.repeats=2",
        "lr=0.1,0.3",
        "sweep=1,3",
        "engine.exclude=['lr=0.1,sweep=3']",
    )
    done = application("-m", launcher, *typed, "sweep/pruner@engine.pruner=halving")
    assert done.code == 0, done.text
    assert "round 2 of 2: to completion\n" in done.text
    records = [run.read() for run in find_runs(study)]
    assert {record.name for record in records} == {
        f"lr={lr},number.seed={seed},sweep={own}" for lr, own in (("0.1", 1), ("0.3", 1), ("0.3", 3)) for seed in (0, 1)
    }
    assert len({record.setting_id for record in records}) == 3
    done = application("-m", launcher, "engine.name=study", "lr=0.1,0.3", "engine.repeats=2", "engine.seed_key=seed")
    assert "the config has no key seed for the seed of a run; it has number.seed" in done.text


def test_the_engine_may_be_added_on_the_command_line(application, study):
    (application.folder / "config.yaml").write_text("lr: 0.1\nseed: 0\nepochs: 2\nfault: none\npause: 0\n")
    added = ("+sweep=default", "sweep/tracker=none", "sweep.name=study", "sweep.repeats=2", HERE)
    for _ in range(2):
        done = application("-m", *added, "lr=0.1,0.3")
        assert done.code == 0, done.text
    assert {run.read().attempts for run in find_runs(study)} == {1}
    assert len(list(find_runs(study))) == 4


STRANGER = """
import hydra


@hydra.main(version_base="1.3", config_path=str(__import__("pathlib").Path(__file__).parent), config_name="config")
def train(cfg):
    print("GOT", cfg.sweep, cfg.repeats)
    return 1 / cfg.repeats


if __name__ == "__main__":
    train()
"""


@LAUNCHERS
def test_an_application_without_the_engine_gets_a_plain_grid_and_no_records(application, tmp_path, launcher):
    (application.script).write_text(STRANGER)
    (application.folder / "config.yaml").write_text("sweep: 0\nrepeats: 1\nzip: x\n")
    grid = ("-m", "hydra/sweeper=grid", "hydra/launcher=local", launcher, "hydra.sweep.dir=plain")
    done = application(*grid, "sweep=1,2", "repeats=3")
    assert done.code == 0, done.text
    assert [done.text.count(text) for text in ("GOT 1 3", "GOT 2 3")] == [1, 1]
    assert (tmp_path / "plain" / "0" / ".hydra" / "config.yaml").is_file()
    assert list(find_runs(tmp_path)) == []
    with pytest.raises(ZeroDivisionError):
        application(*grid, "repeats=0,1")


@pytest.mark.parametrize("answer", ["{}['x']", "__import__('sys').exit(0)", "{'a': object()}"])
def test_a_hook_that_fails_refuses_the_sweep_with_a_sentence(application, answer):
    application.script.write_text(
        application.script.read_text().replace("if cfg.lr < 0:", f"return {answer}\n    if 1:")
    )
    done = application("-m", "sweep.name=s", "lr=0.1,0.2", "hydra.launcher.workers=0")
    assert done.code == 1
    assert "sweep.hooks.check=check " in done.text
    assert "No run was started" in done.text
