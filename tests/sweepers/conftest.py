"""What the tests of the sweepers share: a small application, and sweeps of it in this process."""

import importlib
import logging
import sys
from typing import NamedTuple

import pytest
from hydra.core.global_hydra import GlobalHydra
from hydra.core.hydra_config import HydraConfig
from hydra.errors import CompactHydraException

from sweeps.errors import SweepsError
from sweeps.record.records import find_runs

CONFIG = """
defaults:
  - sweep: default
  - override sweep/tracker: none
  - _self_
lr: 0.1
seed: 0
epochs: 3
fault: none
pause: 0
sweep:
  objective: {metric: loss, direction: min, split: val}
  max_steps: ${epochs}
  hooks: {check: check}
"""
SCRIPT = """
import time
from pathlib import Path

import hydra

import sweeps


def check(cfg):
    if cfg.lr < 0:
        raise sweeps.ConfigError(f"lr={cfg.lr} is invalid: it must be positive")


class State:
    done = 0

    def state_dict(self):
        return {"done": self.done}

    def load_state_dict(self, state):
        self.done = state["done"]


@hydra.main(version_base="1.3", config_path=str(Path(__file__).parent), config_name="config")
def train(cfg):
    run = sweeps.current_run()
    state = State()
    run.record(size=round(100 * cfg.lr))
    for step in range(run.restore(state=state), cfg.epochs):
        state.done = step + 1
        mark = Path(__file__).with_name("mended")
        if cfg.fault == "exception" and not mark.exists():
            raise ValueError("a fault")
        loss = float("nan") if cfg.fault == "diverge" else abs(cfg.lr - 0.3) / (step + 1)
        time.sleep(cfg.pause)
        run.report({"loss": loss}, step=step + 1)


if __name__ == "__main__":
    train()
"""


NAME = "sweeps_test_application"  # of the module, which workers import


class Done(NamedTuple):
    """How a command ended: its exit code, and what it wrote to both streams."""

    code: int
    text: str


@pytest.fixture
def application(tmp_path, monkeypatch, capfd):
    """Type a command of an application in this process: `application(*arguments)`; workers=0 unless they say more."""
    folder = tmp_path / "application"
    folder.mkdir()
    (folder / "config.yaml").write_text(CONFIG)
    (folder / f"{NAME}.py").write_text(SCRIPT)
    monkeypatch.syspath_prepend(folder)
    monkeypatch.chdir(tmp_path)
    monkeypatch.setenv("COLUMNS", "300")
    root = logging.getLogger()
    handlers, level = list(root.handlers), root.level

    def type_in(*arguments):
        importlib.invalidate_caches()
        monkeypatch.delitem(sys.modules, NAME, raising=False)
        module = importlib.import_module(NAME)
        monkeypatch.setattr(sys, "argv", [str(folder / f"{NAME}.py"), *arguments])
        monkeypatch.setenv("HYDRA_FULL_ERROR", "1")
        capfd.readouterr()
        code, said = 0, ""
        try:
            module.train()
        except (SweepsError, CompactHydraException) as error:
            code, said = 1, f"error: {error}"
        finally:
            GlobalHydra.instance().clear()
            HydraConfig.instance().cfg = None
            for handler in root.handlers:
                if handler not in handlers:
                    handler.close()
            root.handlers[:] = handlers
            root.setLevel(level)
        return Done(code, "".join(capfd.readouterr()) + said)

    type_in.folder, type_in.script = folder, folder / f"{NAME}.py"
    return type_in


def runs_by(folder, key):
    """The runs of a sweep by the value that their config has at `key`."""
    return {run.read().config[key]: run for run in find_runs(folder)}
