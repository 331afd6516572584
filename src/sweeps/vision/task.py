"""One run of the shipped application: from its composed config to its weights, upon the public API of `sweeps`."""

import time
from collections.abc import Callable

import torch
from omegaconf import DictConfig
from torch import nn
from torch.nn import functional as F

import sweeps
from sweeps.vision import outputs
from sweeps.vision.build import build, facts
from sweeps.vision.checks import check_settings
from sweeps.vision.config import plain
from sweeps.vision.data import Batches
from sweeps.vision.devices import choose_device
from sweeps.vision.trackers import show
from sweeps.vision.training import cuda_graphs
from sweeps.vision.training.engine import Training
from sweeps.vision.training.metrics import Totals
from sweeps.vision.training.reestimate import reestimated
from sweeps.vision.training.watch import OnBatch, Watch, epoch_seed

DEFAULT_THREADS = torch.get_num_threads()


def train(cfg: DictConfig) -> float | None:
    """Train a network and measure it after every epoch, which is a step of the run; returns its last objective.

    `train_loss` and `train_acc` are running averages over the epoch; all other figures are measured after it, in
    evaluation mode. `examples_per_second` is that of the training alone.

    Raises:
        ConfigError, DataError: the settings or the images cannot work.
        Diverged: a loss became NaN or infinite; noticed within a second.
    """
    run, config = sweeps.current_run(), plain(cfg)
    check_settings(config)
    trainer, epochs = config["trainer"], config["trainer"]["epochs"]
    torch.set_num_threads(trainer["threads"] or DEFAULT_THREADS)
    training = build(config, choose_device(config["device"]))
    network, data = training.network, training.data
    watch, best, row = Watch(run, config), outputs.BestWeights(config), {}
    splits = ["test"] + ["val"] * (data.val is not None) + ["train_eval"] * trainer["evaluate_train"]
    train_one_epoch = epoch_function(training)

    with outputs.best_if_pruned(run, best):
        done = int(run.restore(network=network, optimizer=training.optimizer, best=best))
        run.record(**facts(config, training))
        # A resumed run shows it too: the file of an earlier attempt is replaced.
        show(run.trackers, "network", network, next(data.train.in_order())[0])
        for epoch in range(done + 1, epochs + 1):
            torch.manual_seed(epoch_seed(config["seed"], epoch))  # dropout: a resumed run draws the same
            began = time.perf_counter()
            trained = train_one_epoch(training, epoch, watch)
            row = dict(zip(("train_loss", "train_acc"), watch.end("train", epoch, trained), strict=True))
            rate = trained.examples / (time.perf_counter() - began)

            measured = {name: evaluate(training, name, epoch, watch) for name in splits}
            if trainer["bn_reestimate"]:
                with reestimated(training, epoch, trainer["bn_reestimate"]) as has_batch_norm:
                    for name in ("test", "val") if data.val is not None else ("test",):
                        again = evaluate(training, f"{name}_bn", epoch, watch) if has_batch_norm else measured[name]
                        measured[f"{name}_bn"] = again
            for name, totals in measured.items():
                row[f"{name}_loss"], row[f"{name}_acc"] = watch.end(name, epoch, totals)
            row |= {**watch.recent(trained), "lr": training.lr(epoch), "examples_per_second": rate}

            if epoch == epochs:
                show(run.trackers, "confusion", outputs.save_answers(run.dir, config, measured, epoch))
            best.offer(epoch, row, network)
            run.report(row, step=epoch)

    if trainer["save_weights"]:
        outputs.save_weights(run.dir, network.state_dict())
        run.record(weights_epoch=epochs)
    show(run.trackers, "trained_network", network, next(data.train.in_order())[0])
    return row.get(config["sweep"]["objective"]["metric"])


def epoch_function(training: Training) -> Callable[[Training, int, OnBatch], Totals]:
    """What trains an epoch: the plain loop, or the one that replays its steps from CUDA graphs."""
    return train_epoch if training.graphs is None else cuda_graphs.train_epoch


def train_epoch(training: Training, epoch: int, on_batch: OnBatch) -> Totals:
    """Train on every image once."""
    network, optimizer, batches = training.network.train(), training.optimizer, training.data.train
    totals = training.new_totals()
    for done, (images, labels) in enumerate(batches.shuffled(epoch), start=1):
        for group in optimizer.param_groups:
            group["lr"] = training.lr(epoch, done)
        logits = training.forward(images)
        loss = F.cross_entropy(logits, labels)
        optimizer.zero_grad(set_to_none=True)
        loss.backward()
        if training.clip_norm is not None:
            nn.utils.clip_grad_norm_(network.parameters(), training.clip_norm)
        optimizer.step()
        totals.add(logits, labels, loss)
        on_batch("train", epoch, done, batches.steps, totals)
    return totals


@torch.inference_mode()
def evaluate(training: Training, name: str, epoch: int, on_batch: OnBatch) -> Totals:
    """Loss and answers on all images of the split that `name` begins with (train, val or test), in evaluation mode."""
    training.network.eval()
    split = name.partition("_")[0]
    batches: Batches = getattr(training.data, split)
    totals = training.new_totals(keep_answers=split != "train")
    for done, (images, labels) in enumerate(batches.in_order(), start=1):
        logits, loss = training.measure(images, labels)
        totals.add(logits, labels, loss)
        on_batch(name, epoch, done, len(batches), totals)
    return totals
