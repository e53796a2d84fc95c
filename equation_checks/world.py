r"""What the notation of a display stands for, as numbers.

    world = World({"p(x|z)": lambda x, z: ..., "p(z)": lambda z: ..., "x": images, "dz": Over("z", grid, step)})

The keys are the display's own notation without spaces: ``mu_q``, ``p(x|z)``, ``ELBO(x)``, ``E_q``. A value is
a number, a tensor, a sympy matrix or a function; the parameters of a function are the arguments that
the display gives it, and other names of the world. A density whose values may be too small for a
number is given by its logarithm, as ``log p(x|z)``. The last axis of a tensor belongs to the variable that is
averaged over; an index, as in ``mu_j``, counts from 1 along the first axis.
"""

import inspect
import math
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from functools import reduce
from operator import add
from typing import Any

import numpy as np
import sympy
import torch
from torch import Tensor

Operand = Callable[..., Any]
CONSTANTS = {"e": math.e, "pi": math.pi}


class Unreadable(ValueError):
    """A display uses something that has no meaning; nothing is ever guessed to be a product."""


@dataclass
class Over:
    """A weighted sum over one name, along the last axis; an integral if the weights are widths.

    The points of a vector have its entries along their first axis.
    """

    name: str
    points: Tensor
    weights: Tensor | float

    def __call__(self, operand: Operand) -> Tensor:
        weights = torch.as_tensor(self.weights, dtype=torch.float64)
        weights = weights.expand(torch.broadcast_shapes(weights.shape, self.points.shape[-1:]))
        return (weights * operand(**{self.name: self.points})).sum(-1, keepdim=True)


@dataclass
class Each:
    """An average over listed outcomes, each of which gives values to some names."""

    outcomes: Sequence[Mapping[str, Any]]
    weights: Sequence[float] | None = None

    def __call__(self, operand: Operand) -> Any:
        weights = self.weights or [1 / len(self.outcomes)] * len(self.outcomes)
        return reduce(
            add, (w * operand(**names) for w, names in zip(weights, self.outcomes, strict=True))
        )


@dataclass
class Definition:
    """What a definition of the book says, to be worked out in a world, and its logarithm."""

    value: Callable[["World"], Any]
    log: Callable[["World"], Any]


class World(dict):
    """From notation to meaning; see the module."""

    def bind(self, names: Mapping[str, Any]) -> "World":
        return World({**self, **names})

    def name_of(self, text: str) -> str:
        """The name itself, or the one that it stands for, as ``c`` does for a child of a node."""
        return self.name_of(self[text]) if isinstance(self.get(text), str) else text

    def look_up(self, text: str) -> Any:
        text = self.name_of(text)
        if text in self:
            return self._value(self[text], "value")
        if f"log {text}" in self:
            return apply("exp", self.look_up(f"log {text}"))
        if text in CONSTANTS:
            return CONSTANTS[text]
        raise Unreadable(f"'{text}' has no meaning here; what has: {', '.join(self)}.")

    def log_of(self, text: str) -> Any:
        """The logarithm of what ``text`` stands for, without its exponential where possible."""
        if f"log {text}" in self:
            return self.look_up(f"log {text}")
        if isinstance(self.get(text), Definition):
            return self._value(self[text], "log")
        return apply("log", self.look_up(text))

    def _value(self, entry: Any, form: str) -> Any:
        if isinstance(entry, Definition):
            return getattr(entry, form)(self)
        return self.call(entry) if inspect.isroutine(entry) else entry

    def keys_of(self, head: str) -> list[str]:
        """``p(x|z)``, ``p(z)``, ...: the forms in which a name takes arguments."""
        keys = [key.removeprefix("log ") for key in self]
        return [key for key in keys if key.startswith(f"{head}(")]

    def call(self, function: Callable, *arguments: Any) -> Any:
        """Call with these arguments, and the other parameters by their names in this world."""
        names = list(inspect.signature(function).parameters)[len(arguments) :]
        return function(*arguments, **{name: self.look_up(name) for name in names})

    def takes_arguments(self, head: str) -> bool:
        return inspect.isroutine(self.get(head)) or bool(self.keys_of(head))


def slope(world: World, operand: Operand, name: str, index: int | None = None) -> Any:
    """The derivative of an operand in one name of the world, or in one entry of a vector."""
    point = torch.as_tensor(world.look_up(name), dtype=torch.float64)
    direction = torch.ones_like(point)
    if index is not None:
        direction = torch.zeros_like(point)
        direction[index - 1] = 1
    _, tangent = torch.func.jvp(
        lambda moved: torch.as_tensor(operand(**{name: moved})), (point,), (direction,)
    )
    return tangent


def apply(function: str, value: Any) -> Any:
    """log, exp, ... of a number or, entry by entry, of a tensor; det of a matrix or a number."""
    if function == "det":
        return value.det() if isinstance(value, sympy.MatrixBase) else value
    if isinstance(value, Tensor):
        return getattr(torch, function)(value)
    return getattr(math, function)(value)


def times(left: Any, right: Any) -> Any:
    product = left * right
    if isinstance(product, sympy.MatrixBase) and product.shape == (1, 1):
        return product[0]
    return product


def log_normal(x: Any, mean: Any, variance: Any) -> Any:
    """The log-density of a Gaussian, entry by entry; of matrices, in all dimensions together."""
    if not isinstance(variance, sympy.MatrixBase):
        variance = torch.as_tensor(variance, dtype=torch.float64)
        return -((x - mean) ** 2) / (2 * variance) - (2 * math.pi * variance).log() / 2
    shift = numbers(x - mean if mean else x).flatten()
    covariance = numbers(variance)
    exponent = shift @ torch.linalg.solve(covariance, shift) + torch.logdet(covariance)
    return -(exponent + len(shift) * math.log(2 * math.pi)) / 2


def variance(average: Callable[[Operand], Any], operand: Operand) -> Any:
    """The average of the squared deviation; of columns, their covariance matrix."""
    mean = average(operand)

    def squared(**names: Any) -> Any:
        deviation = operand(**names) - mean
        return deviation * deviation.T if isinstance(mean, sympy.MatrixBase) else deviation**2

    return average(squared)


def divergence(over: Over, log_q: Operand, log_p: Operand) -> Any:
    """KL(q || p), the sum or integral of q log(q / p); where q is 0, nothing."""

    def integrand(**z: Any) -> Tensor:
        q = log_q(**z).exp()
        return weigh(q, log_q(**z) - log_p(**z))

    return over(integrand)


def weigh(density: Any, value: Any) -> Any:
    """The density times the value; where the density is 0, nothing."""
    return torch.where(torch.as_tensor(density) > 0, density * value, 0.0)


def entropy(over: Over, log_q: Operand) -> Any:
    """H(q), the sum or integral of -q log q; where q is 0, nothing."""
    return over(lambda **z: weigh(log_q(**z).exp(), -log_q(**z)))


def interval(name: str, low: float, high: float) -> Over:
    """An integral from low to high, by Gauss and Legendre's rule with 100 points."""
    nodes, weights = (torch.from_numpy(a) for a in np.polynomial.legendre.leggauss(100))
    return Over(name, (low + high) / 2 + (high - low) / 2 * nodes, (high - low) / 2 * weights)


def numbers(value: Any) -> Tensor:
    """A value as a tensor of float64, without the axis that an average has left."""
    if isinstance(value, sympy.MatrixBase):
        return torch.tensor(value.tolist(), dtype=torch.float64)
    return as_float64(float(value) if isinstance(value, sympy.Basic) else value).squeeze(-1)


def as_float64(value: Any) -> Tensor:
    """A number or tensor in double precision. Raises ``ValueError`` if it is complex."""
    if torch.as_tensor(value).is_complex():
        raise ValueError("A side is complex; compare its real and its imaginary part.")
    return torch.as_tensor(value, dtype=torch.float64)
