"""Kullback-Leibler divergences between Gaussians, in closed form and from samples.

All are written KL(q to p): the expectation is under the *first* distribution. Nats. They
are at least 0, but rounding may take a closed form a little below.
"""

from collections.abc import Callable

import torch
from torch import Tensor


def kl_standard_normal(mu: Tensor, logvar: Tensor) -> Tensor:
    """Return KL(N(mu, diag(exp(logvar))) to N(0, I)).

    ``1/2 sum_j (mu_j^2 + exp(logvar_j) - 1 - logvar_j)``

    Shapes: ``mu``, ``logvar (..., D)`` to ``(...)``. Nats; 0 at mu = 0, logvar
    = 0 and positive elsewhere, up to rounding: near that point a float32 result
    may be some 1e-8 below 0 for each latent variable.

    Book: eq-kl-logvar. Source: Kingma and Welling (2014), appendix B.
    """
    return 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(-1)


def kl_diagonal_normals(mu_q: Tensor, logvar_q: Tensor, mu_p: Tensor, logvar_p: Tensor) -> Tensor:
    """Return KL(N(mu_q, diag(exp(logvar_q))) to N(mu_p, diag(exp(logvar_p)))).

    ``1/2 sum_j (logvar_p_j - logvar_q_j + exp(logvar_q_j - logvar_p_j) + d_j -
    1)`` with ``d_j = (mu_q_j - mu_p_j)^2 exp(-logvar_p_j)``

    Shapes: four tensors ``(..., D)`` to ``(...)``. Nats, at least 0 up to rounding.

    Book: eq-kl-diagonal. Source: Kullback (1959), chapter 9; derived in the book.
    """
    ratio = torch.exp(logvar_q - logvar_p)
    distance = (mu_q - mu_p) ** 2 * torch.exp(-logvar_p)
    return 0.5 * (logvar_p - logvar_q + ratio + distance - 1).sum(-1)


def kl_normals(mu_q: Tensor, cov_q: Tensor, mu_p: Tensor, cov_p: Tensor) -> Tensor:
    """Return KL(N(mu_q, cov_q) to N(mu_p, cov_p)) for full covariances, by Cholesky.

    ``1/2 (tr(cov_p^-1 cov_q) + d^T cov_p^-1 d - D + log det cov_p - log det
    cov_q)`` with ``d = mu_p - mu_q``

    Shapes: means ``(..., D)``, covariances ``(..., D, D)`` to ``(...)``. Nats,
    at least 0 up to rounding. Raises ``torch.linalg.LinAlgError`` when a
    covariance is not positive definite.

    Book: eq-kl-full. Source: Kullback (1959), chapter 9; derived in the book.
    """
    L_q, L_p = torch.linalg.cholesky(cov_q), torch.linalg.cholesky(cov_p)
    shift = (mu_p - mu_q).unsqueeze(-1)
    # The trace is the sum of squares of L_p^-1 L_q, the quadratic form that of L_p^-1 shift.
    trace = (torch.linalg.solve_triangular(L_p, L_q, upper=False) ** 2).sum((-2, -1))
    quadratic = (torch.linalg.solve_triangular(L_p, shift, upper=False) ** 2).sum((-2, -1))
    log_det_q = 2 * L_q.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    log_det_p = 2 * L_p.diagonal(dim1=-2, dim2=-1).log().sum(-1)
    return 0.5 * (trace + quadratic - mu_q.shape[-1] + log_det_p - log_det_q)


def kl_monte_carlo(
    log_q: Callable[[Tensor], Tensor], log_p: Callable[[Tensor], Tensor], samples: Tensor
) -> tuple[Tensor, Tensor]:
    """Estimate KL(q to p) as the mean of ``log q(z) - log p(z)`` over samples of q.

    ``log_q`` and ``log_p`` take samples ``(N, ...)`` and give log-densities
    ``(N, ...)``; ``samples`` are drawn from q, and N is at least 2. Returns
    ``(estimate, standard_error)``, both in nats and without the leading N. The
    estimate is unbiased and may be negative; the standard error is the sample
    standard deviation over sqrt(N).

    Book: eq-kl-monte-carlo.
    """
    log_ratio = log_q(samples) - log_p(samples)
    n = log_ratio.shape[0]
    if n < 2:
        raise ValueError(
            f"kl_monte_carlo needs at least 2 samples for a standard error, but got {n}."
        )
    return log_ratio.mean(0), log_ratio.std(0) / n**0.5
