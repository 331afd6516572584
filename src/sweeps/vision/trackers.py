"""The engine's trackers with pictures: images, the network, its confusions, and the trained network itself."""

import logging
from collections.abc import Iterable
from typing import Any

import numpy as np
from torch import Tensor, nn

from sweeps.trackers import Tracker, mlflow, tensorboard, wandb
from sweeps.vision.confusion import Confusion
from sweeps.vision.graph import add_graph
from sweeps.vision.pictures import draw_confusion, draw_mistakes

log = logging.getLogger(__name__)

# One chart for the curves that people compare, under TensorBoard's "Custom scalars"; the single curves stay in
# "Scalars". add_scalars would draw them together too, but as a run of its own for every curve.
LAYOUT = {
    "train and test": {
        figure: ["Multiline", [f"{figure}/(train|train_eval|val|val_bn|test|test_bn)$"]]
        for figure in ("loss", "accuracy")
    }
}
FIGURES = {"loss": "loss", "acc": "accuracy"}


class PictureTracker(Tracker):
    """A tracker that can show what is no number; the default of each method shows nothing."""

    def show_network(self, network: nn.Module, images: Tensor) -> None:
        """The run starts or resumes; `images` [B, C, H, W] are the first that the network is trained on."""

    def show_confusion(self, confusion: Confusion) -> None:
        """The run has ended with this confusion of the test images."""

    def show_trained(self, network: nn.Module, images: Tensor) -> None:
        """The run has ended with this network."""


def show(trackers: Iterable[Tracker], what: str, *subject: Any) -> None:
    """Let each tracker that can show the network, its confusion or the trained network do so."""
    for tracker in trackers:
        if isinstance(tracker, PictureTracker):
            try:
                getattr(tracker, f"show_{what}")(*subject)
            except Exception as error:  # a picture is no reason to lose a run
                log.warning("%s: the %s is left out: %s", type(tracker).__name__, what, error, exc_info=True)


class TensorBoardTracker(tensorboard.TensorBoardTracker, PictureTracker):
    """Curves and settings, images, the graph of the network and its confusions."""

    def __init__(self, *, images: int = 32, graph: bool = True, confusion: bool = True) -> None:
        super().__init__()
        self._num_images = images
        self._graph = graph
        self._confusion = confusion

    def open(self, *args: Any, **kwargs: Any) -> None:
        """Start an event file, with the layout of the charts."""
        super().open(*args, **kwargs)
        if self.writer is not None:
            self.writer.add_custom_scalars(LAYOUT)

    def tag(self, name: str) -> str:
        """`loss/train` for `train_loss`, so that the curves of one figure stand together."""
        section, slash, name = name.rpartition("/")
        split, _, figure = name.rpartition("_")
        return f"{section}{slash}{FIGURES[figure]}/{split}" if figure in FIGURES else f"{section}{slash}run/{name}"

    def show_network(self, network: nn.Module, images: Tensor) -> None:
        """Draw the first images and the network."""
        if self.writer is None:
            return
        if self._num_images:
            self.writer.add_images("images/train", images[: self._num_images].cpu().numpy(), 0)
        if self._graph:
            try:
                add_graph(self.writer, network, images[:1])
            except Exception as error:  # symbolic tracing cannot follow every network
                log.warning("the network graph is left out: %s", error)

    def show_confusion(self, confusion: Confusion) -> None:
        """Draw the confusion matrix, and images that the network gets wrong."""
        if not self._confusion or self.writer is None:
            return
        picture = draw_confusion(np.asarray(confusion.counts), confusion.labels)
        self.writer.add_image(f"confusion/{confusion.split}", picture, confusion.epoch, dataformats="HWC")
        if confusion.pairs:
            picture = draw_mistakes(confusion)
            self.writer.add_image(f"mistakes/{confusion.split}", picture, confusion.epoch, dataformats="HWC")


class MlflowTracker(mlflow.MlflowTracker, PictureTracker):
    """Settings and curves, the confusion, and the trained network with its signature."""

    def __init__(self, *, uri: str | None = None, experiment: str = "sweeps", model: bool = True) -> None:
        super().__init__(uri=uri, experiment=experiment)
        self._keeps_model = model

    def show_confusion(self, confusion: Confusion) -> None:
        """Keep the counts."""
        if self.client is not None:
            with self.alone():
                content = {"labels": confusion.labels, "counts": confusion.counts}
                self.client.log_dict(self.mlflow_id, content, "confusion.json")

    def show_trained(self, network: nn.Module, images: Tensor) -> None:
        """Keep the network, with the signature that images and logits have."""
        if self.client is None or not self._keeps_model:
            return
        import mlflow
        import torch
        from mlflow.models import infer_signature

        network.eval()
        sample = images[:2].contiguous().float()
        with torch.inference_mode():
            logits = network(sample)
        signature = infer_signature(sample.cpu().numpy(), logits.float().cpu().numpy())
        with self.alone():
            mlflow.set_tracking_uri(str(self.uri))
            with mlflow.start_run(run_id=self.mlflow_id):
                mlflow.pytorch.log_model(
                    network,
                    name="model",
                    signature=signature,
                    pip_requirements=[f"torch=={torch.__version__.partition('+')[0]}", "hydra-sweeps"],
                    serialization_format="pickle",  # the other one fixes the size of a batch
                )


class WandbTracker(wandb.WandbTracker, PictureTracker):
    """Settings and curves, and the confusion."""

    def show_confusion(self, confusion: Confusion) -> None:
        """Keep the counts as a table in the summary."""
        if self.wandb_run is not None:
            self.wandb_run.summary["confusion"] = {"labels": confusion.labels, "counts": confusion.counts}
