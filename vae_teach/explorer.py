"""Models with two latents, and digits to try them on, as the files that the book's explorer loads.

A page that is opened from a folder may load scripts and nothing else, so each file is a script: it
puts one object into ``explorerData``, under its own name.

* ``digits.js``: ``images``, five digits of each class, a byte per pixel; their ``labels``; and
  ``cloud``, the labels of 1,000 more. All are test digits of the embedded sample.
* ``<run>.js``: ``encoder`` and ``decoder``, two layers each, and ``means``, the mean of
  q(z given x) for each of the 1,000 digits.

A layer has a ``bias`` and a ``weight``, row by row as in PyTorch. Its numbers are float32, in base64.
A matrix of 784 rows or columns has ``packed`` and ``scales`` in place of the weight: each of its
numbers is three characters of base64, that is 18 bits, n from 1 to 2^18 - 1, and means
``(n - 2^17) * scale`` with the float32 scale of its row. In float16 it would take nearly as much
room, and probabilities and log p(x given z) would be ten to twenty times less exact.
"""

import base64
import json
from collections.abc import Sequence
from copy import deepcopy
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn

from vae_teach.config import TrainConfig
from vae_teach.data import load_mnist_sample, prepare_pixels
from vae_teach.model import VAE
from vae_teach.runs import load_model, write_atomically

__all__ = ["FOLDER", "RUNS", "export"]

FOLDER = Path("book/_static/explorer")
RUNS = tuple(Path("book/runs") / name for name in ("dense-2", "autoencoder-2", "dense-2-beta4"))
OF_EACH_CLASS = 5
MIDDLE = 2**17
ALPHABET = np.frombuffer(
    b"ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/", np.uint8
)


def export(runs: Sequence[str | Path], out: str | Path) -> list[Path]:
    """Write the digits and each run's model to the folder ``out``, and return the files.

    Equal runs give equal bytes. Raises ``ValueError``, before anything is written, when the
    explorer cannot show one of the models.
    """
    loaded = {Path(run).name: load_model(run) for run in runs}
    for name, (_, config) in loaded.items():
        refuse_what_cannot_be_shown(name, config)
    digits = load_mnist_sample("test")
    contents = {"digits": describe_digits(digits.pixels, digits.labels)}
    for name, (model, _) in loaded.items():
        contents[name] = describe_model(model, prepare_pixels(digits.pixels, "grey"))
    out = Path(out)
    out.mkdir(parents=True, exist_ok=True)
    for name, content in contents.items():
        script = f"(window.explorerData ??= {{}})[{json.dumps(name)}] = {json.dumps(content, indent=1)};\n"
        write_atomically(out / f"{name}.js", script.encode())
    return [out / f"{name}.js" for name in contents]


def refuse_what_cannot_be_shown(name: str, config: TrainConfig) -> None:
    """Raise ``ValueError`` unless the model is a dense one for digits, with two latents."""
    needed = {"latent_dim": 2, "network": "dense", "activation": "relu", "likelihood": "bernoulli"}
    found = {key: getattr(config, key) for key in needed}
    wrong = [
        f"{key} {found[key]} (not {value})" for key, value in needed.items() if found[key] != value
    ]
    if len(config.hidden) != 1:
        wrong.append(f"{len(config.hidden)} hidden layers (not 1)")
    if config.data == "openmoji":
        wrong.append("drawings in colour (not digits)")
    if wrong:
        raise ValueError(
            f"The explorer cannot show the run {name}, which has {', '.join(wrong)}. "
            f"Give it runs like {RUNS[0]}, trained with: --latent-dim 2 --hidden 256"
        )


def describe_digits(pixels: Tensor, labels: Tensor) -> dict:
    """Return the content of ``digits.js`` for images ``(N, 28, 28)``."""
    shown = torch.cat([(labels == digit).nonzero()[:OF_EACH_CLASS, 0] for digit in range(10)])
    return {
        "images": as_base64(pixels[shown].numpy()),
        "labels": "".join(map(str, labels[shown].tolist())),
        "cloud": "".join(map(str, labels.tolist())),
    }


def describe_model(model: VAE, images: Tensor) -> dict:
    """Return the content of a model's file; its cloud is that of ``images``, ``(N, 784)``."""
    with torch.no_grad():
        # In float64, so that every machine rounds to the same float32.
        means, _ = deepcopy(model).double().encode(images.double())
    return {
        "encoder": [describe_layer(layer) for layer in layers_for_pixels(model.encoder)],
        "decoder": [describe_layer(layer) for layer in model.decoder.layers[::2]],
        "means": numbers(means),
    }


@torch.no_grad()
def layers_for_pixels(encoder: nn.Module) -> nn.Sequential:
    """Return the linear layers, for pixels as they are: ``W (x - m) + b = W x + (b - W m)``."""
    layers = deepcopy(encoder.layers[::2])
    if encoder.mean is not None:
        shift = layers[0].weight.double() @ encoder.mean.double()
        layers[0].bias.copy_(layers[0].bias.double() - shift)
    return layers


def describe_layer(layer: nn.Linear) -> dict:
    """Return bias and weight of a layer, the weight packed when it is one of the two large ones."""
    weight, bias = layer.weight.detach(), layer.bias.detach()
    if 784 not in weight.shape:
        return {"bias": numbers(bias), "weight": numbers(weight)}
    scales = weight.abs().amax(1, keepdim=True) / (MIDDLE - 1)
    return {"bias": numbers(bias), "scales": numbers(scales), "packed": pack(weight, scales)}


def pack(weight: Tensor, scales: Tensor) -> str:
    """Return a matrix in three characters a number, ``weight (H, W)`` with ``scales (H, 1)``."""
    whole = (weight.double() / scales.double()).round().long().numpy() + MIDDLE
    characters = np.stack([whole >> 12, whole >> 6 & 63, whole & 63], axis=-1)
    return ALPHABET[characters].tobytes().decode()


def numbers(values: Tensor) -> str:
    """Return numbers as the base64 of float32, the lowest byte first."""
    return as_base64(values.float().numpy().astype("<f4"))


def as_base64(values: np.ndarray) -> str:
    return base64.b64encode(values.tobytes()).decode()
