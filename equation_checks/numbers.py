"""Numbers that may differ between machines in their last digits."""

import math
import re

NUMBER = re.compile(r"[-−+]?\d(?:[\d,]*\d)?(?:\.\d+)?(?:e[-+]?\d+)?")
# What approx prints: the pattern by which nbval passes over the number.
PRINTED = re.compile(rf"≈ {NUMBER.pattern}")


class OutsideBand(AssertionError):
    """A printed number does not lie where the book says it does."""


def approx(value: float, expected: float, within: float) -> str:
    """``value`` as text for a printed line, after asserting that it lies near ``expected``.

    The last digit that is shown is chosen by ``within``, the half-width of the band, which is
    at most two units of that digit: ``approx(0.4317, 0.43, within=0.02)`` is ``"≈ 0.43"``,
    ``approx(112.7, 113, within=2)`` is ``"≈ 113"``.

    Raises ``OutsideBand``, naming value and band, when the value lies outside or is NaN.
    """
    value = float(value)
    if not (within > 0 and math.isfinite(within)):
        raise ValueError(f"within must be a positive number, but is {within}.")
    if not abs(value - expected) <= within:
        raise OutsideBand(
            f"The value is {value:.6g}, but it should be {expected:g} within {within:g}."
        )
    # The smallest unit of a digit of which two cover the half-width; the margin forgives 0.2 / 2.
    decimals = math.floor(-math.log10(within / 2) + 1e-9)
    return f"≈ {round(value, decimals):,.{max(decimals, 0)}f}"
