"""What a decoder's output means: p(x given z) as a module with ``log_prob``, ``mean``
and ``sample``.

The decoder returns *parameters* (``params``): logits for Bernoulli pixels, means for
Gaussian ones.
"""

import math

import torch
from torch import Tensor, nn

from vae_teach.distributions import LOG_2PI, bernoulli_log_prob


class BernoulliLikelihood(nn.Module):
    """Independent bits; ``params`` are logits.

    For grey pixels in (0, 1) ``log_prob`` is the expected log-probability of bits drawn
    with those chances (binary cross-entropy with its sign changed), not a log-density
    of the grey image.
    """

    def log_prob(self, x: Tensor, params: Tensor) -> Tensor:
        """``sum_d (x_d log p_d + (1 - x_d) log(1 - p_d))`` with ``p =
        sigmoid(params)``.

        Shapes: ``x``, ``params`` broadcast to ``(..., D)``; result ``(...)``. Nats, at
        most 0.

        Book: eq-bernoulli-logits. Source: Kingma and Welling (2014), appendix C.1.
        """
        return bernoulli_log_prob(x, params)

    def mean(self, params: Tensor) -> Tensor:
        """The chance of a lit pixel: ``(..., D)`` to ``(..., D)``, in (0, 1)."""
        return torch.sigmoid(params)

    def sample(self, params: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """One draw of bits, ``(..., D)`` to ``(..., D)``, values 0 and 1 in the dtype
        of ``params``.
        """
        return torch.bernoulli(self.mean(params), generator=generator)


class GaussianLikelihood(nn.Module):
    """Independent Gaussian pixels with one fixed standard deviation ``scale``;
    ``params`` are means.
    """

    def __init__(self, scale: float):
        super().__init__()
        if not scale > 0:
            raise ValueError(
                f"The scale of a Gaussian likelihood must be positive, but got {scale}."
            )
        self.scale = scale

    def log_prob(self, x: Tensor, params: Tensor) -> Tensor:
        """``-sum_d ((x_d - params_d)^2 / (2 scale^2) + log scale + 1/2 log 2 pi)``.

        Shapes: ``x``, ``params`` broadcast to ``(..., D)``; result ``(...)``. Nats; a
        density, so it may be positive when ``scale`` is small.

        Book: eq-gaussian-squared-error. Source: Bishop (2006), section 1.2.4.
        """
        squared_error = (x - params) ** 2 / (2 * self.scale**2)
        return -(squared_error + math.log(self.scale) + 0.5 * LOG_2PI).sum(-1)

    def mean(self, params: Tensor) -> Tensor:
        """The mean itself: ``(..., D)`` to ``(..., D)``."""
        return params

    def sample(self, params: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """One draw, ``(..., D)`` to ``(..., D)``."""
        noise = torch.randn(
            params.shape, generator=generator, dtype=params.dtype, device=params.device
        )
        return params + self.scale * noise
