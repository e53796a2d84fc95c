"""Models small enough that evidence, posterior and ELBO are exact numbers.

The lamp strip is the book's running example: eight lamps, each on or off, and a lit
bump that moves with z. All 256 images can be listed, and the single integral over z is
done by quadrature.
"""

import math

import torch
from torch import Tensor

from vae_teach.distributions import (
    bernoulli_log_prob,
    diagonal_normal_log_prob,
    standard_normal_log_prob,
)

GRID_LIMIT, GRID_POINTS = 20.0, 4001


class LampStrip:
    """z is N(0, 1); lamp d = 0..7 is lit with logit ``3 - 1.5 (d - 3.5 - 2.5 z)^2``.

    Float64 throughout. Integrals over z use the trapezoidal rule on [-20, 20] in steps
    of 0.01, which for integrands that are smooth and vanish at both ends is accurate to
    about 1e-12. A Gaussian q fits when its standard deviation lies between about 0.02
    and 2.
    """

    num_pixels = 8

    def __init__(self):
        self.grid = torch.linspace(-GRID_LIMIT, GRID_LIMIT, GRID_POINTS, dtype=torch.float64)
        self.log_step = math.log(2 * GRID_LIMIT / (GRID_POINTS - 1))

    def images(self) -> Tensor:
        """All 256 images, ``(256, 8)`` float64; row i holds the binary digits of i,
        lamp 0 first.
        """
        numbers = torch.arange(2**self.num_pixels)
        shifts = torch.arange(self.num_pixels - 1, -1, -1)
        return ((numbers[:, None] >> shifts) & 1).double()

    def logits(self, z: Tensor) -> Tensor:
        """Decoder: ``z (...)`` to logits ``(..., 8)``.

        Book: def-lamp-strip.
        """
        lamp = torch.arange(self.num_pixels, dtype=z.dtype)
        return 3 - 1.5 * (lamp - 3.5 - 2.5 * z.unsqueeze(-1)) ** 2

    def log_joint(self, images: Tensor, z: Tensor) -> Tensor:
        """log p(x, z): ``images (..., 8)`` and ``z (M,)`` to ``(..., M)``. Nats."""
        log_p_x_given_z = bernoulli_log_prob(images.unsqueeze(-2), self.logits(z))
        return log_p_x_given_z + standard_normal_log_prob(z.unsqueeze(-1))

    def log_evidence(self, images: Tensor) -> Tensor:
        """log p(x) by quadrature: ``(..., 8)`` to ``(...)``. Nats, negative.

        Book: def-lamp-evidence.
        """
        return torch.logsumexp(self.log_joint(images, self.grid), -1) + self.log_step

    def log_posterior(self, images: Tensor) -> Tensor:
        """log p(z given x) on ``grid``: ``(..., 8)`` to ``(..., len(grid))``. Nats."""
        return self.log_joint(images, self.grid) - self.log_evidence(images).unsqueeze(-1)

    def log_q(self, mu: Tensor, logvar: Tensor) -> Tensor:
        """log N(z; mu, exp(logvar)) on ``grid``: ``(...)`` to ``(..., len(grid))``.
        Nats.
        """
        return diagonal_normal_log_prob(
            self.grid.unsqueeze(-1),
            mu.unsqueeze(-1).unsqueeze(-1),
            logvar.unsqueeze(-1).unsqueeze(-1),
        )

    def expectation(self, log_q: Tensor, values: Tensor) -> Tensor:
        """Expectation of ``values`` under a density given by its logarithm on ``grid``.

        Shapes: both ``(..., len(grid))`` to ``(...)``. Where the density underflows to
        0 it contributes 0.
        """
        density = log_q.exp()
        return torch.where(density > 0, density * values, 0.0).sum(-1) * math.exp(self.log_step)

    def elbo(self, images: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
        """ELBO of q = N(mu, exp(logvar)) by quadrature: ``(..., 8)``, ``(...)``,
        ``(...)`` to ``(...)``. Nats.

        Book: def-elbo.
        """
        log_q = self.log_q(mu, logvar)
        return self.expectation(log_q, self.log_joint(images, self.grid) - log_q)

    def kl_to_posterior(self, images: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
        """KL(N(mu, exp(logvar)) to p(z given x)) by quadrature; shapes as in ``elbo``.
        Nats, at least 0.
        """
        log_q = self.log_q(mu, logvar)
        return self.expectation(log_q, log_q - self.log_posterior(images))

    def mutual_information(self) -> Tensor:
        """I(x; z) under the model, 1.763 nats: the mean over images of KL(p(z given x)
        to p(z)).
        """
        images = self.images()
        log_posterior = self.log_posterior(images)
        log_prior = standard_normal_log_prob(self.grid.unsqueeze(-1))
        kl = self.expectation(log_posterior, log_posterior - log_prior)
        return (self.log_evidence(images).exp() * kl).sum()
