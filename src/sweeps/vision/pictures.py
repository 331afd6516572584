"""Pictures of what a network takes for what, as uint8 [H, W, 3]."""

import io
from collections.abc import Sequence

import numpy as np
from numpy.typing import NDArray
from PIL import Image, ImageDraw, ImageFont

from sweeps.vision.confusion import Confusion

SIDE = 56  # pixels of an image in the picture of the mistakes


def draw_confusion(counts: NDArray[np.int64], labels: Sequence[str]) -> NDArray[np.uint8]:
    """A picture of `counts` [true][predicted], shaded by the share of its row."""
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
    """The most confused pairs, one a line, with their images."""
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
