"""Models small enough that evidence, posterior and ELBO are exact numbers.

The lamp strip is the book's running example: eight lamps, each on or off, and a lit
bump that moves with z. All 256 images can be listed, and the single integral over z is
done by quadrature. The linear-Gaussian model has closed forms in any dimension. For any
other likelihood there is a grid, as long as z has one or two dimensions.
"""

import math
from collections.abc import Callable

import torch
from torch import Tensor

from vae_teach.distributions import (
    LOG_2PI,
    bernoulli_log_prob,
    diagonal_normal_log_prob,
    normal_log_prob,
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


class LinearGaussian:
    """z is N(0, I) of dimension D; x given z is N(weight z + bias, scale^2 I).

    Evidence, posterior and ELBO in closed form, in any dimension. ``weight (D_x, D)``,
    ``bias (D_x,)``, ``scale`` a positive number. Source: Bishop (2006), section 12.2.
    """

    def __init__(self, weight: Tensor, bias: Tensor, scale: float):
        self.weight, self.bias, self.scale = weight, bias, scale

    def log_p_x_given_z(self, x: Tensor, z: Tensor) -> Tensor:
        """``x (..., D_x)``, ``z (..., D)`` to ``(...)``. Nats; a density, so it may be
        positive.
        """
        logvar = torch.full_like(self.bias, 2 * math.log(self.scale))
        return diagonal_normal_log_prob(x, z @ self.weight.T + self.bias, logvar)

    def log_evidence(self, x: Tensor) -> Tensor:
        """log p(x) = log N(x; bias, weight weight^T + scale^2 I): ``(..., D_x)`` to
        ``(...)``. Nats.

        Book: eq-linear-evidence. Source: Bishop (2006), equation 12.35.
        """
        noise = self.scale**2 * torch.eye(len(self.bias), dtype=self.bias.dtype)
        return normal_log_prob(x, self.bias, self.weight @ self.weight.T + noise)

    def posterior_precision(self) -> Tensor:
        """``I + weight^T weight / scale^2``, the same for every x: ``(D, D)``.

        Book: eq-linear-posterior. Source: Bishop (2006), equation 12.42.
        """
        identity = torch.eye(self.weight.shape[1], dtype=self.weight.dtype)
        return identity + self.weight.T @ self.weight / self.scale**2

    def posterior_mean(self, x: Tensor) -> Tensor:
        """``precision^-1 weight^T (x - bias) / scale^2``: ``(..., D_x)`` to ``(...,
        D)``.

        Book: eq-linear-posterior. Source: Bishop (2006), equation 12.42.
        """
        pull = (x - self.bias) @ self.weight / self.scale**2
        return torch.linalg.solve(self.posterior_precision(), pull.unsqueeze(-1)).squeeze(-1)

    def elbo(self, x: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
        """ELBO of q = N(mu, diag(exp(logvar))) in closed form: ``(..., D_x)``, ``(...,
        D)``, ``(..., D)`` to ``(...)``. Nats.

        Expectations of squares are the square at the mean plus the variance; the last
        term is the entropy of q.

        Book: def-elbo.
        """
        variance = logvar.exp()
        spread = (variance * (self.weight**2).sum(0)).sum(-1) / (2 * self.scale**2)
        log_p_x_given_z = self.log_p_x_given_z(x, mu) - spread
        log_p_z = standard_normal_log_prob(mu) - 0.5 * variance.sum(-1)
        entropy = 0.5 * (logvar + 1 + LOG_2PI).sum(-1)
        return log_p_x_given_z + log_p_z + entropy


class GridModel:
    """z is N(0, I) in one or two dimensions, and x given z whatever
    ``log_likelihood(x, z)`` says.

    ``log_likelihood`` takes one image ``(D_x,)`` and points ``(M, dim)`` to ``(M,)``
    nats. Integrals are sums over a square grid on ``[-limit, limit]^dim`` with
    ``points_per_axis`` points a side; their error is small when the posterior is wide
    compared with the step. The cost is ``points_per_axis ** dim``, which is why there
    is no third dimension.
    """

    def __init__(
        self,
        log_likelihood: Callable[[Tensor, Tensor], Tensor],
        dim: int = 2,
        limit: float = 5.0,
        points_per_axis: int = 201,
    ):
        if dim not in (1, 2):
            raise ValueError(
                f"GridModel takes 1 or 2 latent dimensions, but got {dim}: "
                f"a grid would need {points_per_axis}^{dim} points."
            )
        self.log_likelihood = log_likelihood
        axis = torch.linspace(-limit, limit, points_per_axis, dtype=torch.float64)
        self.axis = axis
        self.grid = torch.cartesian_prod(*[axis] * dim).reshape(-1, dim)
        self.log_cell = dim * math.log(2 * limit / (points_per_axis - 1))

    def log_joint(self, images: Tensor) -> Tensor:
        """log p(x, z) at every point of ``grid``: ``(B, D_x)`` to ``(B, M)``. Nats."""
        log_p_x_given_z = torch.stack([self.log_likelihood(x, self.grid) for x in images])
        return log_p_x_given_z + standard_normal_log_prob(self.grid)

    def log_evidence(self, images: Tensor) -> Tensor:
        """log p(x) as a sum over the grid: ``(B, D_x)`` to ``(B,)``. Nats.

        Book: def-evidence.
        """
        return torch.logsumexp(self.log_joint(images), -1) + self.log_cell

    def log_posterior(self, images: Tensor) -> Tensor:
        """log p(z given x), a log-density, at every point of ``grid``: ``(B, D_x)`` to
        ``(B, M)``. Nats.
        """
        log_joint = self.log_joint(images)
        return log_joint - torch.logsumexp(log_joint, -1, keepdim=True) - self.log_cell
