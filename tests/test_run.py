"""What a training function sees of the engine, and what it may do wrong: applications as a stranger writes them."""

import signal
import subprocess
import sys
import time
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import pytest

import sweeps
from sweeps.record.records import RunDir, Status, find_runs

CONFIG = """
defaults:
  - sweep: default
  - override sweep/tracker: none
  - _self_
lr: 0.1
seed: 0
steps: 4
sweep:
  objective: {metric: loss, direction: min, split: val}
  max_steps: ${steps}
"""
COUNTER = """
class Counter:
    def __init__(self):
        self.total = 0.0

    def state_dict(self):
        return {"total": self.total}

    def load_state_dict(self, state):
        self.total = state["total"]
"""
IN_A_THREAD = """
def in_a_thread(run):
    from concurrent.futures import ThreadPoolExecutor
    with ThreadPoolExecutor() as threads:
        threads.submit(run.report, {"loss": 1}, step=1).result()
"""


@pytest.fixture
def application(tmp_path):
    """Write a script whose training function has this body; returns a function that types its command."""
    (tmp_path / "config.yaml").write_text(CONFIG)
    script = tmp_path / "train.py"

    def write(body, config=CONFIG, before="", guard='if __name__ == "__main__":\n    '):
        (tmp_path / "config.yaml").write_text(config)
        indented = "\n".join(f"    {line}" for line in body.strip("\n").splitlines())
        script.write_text(
            "import hydra\nimport sweeps\n"
            f"{before}\n"
            '@hydra.main(version_base="1.3", config_path=".", config_name="config")\n'
            f"def train(cfg):\n{indented}\n\n{guard}train()\n"
        )
        return run

    def run(*words):
        return subprocess.run(
            [sys.executable, script, *words], cwd=tmp_path, capture_output=True, text=True, timeout=240
        )

    return write


def said(done):
    return done.stdout + done.stderr


def only_run(folder):
    (run,) = find_runs(folder)
    return run


HERE = ("-m", "sweep.name=s", "hydra.launcher.workers=0")  # in the process of the command: quick

LOOP = """
run = sweeps.current_run()
counter = Counter()
for step in range(run.restore(counter=counter), cfg.steps):
    counter.total += cfg.lr
    run.report({"loss": 1 / counter.total, "total": counter.total}, step=step + 1)
return 1 / counter.total
"""


def test_a_run_of_very_many_reports_resumes_with_all_of_them(application, tmp_path):
    train = application(LOOP, before=COUNTER)
    assert train(*HERE, "sweep.pause_at=2").returncode == 0
    run = only_run(tmp_path / "multirun/s")
    first, second = run.metrics.read_text().splitlines()
    between = (
        f'{{"step": {1 + number / 1e6:.6f}, "elapsed": 0.000001, "loss": 0.123456, "total": 0.5}}'
        for number in range(1, 260_000)
    )
    run.metrics.write_text("\n".join([first, *between, second, ""]))
    done = train(*HERE)
    assert done.returncode == 0, said(done)
    assert run.read().objective.value == pytest.approx(1 / 0.4)
    lines = run.metrics.read_text().splitlines()
    assert len(lines) == 260_003
    assert lines[-3] == second
    assert run.read().attempts == 2


def test_a_run_has_a_line_per_report_and_a_record_with_its_facts(application, tmp_path):
    train = application(
        """
run = sweeps.current_run()
run.record(parameters=61706, data="v3", big=True)
assert run.in_sweep and run.seed == cfg.seed == 7 and run.dir.is_absolute()
(run.dir / "note.txt").write_text("mine")
for step in range(cfg.steps):
    run.report({"loss": 1 / (step + 1)} if step else {"loss": 1.0, "warmup": 1}, step=step + 1)
"""
    )
    done = train(*HERE, "seed=7")
    assert done.returncode == 0, said(done)
    run = only_run(tmp_path / "multirun/s")
    rows = [{key: value for key, value in row.items() if key != "elapsed"} for row in run.read_metrics()]
    assert rows[0] == {"step": 1, "loss": 1.0, "warmup": 1}
    assert [row["step"] for row in rows] == [1, 2, 3, 4]
    record = run.read()
    assert record.status is Status.COMPLETED
    assert record.facts == {"parameters": 61706, "data": "v3", "big": True}
    assert (record.seed, record.steps, record.objective.value) == (7, 4, 0.25)
    assert (run.path / "note.txt").read_text() == "mine"


def test_outside_a_sweep_the_run_keeps_nothing(application, tmp_path):
    train = application(LOOP + "\n", before=COUNTER)
    done = train("hydra.run.dir=out")
    assert done.returncode == 0, said(done)
    assert not list(tmp_path.rglob("run.json"))
    run = sweeps.current_run()
    assert (run.in_sweep, run.seed, run.restore(), run.trackers, run.stop_requested) == (False, None, 0, [], False)
    run.report({"loss": object()}, step="nonsense")
    run.record(anything=object())
    assert run.dir == Path.cwd()


def test_a_single_run_is_recorded_where_it_is_asked_for(application, tmp_path):
    train = application(LOOP, before=COUNTER)
    text = (tmp_path / "train.py").read_text().replace("def train", "@sweeps.recorded\ndef train")
    (tmp_path / "train.py").write_text(text)
    assert train("hydra.run.dir=runs/first").returncode == 0
    assert RunDir(tmp_path / "runs/first").read().status is Status.COMPLETED
    assert "already complete, skipped" in said(train("hydra.run.dir=runs/first"))


def test_an_interrupted_run_resumes_with_its_states_and_all_random_states(application, tmp_path):
    body = """
import numpy, os, pathlib, random, torch
random.seed(cfg.seed), numpy.random.seed(cfg.seed), torch.manual_seed(cfg.seed)
run = sweeps.current_run()
counter = Counter()
for step in range(run.restore(counter=counter), cfg.steps):
    drawn = random.random() + numpy.random.rand() + torch.rand(1).item()
    counter.total += drawn
    run.report({"loss": counter.total, "drawn": drawn}, step=step + 1)
    if step == 1 and not os.path.exists("../../../whole"):
        os._exit(9)
"""
    train = application(body, before=COUNTER)
    assert train(*HERE).returncode == 9
    run = only_run(tmp_path / "multirun/s")
    assert run.read().status is Status.INTERRUPTED
    (tmp_path / "whole").touch()
    body = body.replace('os.path.exists("../../../whole")', "True")
    application(body, before=COUNTER)
    done = train(*HERE)
    assert "resuming from step 2" in said(done)
    whole = train("-m", "sweep.name=whole", "hydra.launcher.workers=0")
    assert whole.returncode == done.returncode == 0
    rows, others = (
        [(row["step"], row["loss"], row["drawn"]) for row in only_run(tmp_path / "multirun" / name).read_metrics()]
        for name in ("s", "whole")
    )
    assert rows == others
    assert not run.checkpoint.exists()


def test_what_was_reported_after_the_checkpoint_is_trained_again(application, tmp_path):
    train = application(
        LOOP.replace("    run.report(", "    if step == 3: import os; os._exit(9)\n    run.report("), before=COUNTER
    )
    train(*HERE, "sweep.checkpoint_every=2")
    run = only_run(tmp_path / "multirun/s")
    assert [row["step"] for row in run.read_metrics()] == [1, 2, 3]
    application(LOOP, before=COUNTER)
    done = train(*HERE, "sweep.checkpoint_every=2")
    assert "resuming from step 2" in said(done)
    assert [row["step"] for row in run.read_metrics()] == [1, 2, 3, 4]


@pytest.mark.parametrize(
    ("line", "says"),
    [
        ('run.report({"loss": "low"}, step=1)', "report({'loss': 'low'}) is invalid: metrics are numbers by name; con"),
        ('run.report({"loss": [1, 2]}, step=1)', "metrics are numbers by name; convert it, float(...)"),
        ('run.report({"loss": None}, step=1)', "metrics are numbers by name; convert it, float(...)"),
        ('run.report({1: 2}, step=1)', "the name of a metric is a text"),
        ('import numpy; run.report({"loss": numpy.ones(2)}, step=1)', "metrics are single numbers by name; take one"),
        ('raise ValueError("boom")', "ValueError: boom (train.py:"),
        ('run.report({"step": 1}, step=1)', "step is the engine's own name"),
        ('run.report({"loss": 1}, step="one")', "report(step='one') is invalid: a step is a number"),
        ('run.report({"loss": 1}, step=float("nan"))', "a step is a number"),
        ('run.report({"loss": 1}, step=3); run.report({"loss": 1}, step=3)', "the last report was of step 3"),
        ('run.report({"loss": 1}, step=3); run.report({"loss": 1}, step=2)', "report(step=2) is invalid"),
        ("run.report(0.5, step=1)", "metrics are numbers by name"),
        ("run.record(model=object())", "a fact is a number or a text"),
        ("run.restore(model=Counter()); run.restore(optimizer=Counter())", "give it everything at once"),
        ('run.report({"loss": 1}, step=1); run.restore(model=Counter())', "call it before the first step"),
        ("run.restore(lr=0.1)", "restore(lr=...) is a float, which has no state_dict and load_state_dict"),
        ("in_a_thread(run)", "report() was called in another thread"),
        ("counter = Counter(); counter.total = object(); run.restore(counter=counter); run.report({'loss': 1}, step=1)",
         "restore(counter=...) cannot be saved: its state_dict() has to consist of tensors"),
        ("raise sweeps.ConfigError('lr is invalid: it must be odd')", "lr is invalid: it must be odd"),
        ("import sys; sys.exit(3)", "the training function called sys.exit(3) after 0 of 4 steps"),
        ('for step in range(4): run.report({"acc": 1}, step=step + 1)',
         "sweep.objective.metric=loss was never reported; reported were acc. Set it to one of them"),
    ],
)  # fmt: skip
def test_a_mistake_of_the_training_function_fails_its_run_with_a_sentence(line, says, application, tmp_path):
    train = application(f"run = sweeps.current_run()\n{line}", before=COUNTER + IN_A_THREAD)
    done = train(*HERE)
    assert done.returncode == 1
    assert says in said(done)
    assert "Traceback" not in said(done)
    record = only_run(tmp_path / "multirun/s").read()
    assert record.status is Status.FAILED
    assert says in record.error.text


def test_a_checkpoint_that_does_not_fit_names_the_tensor_and_the_way_out(application, tmp_path):
    body = """
import os, torch
run = sweeps.current_run()
model = torch.nn.Linear(SIZE, 1)
for step in range(run.restore(model=model), cfg.steps):
    run.report({"loss": 1.0}, step=step + 1)
    if SIZE == 3 and step == 1:
        os._exit(9)
"""
    train = application(body.replace("SIZE", "3"))
    assert train(*HERE).returncode == 9
    application(body.replace("SIZE", "5"))
    done = train(*HERE)
    assert done.returncode == 1
    assert "model.weight has the shape [1, 3] in the checkpoint and [1, 5] now" in said(done)
    assert "sweep.on_mismatch=rerun" in said(done)
    done = train(*HERE, "sweep.on_mismatch=rerun")
    assert done.returncode == 0, said(done)
    assert [row["step"] for row in only_run(tmp_path / "multirun/s").read_metrics()] == [1, 2, 3, 4]


def test_an_objective_that_is_nan_is_a_result_and_another_metric_is_null(application, tmp_path):
    train = application(
        """
run = sweeps.current_run()
run.report({"loss": 1.0, "grad": float("inf")}, step=1)
run.report({"loss": float("nan")}, step=2)
raise AssertionError("not reached")
"""
    )
    done = train(*HERE)
    assert done.returncode == 0, said(done)
    run = only_run(tmp_path / "multirun/s")
    assert run.read_metrics()[0]["grad"] is None
    record = run.read()
    assert (record.status, record.objective.value) == (Status.DIVERGED, None)
    assert "loss became nan at step 2" in record.error.text


def test_a_run_that_swallows_the_stop_is_stopped_all_the_same(application, tmp_path):
    train = application(
        """
run = sweeps.current_run()
for step in range(cfg.steps):
    try:
        run.report({"loss": 1.0}, step=step + 1)
    except BaseException:
        pass
"""
    )
    done = train(*HERE, "sweep.pause_at=2")
    assert done.returncode == 0, said(done)
    run = only_run(tmp_path / "multirun/s")
    record = run.read()
    assert (record.status, record.error.kind) == (Status.PRUNED, "paused")
    assert [row["step"] for row in run.read_metrics()] == [1, 2]


def test_a_script_may_end_by_sys_exit_once_it_is_through(application, tmp_path):
    train = application(LOOP.replace("return 1 / counter.total", "import sys; sys.exit(0)"), before=COUNTER)
    assert train(*HERE).returncode == 0
    assert only_run(tmp_path / "multirun/s").read().status is Status.COMPLETED


def test_a_process_that_the_run_starts_is_not_the_run(application, tmp_path):
    train = application(
        """
import os
run = sweeps.current_run()
child = os.fork()
run.report({"loss": 5.0 if child == 0 else 1.0}, step=1)
if child == 0:
    run.report({"loss": 5.0}, step=2)
    os._exit(0)
os.waitpid(child, 0)
for step in (2, 3, 4):
    run.report({"loss": 1.0}, step=step)
"""
    )
    done = train(*HERE)
    assert done.returncode == 0, said(done)
    assert said(done).count("is not that of the run") == 1
    assert [row["loss"] for row in only_run(tmp_path / "multirun/s").read_metrics()] == [1.0] * 4


def test_without_a_report_the_returned_number_is_the_objective(application, tmp_path):
    config = CONFIG.replace("metric: loss, ", "").replace("  max_steps: ${steps}\n", "")
    train = application("return (cfg.lr - 0.3) ** 2", config)
    done = train(*HERE, "lr=0.1,0.2,0.3")
    assert done.returncode == 0, said(done)
    values = {run.read().config["lr"]: run.read().objective.value for run in find_runs(tmp_path / "multirun/s")}
    assert values == {lr: (lr - 0.3) ** 2 for lr in (0.1, 0.2, 0.3)}
    assert "3 already complete, skipped" in said(train(*HERE, "lr=0.1,0.2,0.3"))


OWN = """
lr: 0.1
seed: 0
timeout: 5
retries: {many: 3}
sweep: {n: 3}
"""
KEEPS = """
assert cfg.sweep == {"n": cfg.sweep.n} and cfg.timeout == 5 and cfg.retries.many == 3
return cfg.lr
"""


def test_an_applications_own_keys_stay_its_own(application):
    train = application(KEEPS, OWN)
    for words in ((), ("sweep.n=4",), ("-m", "hydra/launcher=local", "hydra.launcher.workers=0", "lr=0.1,0.2")):
        done = train(*words)
        assert done.returncode == 0, said(done)


def test_where_sweep_is_taken_the_engine_is_mounted_elsewhere(application, tmp_path):
    train = application(KEEPS, "defaults:\n  - sweep@engine: default\n  - _self_\n" + OWN)
    words = ("-m", "engine.name=s", "engine.repeats=2", "sweep/tracker@engine.tracker=none", "lr=0.1,0.2", HERE[-1])
    done = train(*words)
    assert done.returncode == 0, said(done)
    assert len(list(find_runs(tmp_path / "multirun/s"))) == 4
    assert "4 already complete, skipped" in said(train(*words))


def test_an_application_that_nobody_may_touch(application, tmp_path):
    train = application("return cfg.lr", "lr: 0.1\nseed: 0\n")
    done = train("-m", "sweep.name=s", "lr=0.1,0.2")
    assert done.returncode == 1
    assert "sweep" in said(done)
    done = train("-m", "+sweep=default", "sweep/tracker=none", "sweep.name=s", "lr=0.1,0.2", HERE[-1])
    assert done.returncode == 0, said(done)
    assert len(list(find_runs(tmp_path / "multirun/s"))) == 2


SCHEMA = """
from dataclasses import dataclass
from hydra.core.config_store import ConfigStore

@dataclass
class TrainCfg:
    lr: float = 0.1
    seed: int = 0

ConfigStore.instance().store("schema", TrainCfg)
"""


def test_the_line_comes_before_a_dataclass(application, tmp_path):
    own = "sweep:\n  objective: {direction: min}\n"
    train = application("return cfg.lr", "defaults:\n  - schema\n  - sweep: default\n  - _self_\n" + own, SCHEMA)
    done = train(*HERE, "lr=0.1,0.2")
    assert done.returncode != 0
    assert "Put `- sweep: default` before the dataclass in the defaults list" in said(done)
    application("return cfg.lr", "defaults:\n  - sweep: default\n  - schema\n  - _self_\n" + own, SCHEMA)
    done = train(*HERE, "lr=0.1,0.2")
    assert done.returncode == 0, said(done)
    assert "Value 'x' of type 'str' could not be converted to Float" in said(train(*HERE, "lr=x"))
    assert len(list(find_runs(tmp_path / "multirun/s"))) == 2


WITHOUT = "lr: 0.1\nseed: 0\n"
REPORTS = 'sweeps.current_run().report({"loss": 1.0})'
OURS = ("hydra/launcher=local", "hydra/sweeper=grid")


@pytest.mark.parametrize(
    ("body", "config", "words", "says"),
    [
        (REPORTS, WITHOUT, (), "- sweep: default"),
        (REPORTS, WITHOUT, (*OURS, HERE[-1]), "- sweep: default"),
        (REPORTS, CONFIG, ("hydra/launcher=basic", "hydra/sweeper=basic"), "it needs hydra/sweeper=grid"),
        (REPORTS, CONFIG, ("hydra/launcher=basic",), ""),
        ("return cfg.lr", WITHOUT, OURS, ""),
    ],
)
def test_a_sweep_that_keeps_nothing_says_so_once(body, config, words, says, application):
    done = application(body, config)("-m", "lr=0.1,0.2", *words)
    assert done.returncode == 0, said(done)
    assert said(done).count("sweeps.current_run() does nothing in this sweep") == bool(says)
    assert says in said(done)


@pytest.mark.slow
def test_a_sweep_that_keeps_nothing_says_so_once_with_workers_too(application):
    done = application(REPORTS, WITHOUT)("-m", "lr=0.1,0.2,0.3,0.4", *OURS, "hydra.launcher.workers=2")
    assert said(done).count("sweeps.current_run() does nothing in this sweep") == 1


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["sweep.seed_key=sed", "sweep.repeats=2"], "sed"),
        (["sweep.seed_key=rng_seed"], "error: sweep.seed_key=rng_seed is invalid: the config has no key rng_seed for "
         "the seed of a run; it has seed, so add sweep.seed_key=seed, or add rng_seed: 0 to the config. No run was"),
        (["sweep.seed_key=sed", "lr=1,2", HERE[-1]], "sweep.seed_key=sed is invalid"),
        (["sweep.zip=[lr,steps]", "lr=1,2"], "sweep.zip=[lr,steps] is invalid: steps is not given; swept keys: lr. No "
         "run was started"),
        (["sweep.exclude=[{lr:3}]", "lr=1,2"], "sweep.exclude: lr=3 fits no run;"),
        (["sweep.nmae=t"], "Did you mean sweep.name?"),
        (["sweep.pruner.min_resource=2"], "It belongs to sweep/pruner=asha or hyperband or halving: choose that as"),
        (["+sweep=default"], "leave +sweep=default out"),
        (["sweep.repeats=0"], "sweep.repeats=0 is invalid: at least 1"),
        (["sweep.objective.direction=up"], "sweep.objective.direction=up is invalid: it is one of null, min, max"),
        (["sweep.objective.split=dev"], "sweep.objective.split=dev is invalid"),
        (["sweep.on_mismatch=ask"], "sweep.on_mismatch=ask is invalid"),
        (["hydra/sweeper=basic"], "sweep.name=s is invalid with hydra/sweeper=basic, which would ignore it"),
        (["hydra.launcher.workers=0", "sweep.timeout=2"], "with hydra.launcher.workers=0 there is none"),
        (["sweep.output=/dev/null"], "cannot make the folder /dev/null/s"),
        (["hydra/launcher=basic", "sweep.retries=2"], "sweep.retries=2 is invalid with hydra/launcher=basic"),
        (["+other=${oc.decode:'{'}", "lr=0.1,0.2"], "No run was started"),
    ],
)  # fmt: skip
def test_a_setting_that_cannot_work_is_an_error_before_the_first_run(words, says, application, tmp_path):
    train = application("return cfg.lr")
    done = train("-m", "sweep.name=s", *words)
    assert done.returncode != 0
    assert says in said(done)
    assert "Traceback" not in said(done)
    assert not list(tmp_path.rglob("run.json"))


@pytest.mark.parametrize("words", [(), ("sweep.on_mismatch=rerun",)])
def test_runs_do_not_nest_whatever_the_command(words, application, tmp_path):
    train = application("return cfg.lr")
    first = train(*HERE, "lr=0.1", "hydra.sweep.subdir=${hydra.job.num}")
    assert first.returncode == 0, said(first)
    inside = train(*HERE, "lr=0.5", "hydra.sweep.subdir=${hydra.job.num}/x", *words)
    assert inside.returncode == 1
    assert "lies in the folder of a run" in said(inside)
    above = train("-m", "hydra.sweep.dir=multirun", HERE[-1], "lr=0.2", "hydra.sweep.subdir=s", *words)
    assert above.returncode == 1
    assert "it holds other runs" in said(above)
    assert RunDir(tmp_path / "multirun/s/0").read().config["lr"] == 0.1


def test_two_commands_do_not_share_the_folder_of_a_single_run(application, tmp_path):
    train = application("import time\nsweeps.current_run().report({'loss': 1}, step=1)\ntime.sleep(4)\nreturn 1.0")
    text = (tmp_path / "train.py").read_text().replace("def train", "@sweeps.recorded\ndef train")
    (tmp_path / "train.py").write_text(text)
    with ThreadPoolExecutor() as threads:
        codes = [each.returncode for each in threads.map(lambda _: train("hydra.run.dir=runs/first"), range(2))]
    assert sorted(codes) == [0, 1], "the second one is refused, or comes late and has nothing to do"
    run = RunDir(tmp_path / "runs/first")
    assert [row["step"] for row in run.read_metrics()] == [1]
    assert not (run.path / ".lock").exists()


def test_nothing_is_written_through_a_link_in_a_runs_folder(application, tmp_path):
    train = application("return cfg.lr")
    folder, outside = tmp_path / "multirun/s/lr=0.1", tmp_path / "outside"
    for words in (HERE, ("-m", "sweep.name=s", "hydra/launcher=basic")):
        folder.mkdir(parents=True, exist_ok=True)
        (folder / "train.log").unlink(missing_ok=True)
        (folder / "train.log").symlink_to(outside)
        done = train(*words, "lr=0.1")
        assert done.returncode == 1
        assert "is a link" in said(done)
        assert not outside.exists()


def test_ctrl_c_ends_a_sweep_with_a_line_and_130(application, tmp_path):
    application(
        """
import time
run = sweeps.current_run()
for step in range(cfg.steps):
    run.report({"loss": 1.0}, step=step + 1)
    time.sleep(0.2)
"""
    )
    command = [sys.executable, tmp_path / "train.py", *HERE, "steps=1000"]
    process = subprocess.Popen(command, cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT, text=True)
    while not list(tmp_path.rglob("metrics.jsonl")):
        assert process.poll() is None
        time.sleep(0.1)
    process.send_signal(signal.SIGINT)
    text, _ = process.communicate(timeout=120)
    assert process.returncode == 130, text
    assert "interrupted; " in text
    assert "Traceback" not in text
    assert only_run(tmp_path / "multirun/s").read().status is Status.INTERRUPTED


def test_a_sweep_continues_where_nobody_reads_either_stream(application, tmp_path):
    application(LOOP, before=COUNTER)
    process = subprocess.Popen(
        [sys.executable, tmp_path / "train.py", *HERE, "lr=0.1,0.2"],
        cwd=tmp_path, stdout=subprocess.PIPE, stderr=subprocess.STDOUT,
    )  # fmt: skip
    process.stdout.close()
    process.wait(120)
    assert {run.read().status for run in find_runs(tmp_path / "multirun/s")} == {Status.COMPLETED}


@pytest.mark.slow
def test_a_script_without_a_guard_is_named(application, tmp_path):
    train = application("return cfg.lr", guard="")
    done = train("-m", "sweep.name=s", "lr=0.1,0.2")
    assert done.returncode == 1
    assert 'put the call under `if __name__ == "__main__":`' in said(done)
    assert "Traceback" not in said(done)
