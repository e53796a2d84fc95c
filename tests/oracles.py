"""Independent routes to the numbers of the package: quadrature and Monte Carlo with its error."""

import math

import numpy as np
import torch
from helpers import tensor

MAX_Z = 4.5


def line(low, high, points):
    """Nodes and the step of the trapezoidal rule (for functions that vanish at both ends)."""
    return torch.linspace(low, high, points, dtype=torch.float64), (high - low) / (points - 1)


def plane(low, high, points):
    """Nodes ``(points^2, 2)`` of a square and the area of a cell."""
    nodes, step = line(low, high, points)
    return torch.cartesian_prod(nodes, nodes), step**2


def gauss_hermite(points=80):
    """Nodes and weights with ``sum(weights * f(nodes))`` the mean of f under N(0, 1)."""
    nodes, weights = np.polynomial.hermite_e.hermegauss(points)
    return torch.from_numpy(nodes), torch.from_numpy(weights / math.sqrt(2 * math.pi))


def all_bits(size):
    """All ``2^size`` vectors of bits."""
    return torch.cartesian_prod(*[tensor(0.0, 1.0)] * size).reshape(-1, size)


def z_score(samples, expected):
    """Standard errors from the mean of samples ``(N, ...)`` to the expected value; the worst."""
    samples = torch.as_tensor(samples, dtype=torch.float64)
    error = samples.std(0) / len(samples) ** 0.5
    return ((samples.mean(0) - expected) / error).abs().max().item()


def central_difference(f, x, step=1e-5):
    """Gradient of a scalar function of a vector, without autograd."""
    rows = torch.eye(len(x), dtype=x.dtype) * step
    return torch.stack([(f(x + row) - f(x - row)) / (2 * step) for row in rows])
