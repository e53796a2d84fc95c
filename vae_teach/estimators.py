"""Sampling as a differentiable map, and two estimators of the gradient of an expectation."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor


def normal_noise(shape: Sequence[int], like: Tensor, generator: torch.Generator | None) -> Tensor:
    """Draw noise from N(0, I) with the dtype and on the device of ``like``.

    It is drawn on the CPU, so that a seed gives the same noise on every device.
    """
    return torch.randn(shape, generator=generator, dtype=like.dtype).to(like.device)


def reparameterize(mu: Tensor, logvar: Tensor, eps: Tensor) -> Tensor:
    """Map noise to samples of N(mu, diag(exp(logvar))).

    ``z = mu + exp(logvar / 2) * eps`` with eps from N(0, I)

    Shapes: ``mu``, ``logvar (..., D)``; ``eps (..., D)`` or ``(L, ..., D)`` for
    L samples each; the result has the shape of ``eps``. Deterministic in
    ``eps``, differentiable in ``mu`` and ``logvar``. Raises ``ValueError`` for
    any other shapes: broadcasting would silently share noise between examples.

    Book: eq-reparameterisation. Source: Kingma and Welling (2014), section 2.4.
    """
    if mu.shape != logvar.shape or (eps.shape != mu.shape and eps.shape[1:] != mu.shape):
        raise ValueError(
            "reparameterize needs mu and logvar of one shape (..., D), and eps of that "
            "shape or with one sample axis L in front; "
            f"got mu {tuple(mu.shape)}, logvar {tuple(logvar.shape)}, eps {tuple(eps.shape)}."
        )
    return mu + torch.exp(0.5 * logvar) * eps


def pathwise_gradient(
    f: Callable[[Tensor], Tensor], mu: Tensor, logvar: Tensor, eps: Tensor
) -> tuple[Tensor, Tensor]:
    """Estimate the gradient of E[f(z)], z ~ N(mu, diag(exp(logvar))), along z = mu + sigma eps.

    ``grad_mu = f'(z)`` and ``grad_logvar = f'(z) * sigma * eps / 2``

    Shapes: ``mu``, ``logvar (D,)``; ``eps (L, D)``, L draws of N(0, I); ``f``
    takes ``(L, D)`` to ``(L,)``, each row by itself, and must be
    differentiable. Two results ``(L, D)``, one row for each sample. Their mean
    over L is unbiased if f is Lipschitz, and more generally if f is absolutely
    continuous along each coordinate and the expectations exist. That f has no
    jumps is not enough: Cantor's staircase has none, and its derivative is 0
    almost everywhere. The results are numbers: no gradient flows through them.
    Raises ``ValueError`` when ``f`` returns another shape.

    Book: eq-pathwise. Source: Kingma and Welling (2014), section 2.4.
    """
    mu, logvar = mu.detach(), logvar.detach()
    z = reparameterize(mu, logvar, eps).requires_grad_()
    (grad,) = torch.autograd.grad(_one_value_a_row(f, z).sum(), z)
    return grad, grad * torch.exp(0.5 * logvar) * eps / 2


@torch.no_grad()
def score_function_gradient(
    f: Callable[[Tensor], Tensor],
    mu: Tensor,
    logvar: Tensor,
    eps: Tensor,
    baseline: float = 0.0,
) -> tuple[Tensor, Tensor]:
    """Estimate the gradient of E[f(z)], z ~ N(mu, diag(exp(logvar))), by the score of q.

    ``grad_mu = (f(z) - baseline) * eps / sigma`` and ``grad_logvar = (f(z) -
    baseline) * (eps^2 - 1) / 2``

    Shapes and errors as in ``pathwise_gradient``. ``f`` need not be
    differentiable, nor continuous. Unbiased for every ``baseline`` that does
    not depend on the samples.

    Book: eq-score-function. Source: Williams (1992), section 6.
    """
    values = _one_value_a_row(f, reparameterize(mu, logvar, eps))
    weight = (values - baseline).unsqueeze(-1)
    return weight * eps * torch.exp(-0.5 * logvar), weight * (eps**2 - 1) / 2


def _one_value_a_row(f: Callable[[Tensor], Tensor], z: Tensor) -> Tensor:
    values = f(z)
    if values.shape != z.shape[:-1]:
        raise ValueError(
            "f must give one number for each row, "
            f"but took {tuple(z.shape)} to {tuple(values.shape)}."
        )
    return values
