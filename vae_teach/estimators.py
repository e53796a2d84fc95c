"""Sampling as a differentiable map: the reparameterisation."""

import torch
from torch import Tensor


def reparameterize(mu: Tensor, logvar: Tensor, eps: Tensor) -> Tensor:
    """``z = mu + exp(logvar / 2) * eps``, a sample of N(mu, diag(exp(logvar))) when
    eps is N(0, I).

    Shapes: ``mu``, ``logvar (..., D)``; ``eps (..., D)`` or ``(K, ..., D)`` for K
    samples each; the result has the shape of ``eps``. Deterministic in ``eps``,
    differentiable in ``mu`` and ``logvar``. Raises ``ValueError`` for any other
    shapes: broadcasting would silently share noise between examples.

    Book: eq-reparameterisation. Source: Kingma and Welling (2014), section 2.4.
    """
    if mu.shape != logvar.shape or (eps.shape != mu.shape and eps.shape[1:] != mu.shape):
        raise ValueError(
            "reparameterize needs mu and logvar of one shape (..., D), and eps of that "
            "shape or with one sample axis K in front; "
            f"got mu {tuple(mu.shape)}, logvar {tuple(logvar.shape)}, eps {tuple(eps.shape)}."
        )
    return mu + torch.exp(0.5 * logvar) * eps
