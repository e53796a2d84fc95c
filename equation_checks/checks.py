"""Checks of displayed equations. Each prints one stable line, or raises ``CheckFailed``.

A check compares sides that reach one value by independent routes, and knows each by its name:

    check = checks.exact(
        "eq-kl-logvar", {"kl": kl(mu, logvar), "torch.distributions": oracle},
        over="100 random points", tolerance=1e-12,
    )
    check.catches("mean in place of sum", kl(mu, logvar) / 20)

The last side is the reference. What should be 0 is never printed, only the bound that it met;
the miss of a mistake, which should not be 0, is printed to three digits.
"""

import math
import random
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any

import sympy
import torch
from torch import Tensor

from equation_checks.line import CATCHES, Line

__all__ = [
    "Check",
    "CheckFailed",
    "chain",
    "exact",
    "gradient",
    "inequality",
    "monte_carlo",
    "proved",
    "refuted",
    "special_case",
]

Sides = Mapping[str, Any]


class CheckFailed(AssertionError):
    """An equation does not hold as it was checked."""


@dataclass(frozen=True)
class Check:
    """A check that has passed: ``miss`` measures how far another claim is from its reference."""

    label: str
    miss: Callable[[Any], float]
    bound: float
    unit: str = ""

    def catches(self, mistake: str, wrong: Any) -> None:
        """Show that the check fails for ``wrong``, and print by how much."""
        miss = self.miss(wrong)
        if not miss > self.bound:
            raise CheckFailed(
                f"{self.label}: '{mistake}' is off by {miss:.3g}{self.unit}, not by more than "
                f"{self.bound:g}{self.unit}, so the check would not catch it."
            )
        _print(self.label, CATCHES, mistake, f"off by {miss:.3g}{self.unit}")

    def _ipython_display_(self) -> None:
        """Nothing: the check has printed its line."""


def proved(
    label: str,
    sides: Sides,
    *,
    over: str,
    parsed: bool | str = False,
    domain: Mapping[sympy.Symbol, tuple[float, float]] | None = None,
) -> Check:
    """Sympy shows that all sides are equal, for all values under their symbols' assumptions.

    The sides are sympy expressions, or matrices. With ``parsed`` the first side is printed too,
    and a test compares it with the TeX of the display; a text such as ``"j=1..D"`` says that it
    is one term of a sum with these limits. ``catches`` measures a miss at a point that is drawn
    from the symbols' domain: positive symbols from (0.3, 3), others from (-2, 2), unless
    ``domain`` names an interval.
    """
    return _symbolic(label, "proved", sides, over, parsed, domain)


def special_case(
    label: str,
    sides: Sides,
    *,
    over: str,
    parsed: bool | str = False,
    domain: Mapping[sympy.Symbol, tuple[float, float]] | None = None,
) -> Check:
    """As ``proved``, but for one case of the statement, say 2 x 2 matrices: ``over`` says which."""
    return _symbolic(label, "special case", sides, over, parsed, domain)


def exact(label: str, sides: Sides, *, over: str, tolerance: float) -> Check:
    """Numbers from routes without sampling error (enumeration, quadrature, an oracle) agree.

    The sides are numbers or tensors of one shape. ``tolerance`` is absolute.
    """
    return _numeric(label, sides, over, tolerance)


def chain(
    label: str,
    lines: Sequence[Any],
    *,
    over: str,
    tolerance: float | None = None,
    special_case: bool = False,
    domain: Mapping[sympy.Symbol, tuple[float, float]] | None = None,
) -> Check:
    """Every line of a displayed derivation is worked out by itself, and all are equal.

    Without ``tolerance`` the lines are sympy expressions (proved, or with ``special_case`` only
    that), with it numbers or tensors (exact). A mistake given to ``catches`` is one wrong line.
    """
    if len(lines) < 2:
        raise ValueError(f"{label}: a chain needs at least two lines, but got {len(lines)}.")
    # The first line comes last: it is what all others are compared with.
    order = [*range(1, len(lines)), 0]
    sides = {f"line {i + 1}": lines[i] for i in order}
    compared = f"{len(lines)} lines, each worked out by itself"
    if tolerance is None:
        strength = "special case" if special_case else "proved"
        return _symbolic(label, strength, sides, over, False, domain, compared)
    return _numeric(label, sides, over, tolerance, compared)


def gradient(label: str, sides: Sides, *, at: Tensor, over: str, tolerance: float) -> Check:
    """A displayed gradient agrees with autograd and with central differences of a function.

    ``sides`` has two entries: the gradient, of the shape of ``at`` (float64), and the function,
    which may return any shape and is summed.
    """
    (claim_name, claimed), (function_name, function) = sides.items()
    leaf = at.clone().requires_grad_()
    (by_autograd,) = torch.autograd.grad(function(leaf).sum(), leaf)
    by_difference = torch.empty_like(at)
    step = 1e-5
    for index in range(at.numel()):
        shift = torch.zeros_like(at)
        shift.view(-1)[index] = step
        rise = function(at + shift).sum() - function(at - shift).sum()
        by_difference.view(-1)[index] = rise / (2 * step)

    def miss(claim: Any) -> float:
        return max(_distance(label, claim, by_autograd), _distance(label, claim, by_difference))

    _demand(label, claim_name, f"the gradient of {function_name}", miss(claimed), tolerance)
    compared = f"{claim_name} = gradient of {function_name}, by autograd and central differences"
    _print(label, "gradient", compared, f"{over}, within {tolerance:g}")
    return Check(label, miss, tolerance)


def inequality(
    label: str,
    sides: Sides,
    *,
    at_equality: tuple[Any, Any],
    over: str,
    tolerance: float = 1e-12,
) -> Check:
    """The first side is larger than the second, and equals it where equality is claimed.

    ``sides`` are the larger and the smaller one at points where the inequality is strict,
    ``at_equality`` is the same pair where they are equal. A mistake given to ``catches`` is a
    pair, too; it is off by the most that its larger side lies below its smaller one.
    """
    (larger_name, larger), (smaller_name, smaller) = sides.items()
    off = (torch.as_tensor(at_equality[0]) - torch.as_tensor(at_equality[1])).abs().max()
    _demand(label, larger_name, smaller_name, off.nan_to_num(math.inf).item(), tolerance)

    def gap(pair: tuple[Any, Any]) -> float:
        larger, smaller = pair
        return (torch.as_tensor(larger) - torch.as_tensor(smaller)).min().item()

    smallest = gap((larger, smaller))
    if not smallest > tolerance:  # so that NaN fails too
        raise CheckFailed(
            f"{label}: {larger_name} exceeds {smaller_name} by {smallest:.3g} only, "
            f"not by more than {tolerance:g}."
        )
    _print(
        label,
        "inequality",
        f"{larger_name} > {smaller_name}",
        f"{over}, by {smallest:.3g} or more; equality within {tolerance:g}",
    )
    return Check(label, lambda pair: -gap(pair), tolerance)


def monte_carlo(label: str, sides: Sides, *, over: str, bound: float = 4.0) -> Check:
    """A value lies within ``bound`` standard errors of the mean of samples.

    ``sides`` has two entries: the value, of shape ``(...)``, and the samples, ``(N, ...)``.
    """
    (claim_name, claimed), (samples_name, samples) = sides.items()
    n = samples.shape[0]
    mean, standard_error = samples.mean(0), samples.std(0) / n**0.5

    def miss(claim: Any) -> float:
        claim = torch.as_tensor(claim)
        _demand_shape(label, claim, mean)
        return ((mean - claim).abs() / standard_error).max().item()

    unit = " standard errors"
    _demand(label, claim_name, samples_name, miss(claimed), bound, unit)
    over = f"{over}, {n:,} samples, within {bound:g}{unit}"
    _print(label, "Monte Carlo", f"{claim_name} = {samples_name}", over)
    return Check(label, miss, bound, unit)


def refuted(label: str, sides: Sides, *, over: str) -> None:
    """A claim that is printed as wrong (``wrong-...``) misses the truth everywhere.

    ``sides`` has two entries of one shape: the claim and the truth.
    """
    (claim_name, claimed), (truth_name, truth) = sides.items()
    claimed, truth = _numbers(claimed), _numbers(truth)
    _demand_shape(label, claimed, truth)
    miss = (claimed - truth).abs().min().item()
    if not miss > 1e-6:
        raise CheckFailed(f"{label}: {claim_name} and {truth_name} differ by {miss:.3g} only.")
    _print(label, "refuted", f"{claim_name} ≠ {truth_name}", f"{over}, off by {miss:.3g} or more")


def _symbolic(
    label: str,
    strength: str,
    sides: Sides,
    over: str,
    parsed: bool | str,
    domain: Mapping[sympy.Symbol, tuple[float, float]] | None,
    compared: str = "",
) -> Check:
    names = list(sides)
    reference = sides[names[-1]]
    for name in names[:-1]:
        if (difference := _symbolic_difference(sides[name], reference)) != 0:
            raise CheckFailed(f"{label}: {name} and {names[-1]} differ by {difference}.")
    form = ""
    if parsed:
        index = f"sum over {parsed} of " if isinstance(parsed, str) else ""
        form = f"{index}{sides[names[0]]}"
    _print(label, strength, compared or " = ".join(names), over, form)

    def miss(claim: Any) -> float:
        residual = _symbolic_difference(claim, reference)
        entries = list(residual) if isinstance(residual, sympy.MatrixBase) else [residual]
        return max(_value(label, sympy.sympify(entry), domain or {}) for entry in entries)

    return Check(label, miss, 1e-9)


def _numeric(label: str, sides: Sides, over: str, tolerance: float, compared: str = "") -> Check:
    *names, last = sides
    reference = _numbers(sides[last])
    for name in names:
        _demand(label, name, last, _distance(label, sides[name], reference), tolerance)
    _print(label, "exact", compared or " = ".join(sides), f"{over}, within {tolerance:g}")
    return Check(label, lambda claim: _distance(label, claim, reference), tolerance)


def _value(label: str, expression: sympy.Expr, domain: Mapping[sympy.Symbol, Any]) -> float:
    """The absolute value at a point drawn from the symbols' domain, the same in every run."""
    draw = random.Random(0)
    point = {
        symbol: draw.uniform(*domain.get(symbol, (0.3, 3) if symbol.is_positive else (-2, 2)))
        for symbol in sorted(expression.free_symbols, key=str)
    }
    value = complex(expression.subs(point))
    if value.imag or not math.isfinite(value.real):
        raise ValueError(
            f"{label}: the difference is {value} at {point}. Does this point lie outside the "
            f"symbols' domain? State it, for example domain={{p: (0, 1)}}."
        )
    return abs(value.real)


def _symbolic_difference(left: Any, right: Any) -> Any:
    """The simplified difference; 0 when the sides are equal, also for matrices."""
    difference = sympy.simplify(sympy.expand_log(sympy.expand(left - right)))
    if isinstance(difference, sympy.MatrixBase) and difference.is_zero_matrix:
        return 0
    return difference


def _numbers(value: Any) -> Tensor:
    value = torch.as_tensor(value)
    if value.is_complex():
        raise ValueError("A side is complex; compare its real and its imaginary part.")
    return value.detach().to(torch.float64)


def _distance(label: str, claim: Any, reference: Tensor) -> float:
    """The largest absolute difference; shapes must agree, and NaN is infinitely far."""
    claim = _numbers(claim)
    _demand_shape(label, claim, reference)
    return (claim - reference).abs().max().nan_to_num(math.inf).item()


def _demand_shape(label: str, claim: Tensor, reference: Tensor) -> None:
    if claim.shape != reference.shape:
        raise ValueError(
            f"{label}: the sides have shapes {tuple(claim.shape)} and {tuple(reference.shape)}."
        )


def _demand(
    label: str, name: str, reference: str, miss: float, bound: float, unit: str = ""
) -> None:
    if not miss <= bound:
        raise CheckFailed(
            f"{label}: {name} and {reference} differ by {miss:.3g}{unit}, more than {bound:g}{unit}."
        )


def _print(label: str, strength: str, compared: str, over: str, form: str = "") -> None:
    """Print the line, after making sure that the label's kind and the strength fit."""
    expected = "wrong-" if strength == "refuted" else "eq-"
    if not label.startswith(expected):
        raise ValueError(
            f"A check with strength '{strength}' needs a label {expected}..., but got {label!r}."
        )
    print(Line(label, strength, compared, over, form))
