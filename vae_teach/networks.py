"""Encoders and decoders: dense ones and convolutional ones, with the same interface.

Pixels are flat, ``(..., D_x)``, whatever stands inside. A convolutional network folds them to
``(channels, height, width)`` itself.
"""

from collections.abc import Sequence
from itertools import pairwise
from math import prod

import torch
from torch import Tensor, nn

__all__ = ["ConvDecoder", "ConvEncoder", "Decoder", "Encoder"]

_NUM_PIXELS = 784
_IMAGE_SHAPE = (1, 28, 28)


def dense(sizes: Sequence[int], activation: type[nn.Module] = nn.ReLU) -> nn.Sequential:
    """Stack linear layers of the given sizes, ``activation`` between them, none after the last."""
    layers: list[nn.Module] = []
    for width_in, width_out in pairwise(sizes):
        layers += [nn.Linear(width_in, width_out), activation()]
    return nn.Sequential(*layers[:-1])


def checked_and_centred(x: Tensor, num_pixels: int, mean: Tensor | None) -> Tensor:
    """Return flat images ``(..., num_pixels)`` minus the mean image, where there is one.

    Raises ``ValueError`` for images of another shape.
    """
    if x.shape[-1:] != (num_pixels,):
        raise ValueError(
            f"The encoder takes flat images (..., {num_pixels}), but got {tuple(x.shape)}. "
            "If they still have height and width: x.flatten(1)."
        )
    return x if mean is None else x - mean


class Encoder(nn.Module):
    """A dense encoder: pixels to the mean and log-variance of q(z given x).

    Shapes: ``(..., num_pixels)`` to ``(mu, logvar)``, each ``(..., latent_dim)``. The last
    layer is twice as wide as the latent space and is cut in half: the first half is mu, the
    second the log-variance, which may be any real number. A ``centred`` encoder subtracts
    the mean image first, ``mean (num_pixels,)``, which is 0 until somebody sets it.
    """

    def __init__(
        self,
        latent_dim: int,
        hidden: Sequence[int] = (256,),
        num_pixels: int = _NUM_PIXELS,
        activation: type[nn.Module] = nn.ReLU,
        centred: bool = False,
    ):
        super().__init__()
        self.latent_dim, self.num_pixels = latent_dim, num_pixels
        self.register_buffer("mean", torch.zeros(num_pixels) if centred else None)
        self.layers = dense([num_pixels, *hidden, 2 * latent_dim], activation)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = checked_and_centred(x, self.num_pixels, self.mean)
        mu, logvar = self.layers(x).chunk(2, dim=-1)
        return mu, logvar


class Decoder(nn.Module):
    """A dense decoder: latents to the parameters of p(x given z).

    Shapes: ``(..., latent_dim)`` to ``(..., num_pixels)``. There is no squashing at the end.
    For Bernoulli pixels the output is logits.
    """

    def __init__(
        self,
        latent_dim: int,
        hidden: Sequence[int] = (256,),
        num_pixels: int = _NUM_PIXELS,
        activation: type[nn.Module] = nn.ReLU,
    ):
        super().__init__()
        self.latent_dim = latent_dim
        self.layers = dense([latent_dim, *reversed(hidden), num_pixels], activation)

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)


class ConvEncoder(nn.Module):
    """A convolutional encoder: pixels to the mean and log-variance of q(z given x).

    One 3 x 3 convolution for each of the numbers of channels in ``hidden``. Each moves two
    pixels at a time, so that height and width halve: 28 to 13 to 6 without padding. A linear
    layer makes mu and the log-variance of what is left. A ``centred`` encoder subtracts the
    mean image first, ``mean (D_x,)``, which is 0 until somebody sets it.

    Shapes: ``(..., D_x)`` to ``(mu, logvar)``, each ``(..., latent_dim)``, where ``D_x`` is
    the product of ``image_shape``, the channels, height and width of an image.

    Source: with 64 latents and the other settings as they are, the encoder of
    https://github.com/ToddMorrill/vae.
    """

    def __init__(
        self,
        latent_dim: int,
        hidden: Sequence[int] = (32, 64),
        image_shape: tuple[int, int, int] = _IMAGE_SHAPE,
        activation: type[nn.Module] = nn.ReLU,
        centred: bool = False,
    ):
        super().__init__()
        self.latent_dim, self.image_shape = latent_dim, tuple(image_shape)
        self.num_pixels = prod(image_shape)
        self.register_buffer("mean", torch.zeros(self.num_pixels) if centred else None)
        channels, height, width = image_shape
        layers: list[nn.Module] = []
        for channels_in, channels_out in pairwise([channels, *hidden]):
            layers += [nn.Conv2d(channels_in, channels_out, 3, stride=2), activation()]
            height, width = (height - 1) // 2, (width - 1) // 2
        features = [channels, *hidden][-1] * height * width
        self.layers = nn.Sequential(*layers, nn.Flatten(), nn.Linear(features, 2 * latent_dim))

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
        x = checked_and_centred(x, self.num_pixels, self.mean)
        images = x.unflatten(-1, self.image_shape).reshape(-1, *self.image_shape)
        output = self.layers(images).reshape(*x.shape[:-1], 2 * self.latent_dim)
        mu, logvar = output.chunk(2, dim=-1)
        return mu, logvar


class ConvDecoder(nn.Module):
    """A convolutional decoder: latents to the parameters of p(x given z).

    A linear layer makes a small image with ``hidden[0]`` channels. One transposed 3 x 3
    convolution for each of the numbers of channels in ``hidden``, the last first, doubles its
    height and width: 7 to 14 to 28. A last convolution keeps the size and makes the channels
    of the image. There is no squashing at the end. For Bernoulli pixels the output is logits.

    Shapes: ``(..., latent_dim)`` to ``(..., D_x)``, where ``D_x`` is the product of
    ``image_shape``, the channels, height and width of an image. Raises ``ValueError`` when
    doubling does not arrive at that height and width.

    Source: with 64 latents and the other settings as they are, the decoder of
    https://github.com/ToddMorrill/vae.
    """

    def __init__(
        self,
        latent_dim: int,
        hidden: Sequence[int] = (32, 64),
        image_shape: tuple[int, int, int] = _IMAGE_SHAPE,
        activation: type[nn.Module] = nn.ReLU,
    ):
        super().__init__()
        self.latent_dim, self.image_shape = latent_dim, tuple(image_shape)
        channels, height, width = image_shape
        times = 2 ** len(hidden)
        if height % times or width % times:
            raise ValueError(
                f"{len(hidden)} layers that double the size make heights and widths that {times} divides, "
                f"but the images are {height} x {width}. Give fewer numbers of channels than {tuple(hidden)}."
            )
        smallest = (hidden[0], height // times, width // times)
        layers: list[nn.Module] = [nn.Linear(latent_dim, prod(smallest)), activation()]
        layers += [nn.Unflatten(-1, smallest)]
        for channels_in, channels_out in pairwise([hidden[0], *reversed(hidden)]):
            doubling = nn.ConvTranspose2d(
                channels_in, channels_out, 3, stride=2, padding=1, output_padding=1
            )
            layers += [doubling, activation()]
        self.layers = nn.Sequential(*layers, nn.Conv2d(hidden[0], channels, 3, padding=1))

    def forward(self, z: Tensor) -> Tensor:
        images = self.layers(z.reshape(-1, self.latent_dim))
        return images.reshape(*z.shape[:-1], prod(self.image_shape))
