"""A Lightning module, swept: the callback restores and reports, everything else is plain Lightning.

python examples/lightning/train.py -m lr=0.01,0.1 width=8,32 sweep.name=lightning
"""

import hydra
import lightning.pytorch as pl
import torch
from omegaconf import DictConfig
from torch import nn
from torch.utils.data import DataLoader, TensorDataset

from sweeps.integrations.lightning import SweepsCallback


class Regressor(pl.LightningModule):
    def __init__(self, width: int, lr: float) -> None:
        super().__init__()
        self.lr = lr
        self.network = nn.Sequential(nn.Linear(1, width), nn.Tanh(), nn.Dropout(0.1), nn.Linear(width, 1))

    def loss(self, batch: list[torch.Tensor]) -> torch.Tensor:
        x, y = batch
        return nn.functional.mse_loss(self.network(x), y)

    def training_step(self, batch: list[torch.Tensor], index: int) -> torch.Tensor:
        loss = self.loss(batch)
        self.log("train_loss", loss, on_step=False, on_epoch=True)
        return loss

    def validation_step(self, batch: list[torch.Tensor], index: int) -> None:
        self.log("val_loss", self.loss(batch))

    def configure_optimizers(self):
        optimizer = torch.optim.Adam(self.parameters(), lr=self.lr)
        return [optimizer], [torch.optim.lr_scheduler.StepLR(optimizer, step_size=1, gamma=0.9)]


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def train(cfg: DictConfig) -> None:
    pl.seed_everything(cfg.seed, verbose=False)
    x = torch.linspace(-3, 3, 256).unsqueeze(1)
    data = TensorDataset(x, torch.sin(2 * x))
    trainer = pl.Trainer(
        max_epochs=cfg.epochs,
        accelerator="cpu",
        callbacks=[SweepsCallback()],
        logger=False,  # the engine's trackers write the curves, its checkpoint is the trainer's own
        enable_checkpointing=False,
        enable_progress_bar=False,
        enable_model_summary=False,
    )
    trainer.fit(
        Regressor(cfg.width, cfg.lr), DataLoader(data, batch_size=32, shuffle=True), DataLoader(data, batch_size=256)
    )


if __name__ == "__main__":
    train()
