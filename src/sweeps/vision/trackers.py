"""The engine's trackers with pictures: images, the network, its confusions, and the trained network itself."""

import io
import logging
from collections.abc import Iterable, Sequence
from typing import Any

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont
from tensorboardX import SummaryWriter
from tensorboardX.proto.event_pb2 import Event
from tensorboardX.proto.graph_pb2 import GraphDef
from tensorboardX.proto.versions_pb2 import VersionDef
from torch import Tensor, nn
from torch.fx import GraphModule, Node, Tracer
from torch.fx.passes.shape_prop import ShapeProp

from sweeps.trackers import Tracker, mlflow, tensorboard, wandb
from sweeps.vision.confusion import Confusion

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
SIDE = 56  # pixels of an image in the picture of the mistakes


class PictureTracker(Tracker):
    """A tracker that can show what is no number; the default of each method shows nothing."""

    def show_network(self, network: nn.Module, images: Tensor) -> None:
        """The run starts or resumes; `images` [B, C, H, W] are the first that the network is trained on."""

    def show_confusion(self, confusion: Confusion) -> None:
        """The run has ended with this confusion of the test images."""

    def show_trained_network(self, network: nn.Module, images: Tensor) -> None:
        """The run has ended with this network."""


def show(trackers: Iterable[Tracker], what: str, *subject: Any) -> None:
    """Let each tracker that can show the network, its confusion or the trained network do so."""
    for tracker in trackers:
        if isinstance(tracker, PictureTracker):
            try:
                getattr(tracker, f"show_{what}")(*subject)
            except Exception as error:  # a picture is no reason to lose a run
                name, shown = type(tracker).__name__, what.replace("_", " ")
                log.warning("%s: the %s is left out: %s", name, shown, error, exc_info=True)


class TensorBoardTracker(tensorboard.TensorBoardTracker, PictureTracker):
    """Curves and settings, images, the graph of the network and its confusions."""

    def __init__(self, *, images: int = 32, graph: bool = True, confusion: bool = True) -> None:
        super().__init__()
        self._num_images = images
        self._graph = graph
        self._confusion = confusion

    def open(self, *args: Any, **kwargs: Any) -> None:
        super().open(*args, **kwargs)
        if self.writer is not None:
            self.writer.add_custom_scalars(LAYOUT)

    def tag(self, name: str) -> str:
        """`loss/train` for `train_loss`, so that the curves of one figure stand together."""
        section, slash, name = name.rpartition("/")
        split, _, figure = name.rpartition("_")
        return f"{section}{slash}{FIGURES[figure]}/{split}" if figure in FIGURES else f"{section}{slash}run/{name}"

    def show_network(self, network: nn.Module, images: Tensor) -> None:
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
        if self.client is not None:
            with self.alone():
                content = {"labels": confusion.labels, "counts": confusion.counts}
                self.client.log_dict(self.mlflow_id, content, "confusion.json")

    def show_trained_network(self, network: nn.Module, images: Tensor) -> None:
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
        if self.wandb_run is not None:
            self.wandb_run.summary["confusion"] = {"labels": confusion.labels, "counts": confusion.counts}


def draw_confusion(counts: NDArray[np.int64], labels: Sequence[str]) -> NDArray[np.uint8]:
    """A picture, uint8 [H, W, 3], of `counts` [true][predicted], shaded by the share of its row."""
    cell, font = 46, ImageFont.load_default(size=12)
    margin = 12 + max(int(font.getlength(label)) for label in labels)
    classes = len(labels)
    picture = Image.new("RGB", (margin + classes * cell + 8, margin + classes * cell + 8), "white")
    draw = ImageDraw.Draw(picture)
    shares = counts / np.maximum(counts.sum(axis=1, keepdims=True), 1)
    for row in range(classes):
        for column in range(classes):
            x, y, share = margin + column * cell, margin + row * cell, float(shares[row, column])
            shade = tuple(int(255 + share * (end - 255)) for end in (8, 48, 107))
            draw.rectangle((x, y, x + cell, y + cell), fill=shade, outline=(200, 200, 200))
            if counts[row, column]:
                ink = "white" if share > 0.5 else "black"
                draw.text((x + cell / 2, y + cell / 2), str(counts[row, column]), fill=ink, font=font, anchor="mm")
    across = Image.new("RGB", (classes * cell, margin), "white")  # names over the columns, read from below
    for index, label in enumerate(labels):
        draw.text((margin - 6, margin + (index + 0.5) * cell), label, fill="black", font=font, anchor="rm")
        strip = Image.new("RGB", (margin, cell), "white")
        ImageDraw.Draw(strip).text((6, cell / 2), label, fill="black", font=font, anchor="lm")
        across.paste(strip.rotate(90, expand=True), (index * cell, 0))
    picture.paste(across, (margin, 0))
    small = ImageFont.load_default(size=10)
    draw.text((margin - 4, margin - 8), "true / guess", fill="gray", font=small, anchor="rm")
    return np.asarray(picture)


def draw_mistakes(confusion: Confusion) -> NDArray[np.uint8]:
    """A picture, uint8 [H, W, 3], of the most confused pairs, one a line, with their images."""
    font = ImageFont.load_default(size=12)
    titles = [f"{confusion.title(pair.true, pair.guess)}: {pair.count}" for pair in confusion.pairs]
    columns = max(len(pair.images) for pair in confusion.pairs)
    margin = 16 + max(int(font.getlength(title)) for title in titles)
    picture = Image.new("RGB", (margin + columns * (SIDE + 4), len(titles) * (SIDE + 4)), "white")
    draw = ImageDraw.Draw(picture)
    for line, (title, pair) in enumerate(zip(titles, confusion.pairs, strict=True)):
        top = line * (SIDE + 4) + 2
        draw.text((8, top + SIDE / 2), title, fill="black", font=font, anchor="lm")
        for column, image in enumerate(pair.images):
            small = Image.open(io.BytesIO(image)).convert("RGB").resize((SIDE, SIDE), Image.Resampling.NEAREST)
            picture.paste(small, (margin + column * (SIDE + 4), top))
    return np.asarray(picture)


def add_graph(writer: SummaryWriter, network: nn.Module, images: Tensor) -> None:
    """Write the graph of `network` for `images` [B, C, H, W]; its weights and running statistics stay as they are.

    It comes from symbolic tracing: tensorboardX's own `add_graph` rests on `torch.jit.trace`, which is deprecated.
    """
    training = network.training
    network.eval()
    try:
        traced = GraphModule(network, Tracer().trace(network))
        ShapeProp(traced).propagate(images)
    finally:
        network.train(training)
    names: dict[Node, str] = {}
    for node in traced.graph.nodes:
        name = _name(node)
        names[node] = name if name not in names.values() else f"{name}/{node.name}"  # a layer that is used again
    graph = GraphDef(versions=VersionDef(producer=22))
    for node, name in names.items():
        definition = graph.node.add(name=name, op=_operation(node, network))
        definition.input.extend(names[source] for source in node.all_input_nodes)
        shape = getattr(node.meta.get("tensor_meta"), "shape", None)
        if shape is not None:
            sizes = definition.attr["_output_shapes"].list.shape.add()
            for size in shape:
                sizes.dim.add(size=size)
    writer.file_writer.add_event(Event(graph_def=graph.SerializeToString()))


def _name(node: Node) -> str:
    """A name whose slashes follow the modules, so that TensorBoard can fold them."""
    path = str(node.target).replace(".", "/") if node.op == "call_module" else ""
    inside = node.meta.get("nn_module_stack")
    if not path and inside:
        path = f"{next(reversed(inside.values()))[0].replace('.', '/')}/{node.name}".lstrip("/")
    return path or node.name


def _operation(node: Node, network: nn.Module) -> str:
    target: Any = node.target
    if node.op == "call_module":
        return type(network.get_submodule(target)).__name__
    if node.op == "call_function":
        return str(getattr(target, "__name__", target))
    return str(target) if node.op == "call_method" else node.op
