"""Figures that several chapters draw: grids of images, training curves."""

from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes


def image_grid(images: np.ndarray, columns: int | None = None, pad: int = 2) -> np.ndarray:
    """Tile ``(N, H, W)`` images in [0, 1] into one ``(rows * (H + pad) + pad, ...)``
    array, white between them.
    """
    n, height, width = images.shape
    columns = columns or int(np.ceil(np.sqrt(n)))
    rows = -(-n // columns)
    canvas = np.ones((rows * (height + pad) + pad, columns * (width + pad) + pad))
    for index, image in enumerate(images):
        top, left = (
            pad + (index // columns) * (height + pad),
            pad + (index % columns) * (width + pad),
        )
        canvas[top : top + height, left : left + width] = image
    return canvas


def show_images(
    axes: Axes, images: np.ndarray, title: str = "", columns: int | None = None
) -> None:
    """Draw ``(N, H, W)`` images in [0, 1] as one grid on ``axes``."""
    axes.imshow(image_grid(images, columns), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_title(title, fontsize=10)
    axes.axis("off")


def save_image_grid(images: np.ndarray, path: str | Path) -> None:
    """Write ``(N, H, W)`` images in [0, 1] as one PNG, three screen pixels a pixel,
    with no axes.
    """
    plt.imsave(
        path,
        image_grid(images).repeat(3, 0).repeat(3, 1),
        cmap="gray",
        vmin=0,
        vmax=1,
        format="png",
    )


def show_history(axes: Axes, history: list[dict]) -> None:
    """Draw -ELBO in nats per image against the epoch, on train and validation."""
    epochs = [int(row["epoch"]) for row in history]
    for split, style in (("train", "-"), ("validation", "--")):
        axes.plot(epochs, [-float(row[f"{split}_elbo"]) for row in history], style, label=split)
    axes.set(xlabel="epoch", ylabel="-ELBO (nats per image)")
    axes.legend()
