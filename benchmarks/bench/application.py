"""The application that the cost of the engine is measured with, as a user would write it."""

import json
import os
import time
from pathlib import Path
from typing import Any

import hydra
from omegaconf import DictConfig

import sweeps

WARM_UP = 5


@hydra.main(version_base="1.3", config_path=".", config_name="application")
def train(cfg: DictConfig) -> float | None:
    """A trivial run, or one that times its reports."""
    if cfg.work == "square":
        return float(cfg.x) ** 2
    run = sweeps.current_run()
    state = State(cfg.megabytes) if cfg.megabytes else None
    if state is not None:
        run.restore(state=state)
    reports, floors = [], []
    for step in range(1, cfg.reports + WARM_UP + 1):
        began = time.perf_counter()
        run.report({"loss": 1.0 / step, "lr": 0.1}, step=step)
        reports.append(time.perf_counter() - began)
        began = time.perf_counter()
        write(run.dir, state)
        floors.append(time.perf_counter() - began)
    timed = {"report": reports[WARM_UP:], "floor": floors[WARM_UP:]}
    (run.dir / "times.json").write_text(json.dumps(timed), encoding="utf-8")
    return None


def write(folder: Path, state: "State | None") -> None:
    """What a report cannot do without: a line of text, or the state, on the disk."""
    if state is None:
        with (folder / "floor.jsonl").open("a", encoding="utf-8") as file:
            file.write('{"step": 1, "elapsed": 0.123456, "loss": 0.5, "lr": 0.1}\n')
            file.flush()
            os.fsync(file.fileno())
        return
    import torch

    with (folder / "floor.pt").open("wb") as file:
        torch.save(state.state_dict(), file)
        file.flush()
        os.fsync(file.fileno())


class State:
    """So many megabytes of weights."""

    def __init__(self, megabytes: float) -> None:
        import torch

        self.weights = torch.rand(int(megabytes * 1e6 / 4))

    def state_dict(self) -> dict[str, Any]:
        return {"weights": self.weights}

    def load_state_dict(self, state: dict[str, Any]) -> None:
        self.weights = state["weights"]


if __name__ == "__main__":
    train()
