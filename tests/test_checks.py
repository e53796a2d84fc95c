"""The machinery that checks the book's equations: each kind passes on a truth and fails on a fault."""

import pytest
import sympy
import torch

from vae_teach import checks
from vae_teach.checks import CheckFailed

x, y = sympy.symbols("x y", positive=True)
SAMPLES = torch.randn(10_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def line(capsys):
    """The last line printed."""
    return capsys.readouterr().out.strip().splitlines()[-1]


def test_proved_prints_one_line_of_four_parts(capsys):
    checks.proved(
        "eq-a", (x + y) ** 2, x**2 + 2 * x * y + y**2, compared="left, right", over="all x, y"
    )
    assert line(capsys) == "eq-a · proved · left, right · all x, y"


def test_proved_sees_through_logarithms_of_products(capsys):
    checks.proved(
        "eq-a", sympy.log(x**2 / y), 2 * sympy.log(x) - sympy.log(y), compared="", over=""
    )
    assert "proved" in line(capsys)


def test_proved_fails_on_a_lost_sign():
    with pytest.raises(CheckFailed, match="eq-a"):
        checks.proved("eq-a", x - y, x + y, compared="", over="")


def test_proved_compares_every_entry_of_a_matrix():
    truth = sympy.Matrix([x, y])
    checks.proved("eq-a", sympy.Matrix([x, y]), truth, compared="", over="")
    with pytest.raises(CheckFailed):
        checks.proved("eq-a", sympy.Matrix([x, y + 1]), truth, compared="", over="")


def test_parsed_prints_the_form_that_was_checked(capsys):
    checks.proved("eq-a", x - y, -y + x, compared="", over="", parsed=True)
    assert line(capsys) == checks.PARSED_FORM + "x - y"


def test_special_case_is_never_called_proved(capsys):
    checks.special_case("eq-a", x, x, compared="c", over="2 x 2")
    assert line(capsys) == "eq-a · special case · c · 2 x 2"


def test_exact_passes_at_the_tolerance_and_fails_beyond_it(capsys):
    checks.exact(
        "eq-a", torch.tensor(1.0 + 2**-20), 1.0, compared="c", over="one point", tolerance=2**-20
    )
    assert line(capsys).startswith("eq-a · exact · c · one point, within ")
    with pytest.raises(CheckFailed):
        checks.exact("eq-a", 1.0 + 2**-19, 1.0, compared="c", over="one point", tolerance=2**-20)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_exact_fails_on_values_that_are_not_finite(bad):
    with pytest.raises(CheckFailed):
        checks.exact("eq-a", bad, 1.0, compared="c", over="o", tolerance=1.0)


def test_exact_refuses_shapes_that_would_broadcast():
    with pytest.raises(ValueError, match="shapes"):
        checks.exact("eq-a", torch.zeros(3), torch.zeros(1), compared="c", over="o", tolerance=1.0)


def test_exact_looks_at_the_worst_point():
    truth = torch.zeros(100)
    claimed = truth.clone()
    claimed[57] = 1
    with pytest.raises(CheckFailed):
        checks.exact("eq-a", claimed, truth, compared="c", over="o", tolerance=0.5)


def test_gradient_compares_with_autograd_and_with_differences():
    point = torch.tensor([0.5, 2.0], dtype=torch.float64)
    checks.gradient(
        "eq-a", 3 * point**2, lambda p: p**3, point, compared="", over="", tolerance=1e-6
    )
    with pytest.raises(CheckFailed):
        checks.gradient(
            "eq-a", -3 * point**2, lambda p: p**3, point, compared="", over="", tolerance=1e-6
        )


def test_gradient_fails_when_autograd_is_cut_off_from_the_value():
    point = torch.tensor([0.5], dtype=torch.float64)
    with pytest.raises(CheckFailed):  # autograd sees slope 1, differences see 2
        checks.gradient(
            "eq-a",
            point * 0 + 2,
            lambda p: p + p.detach(),
            point,
            compared="",
            over="",
            tolerance=1e-6,
        )


def test_inequality_needs_strictness_and_equality():
    strict, equal = torch.tensor([0.1, 5.0]), torch.tensor([0.0])
    checks.inequality("eq-a", strict, equal, compared="", over="", margin=0.05)
    with pytest.raises(CheckFailed, match="smallest gap"):
        checks.inequality("eq-a", strict - 0.1, equal, compared="", over="", margin=0.05)
    with pytest.raises(CheckFailed):
        checks.inequality("eq-a", strict, equal + 0.01, compared="", over="", margin=0.05)
    with pytest.raises(CheckFailed):
        checks.inequality("eq-a", -strict, equal, compared="", over="", margin=0.05)


def test_inequality_fails_on_a_gap_that_is_not_a_number():
    nan, equal = torch.tensor([0.1, float("nan")]), torch.tensor([0.0])
    with pytest.raises(CheckFailed):
        checks.inequality("eq-a", nan, equal, compared="", over="", margin=0.05)
    with pytest.raises(CheckFailed):
        checks.inequality("eq-a", torch.tensor([0.1]), nan, compared="", over="", margin=0.05)


def test_monte_carlo_is_judged_by_its_own_standard_error(capsys):
    checks.monte_carlo("eq-a", 0.0, SAMPLES, compared="c", over="o")
    assert line(capsys) == "eq-a · Monte Carlo · c · o, 10,000 samples, within 4 standard errors"
    with pytest.raises(CheckFailed):
        checks.monte_carlo("eq-a", 0.06, SAMPLES, compared="c", over="o")


def test_monte_carlo_fails_for_constant_samples_off_the_claim():
    with pytest.raises(CheckFailed):
        checks.monte_carlo("eq-a", 1.0, torch.zeros(100), compared="c", over="o")


def test_chain_fails_at_the_line_that_is_wrong():
    checks.chain("eq-a", [x * (x + 1), x**2 + x, x + x**2], compared="c", over="o")
    with pytest.raises(CheckFailed, match="line 2"):
        checks.chain("eq-a", [x * (x + 1), x**2 - x, x + x**2], compared="c", over="o")
    with pytest.raises(CheckFailed):
        checks.chain("eq-a", [x * (x + 1), x**2 + x, x], compared="c", over="o")


def test_chain_of_numbers_is_exact_within_its_tolerance(capsys):
    checks.chain("eq-a", [1.0, 1.0 + 1e-13, 1.0], compared="c", over="o", tolerance=1e-12)
    assert line(capsys) == "eq-a · exact · 3 lines, c · o, within 1e-12"
    with pytest.raises(CheckFailed, match="line 2"):
        checks.chain("eq-a", [1.0, 1.1, 1.0], compared="c", over="o", tolerance=1e-12)


def test_chain_says_special_case_when_told(capsys):
    checks.chain("eq-a", [x, x], compared="c", over="2 x 2", special_case=True)
    assert "special case" in line(capsys)


def test_chain_of_one_line_is_no_chain():
    with pytest.raises(ValueError, match="two lines"):
        checks.chain("eq-a", [x], compared="c", over="o")


def test_refuted_passes_only_for_claims_that_are_wrong_everywhere(capsys):
    checks.refuted("wrong-a", [1.0, 2.0], [0.0, 0.0], compared="c", over="o", misses_by=0.9)
    assert line(capsys) == "wrong-a · refuted · c · o, misses by more than 0.9"
    with pytest.raises(CheckFailed):
        checks.refuted("wrong-a", [1.0, 0.0], [0.0, 0.0], compared="c", over="o", misses_by=0.9)


def test_catches_prints_the_mistake_and_a_bound_on_the_miss(capsys):
    check = checks.exact("eq-a", 1.0, 1.0, compared="c", over="o", tolerance=1e-9)
    check.catches(-1.0, mistake="lost sign", misses_by=1.5)
    assert line(capsys) == "eq-a · catches · lost sign · misses by more than 1.5"


def test_catches_fails_when_the_wrong_version_is_right():
    check = checks.exact("eq-a", 1.0, 1.0, compared="c", over="o", tolerance=1e-9)
    with pytest.raises(CheckFailed, match="would not catch"):
        check.catches(1.0, mistake="none", misses_by=0.0)


def test_catches_fails_when_the_miss_is_overstated():
    check = checks.proved("eq-a", x, x, compared="c", over="o", at={x: 1, y: 1})
    check.catches(x + y, mistake="one too much", misses_by=0.9)
    with pytest.raises(CheckFailed):
        check.catches(x + y, mistake="one too much", misses_by=1.1)


def test_catches_counts_standard_errors_for_monte_carlo(capsys):
    check = checks.monte_carlo("eq-a", 0.0, SAMPLES, compared="c", over="o")
    check.catches(1.0, mistake="off by one", misses_by=50)
    assert line(capsys).endswith("misses by more than 50 standard errors")


@pytest.mark.parametrize("label", ["def-a", "wrong-a", "a"])
def test_a_check_needs_a_label_of_a_fact(label):
    with pytest.raises(ValueError, match="eq-"):
        checks.exact(label, 1.0, 1.0, compared="c", over="o", tolerance=1.0)


def test_a_refutation_needs_a_label_of_a_false_claim():
    with pytest.raises(ValueError, match="wrong-"):
        checks.refuted("eq-a", 1.0, 0.0, compared="c", over="o", misses_by=0.5)
