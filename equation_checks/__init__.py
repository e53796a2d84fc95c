"""Machine-checked equations for a book of notebooks. Knows nothing of the book's subject."""

from equation_checks.numbers import OutsideBand, approx

__all__ = ["OutsideBand", "approx"]
