"""Log-densities: one number per example, in nats, constants included."""

import math

import torch
from torch import Tensor
from torch.nn.functional import logsigmoid

LOG_2PI = math.log(2 * math.pi)


def standard_normal_log_prob(z: Tensor) -> Tensor:
    """Return the log-density of N(0, I).

    ``-1/2 sum_j (z_j^2 + log 2 pi)``

    Shapes: ``z (..., D)`` to ``(...)``. Nats.

    Book: def-standard-normal.
    """
    return -0.5 * (z**2 + LOG_2PI).sum(-1)


def diagonal_normal_log_prob(z: Tensor, mu: Tensor, logvar: Tensor) -> Tensor:
    """Return the log-density of N(mu, diag(exp(logvar))).

    ``-1/2 sum_j ((z_j - mu_j)^2 / sigma_j^2 + log sigma_j^2 + log 2 pi)``

    Shapes: ``z``, ``mu``, ``logvar`` broadcast to ``(..., D)``; result
    ``(...)``. Nats; a density, so it may be positive.

    Book: def-diagonal-normal.
    """
    return -0.5 * ((z - mu) ** 2 * torch.exp(-logvar) + logvar + LOG_2PI).sum(-1)


def normal_log_prob(x: Tensor, mu: Tensor, cov: Tensor) -> Tensor:
    """Return the log-density of N(mu, cov) with a full covariance matrix, by Cholesky.

    ``-1/2 ((x - mu)^T cov^-1 (x - mu) + log det cov + D log 2 pi)``

    Shapes: ``x``, ``mu (..., D)``, ``cov (..., D, D)`` to ``(...)``. Nats.
    Raises ``torch.linalg.LinAlgError`` when ``cov`` is not positive definite.

    Book: def-full-normal.
    """
    factor = torch.linalg.cholesky(cov)
    white = torch.linalg.solve_triangular(factor, (x - mu).unsqueeze(-1), upper=False).squeeze(-1)
    log_det = 2 * factor.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return -0.5 * ((white**2).sum(-1) + log_det + x.shape[-1] * LOG_2PI)


def bernoulli_log_prob(x: Tensor, logits: Tensor) -> Tensor:
    """Return the log-probability of independent bits, from logits.

    ``sum_d (x_d a_d - log(1 + exp(a_d)))``, which at ``p = sigmoid(a)`` is
    ``sum_d (x_d log p_d + (1 - x_d) log(1 - p_d))``

    Shapes: ``x``, ``logits`` broadcast to ``(..., D_x)``; result ``(...)``.
    Nats, at most 0 for ``x`` in [0, 1]. For grey ``x`` it is the *average*
    log-probability of bits drawn with the greys as probabilities, and not the
    log-density of a grey image.

    Book: eq-bernoulli-logits. Source: Kingma and Welling (2014), appendix C.1.
    """
    return (x * logits + logsigmoid(-logits)).sum(-1)
