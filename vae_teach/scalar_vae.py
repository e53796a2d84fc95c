"""An autoencoder and a variational autoencoder on nothing but ``scalar_autograd``.

Images are lists of 0 and 1. A network is a list of layers, a layer a list of units, a
unit its bias followed by its weights, all of them Values.
"""

from collections.abc import Sequence
from itertools import pairwise
from random import Random
from typing import NamedTuple

from vae_teach.scalar_autograd import Value

__all__ = [
    "VAE",
    "Adam",
    "Autoencoder",
    "apply",
    "cross_entropy",
    "kl_standard_normal",
    "mlp",
    "parameters",
]

Network = list[list[list[Value]]]


def mlp(sizes: Sequence[int], rng: Random) -> Network:
    """Build a network with ``sizes[0]`` inputs and ``sizes[-1]`` outputs.

    Biases and weights are uniform in ``+- 1 / sqrt(inputs)`` of their layer.
    """

    def unit(inputs: int) -> list[Value]:
        return [Value(rng.uniform(-1, 1) / inputs**0.5) for _ in range(1 + inputs)]

    return [[unit(n) for _ in range(m)] for n, m in pairwise(sizes)]


def apply(network: Network, inputs: Sequence) -> list[Value]:
    """Return the outputs of a network for ``inputs``, numbers or Values.

    The layers are affine, with tanh between them.
    """
    for i, layer in enumerate(network):
        if i > 0:
            inputs = [value.tanh() for value in inputs]
        inputs = [
            sum((w * value for w, value in zip(weights, inputs, strict=True)), bias)
            for bias, *weights in layer
        ]
    return inputs


def parameters(*networks: Network) -> list[Value]:
    """Return all biases and weights: layer by layer, unit by unit, the bias first."""
    return [w for network in networks for layer in network for unit in layer for w in unit]


def cross_entropy(x: Sequence[int], logits: Sequence[Value]) -> Value:
    """Return ``-log p(x given z)`` of bits, from logits, in nats, not negative.

    ``-sum_d (x_d log p_d + (1 - x_d) log(1 - p_d))`` with ``p = sigmoid(logits)``

    For a bit one of the two terms is 0, and ``1 - sigmoid(a)`` is
    ``sigmoid(-a)``. Raises ``ValueError`` for pixels that are neither 0 nor 1,
    and for a logit beyond about 745 on the wrong side; from 710 on its gradient
    is infinite.

    Book: eq-bce.
    """
    if any(bit not in (0, 1) for bit in x):
        raise ValueError(f"Pixels must be 0 or 1, but got {list(x)}.")
    signed = [a if bit else -a for bit, a in zip(x, logits, strict=True)]
    return -sum(a.sigmoid().log() for a in signed)


def kl_standard_normal(mu: Sequence[Value], logvar: Sequence[Value]) -> Value:
    """Return the KL of N(mu, diag(exp(logvar))) from N(0, I), in nats, not negative.

    ``1/2 sum_j (mu_j^2 + exp(logvar_j) - 1 - logvar_j)``

    Book: eq-kl-logvar.
    """
    return 0.5 * sum(m**2 + v.exp() - 1 - v for m, v in zip(mu, logvar, strict=True))


class Autoencoder:
    """An autoencoder of networks ``pixels-hidden-latent_dim`` and back."""

    def __init__(self, pixels: int, hidden: int, latent_dim: int, rng: Random):
        self.encoder = mlp([pixels, hidden, latent_dim], rng)
        self.decoder = mlp([latent_dim, hidden, pixels], rng)

    def forward(self, x: Sequence[int]) -> list[Value]:
        """Return the logits of the reconstruction."""
        z = apply(self.encoder, x)
        return apply(self.decoder, z)

    def loss(self, x: Sequence[int]) -> Value:
        """Return the cross-entropy of the reconstruction, nats.

        Book: def-autoencoder-loss.
        """
        logits = self.forward(x)
        return cross_entropy(x, logits)


class Output(NamedTuple):
    """What ``VAE.forward`` returns.

    The logits of the pixels, and the means and log-variances of q.
    """

    logits: list[Value]
    mu: list[Value]
    logvar: list[Value]


class VAE:
    """A variational autoencoder: an ``Autoencoder`` whose code is a distribution.

    The code is doubled and read as mu and logvar, and z is a sample.
    """

    def __init__(self, pixels: int, hidden: int, latent_dim: int, rng: Random):
        self.encoder = mlp([pixels, hidden, 2 * latent_dim], rng)
        self.decoder = mlp([latent_dim, hidden, pixels], rng)

    def forward(self, x: Sequence[int], eps: Sequence[float]) -> Output:
        """Return logits, mu and logvar, with ``z = mu + exp(logvar / 2) * eps``.

        ``eps`` are ``latent_dim`` numbers from N(0, 1), new ones for every
        pass; no parameters.

        Book: eq-reparameterisation.
        """
        code = apply(self.encoder, x)
        mu, logvar = code[: len(code) // 2], code[len(code) // 2 :]
        z = [m + (v / 2).exp() * e for m, v, e in zip(mu, logvar, eps, strict=True)]
        return Output(apply(self.decoder, z), mu, logvar)

    def loss(self, x: Sequence[int], eps: Sequence[float]) -> Value:
        """Return minus the one-sample ELBO, nats.

        Book: eq-elbo-one-sample.
        """
        logits, mu, logvar = self.forward(x, eps)
        return cross_entropy(x, logits) + kl_standard_normal(mu, logvar)


class Adam:
    """Adam with its usual constants 0.9, 0.999 and 1e-8, for a list of Values.

    Source: Kingma and Ba (2015), algorithm 1.
    """

    def __init__(self, values: Sequence[Value]):
        self.values, self.steps = values, 0
        self.means, self.squares = [0.0] * len(values), [0.0] * len(values)

    def step(self, grads: Sequence[float], lr: float) -> None:
        """Move each value against its gradient, in place, with the step size ``lr``."""
        self.steps += 1
        for i, (value, grad) in enumerate(zip(self.values, grads, strict=True)):
            self.means[i] += 0.1 * (grad - self.means[i])
            self.squares[i] += 0.001 * (grad**2 - self.squares[i])
            mean = self.means[i] / (1 - 0.9**self.steps)
            square = self.squares[i] / (1 - 0.999**self.steps)
            value.data -= lr * mean / (square**0.5 + 1e-8)
