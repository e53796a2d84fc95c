"""What a decoder's output means: p(x given z) with its log-probability, mean and samples.

The decoder returns *parameters* (``params``): logits for bits and for classes, means for
Gaussian pixels. Samples are drawn on the CPU, so that a seed gives the same on every device.
"""

import math

import torch
from torch import Tensor, nn

from vae_teach.distributions import LOG_2PI, bernoulli_log_prob
from vae_teach.estimators import normal_noise

__all__ = [
    "BernoulliLikelihood",
    "CategoricalLikelihood",
    "ContinuousBernoulliLikelihood",
    "GaussianLikelihood",
    "log_expm1_over",
]

SERIES_BELOW = 1e-2  # where formulas in exp(a) - 1 are replaced by their series


class BernoulliLikelihood(nn.Module):
    """Independent bits; ``params`` are logits.

    For grey pixels in (0, 1) ``log_prob`` is the expected log-probability of
    bits drawn with the greys as probabilities (binary cross-entropy with its
    sign changed), not a log-density of the grey image.
    """

    def log_prob(self, x: Tensor, params: Tensor) -> Tensor:
        """Return the log-probability of bits.

        ``sum_d (x_d log p_d + (1 - x_d) log(1 - p_d))`` with ``p = sigmoid(params)``

        Shapes: ``x``, ``params`` broadcast to ``(..., D_x)``; result ``(...)``.
        Nats, at most 0 for ``x`` in [0, 1].

        Book: eq-bernoulli-logits. Source: Kingma and Welling (2014), appendix C.1.
        """
        return bernoulli_log_prob(x, params)

    def mean(self, params: Tensor) -> Tensor:
        """Return the probability of a lit pixel, ``(..., D_x)`` to ``(..., D_x)``, in (0, 1)."""
        return torch.sigmoid(params)

    def sample(self, params: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw bits, ``(..., D_x)`` to ``(..., D_x)``.

        They are 0 and 1 in the dtype of ``params``.
        """
        return torch.bernoulli(self.mean(params).cpu(), generator=generator).to(params.device)


class GaussianLikelihood(nn.Module):
    """Independent Gaussian pixels with one standard deviation for all; ``params`` are means.

    ``scale`` is the standard deviation. It stays as given, or with ``learned``
    it is where training starts: ``log_scale`` is then a parameter of the
    module. Raises ``ValueError`` when ``scale`` is not positive.
    """

    def __init__(self, scale: float, learned: bool = False):
        super().__init__()
        if not scale > 0:
            raise ValueError(
                f"The scale of a Gaussian likelihood must be positive, but got {scale}."
            )
        # Without dimensions, so that float64 here leaves float32 pixels in float32.
        log_scale = torch.tensor(math.log(scale), dtype=torch.float64)
        if learned:
            self.log_scale = nn.Parameter(log_scale)
        else:
            self.register_buffer("log_scale", log_scale, persistent=False)

    @property
    def scale(self) -> Tensor:
        """Return the standard deviation, a positive number without dimensions."""
        return self.log_scale.exp()

    def log_prob(self, x: Tensor, params: Tensor) -> Tensor:
        """Return the log-density of the pixels.

        ``-sum_d ((x_d - params_d)^2 / (2 scale^2) + log scale + 1/2 log 2 pi)``

        Shapes: ``x``, ``params`` broadcast to ``(..., D_x)``; result ``(...)``.
        Nats; a density, so it may be positive when ``scale`` is small.

        Book: eq-gaussian-squared-error. Source: Bishop (2006), section 1.2.4.
        """
        squared_error = (x - params) ** 2 / (2 * self.scale**2)
        return -(squared_error + self.log_scale + 0.5 * LOG_2PI).sum(-1)

    def mean(self, params: Tensor) -> Tensor:
        """Return the mean, which is ``params`` itself."""
        return params

    def sample(self, params: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw pixels, ``(..., D_x)`` to ``(..., D_x)``."""
        return params + self.scale * normal_noise(params.shape, params, generator)


class CategoricalLikelihood(nn.Module):
    """Independent pixels, each in one of C classes; ``params`` are C logits for each pixel."""

    def log_prob(self, x: Tensor, params: Tensor) -> Tensor:
        """Return the log-probability of the classes.

        ``sum_d (a_{d, x_d} - log sum_c exp(a_{dc}))`` with logits ``a = params``

        Shapes: ``x (..., D_x)`` class numbers 0 to C - 1 (``int64``), ``params
        (..., D_x, C)``; result ``(...)``. Nats, at most 0. Raises ``TypeError``
        for ``x`` of another type.

        Book: eq-categorical. Source: Bishop (2006), section 4.3.4.
        """
        if x.dtype != torch.int64:
            raise TypeError(
                f"CategoricalLikelihood takes class numbers of type torch.int64, but got {x.dtype}."
            )
        x, _ = torch.broadcast_tensors(x.unsqueeze(-1), params[..., :1])
        chosen = params.log_softmax(-1).expand(*x.shape[:-1], -1).gather(-1, x)
        return chosen.squeeze(-1).sum(-1)

    def mean(self, params: Tensor) -> Tensor:
        """Return the probability of each class, the mean of a one-hot pixel.

        Shapes: ``(..., D_x, C)`` to ``(..., D_x, C)``.
        """
        return params.softmax(-1)

    def sample(self, params: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw class numbers, ``(..., D_x, C)`` to ``(..., D_x)``, ``int64``."""
        rows = self.mean(params).reshape(-1, params.shape[-1]).cpu()
        classes = torch.multinomial(rows, 1, generator=generator)
        return classes.reshape(params.shape[:-1]).to(params.device)


class ContinuousBernoulliLikelihood(nn.Module):
    """Independent grey pixels with density proportional to ``exp(a_d x_d)`` on [0, 1].

    ``params`` are the ``a_d``. This is the Bernoulli formula on grey pixels,
    with the normaliser that makes it a density. Its mean is not
    ``sigmoid(params)``.
    """

    def log_prob(self, x: Tensor, params: Tensor) -> Tensor:
        """Return the log-density of the pixels.

        ``sum_d (a_d x_d - log((exp(a_d) - 1) / a_d))`` with ``a = params``

        Shapes: ``x``, ``params`` broadcast to ``(..., D_x)``; result ``(...)``.
        Nats; a density, so it may be positive. At ``a_d = 0`` the density is 1.

        Book: eq-continuous-bernoulli. Source: Loaiza-Ganem and Cunningham (2019).
        """
        return (x * params - log_expm1_over(params)).sum(-1)

    def mean(self, params: Tensor) -> Tensor:
        """Return the mean of each pixel, in (0, 1).

        ``1 / (1 - exp(-a)) - 1 / a``, and 1/2 at ``a = 0``

        Shapes: ``(..., D_x)`` to ``(..., D_x)``.

        Book: eq-continuous-bernoulli-mean. Source: Loaiza-Ganem and Cunningham (2019).
        """
        near_0 = params.abs() < SERIES_BELOW
        small = torch.where(near_0, params, 0.0)  # no power overflows, not even in a gradient
        size = torch.where(near_0, 1.0, params).abs()
        falling = 1 / size + torch.exp(-size) / torch.expm1(-size)  # at -size
        return torch.where(
            near_0,
            0.5 + small / 12 - small**3 / 720,
            torch.where(params > 0, 1 - falling, falling),
        )

    def sample(self, params: Tensor, generator: torch.Generator | None = None) -> Tensor:
        """Draw pixels in [0, 1], ``(..., D_x)`` to ``(..., D_x)``.

        Each is the quantile of a uniform number.
        """
        u = torch.rand(params.shape, generator=generator, dtype=params.dtype).to(params.device)
        a = -params.abs().clamp(min=1e-6)  # a falling density, so that exp does not overflow
        falling = torch.log1p(u * torch.expm1(a)) / a
        return torch.where(params > 0, 1 - falling, falling)


def log_expm1_over(a: Tensor) -> Tensor:
    """Return the log-normaliser of ``exp(a x)`` on [0, 1].

    ``log((exp(a) - 1) / a)``, near 0 by the series ``a / 2 + a^2 / 24 - a^4 / 2880``

    Any shape.
    """
    near_0 = a.abs() < SERIES_BELOW
    small = torch.where(near_0, a, 0.0)  # no power overflows, not even in a gradient
    size = torch.where(near_0, 1.0, a).abs()
    falling = torch.log(-torch.expm1(-size)) - size.log()  # at -size
    return torch.where(
        near_0,
        small / 2 + small**2 / 24 - small**4 / 2880,
        torch.where(a > 0, size + falling, falling),
    )
