"""A structured config in Python, without any YAML, in a script that works in its own folder (hydra.job.chdir=true).

python examples/structured/train.py -m optim.lr=0.6,0.3 optim.momentum=0.9,0 sweep.name=structured
"""

from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import hydra
import torch
from hydra.core.config_store import ConfigStore

import sweeps


@dataclass
class Optim:
    lr: float = 0.3
    momentum: float = 0.0


@dataclass
class Config:
    optim: Optim = field(default_factory=Optim)
    steps: int = 30
    seed: int = 0
    sweep: Any = field(
        default_factory=lambda: {"objective": {"metric": "loss", "direction": "min"}, "max_steps": "${steps}"}
    )
    hydra: Any = field(default_factory=lambda: {"job": {"chdir": True}})
    defaults: list[Any] = field(default_factory=lambda: [{"sweep": "default"}, "_self_"])


ConfigStore.instance().store("config", Config)


@hydra.main(version_base="1.3", config_path=None, config_name="config")
def train(cfg: Config) -> float:
    torch.manual_seed(cfg.seed)
    target, guess = torch.randn(20), torch.zeros(20, requires_grad=True)
    optimizer = torch.optim.SGD([guess], cfg.optim.lr, cfg.optim.momentum)
    parameters = torch.nn.ParameterList([guess])
    run = sweeps.current_run()
    for step in range(run.restore(parameters=parameters, optimizer=optimizer), cfg.steps):
        optimizer.zero_grad()
        loss = ((guess - target + 0.1 * torch.randn(20)) ** 2).mean()
        loss.backward()
        optimizer.step()
        run.report({"loss": loss}, step=step + 1)
    Path("guess.txt").write_text(str(guess.tolist()))  # in the folder of the run
    return loss.item()


if __name__ == "__main__":
    train()
