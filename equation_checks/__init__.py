"""Machine-checked equations for a book of notebooks. Knows nothing of the book's subject."""

from equation_checks.numbers import OutsideBand, approx
from equation_checks.world import Each, Over

__all__ = ["Each", "OutsideBand", "Over", "approx"]
