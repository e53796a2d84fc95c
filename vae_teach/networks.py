"""The dense encoder and decoder: all layers linear, ReLU or tanh between them."""

from collections.abc import Sequence

from torch import Tensor, nn

__all__ = ["Decoder", "Encoder"]

_NUM_PIXELS = 784


ACTIVATIONS = {"relu": nn.ReLU, "tanh": nn.Tanh}


def dense(sizes: Sequence[int], activation: str = "relu") -> nn.Sequential:
    """Stack linear layers of the given sizes, with an activation between them, none at the end."""
    layers: list[nn.Module] = []
    for width_in, width_out in zip(sizes[:-1], sizes[1:], strict=True):
        layers += [nn.Linear(width_in, width_out), ACTIVATIONS[activation]()]
    return nn.Sequential(*layers[:-1])


class Encoder(nn.Module):
    """A dense encoder: pixels to the mean and log-variance of q(z given x).

    Shapes: ``(..., num_pixels)`` to ``(mu, logvar)``, each ``(..., latent_dim)``. The last
    layer is twice as wide as the latent space and is cut in half: the first half is mu, the
    second the log-variance, which may be any real number.
    """

    def __init__(
        self,
        latent_dim: int,
        hidden: Sequence[int] = (256,),
        num_pixels: int = _NUM_PIXELS,
        activation: str = "relu",
    ):
        super().__init__()
        self.latent_dim = latent_dim
        self.layers = dense([num_pixels, *hidden, 2 * latent_dim], activation)

    def forward(self, x: Tensor) -> tuple[Tensor, Tensor]:
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
        activation: str = "relu",
    ):
        super().__init__()
        self.latent_dim = latent_dim
        self.layers = dense([latent_dim, *reversed(hidden), num_pixels], activation)

    def forward(self, z: Tensor) -> Tensor:
        return self.layers(z)
