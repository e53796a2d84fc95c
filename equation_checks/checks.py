"""Checks of displayed equations. Each prints one stable line, or raises ``CheckFailed``.

A check compares sides that reach one value by independent routes, and knows each by its name:

    check = checks.exact(
        "eq-kl-logvar", {"kl": kl(mu, logvar), "torch.distributions": oracle},
        over="100 random points", tolerance=1e-12,
    )
    check.catches("mean in place of sum", kl(mu, logvar) / 20)

The last side is the reference. What should be 0 is never printed, only the bound that it met;
the miss of a mistake, which should not be 0, is printed to three digits.

``displayed`` takes a side from the page itself: it reads the TeX of the display and works it out.
Whenever a check of numbers runs, it also changes its own claim by more and more, and prints the
smallest relative error at which it would have failed.
"""

import hashlib
import math
import random
import warnings
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from pathlib import Path
from typing import Any

import sympy
import torch
from torch import Tensor

from equation_checks import reading
from equation_checks.displays import find_display, installed_pages
from equation_checks.line import CATCHES, EXECUTED, TRANSCRIBED, Line
from equation_checks.world import Unreadable, World, as_float64, numbers

__all__ = [
    "Check",
    "CheckFailed",
    "chain",
    "displayed",
    "enclosed",
    "exact",
    "gradient",
    "inequality",
    "monte_carlo",
    "points",
    "proved",
    "refuted",
    "special_case",
    "transcribed",
    "world",
]

Sides = Mapping[str, Any]
Ball = tuple[str, str]
Miss = Callable[[Any], float]
# Relative errors that a check tries on its own claim: 1e-16, 2e-16, 5e-16, 1e-15, ...
# One fails if a little less fails as well, so that rounding does not decide what is printed.
CLEARLY = 0.99
ERRORS = [digit * 10.0**power for power in range(-16, 1) for digit in (1, 2, 5)]


class CheckFailed(AssertionError):
    """An equation does not hold as it was checked."""


@dataclass(frozen=True)
class Check:
    """A check that has passed: ``miss`` measures how far another claim is from its reference."""

    label: str
    miss: Miss
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
    domain: Mapping[sympy.Symbol, tuple[float, float]] | None = None,
) -> Check:
    """Sympy shows that all sides are equal, for all values under their symbols' assumptions.

    The sides are sympy expressions, or matrices. ``catches`` measures a miss at a point that is drawn
    from the symbols' domain: positive symbols from (0.3, 3), others from (-2, 2), unless
    ``domain`` names an interval.
    """
    return _symbolic(label, "proved", sides, over, domain)


def special_case(
    label: str,
    sides: Sides,
    *,
    over: str,
    domain: Mapping[sympy.Symbol, tuple[float, float]] | None = None,
) -> Check:
    """As ``proved``, but for one case of the statement, say 2 x 2 matrices: ``over`` says which."""
    return _symbolic(label, "special case", sides, over, domain)


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
        return _symbolic(label, strength, sides, over, domain, compared)
    return _numeric(label, sides, over, tolerance, compared)


def displayed(
    label: str,
    at: World,
    reference: Sides | None = None,
    *,
    over: str,
    tolerance: float = 1e-9,
    at_equality: World | None = None,
) -> None:
    """The display itself, read from the page, holds in a world.

    Every side of every statement of the display is worked out from its TeX. Sides joined by ``=``
    agree within ``tolerance``, which is absolute. Where there is an inequality, it is strict in
    ``at`` and an equality in ``at_equality``, and a condition such as ``with equality only at
    v = 1`` holds there and not in ``at``. A display with ``?`` over its ``=`` is refuted.
    ``reference`` holds values by an independent route, by name: of the last side; or a tuple, with
    one for each statement, or for each of the two sides of a false claim; None says nothing.
    """
    tex = _on_this_page(label)
    form = reading.normal_text(tex)
    statements = _worked_out(label, tex, at)
    relations = {relation for _, found in statements for relation in found}
    if unchecked := relations - {"=", "!=", "<=", ">=", "?="}:
        raise ValueError(f"{label}: nothing would check {unchecked}.")
    if "?=" in relations:
        ((values, _),) = statements
        _refuted_display(label, values, reference or {}, over, tolerance, form)
        return
    pairs = _pairs(label, statements, reference or {})
    for name, claim, other, value in pairs:
        _demand(label, name, other, _distance(label, claim, value), tolerance)

    if pairs:
        claims = [(claim, _miss_of(label, value)) for _, claim, _, value in pairs]
        over += f", within {tolerance:g}" + _smallest_error(label, claims, tolerance)
    if relations & {"<=", ">="}:
        if at_equality is None:
            raise ValueError(f"{label} is an inequality: give a world in which it is an equality.")
        over += _strictness(label, statements, _worked_out(label, tex, at_equality), tolerance)
        for where, equal in ((at, False), (at_equality, True)):
            conditions = _pairs(label, _worked_out(label, tex, where, condition=True), {})
            for name, claim, other, value in conditions:
                if (_distance(label, claim, value) <= tolerance) is not equal:
                    raise CheckFailed(
                        f"{label}: {name} and {other} of the condition are "
                        f"{'different' if equal else 'equal'} where the sides of the display are not."
                    )
    sides = sum(len(values) for values, _ in statements)
    compared = " = ".join([f"{sides} sides of the display", *(reference or {})])
    _print(label, EXECUTED, compared, over, form)


def world(entries: Mapping[str, Any], *definitions: str) -> World:
    """A world with these meanings, and with what displays of the book define, given by label.

    A definition is worked out from its TeX whenever it is used; ``p(x,z)``, say, from ``def-joint``.
    One that no page in the current folder gives is taken from the pages that are installed.
    """
    found = World(entries)
    for label in definitions:
        try:
            tex = find_display(label, Path.cwd())
        except LookupError:
            tex = find_display(label, installed_pages())
        found = reading.define(tex, found)
    return found


def points(number: int = 50, **domains: tuple[float, ...]) -> dict[str, Tensor]:
    """Values for symbols, drawn from their domains, the same in every run.

    A domain is an interval, ``mu=(-2, 2)``, for a tensor ``(number, 1)``; with a dimension in the third
    place, ``mu=(-2, 2, 5)``, the symbol is a vector, ``(5, number, 1)``. Float64.
    """
    draw = torch.Generator().manual_seed(0)
    found = {}
    for name, (low, high, *dimension) in domains.items():
        shape = (*dimension, number, 1)
        found[name] = low + (high - low) * torch.rand(shape, dtype=torch.float64, generator=draw)
    return found


def transcribed(label: str, digest: str) -> None:
    """The display is copied into code by hand, and has been compared with it by a person.

    ``digest`` is of the display as it was then. It guards against drift and proves nothing;
    ``python -m equation_checks accept`` shows display and code together and renews it.
    """
    now = digest_of(_on_this_page(label))
    if digest != now:
        raise CheckFailed(
            f"{label}: the display has changed since it was compared with its check "
            f"('{digest}', now '{now}'). Compare again: python -m equation_checks accept {label}"
        )
    _print(label, TRANSCRIBED, "copied into code by hand", digest)


def _on_this_page(label: str) -> str:
    """The TeX of a display; as it was installed, and said so, where the page is no file (Colab)."""
    here = Path.cwd()
    if any(here.glob("*.ipynb")) or any(here.glob("*.md")):
        return find_display(label, here)
    warnings.warn(
        f"There is no notebook in {here}, so displays are read as they were installed. To check one "
        "that you have changed, save the notebook there.",
        stacklevel=3,
    )
    return find_display(label, installed_pages())


def digest_of(tex: str) -> str:
    """Eight hexadecimal digits that change with the TeX, whatever its white space."""
    return hashlib.sha256(" ".join(tex.split()).encode()).hexdigest()[:8]


def enclosed(label: str, sides: Mapping[str, Sequence[Ball]], *, over: str) -> None:
    """Interval arithmetic shows that the two sides differ by no more than their balls allow.

    ``sides`` has two entries, with a ball for each point: a middle and a radius in decimal digits, between
    which the true value lies for certain. The balls must meet; what is printed is the
    largest difference that they leave room for, worked out without rounding.
    """
    (left_name, left), (right_name, right) = sides.items()
    room = Fraction(0)
    for (a, a_radius), (b, b_radius) in zip(left, right, strict=True):
        apart, radii = abs(Fraction(a) - Fraction(b)), Fraction(a_radius) + Fraction(b_radius)
        if apart > radii:
            raise CheckFailed(
                f"{label}: {left_name} is {a} ± {a_radius}, {right_name} is {b} ± {b_radius}."
            )
        room = max(room, apart + radii)
    over = f"{over}, the sides differ by {float(room):.1e} at most"
    _print(label, "enclosed", f"{left_name} = {right_name}", over)


def gradient(label: str, sides: Sides, *, at: Tensor, over: str, tolerance: float) -> Check:
    """A displayed gradient agrees with autograd and with central differences of a function.

    ``sides`` has two entries: the gradient, of the shape of ``at`` (float64), and the function. A
    function whose values have that shape too is taken entry by entry, each value as a function of
    its own entry alone; any other is summed.
    """
    (claim_name, claimed), (function_name, function) = sides.items()
    # With weights, the slope of one entry cannot stand in for that of another.
    by_entry = function(at).shape == at.shape
    weights = torch.linspace(1, 2, at.numel() if by_entry else 1, dtype=at.dtype)
    weights = weights.reshape(at.shape if by_entry else ())

    def total(point: Tensor) -> Tensor:
        return (weights * function(point)).sum()

    leaf = at.clone().requires_grad_()
    by_autograd = torch.autograd.grad(total(leaf), leaf)[0] / weights
    by_difference = torch.empty_like(at)
    step = 1e-5
    for index in range(at.numel()):
        shift = torch.zeros_like(at)
        shift.view(-1)[index] = step
        by_difference.view(-1)[index] = (total(at + shift) - total(at - shift)) / (2 * step)
    by_difference /= weights

    def miss(claim: Any) -> float:
        return max(_distance(label, claim, by_autograd), _distance(label, claim, by_difference))

    _demand(label, claim_name, f"the gradient of {function_name}", miss(claimed), tolerance)
    compared = f"{claim_name} = gradient of {function_name}, by autograd and central differences"
    power = _smallest_error(label, [(as_float64(claimed), miss)], tolerance)
    _print(label, "gradient", compared, f"{over}, within {tolerance:g}{power}")
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

    def gaps(pair: tuple[Any, Any]) -> Tensor:
        larger, smaller = pair
        return as_float64(larger) - as_float64(smaller)

    how = _inequality(
        label, larger_name, smaller_name, gaps((larger, smaller)), gaps(at_equality), tolerance
    )
    _print(label, "inequality", f"{larger_name} > {smaller_name}", f"{over}{how}")
    return Check(label, lambda pair: -gaps(pair).min().item(), tolerance)


def monte_carlo(label: str, sides: Sides, *, over: str, bound: float = 4.0) -> Check:
    """A value lies within ``bound`` standard errors of the mean of samples.

    ``sides`` has two entries: the value, of shape ``(...)``, and the samples, ``(N, ...)``.
    """
    (claim_name, claimed), (samples_name, samples) = sides.items()
    n = samples.shape[0]
    mean, standard_error = samples.mean(0), samples.std(0) / n**0.5

    def miss(claim: Any) -> float:
        claim = as_float64(claim)
        _demand_shape(label, claim, mean)
        return ((mean - claim).abs() / standard_error).max().item()

    unit = " standard errors"
    _demand(label, claim_name, samples_name, miss(claimed), bound, unit)
    power = _smallest_error(label, [(as_float64(claimed), miss)], bound)
    over = f"{over}, {n:,} samples, within {bound:g}{unit}{power}"
    _print(label, "Monte Carlo", f"{claim_name} = {samples_name}", over)
    return Check(label, miss, bound, unit)


def refuted(label: str, sides: Sides, *, over: str, form: str = "") -> None:
    """A claim that is printed as wrong (``wrong-...``) misses the truth everywhere.

    ``sides`` has two entries of one shape: the claim and the truth.
    """
    (claim_name, claimed), (truth_name, truth) = sides.items()
    claimed, truth = as_float64(claimed), as_float64(truth)
    _demand_shape(label, claimed, truth)
    miss = (claimed - truth).abs().min().item()
    if not miss > 1e-6:
        raise CheckFailed(f"{label}: {claim_name} and {truth_name} differ by {miss:.3g} only.")
    over = f"{over}, off by {miss:.3g} or more"
    _print(label, "refuted", f"{claim_name} ≠ {truth_name}", over, form)


def _refuted_display(
    label: str, values: list[Tensor], reference: Sides, over: str, tolerance: float, form: str
) -> None:
    """The two sides are what they are meant to be, by their references, and differ everywhere."""
    sides = {"left side": values[0], "right side": values[1]}
    names = {side: side for side in sides}
    for name, found in reference.items():
        meant = found if isinstance(found, tuple) else (None, found)
        for (side, value), expected in zip(sides.items(), meant, strict=True):
            if expected is not None:
                _demand(label, side, name, _distance(label, value, as_float64(expected)), tolerance)
                names[side] += f" = {name}"
    left, right = torch.broadcast_tensors(*values)
    refuted(label, dict(zip(names.values(), (left, right), strict=True)), over=over, form=form)


def _worked_out(
    label: str, tex: str, world: World, condition: bool = False
) -> list[tuple[list[Tensor], Sequence[str]]]:
    """The values of the sides of each statement of a display, and the relations between them; or of
    its conditions.
    """
    try:
        return [
            (
                [numbers(side.value(world)) for side in statement.sides],
                statement.relations,
            )
            for statement in reading.read(tex, world)
            if statement.condition is condition
        ]
    except Unreadable as error:
        raise Unreadable(f"{label}: {error}") from error


def _pairs(
    label: str, statements: list[tuple[list[Tensor], Sequence[str]]], reference: Sides
) -> list[tuple[str, Tensor, str, Tensor]]:
    """What must be equal: sides joined by ``=``, and last sides with what they are compared with."""
    pairs = []
    for number, (values, relations) in enumerate(statements):
        for i, relation in enumerate(relations):
            if relation == "=":
                left, right = torch.broadcast_tensors(values[i], values[i + 1])
                pairs.append((f"side {i + 2}", right, f"side {i + 1}", left))
            elif relation == "!=" and (values[i] == values[i + 1]).any():
                raise CheckFailed(f"{label}: sides {i + 1} and {i + 2} are not different.")
        for name, found in reference.items():
            value = found[number] if isinstance(found, tuple) else found
            if value is not None:
                pairs.append((f"side {len(values)}", values[-1], name, as_float64(value)))
    return pairs


def _strictness(label: str, strict: Any, equal: Any, tolerance: float) -> str:
    """Inequalities hold strictly in one world and as equalities in the other; how the line says it."""
    gaps, zeros = (
        torch.cat(
            [
                (left - right if relation == ">=" else right - left).flatten()
                for values, relations in statements
                for left, relation, right in zip(values, relations, values[1:], strict=False)
                if relation in ("<=", ">=")
            ]
        )
        for statements in (strict, equal)
    )
    return _inequality(label, "the larger side", "the smaller side", gaps, zeros, tolerance)


def _inequality(
    label: str, larger: str, smaller: str, gaps: Tensor, zeros: Tensor, tolerance: float
) -> str:
    off = zeros.abs().max().item()
    _demand(label, larger, smaller, off, tolerance)
    smallest = gaps.min().item()
    if not smallest > tolerance:  # so that NaN fails too
        raise CheckFailed(
            f"{label}: {larger} exceeds {smaller} by {smallest:.3g} only, "
            f"not by more than {tolerance:g}."
        )
    shift = next(e for e in ERRORS if CLEARLY * e - off > tolerance)
    return f", by {smallest:.3g} or more; equality within {tolerance:g}; a shift by {shift:g} fails"


def _smallest_error(label: str, claims: Sequence[tuple[Tensor, Miss]], bound: float) -> str:
    """The smallest error in its claims at which a check fails, as its line says it.

    Each claim comes with what measures how far another in its place would be off. The error is
    relative; where every claim is 0, absolute.
    """
    relative = [(claim, miss) for claim, miss in claims if claim.abs().max() > 1e-9]
    for error in ERRORS:
        less = CLEARLY * error
        passed = any(
            miss(claim * (1 + e) if relative else claim + e) <= bound
            for claim, miss in relative or claims
            for e in (less, -less)
        )
        if not passed:
            return f"; {'a relative' if relative else 'an'} error of {error:g} fails"
    raise CheckFailed(f"{label}: no error up to {ERRORS[-1]:g} makes this check fail.")


def _miss_of(label: str, reference: Tensor) -> Miss:
    return lambda claim: _distance(label, claim, reference)


def _symbolic(
    label: str,
    strength: str,
    sides: Sides,
    over: str,
    domain: Mapping[sympy.Symbol, tuple[float, float]] | None,
    compared: str = "",
) -> Check:
    domain = domain or {}
    *names, last = sides
    reference = sides[last]
    for name in names:
        if (difference := _symbolic_difference(sides[name], reference)) != 0:
            raise CheckFailed(f"{label}: {name} and {last} differ by {difference}.")

    def miss(claim: Any) -> float:
        return _largest(label, _symbolic_difference(claim, reference), domain)

    caught = tried = 0
    for name in names:
        _largest(label, sides[name], domain)  # a point at which the claim has a value
        for wrong in _wrong_terms(sides[name]):
            tried += 1
            try:
                caught += _largest(label, wrong - reference, domain) > 1e-9
            except ValueError:  # no real number, as the logarithm of a negative one
                caught += 1
    over = f"{over}; {caught} of {tried} changed terms fail"
    _print(label, strength, compared or " = ".join(sides), over)
    return Check(label, miss, 1e-9)


def _wrong_terms(expression: Any) -> Iterator[Any]:
    """The expression with one term of a sum in it left out, turned round or doubled; 1 for 0."""
    if isinstance(expression, sympy.MatrixBase):
        for index in range(len(expression)):
            for wrong in _wrong_terms(expression[index]):
                changed = expression.as_mutable()
                changed[index] = wrong
                yield changed
        return
    expression = sympy.sympify(expression)
    if expression == 0:
        yield sympy.S.One
        return
    sums = [part for part in sympy.preorder_traversal(expression) if part.is_Add]
    for whole in sums or [expression]:
        for term in sympy.Add.make_args(whole):
            for factor in (0, -1, 2):
                # Not simplified: what the change does is measured, not worked out.
                yield expression.xreplace({whole: whole - term + factor * term})


def _largest(label: str, residual: Any, domain: Mapping[sympy.Symbol, Any]) -> float:
    """The largest absolute value among the entries, at a point drawn from the symbols' domain."""
    entries = list(residual) if isinstance(residual, sympy.MatrixBase) else [residual]
    return max(_value(label, sympy.sympify(entry), domain) for entry in entries)


def _numeric(label: str, sides: Sides, over: str, tolerance: float, compared: str = "") -> Check:
    *names, last = sides
    if any(isinstance(sides[last], Tensor) and sides[name] is sides[last] for name in names):
        raise ValueError(f"{label}: two of the sides are one and the same object.")
    claims = {name: as_float64(sides[name]) for name in names}
    miss = _miss_of(label, as_float64(sides[last]))
    for name, claim in claims.items():
        _demand(label, name, last, miss(claim), tolerance)
    power = _smallest_error(label, [(claim, miss) for claim in claims.values()], tolerance)
    over = f"{over}, within {tolerance:g}{power}"
    _print(label, "exact", compared or " = ".join(sides), over)
    return Check(label, miss, tolerance)


def _value(label: str, expression: sympy.Expr, domain: Mapping[sympy.Symbol, Any]) -> float:
    """The absolute value at a point drawn from the symbols' domain, the same in every run."""
    draw = random.Random(0)
    point = {
        symbol: draw.uniform(*domain.get(symbol, (0.3, 3) if symbol.is_positive else (-2, 2)))
        for symbol in sorted(expression.free_symbols, key=str)
    }
    value = complex(expression.xreplace(point))
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


def _distance(label: str, claim: Any, reference: Tensor) -> float:
    """The largest absolute difference; shapes must agree, and NaN is infinitely far."""
    claim = as_float64(claim)
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
    if not label.startswith(expected) and strength != TRANSCRIBED:
        raise ValueError(
            f"A check with strength '{strength}' needs a label {expected}..., but got {label!r}."
        )
    print(Line(label, strength, compared, over, form))
