"""Draws the pictures of the front page, from a recorded run and from the lamp strip.

    python tools/draw_front.py

They are ink on nothing, so that they can follow the theme: see ``.ink`` in custom.css.
"""

import math
from pathlib import Path

import numpy as np
import torch
from PIL import Image

from vae_teach.exact_models import LampStrip
from vae_teach.runs import load_model

BOOK = Path(__file__).resolve().parents[1] / "book"
WALL, LAMPS = BOOK / "_static" / "wall.png", BOOK / "_static" / "lamps.svg"
ROWS, COLUMNS = 5, 16
SEED = 0


def codes(seed: int = SEED) -> torch.Tensor:
    """A closed surface in the space of codes: at each place a mixture of four draws of N(0, I).

    The squares of the four weights add up to 1, so each code by itself is a draw of N(0, I), too.
    """
    draws = torch.randn(4, 20, generator=torch.Generator().manual_seed(seed), dtype=torch.float64)
    down = torch.linspace(0, math.pi / 2, ROWS, dtype=torch.float64)[:, None, None]
    along = torch.arange(COLUMNS, dtype=torch.float64)[None, :, None] * (math.pi / (COLUMNS - 1))
    top = along.cos() * draws[0] + along.sin() * draws[1]
    bottom = along.cos() * draws[2] + along.sin() * draws[3]
    return down.cos() * top + down.sin() * bottom


def wall(seed: int = SEED) -> np.ndarray:
    """The digits that the recorded model decodes from these codes, as one picture of bytes."""
    model, _ = load_model(BOOK / "runs" / "dense-20")
    with torch.no_grad():
        pixels = torch.sigmoid(model.decode(codes(seed).float()))
    pixels = pixels.view(ROWS, COLUMNS, 28, 28).permute(0, 2, 1, 3)
    return (255 * pixels.reshape(28 * ROWS, 28 * COLUMNS)).round().byte().numpy()


def lamps() -> str:
    """The strip for three codes: how probable it is that each lamp is lit."""
    rows = []
    for row, z in enumerate((-1.0, 0.0, 1.2)):
        logits = LampStrip().logits(torch.tensor([z], dtype=torch.float64)).flatten()
        y = 24 + 40 * row
        rows.append(f'<text x="0" y="{y + 6}">z = {str(z).replace("-", "−")}</text>')
        rows += [
            f'<circle cx="{110 + 38 * d}" cy="{y}" r="14" fill-opacity="{lit:.2f}"/>'
            for d, lit in enumerate(torch.sigmoid(logits).tolist())
        ]
    return (
        '<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 396 128" font-family="sans-serif" '
        f'font-size="17" stroke-width="1.2">\n<g stroke="#767676" fill="#e69f00">{"".join(rows)}</g>\n</svg>\n'
    ).replace("<text", '<text stroke="none" fill="#767676"')


if __name__ == "__main__":
    ink = wall()
    Image.fromarray(np.dstack([np.zeros_like(ink), ink]), "LA").save(WALL, optimize=True)
    LAMPS.write_text(lamps(), encoding="utf8")
