"""A number in its band: what is printed, what is refused, what nbval passes over."""

import pytest

from equation_checks.numbers import PRINTED, OutsideBand, approx


@pytest.mark.parametrize(
    ("value", "expected", "within", "shown"),
    [
        (0.4317, 0.43, 0.02, "≈ 0.43"),
        (0.4317, 0.43, 0.01, "≈ 0.43"),
        (0.4317, 0.42, 0.03, "≈ 0.4"),
        (0.401, 0.4, 0.002, "≈ 0.401"),
        (0.3999, 0.4, 0.02, "≈ 0.40"),
        (112.7, 113, 2, "≈ 113"),
        (115, 113, 2, "≈ 115"),
        (112.7, 113, 20, "≈ 110"),
        (-1.234, -1.23, 0.02, "≈ -1.23"),
        (28_012_345, 28_000_000, 20_000, "≈ 28,010,000"),
    ],
)
def test_the_band_decides_the_digits(value, expected, within, shown):
    assert approx(value, expected, within) == shown
    assert PRINTED.fullmatch(shown)


@pytest.mark.parametrize("value", [0.4099, 0.4501, float("nan"), float("inf")])
def test_a_value_outside_its_band_is_refused(value):
    with pytest.raises(OutsideBand, match=r"should be 0.43 within 0.02"):
        approx(value, 0.43, within=0.02)


@pytest.mark.parametrize("within", [0, -1, float("nan"), float("inf")])
def test_a_band_is_a_positive_number(within):
    with pytest.raises(ValueError, match="within"):
        approx(0.5, 0.5, within=within)


def test_nbval_compares_the_words_around_the_number():
    assert PRINTED.sub("~", "loss ≈ 1,234.5 nats, ≈ -3e-05.") == "loss ~ nats, ~."
