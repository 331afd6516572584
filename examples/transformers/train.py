"""A tiny GPT-2, trained by Hugging Face's Trainer to count, swept; its checkpoint folders are what a run resumes from.

python examples/transformers/train.py -m lr=0.001,0.01 layers=1,2 sweep.name=transformers
"""

import hydra
import torch
from omegaconf import DictConfig
from torch.utils.data import Dataset
from transformers import GPT2Config, GPT2LMHeadModel, Trainer, TrainingArguments, set_seed

import sweeps
from sweeps.integrations.transformers import SweepsCallback


class Counting(Dataset):
    """Sequences such as 3, 5, 7, 9 ... modulo 16."""

    def __init__(self, start: int, stop: int) -> None:
        numbers = torch.arange(start, stop).unsqueeze(1)
        self.sequences = (numbers + (1 + numbers % 3) * torch.arange(12)) % 16

    def __len__(self) -> int:
        return len(self.sequences)

    def __getitem__(self, index: int) -> dict[str, torch.Tensor]:
        return {"input_ids": self.sequences[index], "labels": self.sequences[index]}


@hydra.main(version_base="1.3", config_path="conf", config_name="config")
def train(cfg: DictConfig) -> None:
    set_seed(cfg.seed)
    callback = SweepsCallback()
    args = TrainingArguments(
        output_dir=str(sweeps.current_run().dir / "trainer"),
        max_steps=cfg.steps,
        learning_rate=cfg.lr,
        per_device_train_batch_size=8,
        eval_strategy="steps",
        save_strategy="steps",
        eval_steps=cfg.every,
        save_steps=cfg.every,
        logging_steps=cfg.every,
        save_total_limit=2,
        seed=cfg.seed,
        use_cpu=True,
        report_to="none",
        disable_tqdm=True,
    )
    size = GPT2Config(vocab_size=16, n_positions=12, n_embd=16, n_layer=cfg.layers, n_head=2)
    trainer = Trainer(GPT2LMHeadModel(size), args, None, Counting(0, 96), Counting(96, 144), callbacks=[callback])
    trainer.train(resume_from_checkpoint=callback.checkpoint)


if __name__ == "__main__":
    train()
