"""A curve is fitted with plain PyTorch: a loss alone, steps instead of epochs.

python examples/regression/train.py                                                      # once, without sweeps
python examples/regression/train.py -m lr=0.003,0.03 width=8,64 sweep.name=regression    # a sweep: repeat it at will
python -m sweeps summarize multirun/regression
"""

import hydra
import torch
from omegaconf import DictConfig
from torch import nn

import sweeps


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def train(cfg: DictConfig) -> float:
    torch.manual_seed(cfg.seed)
    x = torch.linspace(-3, 3, 512).unsqueeze(1)
    y = torch.sin(2 * x) + 0.1 * torch.randn(512, 1)
    held_out = torch.arange(512) % 4 == 0
    model = nn.Sequential(nn.Linear(1, cfg.width), nn.Tanh(), nn.Linear(cfg.width, 1))
    optimizer = torch.optim.Adam(model.parameters(), lr=cfg.lr)

    run = sweeps.current_run()
    run.record(parameters=sum(parameter.numel() for parameter in model.parameters()))
    start = run.restore(model=model, optimizer=optimizer)  # steps that an interrupted run has done
    for step in range(start + 1, cfg.steps + 1):
        batch = torch.randint(512, (cfg.batch_size,))
        batch = batch[~held_out[batch]]
        loss = nn.functional.mse_loss(model(x[batch]), y[batch])
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if step % cfg.report_every == 0 or step == cfg.steps:
            with torch.no_grad():
                val_loss = nn.functional.mse_loss(model(x[held_out]), y[held_out])
            run.report({"train_loss": loss, "val_loss": val_loss}, step=step)  # a pruner may end the run here
    return val_loss.item()


if __name__ == "__main__":
    train()
