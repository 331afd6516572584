"""The batches of one split, made on the device where its images live.

The raw bytes stay there; a batch is resized, scaled and augmented when it is asked for, and no more than one exists.
"""

import hashlib
from collections.abc import Iterator

import torch
from torch import Tensor

from sweeps import ConfigError
from sweeps.vision.data.augment import Augment
from sweeps.vision.data.resize import resize_exact
from sweeps.vision.data.sources import ImageSet


class Batches:
    """Pairs of float32 [B, channels, size, size] in [0, 1] and int64 [B]; the last one may be smaller.

    `drop_last` leaves the incomplete last batch out of an epoch's training, other images every time.

    All randomness is drawn on the CPU from (seed, epoch), before an epoch begins: it is the same on every device, and
    nothing waits for the host within an epoch.
    """

    def __init__(
        self,
        images: ImageSet,
        *,
        batch_size: int,
        size: int,
        channels: int,
        seed: int = 0,
        augment: Augment | None = None,
        drop_last: bool = False,
    ) -> None:
        possible = (1, 3) if images.images.shape[1] == 1 else (images.images.shape[1],)
        if channels not in possible:
            raise ConfigError(
                f"resize.channels={channels} cannot be made from images with {images.images.shape[1]}; "
                f"use resize.channels={' or '.join(map(str, possible))}"
            )
        self.num_images = len(images)
        self.steps = self.num_images // batch_size if drop_last else -(-self.num_images // batch_size)
        self.num_trained = min(self.steps * batch_size, self.num_images)
        if not self.steps and self.num_images:
            raise ConfigError(
                f"trainer.drop_last=true leaves nothing to train on: a single batch of trainer.batch_size={batch_size} "
                f"is more than the {self.num_images} images; use trainer.batch_size={self.num_images} or less"
            )
        self._images = images
        self.batch_size = batch_size
        self._size = size
        self._channels = channels
        self._seed = seed
        self._augment = None if augment is None or augment.is_identity else augment

    def __len__(self) -> int:
        """How many batches `in_order` yields."""
        return -(-self.num_images // self.batch_size)

    def order(self, epoch: int) -> Tensor:
        """The permutation of the images in this epoch: int64 [num_images] on the images' device."""
        order = torch.randperm(self.num_images, generator=_generator(self._seed, epoch, "order"))
        return order.to(self._images.images.device)

    def shuffled(self, epoch: int) -> Iterator[tuple[Tensor, Tensor]]:
        """`steps` batches: the first `num_trained` images of the epoch's order, augmented."""
        order = torch.split(self.order(epoch)[: self.num_trained], self.batch_size)
        for positions, draw in zip(order, self._draws(epoch), strict=True):
            images = self._images.images.index_select(0, positions)
            yield self._prepare(images, draw), self._images.labels.index_select(0, positions)

    def in_order(self) -> Iterator[tuple[Tensor, Tensor]]:
        """Every image once, in the set's own order, as it is."""
        images = torch.split(self._images.images, self.batch_size)
        labels = torch.split(self._images.labels, self.batch_size)
        for image_batch, label_batch in zip(images, labels, strict=True):
            yield self._prepare(image_batch, None), label_batch

    def _draws(self, epoch: int) -> tuple[Tensor | None, ...]:
        """The augmentation's random numbers for each batch; they belong to places in the order, not to images."""
        if self._augment is None:
            return (None,) * self.steps
        generator = _generator(self._seed, epoch, "augment")
        draws = torch.rand(self.num_images, self._augment.num_draws, generator=generator)
        return torch.split(draws[: self.num_trained].to(self._images.images.device), self.batch_size)

    def _prepare(self, images: Tensor, draws: Tensor | None) -> Tensor:
        batch = resize_exact(images, self._size).float().div_(255)
        if self._augment is not None and draws is not None:
            batch = self._augment(batch, draws)
        # Grey images are repeated last, as a view: everything before costs a third.
        return batch.expand(-1, self._channels, -1, -1)


def _generator(seed: int, epoch: int, purpose: str) -> torch.Generator:
    """A hash keeps the streams of neighbouring seeds, epochs and purposes apart."""
    digest = hashlib.sha256(f"{seed} {epoch} {purpose}".encode()).digest()
    # 63 bits, because torch takes seeds as signed numbers.
    return torch.Generator().manual_seed(int.from_bytes(digest[:8]) >> 1)
