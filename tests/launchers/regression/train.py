"""A regression as a user would write it: a script, with a module beside it and four lines for sweeps."""

import time

import hydra
import problem
import torch

import sweeps


def check(cfg):
    """A setting that cannot work is refused before the first run; the facts are columns of the plan."""
    if cfg.lr <= 0:
        raise sweeps.ConfigError(f"lr={cfg.lr} is invalid: above 0")
    return {"parameters": 4}


def cost(cfg):
    """What a step takes."""
    return {"seconds_per_step": cfg.delay, "memory": 2**21}


@hydra.main(version_base="1.3", config_path=".", config_name="config")
def train(cfg):
    """Fit the plane; returns the loss."""
    torch.set_num_threads(1)
    torch.manual_seed(cfg.seed)
    model = torch.nn.Linear(3, 1)
    optimizer = torch.optim.SGD(model.parameters(), lr=cfg.lr, momentum=0.9)
    run = sweeps.current_run()
    for step in range(run.restore(model=model, optimizer=optimizer), cfg.steps):
        if step == 2:
            problem.fail(cfg.fault)
        inputs, targets = problem.batch(step)
        loss = torch.nn.functional.mse_loss(model(inputs) + 0.01 * torch.randn(1), targets)
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        time.sleep(cfg.delay)
        run.report({"loss": loss.item(), "weight": model.weight.norm().item()}, step=step + 1)
    torch.save(model.state_dict(), run.dir / "model.pt")
    return loss.item()


if __name__ == "__main__":
    train()
