"""Checks of the book's displayed equations. Each prints one stable line, or raises
``CheckFailed``.

The line reads ``label · strength · what was compared · over what``. It never shows a
measured residual, only the bound that was met, so that it is the same on every machine.
A check compares two routes that are independent of each other: the formula as displayed
(``claimed``), and another way to the same value (``reference``). The object it returns
shows which mistake it would have caught:

    check = checks.exact("eq-kl-logvar", claimed, reference, compared="...", over="...", tolerance=1e-12)
    check.catches(claimed_with_a_lost_sign, mistake="the minus before the logarithm is lost", misses_by=0.5)

For notebooks, tests and tools only; the rest of the package does not import it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import Any

import sympy
import torch
from torch import Tensor

SEPARATOR = " · "
STRENGTHS = ("proved", "special case", "exact", "gradient", "inequality", "Monte Carlo", "refuted")
PARSED_FORM = "    displayed form: "


class CheckFailed(AssertionError):
    """An equation of the book does not hold as it was checked."""


@dataclass(frozen=True)
class Check:
    """A check that has passed: ``miss`` measures how far another claim is from the same
    reference.
    """

    label: str
    miss: Callable[[Any], float]
    bound: float
    unit: str = ""

    def catches(self, wrong: Any, *, mistake: str, misses_by: float) -> None:
        """Show that the check fails for ``wrong``, by more than ``misses_by`` (in the
        unit of its bound).
        """
        miss = self.miss(wrong)
        if not (miss > self.bound and miss > misses_by):
            raise CheckFailed(
                f"{self.label}: the mistake '{mistake}' misses by {miss:.3g}{self.unit}, "
                f"not by more than {max(self.bound, misses_by):.3g}{self.unit}, so the check would not catch it."
            )
        print(
            SEPARATOR.join(
                [self.label, "catches", mistake, f"misses by more than {misses_by:g}{self.unit}"]
            )
        )


def proved(
    label: str,
    claimed: Any,
    reference: Any,
    *,
    compared: str,
    over: str,
    parsed: bool | str = False,
    at: dict | None = None,
) -> Check:
    """Sympy shows that two expressions are equal, for all values under their symbols'
    assumptions.

    ``claimed`` and ``reference`` are sympy expressions or matrices. With ``parsed`` the
    claimed form is printed too, and a test compares it with the TeX of the display; a
    text such as ``"j=1..D"`` says that it is one term of a sum with these limits.
    ``at`` gives the symbols values, with which ``catches`` turns the difference of a
    wrong claim into a number.
    """
    return _symbolic(label, "proved", claimed, reference, compared, over, parsed, at)


def special_case(
    label: str,
    claimed: Any,
    reference: Any,
    *,
    compared: str,
    over: str,
    parsed: bool | str = False,
    at: dict | None = None,
) -> Check:
    """As ``proved``, but for one case of the statement, say 2 x 2 matrices: ``over``
    says which.
    """
    return _symbolic(label, "special case", claimed, reference, compared, over, parsed, at)


def exact(
    label: str, claimed: Any, reference: Any, *, compared: str, over: str, tolerance: float
) -> Check:
    """Numbers from two routes without sampling error (enumeration, quadrature, an
    oracle) agree within ``tolerance``.

    Both sides are numbers or tensors of one shape. The line ends with the tolerance,
    which is absolute.
    """
    miss = _distance_to(reference)
    _demand(label, miss(claimed), tolerance)
    _report(label, "exact", compared, f"{over}, within {tolerance:g}")
    return Check(label, miss, tolerance)


def gradient(
    label: str,
    claimed: Tensor,
    function: Callable[[Tensor], Tensor],
    point: Tensor,
    *,
    compared: str,
    over: str,
    tolerance: float,
) -> Check:
    """A displayed gradient agrees with autograd and with central differences of
    ``function`` at ``point``.

    ``claimed`` has the shape of ``point`` (float64); ``function`` may return any shape
    and is summed.
    """
    leaf = point.clone().requires_grad_()
    (by_autograd,) = torch.autograd.grad(function(leaf).sum(), leaf)
    step = 1e-5
    by_difference = torch.empty_like(point)
    for index in range(point.numel()):
        shift = torch.zeros_like(point)
        shift.view(-1)[index] = step
        rise = function(point + shift).sum() - function(point - shift).sum()
        by_difference.view(-1)[index] = rise / (2 * step)
    to_autograd, to_difference = _distance_to(by_autograd), _distance_to(by_difference)

    def miss(claim: Any) -> float:
        return max(to_autograd(claim), to_difference(claim))

    _demand(label, miss(claimed), tolerance)
    _report(
        label,
        "gradient",
        f"{compared}, by autograd and central differences",
        f"{over}, within {tolerance:g}",
    )
    return Check(label, miss, tolerance)


def inequality(
    label: str,
    gap: Tensor,
    gap_at_equality: Tensor,
    *,
    compared: str,
    over: str,
    margin: float,
    tolerance: float = 1e-12,
) -> Check:
    """``larger - smaller`` exceeds ``margin`` where the inequality is strict, and is 0
    where equality holds.

    ``gap`` is the difference at points of strict inequality, ``gap_at_equality`` at
    those of equality.
    """

    def shortfall(gaps: Any) -> float:
        return margin - torch.as_tensor(gaps).min().item()

    _demand(label, torch.as_tensor(gap_at_equality).abs().max().item(), tolerance)
    if not shortfall(gap) < 0:  # so that NaN fails too
        raise CheckFailed(
            f"{label}: the smallest gap is {margin - shortfall(gap):.3g}, not above {margin:g}."
        )
    _report(
        label,
        "inequality",
        compared,
        f"{over}, by more than {margin:g}; equality within {tolerance:g}",
    )
    return Check(label, shortfall, 0.0)


def monte_carlo(
    label: str, claimed: Any, samples: Tensor, *, compared: str, over: str, bound: float = 4.0
) -> Check:
    """The mean of ``samples (N, ...)`` lies within ``bound`` of its own standard errors
    of ``claimed (...)``.
    """
    n = samples.shape[0]
    mean, standard_error = samples.mean(0), samples.std(0) / n**0.5

    def miss(claim: Any) -> float:
        return ((mean - torch.as_tensor(claim)).abs() / standard_error).max().item()

    _demand(label, miss(claimed), bound)
    _report(
        label, "Monte Carlo", compared, f"{over}, {n:,} samples, within {bound:g} standard errors"
    )
    return Check(label, miss, bound, " standard errors")


def chain(
    label: str,
    lines: Sequence[Any],
    *,
    compared: str,
    over: str,
    tolerance: float = 0.0,
    special_case: bool = False,
    at: dict | None = None,
) -> Check:
    """Every line of a displayed derivation is worked out by itself, and all are equal.

    ``lines`` are sympy expressions (proved, or with ``special_case`` only that) or
    numbers and tensors (exact, within ``tolerance``). The wrong version given to
    ``catches`` is one line, which is compared with the first.
    """
    if len(lines) < 2:
        raise ValueError(f"{label}: a chain needs at least two lines, but got {len(lines)}.")
    compared = f"{len(lines)} lines, {compared}"
    first = lines[0]
    if isinstance(first, sympy.Basic):
        for number, line in enumerate(lines[1:-1], 2):
            _demand_identity(f"{label}, line {number}", line, first)
        strength = "special case" if special_case else "proved"
        return _symbolic(label, strength, lines[-1], first, compared, over, False, at)
    for number, line in enumerate(lines[1:-1], 2):
        _demand(f"{label}, line {number}", _distance_to(first)(line), tolerance)
    return exact(label, lines[-1], first, compared=compared, over=over, tolerance=tolerance)


def refuted(
    label: str, claimed: Any, truth: Any, *, compared: str, over: str, misses_by: float
) -> None:
    """A claim printed as wrong (``wrong-...``) is wrong: it misses the truth by more
    than ``misses_by`` everywhere.
    """
    gap = (
        (
            torch.as_tensor(claimed, dtype=torch.float64)
            - torch.as_tensor(truth, dtype=torch.float64)
        )
        .abs()
        .min()
        .item()
    )
    if not gap > misses_by:
        raise CheckFailed(
            f"{label}: the claim misses the truth by {gap:.3g} only, not by more than {misses_by:g}."
        )
    _report(label, "refuted", compared, f"{over}, misses by more than {misses_by:g}")


def _symbolic(
    label: str,
    strength: str,
    claimed: Any,
    reference: Any,
    compared: str,
    over: str,
    parsed: bool | str,
    at: dict | None,
) -> Check:
    _demand_identity(label, claimed, reference)
    _report(label, strength, compared, over)
    if parsed:
        index = f"sum over {parsed} of " if isinstance(parsed, str) else ""
        print(f"{PARSED_FORM}{index}{claimed}")

    def miss(claim: Any) -> float:
        residual = _symbolic_difference(claim, reference)
        values = list(residual) if isinstance(residual, sympy.MatrixBase) else [residual]
        return max(abs(float(value.subs(at or {}))) for value in values)

    return Check(label, miss, 0.0)


def _demand_identity(label: str, left: Any, right: Any) -> None:
    if (difference := _symbolic_difference(left, right)) != 0:
        raise CheckFailed(f"{label}: the two sides differ by {difference}.")


def _symbolic_difference(left: Any, right: Any) -> Any:
    """The simplified difference; 0 when the sides are equal, also for matrices."""
    difference = sympy.simplify(sympy.expand_log(sympy.expand(left - right)))
    if isinstance(difference, sympy.MatrixBase) and difference.is_zero_matrix:
        return 0
    return difference


def _distance_to(reference: Any) -> Callable[[Any], float]:
    """The largest absolute difference from ``reference``; shapes must agree, and NaN
    counts as infinitely far.
    """
    reference = torch.as_tensor(reference, dtype=torch.float64)

    def distance(claim: Any) -> float:
        claim = torch.as_tensor(claim, dtype=torch.float64)
        if claim.shape != reference.shape:
            raise ValueError(
                f"The two sides have shapes {tuple(claim.shape)} and {tuple(reference.shape)}."
            )
        return (claim - reference).detach().abs().max().nan_to_num(float("inf")).item()

    return distance


def _demand(label: str, miss: float, bound: float) -> None:
    if not miss <= bound:
        raise CheckFailed(f"{label}: the two sides differ by {miss:.3g}, more than {bound:g}.")


def _report(label: str, strength: str, compared: str, over: str) -> None:
    """Print the line, after making sure that the label's kind and the strength fit."""
    expected = "wrong-" if strength == "refuted" else "eq-"
    if not label.startswith(expected):
        raise ValueError(
            f"A check with strength '{strength}' needs a label {expected}..., but got {label!r}."
        )
    print(SEPARATOR.join([label, strength, compared, over]))
