"""Make the small Fashion-MNIST that comes with the package from the real one.

    python scripts/make_mini.py            # from wherever the real set is found
    python scripts/make_mini.py FOLDER     # from this folder

The first 500 training and 100 test images of every class, in the original order. It prints the SHA-256 sums of the
uncompressed files for `conf/dataset/fashion_mnist_mini.yaml`; the same input always makes the same sums.
"""

import argparse
import gzip
import hashlib
from pathlib import Path

import numpy as np
from omegaconf import OmegaConf

from sweeps.vision.data import IdxFiles, ImageSet, load_splits
from sweeps.vision.data.idx import write_idx

REPOSITORY = Path(__file__).resolve().parents[1]
TARGET = REPOSITORY / "src/sweeps/vision/data/mini"
PER_CLASS = {"train": 500, "test": 100}
STEM = {"train": "train", "test": "t10k"}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("root", nargs="?", help="folder with the real set; the usual places otherwise")
    root = parser.parse_args().root

    dataset = OmegaConf.load(REPOSITORY / "conf/dataset/fashion_mnist.yaml")
    arguments = {str(key): value for key, value in dataset.source.items() if key != "_target_"}
    splits = load_splits(
        IdxFiles(**arguments),
        root=root,
        name=dataset.name,
        classes=dataset.classes,
        channels=dataset.channels,
        size=dataset.size,
        limit=PER_CLASS["train"] * dataset.classes,
        test_limit=PER_CLASS["test"] * dataset.classes,
    )
    TARGET.mkdir(exist_ok=True)
    for split, images in (("train", splits.train), ("test", splits.test)):
        write(images, split)


def write(images: ImageSet, split: str) -> None:
    arrays = {
        f"{split}_images": (f"{STEM[split]}-images-idx3-ubyte.gz", images.images.squeeze(1).numpy()),
        f"{split}_labels": (f"{STEM[split]}-labels-idx1-ubyte.gz", images.labels.numpy().astype(np.uint8)),
    }
    for key, (name, array) in arrays.items():
        path = TARGET / name
        write_idx(path, array)
        print(f"{key}: {hashlib.sha256(gzip.decompress(path.read_bytes())).hexdigest()}")


if __name__ == "__main__":
    main()
