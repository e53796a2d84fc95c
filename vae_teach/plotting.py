"""The book's look, and the figures that several chapters draw."""

from math import isqrt, prod
from pathlib import Path

import matplotlib.pyplot as plt
import numpy as np
from matplotlib.axes import Axes
from matplotlib.collections import EllipseCollection
from matplotlib.patches import Circle
from matplotlib.patheffects import withStroke

__all__ = [
    "PALETTE",
    "panels",
    "save_image_grid",
    "show_clouds",
    "show_history",
    "show_images",
    "use_style",
]

# Okabe and Ito's colours, which most colour-blind readers can tell apart; the palest ones last, and
# two more of ours, since there are ten digits.
PALETTE = (
    "#0072B2",
    "#D55E00",
    "#009E73",
    "#CC79A7",
    "#E69F00",
    "#56B4E9",
    "#000000",
    "#8B5A2B",
    "#999999",
    "#D9C72E",
)
# A page is some 700 pixels wide, a telephone's 358. At five inches ten points are ten pixels there.
WIDTH = 5.0
STYLE = {
    "figure.figsize": (WIDTH, 2.4),
    "figure.dpi": 144,
    "figure.constrained_layout.use": True,
    "font.size": 10,
    "axes.titlesize": 10,
    "axes.labelsize": 10,
    "xtick.labelsize": 9,
    "ytick.labelsize": 9,
    "legend.fontsize": 9,
    "legend.frameon": False,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.prop_cycle": plt.cycler(color=PALETTE),
    "lines.linewidth": 1.8,
    "lines.markersize": 4,
}


def use_style() -> None:
    """Give all figures that follow the book's look; call it once, in the first cell."""
    plt.rcParams.update(STYLE)


def panels(columns: int = 1, rows: int = 1, height: float = 2.4, **options):
    """Make a new figure as wide as the page, ``height`` inches high, and return its axes.

    They come as ``plt.subplots(rows, columns, **options)`` returns them. More than two
    columns are too small for text on a telephone.
    """
    return plt.subplots(rows, columns, figsize=(WIDTH, height), **options)[1]


def image_grid(images, columns: int | None = None, pad: int = 2) -> np.ndarray:
    """Tile images in [0, 1] into one array, white between them; what lies outside is cut off.

    Shapes: grey ``images (N, H, W)``, or ``(N, H * H)`` for square ones, arrays or tensors, to
    ``(rows * (H + pad) + pad, columns * (W + pad) + pad)``. In red, green and blue ``(N, 3, H, W)``,
    or ``(N, 3 * H * H)``, to the same with a last axis of 3.
    """
    images = _folded(_as_array(images))
    if images.ndim == 4 and images.shape[1] == 3:
        images = np.moveaxis(images, 1, -1)
    elif images.ndim != 3:
        raise ValueError(
            "Images come as (N, H, W), or as (N, H * H) when they are square, in colour as (N, 3, H, W) "
            f"or (N, 3 * H * H), not as {images.shape}."
        )
    n, height, width, *colours = images.shape
    columns = columns or int(np.ceil(np.sqrt(n)))
    rows = -(-n // columns)
    canvas = np.ones((rows * (height + pad) + pad, columns * (width + pad) + pad, *colours))
    for index, image in enumerate(images.clip(0, 1)):
        top, left = (
            pad + (index // columns) * (height + pad),
            pad + (index % columns) * (width + pad),
        )
        canvas[top : top + height, left : left + width] = image
    return canvas


def show_images(axes: Axes, images, title: str = "", columns: int | None = None) -> None:
    """Draw images, of the shapes that ``image_grid`` takes, as one grid on ``axes``."""
    axes.imshow(image_grid(images, columns), cmap="gray", vmin=0, vmax=1, interpolation="nearest")
    axes.set_title(title)
    axes.axis("off")


def save_image_grid(images, path: str | Path) -> None:
    """Write images, of the shapes that ``image_grid`` takes, as one PNG without axes.

    Each image pixel is three pixels wide and high.
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
    """Draw -ELBO in nats per image against the epoch, on train and validation.

    Of a run with K > 1 it is the bound IWAE_K with its sign changed.
    """
    bound = "elbo" if "train_elbo" in history[0] else "iwae"
    epochs = [int(row["epoch"]) for row in history]
    for split, style in (("train", "-"), ("validation", "--")):
        axes.plot(epochs, [-float(row[f"{split}_{bound}"]) for row in history], style, label=split)
    axes.set(xlabel="epoch", ylabel=f"-{bound.upper()} (nats per image)")
    axes.legend()


def show_clouds(
    axes: Axes, mu, logvar, labels, reach: float | None = None, names: bool = False
) -> None:
    """Draw each cloud N(mu, diag exp(logvar)) of the plane as an ellipse, coloured by its label.

    N(0, I) is a dashed circle. All are drawn at two standard deviations, where they hold 86 %
    of their probability. The window is the square from ``-reach`` to ``reach``, by default one
    that holds all. A cloud too small to be seen there is drawn as a dot. With ``names`` each
    label stands once, at the median centre of its clouds, or beside it if another label
    stands there.

    Shapes: ``mu``, ``logvar (N, 2)``, ``labels (N,)`` whole numbers from 0 to 9.
    """
    mu, logvar, labels = _as_array(mu), _as_array(logvar), _as_array(labels)
    diameters = 4 * np.exp(logvar / 2)
    reach = reach or 1.05 * max(2, (np.abs(mu) + diameters / 2).max())
    diameters = np.maximum(diameters, reach / 25)
    colors = np.array(PALETTE)[labels]
    axes.add_collection(
        EllipseCollection(
            *diameters.T,
            np.zeros(len(mu)),
            units="xy",
            offsets=mu,
            offset_transform=axes.transData,
            facecolors=colors,
            edgecolors=colors,
            linewidths=0.6,
            alpha=0.45,
        )
    )
    axes.add_patch(Circle((0, 0), 2, fill=False, linestyle="--", linewidth=1.2))
    if names:
        present = np.unique(labels)
        medians = np.array([np.median(mu[labels == label], axis=0) for label in present])
        for label, place in zip(present, _pushed_apart(medians, reach / 7), strict=True):
            axes.text(
                *place,
                str(label),
                ha="center",
                va="center",
                weight="bold",
                color=PALETTE[label],
                path_effects=[withStroke(linewidth=2.5, foreground="white")],
            )
    axes.set(xlim=(-reach, reach), ylim=(-reach, reach), aspect="equal")


def _pushed_apart(points: np.ndarray, gap: float) -> np.ndarray:
    """Move points ``(N, 2)`` that are nearer than ``gap`` until they are not."""
    # Of two points in one place neither would know which way to go.
    order = np.arange(len(points))[:, None]
    ways = 1e-9 * gap * (order - order.T)[..., None]
    for _ in range(200):
        apart = points[:, None] - points[None] + ways
        distance = np.linalg.norm(apart, axis=-1, keepdims=True)
        missing = np.clip(gap - distance, 0, None)
        points = points + (missing / 2 * apart / np.maximum(distance, 1e-12)).sum(1)
    return points


def _folded(images: np.ndarray) -> np.ndarray:
    """Give flat images ``(N, H * H)`` or ``(N, 3 * H * H)`` their axes; leave others as they are."""
    for colours in ((), (3,)):
        side = isqrt(images[0].size // prod(colours))
        if images.ndim == 2 and images.shape[1] == prod(colours) * side**2:
            return images.reshape(-1, *colours, side, side)
    return images


def _as_array(values) -> np.ndarray:
    """Return arrays and tensors as arrays; a gradient is left behind."""
    return np.asarray(values.detach() if hasattr(values, "detach") else values)
