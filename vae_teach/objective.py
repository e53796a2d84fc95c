"""Which objective a program computes, read off its values alone.

A program is run on random inputs. Each of its values is compared with what it may be made of: a
reconstruction term, in the forms that people write, and the four terms of the KL, in the readings
that people give the encoder's second output. Least squares tells which forms fit, and with what
weights. Nothing is read in the source.
"""

import math
from collections.abc import Iterable
from typing import NamedTuple

import torch
from torch import Tensor

from vae_teach.distributions import bernoulli_log_prob

__all__ = [
    "Fit",
    "Observation",
    "PowerLaw",
    "fit",
    "kl_features",
    "kl_features_of_noise",
    "pixel_features",
    "power_law",
]

TOLERANCE = 1e-4  # of the spread of the values; rounding in float32 is about 1e-6 of it


class Observation(NamedTuple):
    """One value of a program, and the numbers that it may be a weighted sum of.

    ``reconstructions`` has a number for each form of the reconstruction term, ``kls`` three
    for each reading of the KL, as ``kl_features`` gives them; both are sums over the batch.
    """

    value: float
    batch_size: int
    reconstructions: dict[str, float]
    kls: dict[str, tuple[float, float, float]]


class Fit(NamedTuple):
    """The weights that explain the observations of one batch size.

    ``value = reconstruction_weight * R + sum_i kl_weights_i * K_i + constant``, where ``error``
    is the root mean square of what is left, as a share of the spread of the values.
    ``errors`` say how exact the three weights of the KL and the constant are. ``reconstruction``
    and ``reading`` name the forms that fit.
    """

    reconstruction: str | None
    reading: str | None
    reconstruction_weight: float
    kl_weights: tuple[float, float, float]
    constant: float
    error: float
    batch_size: int
    errors: tuple[float, ...] = ()

    def value_of(self, observation: Observation) -> float:
        """Return the value that these weights give."""
        total = self.constant
        if self.reconstruction:
            total += self.reconstruction_weight * observation.reconstructions[self.reconstruction]
        if self.reading:
            features = observation.kls[self.reading]
            total += sum(w * f for w, f in zip(self.kl_weights, features, strict=True))
        return total


class PowerLaw(NamedTuple):
    """``factor * batch_size ** power``"""

    factor: float
    power: int

    def at(self, batch_size: int) -> float:
        return self.factor * batch_size**self.power


def pixel_features(params: Tensor, x: Tensor) -> dict[str, float]:
    """Return what the reconstruction term may be: sums over a batch, in nats or squared pixels.

    Shapes: ``params``, ``x (B, D_x)``. A form that these numbers do not allow, such as the
    logarithm of a negative probability, is left out.
    """
    params, x = params.double(), x.double()
    squashed = torch.sigmoid(params)
    forms = {
        "cross-entropy of logits": -bernoulli_log_prob(x, params),
        "cross-entropy of probabilities": _cross_entropy(x, params),
        "cross-entropy of squashed logits": -bernoulli_log_prob(x, squashed),
        "squared error": (x - params) ** 2,
        "squared error of squashed": (x - squashed) ** 2,
        "absolute error": (x - params).abs(),
        "absolute error of squashed": (x - squashed).abs(),
        "swapped cross-entropy of logits": -bernoulli_log_prob(params, x),
        "swapped cross-entropy of probabilities": _cross_entropy(params, x),
        "swapped cross-entropy of squashed": _cross_entropy(squashed, x),
    }
    sums = {name: float(values.sum()) for name, values in forms.items()}
    return {name: total for name, total in sums.items() if math.isfinite(total)}


def _cross_entropy(x: Tensor, p: Tensor) -> Tensor:
    """Return the cross-entropy of probabilities, logarithms cut off at -100 as PyTorch's are."""
    log_p, log_not_p = p.log().clamp(min=-100), (1 - p).log().clamp(min=-100)
    return -(x * log_p + (1 - x) * log_not_p)


def kl_features(mu: Tensor, second: Tensor) -> dict[str, tuple[float, float, float]]:
    """Return what the KL may be made of, for each reading of the encoder's second output.

    The KL is ``1/2 sum (mu^2 + exp(u) - 1 - u)``, where ``u`` is the log-variance. A program
    that reads the number ``second`` otherwise has another ``u``. Each reading has three
    numbers, sums over the batch: ``mu^2``, ``exp(u)``, ``-u``.

    Shapes: ``mu``, ``second (B, D)``. Readings that these numbers do not allow are left out.
    """
    mu, s = mu.double(), second.double()
    readings = {
        "log-variance": s,
        "log sigma": 2 * s,
        "sigma": (s**2).log(),
        "variance": s.log(),
        "exp of log-variance": s.exp(),
        "exp of half the log-variance": (s / 2).exp(),
    }
    pairs = {name: (u.exp(), -u) for name, u in readings.items()}
    pairs["sigma in place of the variance"] = ((s / 2).exp(), -s)
    pairs["squared variance"] = ((2 * s).exp(), -s)
    pairs["exp twice in one term"] = (s.exp().exp(), -s)
    sums = _sums(mu, pairs)
    sums["mu for log-variance"] = (float((s**2).sum()), float(mu.exp().sum()), float(-mu.sum()))
    # KL(N(0, I) to q): 1/2 sum (mu^2 exp(-s) + exp(-s) - 1 + s)
    precision = (-s).exp()
    sums["reversed"] = tuple(float(t.sum()) for t in (mu**2 * precision, precision, s))
    return {name: row for name, row in sums.items() if all(map(math.isfinite, row))}


def _sums(mu: Tensor, pairs: dict[str, tuple[Tensor, Tensor]]) -> dict[str, tuple]:
    squares = float((mu**2).sum())
    return {name: (squares, float(a.sum()), float(b.sum())) for name, (a, b) in pairs.items()}


def kl_features_of_noise(mu: Tensor, sigma: Tensor, eps: Tensor) -> dict[str, tuple]:
    """Return what the KL may be made of, where ``z = mu + sigma * eps`` is what is known.

    The readings are of the number that the KL takes for the log-variance; the last is an
    estimate from one sample, ``log q(z given x) - log p(z)``.

    Shapes: ``(B, D)`` each. Readings that these numbers do not allow are left out.
    """
    mu, sigma, eps = mu.double(), sigma.double(), eps.double()
    logvar = (sigma**2).log()
    readings = {
        "log-variance": logvar,
        "log sigma for log-variance": logvar / 2,
        "twice sigma for log-variance": 2 * sigma,
        "log sigma": 2 * logvar,
        "sigma for log-variance": sigma,
        "variance for log-variance": sigma**2,
    }
    pairs = {name: (u.exp(), -u) for name, u in readings.items()}
    pairs["sigma in place of the variance"] = (sigma, -logvar)
    pairs["squared variance"] = (sigma**4, -logvar)
    sums, z = _sums(mu, pairs), mu + sigma * eps
    sums["one sample"] = (float((z**2).sum()), float(-(eps**2).sum()), float(-logvar.sum()))
    sums |= {"z for mu": _sums(z, pairs)["log-variance"]}
    sums["mu for log-variance"] = (
        float((logvar**2).sum()),
        float(mu.exp().sum()),
        float(-mu.sum()),
    )
    return {name: row for name, row in sums.items() if all(map(math.isfinite, row))}


def fit(observations: list[Observation]) -> list[Fit] | None:
    """Return the weights at each batch size, of the first forms that explain all the values.

    ``None`` when no forms do. Needs some ten observations of each batch size.
    """
    first, *others = _by_size(observations)
    found = []
    for reconstruction in _common(o.reconstructions for o in observations):
        for reading in _common(o.kls for o in observations):
            one = _least_squares(first, reconstruction, reading)
            if one.error < TOLERANCE:  # most forms fail here already
                found.append(
                    [one, *(_least_squares(group, reconstruction, reading) for group in others)]
                )
    errors = [max(one.error for one in fits) for fits in found]
    errors = [error if math.isfinite(error) else math.inf for error in errors]
    best = min(errors, default=math.inf)
    if best > TOLERANCE:
        return None
    # Several forms may agree up to rounding; the usual ones stand first.
    return next(
        fits for fits, error in zip(found, errors, strict=True) if error <= 10 * best + 1e-9
    )


def power_law(fits: list[Fit], weights: Iterable[float]) -> PowerLaw | None:
    """Return how a weight depends on the batch size, ``factor * batch_size ** power``.

    ``weights`` are one number for each fit. ``None`` when no whole power fits.
    """
    weights = list(weights)
    sizes = [found.batch_size for found in fits]
    if len(sizes) == 1:
        return PowerLaw(weights[0], 0)
    if weights[0] * weights[-1] <= 0:
        return PowerLaw(0.0, 0) if weights[0] == weights[-1] == 0 else None
    power = math.log(weights[-1] / weights[0]) / math.log(sizes[-1] / sizes[0])
    if abs(power - round(power)) > 0.02:
        return None
    return PowerLaw(weights[0] / sizes[0] ** round(power), round(power))


def _by_size(observations: list[Observation]) -> list[list[Observation]]:
    sizes = sorted({o.batch_size for o in observations})
    return [[o for o in observations if o.batch_size == size] for size in sizes]


def _common(features: Iterable[dict]) -> list[str | None]:
    """Return the names that all have, in their order; ``[None]`` where there are no features."""
    first, *others = features
    return [name for name in first if all(name in other for other in others)] or [None]


def _least_squares(
    group: list[Observation], reconstruction: str | None, reading: str | None
) -> Fit:
    """Return the weights of the given forms that fit the observations best."""
    columns = [[1.0] * len(group)]
    if reconstruction:
        columns.append([o.reconstructions[reconstruction] for o in group])
    if reading:
        columns += zip(*(o.kls[reading] for o in group), strict=True)
    A = torch.tensor(columns, dtype=torch.float64).T
    y = torch.tensor([o.value for o in group], dtype=torch.float64)
    A_scaled = A / (scale := A.abs().amax(0).clamp(min=1e-300))
    solution = torch.linalg.lstsq(A_scaled, y[:, None], driver="gelsd").solution[:, 0]
    left, spread = (A_scaled @ solution - y).square().mean().sqrt(), y.std().clamp(min=1e-300)
    error = float(left / spread)
    if not error < TOLERANCE:  # the weights of what does not fit are of no interest
        return Fit(reconstruction, reading, 0.0, (0.0, 0.0, 0.0), 0.0, error, group[0].batch_size)
    # A weight below six of its standard errors is nothing but rounding.
    errors = left * torch.linalg.pinv(A_scaled.T @ A_scaled).diagonal().clamp(min=0).sqrt()
    noise = (6 * (len(group) / (len(group) - len(columns))) ** 0.5) * errors + 1e-9 * spread
    solution = torch.where(solution.abs() < noise, 0.0, solution) / scale
    constant, *weights = solution.tolist()
    alpha = weights.pop(0) if reconstruction else 0.0
    kl_weights = tuple(weights) if reading else (0.0, 0.0, 0.0)
    return Fit(
        reconstruction,
        reading,
        alpha,
        kl_weights,
        constant,
        error,
        group[0].batch_size,
        (*(noise / scale)[-3:].tolist(), float(noise[0] / scale[0])),
    )
