"""Models small enough that evidence, posterior and ELBO are exact numbers.

A ``GridModel`` takes any likelihood and does the integral over one or two latent
variables as a sum over a grid. The lamp strip, the book's running example, is one: eight
lamps, each on or off, and a lit bump that moves with z; all its 256 images can be
listed. The linear-Gaussian model has closed forms in any dimension.
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


class GridModel:
    """A model whose integrals over one or two latent variables are sums over a grid.

    z is N(0, I), and x given z whatever ``log_p_x_given_z`` says, which takes one image
    ``(D_x,)`` and points ``(M, D)`` to ``(M,)`` nats. The grid covers ``[-limit, limit]^D``
    in float64; the error is small when the posterior is wide compared with its step. The
    cost is ``points_per_axis ** dim``, which is why there is no third dimension.

    ``grid (M, D)`` holds the points, ``axis (points_per_axis,)`` the values of one
    coordinate, ``log_cell`` the logarithm of the area that belongs to one point.
    """

    def __init__(
        self,
        log_p_x_given_z: Callable[[Tensor, Tensor], Tensor],
        dim: int = 2,
        limit: float = 5.0,
        points_per_axis: int = 201,
    ):
        if dim not in (1, 2):
            raise ValueError(
                f"GridModel takes 1 or 2 latent dimensions, but got {dim}: "
                f"a grid would need {points_per_axis}^{dim} points."
            )
        self.log_p_x_given_z = log_p_x_given_z
        self.axis = torch.linspace(-limit, limit, points_per_axis, dtype=torch.float64)
        self.grid = torch.cartesian_prod(*[self.axis] * dim).reshape(-1, dim)
        self.log_cell = dim * math.log(2 * limit / (points_per_axis - 1))

    def log_joint(self, x: Tensor, z: Tensor) -> Tensor:
        """Return log p(x, z) of every image at every point.

        Shapes: ``x (..., D_x)``, ``z (M, D)`` to ``(..., M)``. Nats.
        """
        # One image at a time: all at once would need len(x) times the memory.
        rows = [self.log_p_x_given_z(image, z) for image in x.reshape(-1, x.shape[-1])]
        log_p_x_given_z = torch.stack(rows).reshape(*x.shape[:-1], len(z))
        return log_p_x_given_z + standard_normal_log_prob(z)

    def log_evidence(self, x: Tensor) -> Tensor:
        """Return log p(x), summed over the grid.

        Shapes: ``x (..., D_x)`` to ``(...)``. Nats.

        Book: def-evidence, def-lamp-evidence.
        """
        return torch.logsumexp(self.log_joint(x, self.grid), -1) + self.log_cell

    def log_posterior(self, x: Tensor) -> Tensor:
        """Return the log-density of p(z given x) at the points of ``grid``.

        Shapes: ``x (..., D_x)`` to ``(..., M)``. Nats.
        """
        log_joint = self.log_joint(x, self.grid)
        return log_joint - (torch.logsumexp(log_joint, -1, keepdim=True) + self.log_cell)

    def log_q(self, mu: Tensor, logvar: Tensor) -> Tensor:
        """Return the log-density of N(mu, diag(exp(logvar))) at the points of ``grid``.

        Shapes: ``mu``, ``logvar (..., D)`` to ``(..., M)``. Nats. Raises ``ValueError`` for
        another last axis, which would be spread over the grid.
        """
        dim = self.grid.shape[1]
        if not mu.shape[-1:] == logvar.shape[-1:] == (dim,):
            raise ValueError(
                f"q needs mu and logvar (..., {dim}), one number for each latent variable, "
                f"but got {tuple(mu.shape)} and {tuple(logvar.shape)}."
            )
        return diagonal_normal_log_prob(self.grid, mu.unsqueeze(-2), logvar.unsqueeze(-2))

    def mean(self, log_density: Tensor, values: Tensor) -> Tensor:
        """Return the expectation of ``values`` under a density given by its logarithm on ``grid``.

        Shapes: both ``(..., M)`` to ``(...)``. Where the density underflows to 0 it contributes
        0.
        """
        density = log_density.exp()
        return torch.where(density > 0, density * values, 0.0).sum(-1) * math.exp(self.log_cell)

    def elbo(self, x: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
        """Return the ELBO of q = N(mu, diag(exp(logvar))), summed over the grid.

        Shapes: ``x (..., D_x)``, ``mu``, ``logvar (..., D)`` to ``(...)``. Nats.

        Book: def-elbo.
        """
        log_q = self.log_q(mu, logvar)
        return self.mean(log_q, self.log_joint(x, self.grid) - log_q)

    def kl_to_posterior(self, x: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
        """Return KL(N(mu, diag(exp(logvar))) to p(z given x)), summed over the grid.

        Shapes as in ``elbo``. Nats, at least 0.
        """
        log_q = self.log_q(mu, logvar)
        return self.mean(log_q, log_q - self.log_posterior(x))


class LampStrip(GridModel):
    """The lamp strip: eight lamps, each on or off, and a lit bump that moves with z.

    z is N(0, 1); lamp d = 0..7 is lit with logit ``3 - 1.5 (d - 3.5 - 2.5 z)^2``. Integrals
    run over [-20, 20] in steps of 0.01. The integrands are smooth and vanish at both ends,
    so that they are accurate to about 1e-12. A Gaussian q fits when its standard deviation
    lies between about 0.02 and 2.
    """

    num_pixels = 8

    def __init__(self):
        super().__init__(self.log_p_x_given_z, dim=1, limit=20.0, points_per_axis=4001)

    def images(self) -> Tensor:
        """Return all 256 images, ``(256, 8)`` float64.

        Row i holds the binary digits of i, lamp 0 first.
        """
        numbers = torch.arange(2**self.num_pixels)
        shifts = torch.arange(self.num_pixels - 1, -1, -1)
        return ((numbers[:, None] >> shifts) & 1).double()

    def logits(self, z: Tensor) -> Tensor:
        """Decode z into the logits of the lamps.

        Shapes: ``z (..., 1)`` to ``(..., 8)``. Raises ``ValueError`` for another last axis, which
        would be spread over the lamps.

        Book: def-lamp-strip.
        """
        if z.shape[-1:] != (1,):
            raise ValueError(f"The strip's z is (..., 1), but got {tuple(z.shape)}.")
        lamp = torch.arange(self.num_pixels, dtype=z.dtype)
        return 3 - 1.5 * (lamp - 3.5 - 2.5 * z) ** 2

    def log_p_x_given_z(self, x: Tensor, z: Tensor) -> Tensor:
        """Return log p(x given z).

        Shapes: ``x (..., 8)`` and ``z (..., 1)`` broadcast to ``(...)``. Nats, at most 0.
        """
        return bernoulli_log_prob(x, self.logits(z))

    def mutual_information(self) -> Tensor:
        """Return I(x; z) under the model, 1.763 nats.

        It is the mean over images of KL(p(z given x) to p(z)).
        """
        images = self.images()
        log_posterior = self.log_posterior(images)
        kl = self.mean(log_posterior, log_posterior - standard_normal_log_prob(self.grid))
        return (self.log_evidence(images).exp() * kl).sum()


class LinearGaussian:
    """The linear-Gaussian model: evidence, posterior and ELBO in closed form, in any dimension.

    z is N(0, I) of dimension D; x given z is N(weight z + bias, scale^2 I). ``weight (D_x,
    D)``, ``bias (D_x,)``, ``scale`` a positive number. Source: Bishop (2006), section 12.2.
    """

    def __init__(self, weight: Tensor, bias: Tensor, scale: float):
        self.weight, self.bias, self.scale = weight, bias, scale

    def log_p_x_given_z(self, x: Tensor, z: Tensor) -> Tensor:
        """Return log p(x given z).

        Shapes: ``x (..., D_x)``, ``z (..., D)`` to ``(...)``. Nats; a density, so it may be
        positive.
        """
        logvar = torch.full_like(self.bias, 2 * math.log(self.scale))
        return diagonal_normal_log_prob(x, z @ self.weight.T + self.bias, logvar)

    def log_joint(self, x: Tensor, z: Tensor) -> Tensor:
        """Return log p(x, z) of every image at every point.

        Shapes: ``x (..., D_x)``, ``z (M, D)`` to ``(..., M)``. Nats.
        """
        return self.log_p_x_given_z(x.unsqueeze(-2), z) + standard_normal_log_prob(z)

    def log_evidence(self, x: Tensor) -> Tensor:
        """Return log p(x), the log-density of a Gaussian.

        ``log N(x; bias, weight weight^T + scale^2 I)``

        Shapes: ``x (..., D_x)`` to ``(...)``. Nats.

        Book: eq-linear-evidence. Source: Bishop (2006), equation 12.35.
        """
        noise = self.scale**2 * torch.eye(len(self.bias), dtype=self.bias.dtype)
        return normal_log_prob(x, self.bias, self.weight @ self.weight.T + noise)

    def posterior_precision(self) -> Tensor:
        """Return the precision matrix of p(z given x), the same for every x.

        ``I + weight^T weight / scale^2``, shape ``(D, D)``

        Book: eq-linear-posterior. Source: Bishop (2006), equation 12.42.
        """
        identity = torch.eye(self.weight.shape[1], dtype=self.weight.dtype)
        return identity + self.weight.T @ self.weight / self.scale**2

    def posterior_mean(self, x: Tensor) -> Tensor:
        """Return the mean of p(z given x).

        ``precision^-1 weight^T (x - bias) / scale^2``

        Shapes: ``x (..., D_x)`` to ``(..., D)``.

        Book: eq-linear-posterior. Source: Bishop (2006), equation 12.42.
        """
        pull = (x - self.bias) @ self.weight / self.scale**2
        return torch.linalg.solve(self.posterior_precision(), pull.unsqueeze(-1)).squeeze(-1)

    def elbo(self, x: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
        """Return the ELBO of q = N(mu, diag(exp(logvar))) in closed form.

        Expectations of squares are the square at the mean plus the variance; the last term is
        the entropy of q.

        Shapes: ``x (..., D_x)``, ``mu``, ``logvar (..., D)`` to ``(...)``. Nats.

        Book: def-elbo.
        """
        variance = logvar.exp()
        spread = (variance * (self.weight**2).sum(0)).sum(-1) / (2 * self.scale**2)
        log_p_x_given_z = self.log_p_x_given_z(x, mu) - spread
        log_p_z = standard_normal_log_prob(mu) - 0.5 * variance.sum(-1)
        entropy = 0.5 * (logvar + 1 + LOG_2PI).sum(-1)
        return log_p_x_given_z + log_p_z + entropy

    def kl_to_posterior(self, x: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
        """Return KL(N(mu, diag(exp(logvar))) to p(z given x)) in closed form.

        Shapes as in ``elbo``. Nats, at least 0.
        """
        precision = self.posterior_precision()
        distance = mu - self.posterior_mean(x)
        quadratic = (distance @ precision * distance).sum(-1)
        trace = (precision.diagonal() * logvar.exp()).sum(-1)
        log_dets = torch.logdet(precision) + logvar.sum(-1)
        return 0.5 * (trace + quadratic - mu.shape[-1] - log_dets)
