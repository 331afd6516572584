"""A Trainer's run in a sweep: what it logs is reported, and its own checkpoints are what it resumes from."""

import shutil

import pytest
import torch

from sweeps import StopRun
from sweeps.errors import ConfigError

from .conftest import Killed

transformers = pytest.importorskip("transformers")
import sweeps  # noqa: E402
from sweeps.integrations.transformers import SweepsCallback  # noqa: E402

pytestmark = [pytest.mark.filterwarnings("ignore"), pytest.mark.slow]


class Die(transformers.TrainerCallback):
    def __init__(self, at, during=None):
        self.at, self.during = at, during

    def on_step_begin(self, args, state, control, **kwargs):
        if self.during is not None:
            self.during(state.global_step)

    def on_step_end(self, args, state, control, **kwargs):
        if state.global_step == self.at:
            raise Killed


def fit(die=0, resumes=True, output=None, during=None, **options):
    """A training function; returns the trained network."""

    def train():
        transformers.set_seed(0)
        callback = SweepsCallback()
        usual = {
            "max_steps": 12, "logging_steps": 2, "eval_strategy": "steps", "eval_steps": 4, "save_steps": 4,
            "per_device_train_batch_size": 4, "learning_rate": 0.01, "save_total_limit": 1, "use_cpu": True,
            "report_to": "none", "disable_tqdm": True,
        }  # fmt: skip
        output_dir = str(output or sweeps.current_run().dir / "trainer")
        args = transformers.TrainingArguments(output_dir=output_dir, **usual | options)
        size = transformers.GPT2Config(vocab_size=8, n_positions=6, n_embd=8, n_layer=1, n_head=1, bos_token_id=0, eos_token_id=0)  # fmt: skip # noqa: E501
        data = [{"input_ids": (torch.arange(6) + i) % 8, "labels": (torch.arange(6) + i) % 8} for i in range(20)]
        model = transformers.GPT2LMHeadModel(size)
        trainer = transformers.Trainer(model, args, None, data, data[:4], callbacks=[callback, Die(die, during)])
        trainer.train(resume_from_checkpoint=callback.checkpoint if resumes else None)
        return model

    return train


def test_an_interrupted_run_ends_as_an_uninterrupted_one(engine):
    whole, parts = engine("whole"), engine("parts")
    expected = whole(fit())
    for die in (3, 6, 9, 11):
        with pytest.raises(Killed):
            parts(fit(die))
    last = parts(fit())
    assert parts.rows == whole.rows
    assert [row["step"] for row in whole.rows] == [2, 4, 6, 8, 10, 12]
    assert ["eval_loss" in row for row in whole.rows] == [False, True] * 3
    assert not any("runtime" in key for row in whole.rows for key in row)
    assert all(torch.equal(a, b) for a, b in zip(last.parameters(), expected.parameters(), strict=True))
    assert sorted(path.name for path in (parts.folder.path / "trainer").iterdir()) == ["checkpoint-12", "checkpoint-8"]


def test_a_run_that_is_asked_to_stop_saves_first(engine):
    run = engine("a")
    steps = []
    run.progress.stop_requested = lambda: 4 in steps
    with pytest.raises(StopRun) as stop:
        run(fit(during=steps.append))
    assert stop.value.reason == "interrupted"
    assert run.rows[-1]["step"] == 5
    assert (run.folder.path / "trainer" / "checkpoint-5").is_dir()
    run.progress.stop_requested = lambda: False
    run(fit())
    assert run.rows[-1]["step"] == 12


@pytest.mark.parametrize(
    ("spoil", "options", "message"),
    [
        (lambda run: None, {"resumes": False}, "resume_from_checkpoint"),
        (lambda run: shutil.rmtree(run.folder.path / "trainer"), {}, "is gone"),
        (lambda run: None, {"output": "elsewhere"}, "outside of the run's folder"),
    ],
    ids=["not resumed", "deleted", "saved elsewhere"],
)
def test_a_mistake_is_named(engine, tmp_path, monkeypatch, spoil, options, message):
    monkeypatch.chdir(tmp_path)
    run = engine("a")
    with pytest.raises(Killed):
        run(fit(6))
    spoil(run)
    with pytest.raises(ConfigError, match=message):
        run(fit(**options))


@pytest.mark.parametrize("name", ["../other", "/tmp", "link"])
def test_a_checkpoint_leads_nowhere_else(engine, tmp_path, name):
    (tmp_path / "other").mkdir()
    (tmp_path / "other" / "trainer_state.json").write_text("{}")
    run = engine("a")
    (run.folder.path / "link").symlink_to(tmp_path / "other")
    with pytest.raises(ValueError, match="no folder of the run"):
        run(lambda: SweepsCallback().load_state_dict({"checkpoint": name}))


def test_outside_of_a_sweep_nothing_is_done(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    fit(max_steps=2, eval_strategy="no", save_strategy="no")()
    assert [path.name for path in tmp_path.iterdir()] in ([], ["trainer"])
