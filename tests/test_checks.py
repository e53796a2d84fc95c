"""The machinery that checks equations: each kind passes on a truth, and fails on a fault by name."""

import math

import pytest
import sympy
import torch

from equation_checks import checks
from equation_checks.checks import CheckFailed
from equation_checks.world import Unreadable

x, y = sympy.symbols("x y", positive=True)
w = sympy.Symbol("w", real=True)
SAMPLES = torch.randn(10_000, generator=torch.Generator().manual_seed(0), dtype=torch.float64)


def sides(left, right):
    return {"left": left, "right": right}


def line(capsys):
    """The last line printed."""
    return capsys.readouterr().out.splitlines()[-1].strip()


# Symbolic ----------------------------------------------------------------------------------------


def test_proved_prints_one_line_of_four_parts(capsys):
    checks.proved("eq-a", sides((x + y) ** 2, x**2 + 2 * x * y + y**2), over="all x, y")
    assert line(capsys) == "eq-a · proved · left = right · all x, y; 6 of 6 changed terms fail"


def test_proved_sees_through_logarithms_of_products(capsys):
    checks.proved("eq-a", sides(sympy.log(x**2 / y), 2 * sympy.log(x) - sympy.log(y)), over="")
    assert "proved" in line(capsys)


def test_proved_names_the_sides_that_differ():
    with pytest.raises(CheckFailed, match=r"eq-a: left and right differ by -2\*y"):
        checks.proved("eq-a", sides(x - y, x + y), over="")


def test_proved_compares_every_side_with_the_last():
    checks.proved("eq-a", {"one": x + x, "two": 2 * x, "three": 3 * x - x}, over="")
    with pytest.raises(CheckFailed, match="one and three"):
        checks.proved("eq-a", {"one": x, "two": 2 * x, "three": 2 * x}, over="")
    with pytest.raises(CheckFailed, match="two and three"):
        checks.proved("eq-a", {"one": 2 * x, "two": x, "three": 2 * x}, over="")


def test_proved_compares_every_entry_of_a_matrix():
    truth = sympy.Matrix([x, y])
    checks.proved("eq-a", sides(sympy.Matrix([x, y]), truth), over="")
    with pytest.raises(CheckFailed):
        checks.proved("eq-a", sides(sympy.Matrix([x, y + 1]), truth), over="")


def test_proved_counts_the_changed_terms_that_fail(capsys):
    a, b = sympy.symbols("a b", real=True)
    same_whatever_b = a + 0 * b + sympy.Piecewise((b, False), (0, True))
    checks.proved("eq-a", sides(a + 1, 1 + a + same_whatever_b - a), over="o")
    assert line(capsys).endswith("o; 6 of 6 changed terms fail")
    # One entry of a matrix is a sum of two terms, the other a single term.
    checks.proved("eq-a", sides(sympy.Matrix([a + b, a]), sympy.Matrix([b + a, a])), over="o")
    assert line(capsys).endswith("o; 9 of 9 changed terms fail")
    checks.proved("eq-a", sides(sympy.Matrix([0, a]), sympy.Matrix([b - b, a])), over="o")
    assert line(capsys).endswith("o; 4 of 4 changed terms fail")


@pytest.mark.parametrize(("shift", "failing"), [("0.15", 3), ("0.3", 4)])
def test_a_changed_term_that_makes_no_difference_is_not_counted(capsys, shift, failing):
    # At x = 2.58 the shift may be left out, turned round and, if it is small, doubled, not tripled.
    floor = sympy.floor(x + sympy.Rational(shift))
    checks.proved("eq-a", {"one": floor, "two": 1 + floor - 1, "three": floor}, over="o")
    assert line(capsys).endswith(f"o; {2 * failing} of 12 changed terms fail")


def test_a_claim_needs_a_value_at_the_point_where_its_terms_are_changed(capsys):
    claim = sympy.log(w - 9)
    with pytest.raises(ValueError, match="State it"):
        checks.proved("eq-a", sides(claim, claim), over="o")
    checks.proved("eq-a", sides(claim, claim), over="o", domain={w: (15, 16)})
    # Twice the 9 leaves a negative number, which has no real logarithm.
    assert line(capsys).endswith("o; 6 of 6 changed terms fail")


def test_a_changed_term_without_a_real_value_fails(capsys):
    checks.proved("eq-a", sides(sympy.log(x + 1), sympy.log(1 + x) + x - x + 0 * y), over="o")
    assert line(capsys).endswith("o; 6 of 6 changed terms fail")


def test_a_side_must_not_be_the_other_side():
    tensor = torch.ones(3)
    with pytest.raises(ValueError, match="one and the same object"):
        three = {"one": tensor, "two": tensor.clone(), "three": tensor}
        checks.exact("eq-a", three, over="", tolerance=1e-9)


def test_special_case_is_never_called_proved(capsys):
    checks.special_case("eq-a", sides(x, x), over="2 x 2")
    assert line(capsys) == "eq-a · special case · left = right · 2 x 2; 3 of 3 changed terms fail"


def test_a_symbolic_miss_is_measured_inside_the_domain(capsys):
    # The first number drawn is 0.844; it is the same in every run, and for the first name.
    checks.proved("eq-a", sides(w, w), over="").catches("all", sympy.S(0))
    assert line(capsys).endswith("off by 1.38")
    checks.proved("eq-a", sides(x, x), over="").catches("all", sympy.S(0))
    assert line(capsys).endswith("off by 2.58")
    checks.proved("eq-a", sides(x, x), over="").catches("another letter", y)
    assert line(capsys).endswith("off by 0.233")
    a, *others = sympy.symbols("a:h", real=True)
    checks.proved("eq-a", sides(a, a), over="").catches("a", sum(others) * sympy.Float("1e-9"))
    assert line(capsys).endswith("off by 1.38")

    p = sympy.Symbol("p", positive=True)
    check = checks.proved("eq-a", sides(p, p), over="", domain={p: (0, 1)})
    check.catches("a logarithm too much", p + sympy.log(1 - p))
    off_by = float(line(capsys).split("off by ")[1])
    assert off_by > 0


def test_a_point_outside_the_domain_asks_for_the_domain():
    check = checks.proved("eq-a", sides(w, w), over="")
    for wrong in (sympy.log(w - 9), sympy.oo):
        with pytest.raises(ValueError, match="State it"):
            check.catches("a term too much", w + wrong)


def test_a_matrix_misses_by_its_worst_entry(capsys):
    check = checks.proved("eq-a", sides(sympy.Matrix([x, y]), sympy.Matrix([x, y])), over="")
    half = sympy.Rational(1, 2)
    check.catches("both entries", sympy.Matrix([x + half, y + half / 2]))
    assert line(capsys).endswith("off by 0.5")


# Numbers -----------------------------------------------------------------------------------------


def test_exact_passes_at_the_tolerance_and_fails_beyond_it(capsys):
    checks.exact("eq-a", sides(1 + 2**-20, 1.0), over="one point", tolerance=2**-20)
    assert line(capsys).startswith("eq-a · exact · left = right · one point, within ")
    with pytest.raises(CheckFailed, match="left and right differ by 1.91e-06, more than"):
        checks.exact("eq-a", sides(1 + 2**-19, 1.0), over="one point", tolerance=2**-20)


def test_exact_compares_every_side_with_the_last():
    with pytest.raises(CheckFailed, match="one and three"):
        checks.exact("eq-a", {"one": 1.0, "two": 2.0, "three": 2.0}, over="", tolerance=0.5)


@pytest.mark.parametrize("bad", [float("nan"), float("inf")])
def test_exact_fails_on_values_that_are_not_finite(bad):
    with pytest.raises(CheckFailed):
        checks.exact("eq-a", sides(bad, 1.0), over="o", tolerance=1.0)


def test_python_numbers_are_compared_in_double_precision():
    with pytest.raises(CheckFailed, match="differ by 1e-10"):
        checks.exact("eq-a", sides(0.1 + 1e-10, 0.1), over="o", tolerance=1e-12)
    with pytest.raises(CheckFailed, match="differ by 1e-10"):
        claim = {"large": 1.0, "small": 0.0}
        checks.inequality("eq-a", claim, at_equality=(0.1 + 1e-10, 0.1), over="o")
    checks.monte_carlo("eq-a", sides(0.1, 0.1 + 1e-10 * SAMPLES), over="o")


def test_exact_refuses_shapes_that_would_broadcast():
    with pytest.raises(ValueError, match=r"shapes \(3,\) and \(1,\)"):
        checks.exact("eq-a", sides(torch.zeros(3), torch.zeros(1)), over="o", tolerance=1.0)


def test_exact_refuses_complex_numbers():
    with pytest.raises(ValueError, match="complex"):
        checks.exact("eq-a", sides(torch.tensor(1 + 5j), 1.0), over="o", tolerance=1.0)


def test_exact_looks_at_the_worst_point():
    claimed = torch.zeros(100)
    claimed[57] = 1
    with pytest.raises(CheckFailed):
        checks.exact("eq-a", sides(claimed, torch.zeros(100)), over="o", tolerance=0.5)


def test_chain_fails_at_the_line_that_is_wrong(capsys):
    checks.chain("eq-a", [x * (x + 1), x**2 + x, x + x**2], over="o")
    assert line(capsys).startswith("eq-a · proved · 3 lines, each worked out by itself · o; ")
    with pytest.raises(CheckFailed, match="line 2 and line 1"):
        checks.chain("eq-a", [x * (x + 1), x**2 - x, x + x**2], over="o")
    with pytest.raises(CheckFailed, match="line 3 and line 1"):
        checks.chain("eq-a", [x * (x + 1), x**2 + x, x], over="o")


def test_chain_of_numbers_is_exact_within_its_tolerance(capsys):
    checks.chain("eq-a", [1.0, 1.0 + 1e-13, 1.0], over="o", tolerance=1e-12)
    assert line(capsys) == (
        "eq-a · exact · 3 lines, each worked out by itself · o, within 1e-12; "
        "a relative error of 2e-12 fails"
    )
    with pytest.raises(CheckFailed, match="line 2"):
        checks.chain("eq-a", [1.0, 1.1, 1.0], over="o", tolerance=1e-12)
    with pytest.raises(CheckFailed, match="line 3"):
        checks.chain("eq-a", [1.0, 1.0, 1.1], over="o", tolerance=1e-12)


def test_a_wrong_line_of_a_chain_is_compared_with_the_first(capsys):
    checks.chain("eq-a", [x, x], over="o").catches("twice", x + 0.25)
    assert line(capsys).endswith("off by 0.25")
    check = checks.chain("eq-a", [1.0, 1.0], over="o", tolerance=0.0)
    assert line(capsys).endswith("a relative error of 2e-16 fails")
    check.catches("twice", 2.0)
    assert line(capsys).endswith("off by 1")


def test_chain_says_special_case_when_told(capsys):
    checks.chain("eq-a", [x, x], over="2 x 2", special_case=True)
    assert "special case" in line(capsys)


def test_chain_of_one_line_is_no_chain():
    with pytest.raises(ValueError, match="two lines"):
        checks.chain("eq-a", [x], over="o")


def cubes(point):
    return point**3


POINT = torch.tensor([0.5, 2.0], dtype=torch.float64)


def test_gradient_compares_with_autograd_and_with_differences(capsys):
    claim = {"3 x^2": 3 * POINT**2, "x^3": cubes}
    check = checks.gradient("eq-a", claim, at=POINT, over="two points", tolerance=1e-6)
    assert line(capsys) == (
        "eq-a · gradient · 3 x^2 = gradient of x^3, by autograd and central differences · "
        "two points, within 1e-06; a relative error of 1e-07 fails"
    )
    with pytest.raises(CheckFailed, match=r"x\^2 and the gradient of x\^3 differ by 24"):
        claim = {"x^2": -3 * POINT**2, "x^3": cubes}
        checks.gradient("eq-a", claim, at=POINT, over="", tolerance=1e-6)
    check.catches("the factor", POINT**2)
    assert line(capsys).endswith("off by 8")


@pytest.mark.parametrize("claimed", [1.0, 2.0])
def test_gradient_fails_when_autograd_is_cut_off_from_the_value(claimed):
    """Autograd sees slope 1, differences see 2."""
    claim = {"claim": 0 * POINT + claimed, "f": lambda p: p + p.detach()}
    with pytest.raises(CheckFailed):
        checks.gradient("eq-a", claim, at=POINT, over="", tolerance=1e-6)


@pytest.mark.parametrize("by", ["autograd", "differences"])
def test_gradient_fails_where_one_of_the_two_is_not_a_number(by):
    def function(point):
        at_the_point = torch.equal(point, POINT)
        return point.sqrt() ** 2 if at_the_point == (by == "differences") else 0 / (point - point)

    with pytest.raises(CheckFailed):
        claim = {"one": torch.ones_like(POINT), "f": function}
        checks.gradient("eq-a", claim, at=POINT, over="", tolerance=1e-6)


def test_gradient_sees_values_in_the_place_of_others():
    with pytest.raises(CheckFailed):
        claim = {"3 x^2": 3 * POINT**2, "turned round": lambda p: cubes(p).flip(0)}
        checks.gradient("eq-a", claim, at=POINT, over="", tolerance=1e-6)
    checks.gradient(
        "eq-a",
        {"3 x^2": 3 * POINT**2, "sum": lambda p: cubes(p).sum()},
        at=POINT,
        over="",
        tolerance=1e-6,
    )


def test_inequality_needs_strictness_and_equality(capsys):
    small, large = torch.tensor([1.0, 2.0]), torch.tensor([1.1, 7.0])
    claim = {"large": large, "small": small}
    check = checks.inequality("eq-a", claim, at_equality=(small, small), over="two points")
    assert line(capsys) == (
        "eq-a · inequality · large > small · two points, by 0.1 or more; equality within 1e-12; "
        "a shift by 2e-12 fails"
    )
    with pytest.raises(CheckFailed, match="large exceeds small by 0 only"):
        touching = {"large": small, "small": small}
        checks.inequality("eq-a", touching, at_equality=(small, small), over="")
    with pytest.raises(CheckFailed, match="large exceeds small by 0.5 only, not by more than 0.5"):
        near = {"large": 1.5, "small": 1.0}
        checks.inequality("eq-a", near, at_equality=(1.0, 1.0), over="", tolerance=0.5)
    with pytest.raises(CheckFailed, match="large and small differ by 0.1"):
        one_off = small + torch.tensor([0.1, 0.0])
        checks.inequality("eq-a", claim, at_equality=(small, one_off), over="")
    with pytest.raises(CheckFailed, match="differ by 0.1"):
        checks.inequality("eq-a", claim, at_equality=(small, small - 0.1), over="")
    # A shift the other way has to make up for the 0.009 first.
    checks.inequality("eq-a", claim, at_equality=(1.009, 1.0), over="", tolerance=0.01)
    assert line(capsys).endswith("equality within 0.01; a shift by 0.02 fails")
    check.catches("turned round", (small, large))
    assert line(capsys).endswith("off by 5")
    with pytest.raises(CheckFailed, match="would not catch"):
        check.catches("weaker, but true", (large + 1, small))


@pytest.mark.parametrize("where", ["strict", "equal"])
def test_inequality_fails_on_what_is_not_a_number(where):
    good, nan = torch.tensor([0.1, 1.0]), torch.tensor([0.1, float("nan")])
    claim = {"large": nan if where == "strict" else good, "small": 0 * good}
    equal = (nan if where == "equal" else good, good)
    with pytest.raises(CheckFailed):
        checks.inequality("eq-a", claim, at_equality=equal, over="")


# Samples and false claims ------------------------------------------------------------------------


def test_monte_carlo_is_judged_by_its_own_standard_error(capsys):
    checks.monte_carlo("eq-a", {"zero": 0.0, "the samples": SAMPLES}, over="o")
    assert line(capsys) == (
        "eq-a · Monte Carlo · zero = the samples · o, 10,000 samples, within 4 standard errors; "
        "an error of 0.1 fails"
    )
    with pytest.raises(CheckFailed, match=r"differ by \d.* standard errors, more than 4"):
        checks.monte_carlo("eq-a", sides(0.06, SAMPLES), over="o")


def test_monte_carlo_looks_at_the_worst_component():
    two = torch.stack([SAMPLES, SAMPLES + 1], dim=-1)
    with pytest.raises(CheckFailed):
        checks.monte_carlo("eq-a", sides(torch.zeros(2), two), over="o")


def test_monte_carlo_refuses_shapes_that_would_broadcast():
    with pytest.raises(ValueError, match="shapes"):
        checks.monte_carlo("eq-a", sides(torch.zeros(5), SAMPLES), over="o")
    with pytest.raises(ValueError, match="shapes"):
        checks.monte_carlo("eq-a", sides(0.0, SAMPLES.reshape(-1, 2)), over="o")


def test_monte_carlo_fails_for_constant_samples_off_the_claim():
    with pytest.raises(CheckFailed):
        checks.monte_carlo("eq-a", sides(1.0, torch.zeros(100)), over="o")


def test_refuted_passes_only_for_claims_that_are_wrong_everywhere(capsys):
    checks.refuted("wrong-a", {"claim": [1.0, 2.0], "truth": [0.0, 0.0]}, over="o")
    assert line(capsys) == "wrong-a · refuted · claim ≠ truth · o, off by 1 or more"
    with pytest.raises(CheckFailed, match="claim and truth differ by 0 only"):
        checks.refuted("wrong-a", {"claim": [1.0, 0.0], "truth": [0.0, 0.0]}, over="o")
    with pytest.raises(CheckFailed, match="differ by 1e-06 only"):
        checks.refuted("wrong-a", {"claim": 1e-6, "truth": 0.0}, over="o")
    checks.refuted("wrong-a", {"claim": 2e-6, "truth": 0.0}, over="o")
    with pytest.raises(ValueError, match="shapes"):
        checks.refuted("wrong-a", {"claim": [1.0, 2.0], "truth": 0.0}, over="o")


def test_enclosed_sides_must_meet_and_the_room_between_them_is_told(capsys):
    third = [("0.3333333333333333333333333333", "1e-28")]
    checks.enclosed("eq-a", sides(third, [("0.33333333333333333333333333331", "3e-29")]), over="o")
    assert line(capsys) == (
        "eq-a · enclosed · left = right · o, the sides differ by 1.4e-28 at most"
    )
    one = [("1", "0.5"), ("1", "0")]
    checks.enclosed("eq-a", sides(one, [("2", "0.5"), ("1", "0")]), over="balls that touch")
    assert line(capsys).endswith("balls that touch, the sides differ by 2.0e+00 at most")
    with pytest.raises(CheckFailed, match="left is 1 ± 0.5, right is 2.1 ± 0.5"):
        checks.enclosed("eq-a", sides(one, [("2.1", "0.5"), ("1", "0")]), over="o")
    with pytest.raises(CheckFailed, match="left is 0.3.* ± 1e-28, right is 0.33333334 ± 1e-28"):
        checks.enclosed("eq-a", sides(third, [("0.33333334", "1e-28")]), over="o")
    with pytest.raises(ValueError):
        checks.enclosed("eq-a", sides(third, third * 2), over="o")


# What a check would have caught ------------------------------------------------------------------


def test_a_check_prints_the_smallest_relative_error_at_which_it_fails(capsys):
    checks.exact("eq-a", sides(4.0, 4.0), over="o", tolerance=1e-3)
    assert line(capsys).endswith("within 0.001; a relative error of 0.0005 fails")
    checks.monte_carlo("eq-a", sides(1.0, 1 + SAMPLES), over="o")
    assert line(capsys).endswith("a relative error of 0.1 fails")


def test_the_weakest_side_counts_and_both_directions(capsys):
    # The first side is off by most of the tolerance already, so less is missing on that side.
    checks.exact("eq-a", {"off": 1.0009, "same": 1.0, "t": 1.0}, over="o", tolerance=1e-3)
    assert line(capsys).endswith("a relative error of 0.002 fails")


def test_a_check_that_cannot_fail_is_refused():
    with pytest.raises(CheckFailed, match="no error up to 5 makes this check fail"):
        checks.exact("eq-a", sides(1.0, 1.0), over="o", tolerance=float("inf"))


def test_of_a_claim_of_0_the_error_is_absolute(capsys):
    checks.exact("eq-a", sides(0.0, 1e-12), over="o", tolerance=1e-9)
    assert line(capsys).endswith("within 1e-09; an error of 2e-09 fails")
    checks.exact("eq-a", sides([0.0, -4.0], [0.0, -4.0]), over="o", tolerance=1e-3)
    assert line(capsys).endswith("a relative error of 0.0005 fails")
    checks.exact("eq-a", sides(0.0, 0.0), over="o", tolerance=0.0)
    assert line(capsys).endswith("within 0; an error of 1e-16 fails")


# Displays that are read from the page -------------------------------------------------------------


@pytest.fixture()
def page(tmp_path, monkeypatch):
    """Writes displays to a page in the folder where the checks run."""
    monkeypatch.chdir(tmp_path)

    def write(**displays):
        texts = [f"$$\n{tex}\n$$ ({label.replace('_', '-')})\n" for label, tex in displays.items()]
        (tmp_path / "page.md").write_text("\n".join(texts), encoding="utf8")

    return write


AB = {**checks.points(4, a=(-2, 2), b=(0.3, 3)), "double": lambda a: 2 * a}


def test_a_display_is_read_and_worked_out(page, capsys):
    page(eq_a=r"\frac{2 a b}{b} = 2 a")
    world = checks.world(AB)
    checks.displayed("eq-a", world, {"sum": (AB["a"] + AB["a"])[:, 0]}, over="4 points")
    printed = capsys.readouterr().out
    assert printed.startswith(
        "eq-a · executed · 2 sides of the display = sum · 4 points, within 1e-09; a relative error of "
    )
    assert "\n    read from the page: (2ab)/(b) = 2a\n" in printed


@pytest.mark.parametrize(
    ("tex", "message"),
    [
        ("2 a = a + b", "side 2 and side 1 differ"),
        ("2 a = a + a = a", "side 3 and side 2 differ"),
        ("3 a = 3 a", "side 2 and sum differ"),
        (r"a + a = 2 a, \qquad a \ne a", "sides 1 and 2 are not different"),
        (r"a + a = 2 a, \qquad b = a", "differ"),
        (r"2 a = a + a, \qquad a \ne b \ne b", "sides 2 and 3 are not different"),
        (r"2 a = a + a, \qquad a \ne c", "sides 1 and 2 are not different"),
    ],
)
def test_a_false_display_fails(page, tex, message):
    page(eq_a=tex)
    with pytest.raises(CheckFailed, match=message):
        world = checks.world({**AB, "c": AB["a"][0]})  # at one of the points c equals a
        checks.displayed("eq-a", world, {"sum": 2 * AB["a"][:, 0]}, over="o")


def test_a_side_that_is_0_has_no_relative_error(page, capsys):
    page(eq_a=r"2 a = a + a, \qquad a - a = 0")
    checks.displayed("eq-a", checks.world(AB), over="o", tolerance=1e-3)
    assert "; a relative error of " in capsys.readouterr().out


def test_a_display_says_where_it_holds(page):
    page(eq_a=r"2 a = a + a, \qquad a \ne b")
    checks.displayed("eq-a", checks.world(AB), over="o")


def test_a_display_is_held_to_its_tolerance(page, capsys):
    page(eq_a="2 a = c")
    world = checks.world({"a": 1.0, "c": 2.25})
    checks.displayed("eq-a", world, {"r": 2.5}, over="o", tolerance=0.25)
    assert "o, within 0.25; a relative error of 0.5 fails" in capsys.readouterr().out
    with pytest.raises(CheckFailed, match="differ by 0.25, more than 0.24"):
        checks.displayed("eq-a", world, over="o", tolerance=0.24)


def test_a_relation_that_nothing_would_check_is_refused(page):
    page(eq_a="a < a + 1")
    with pytest.raises(ValueError, match="eq-a: nothing would check {'<'}"):
        checks.displayed("eq-a", checks.world(AB), over="o")


def test_each_statement_may_have_its_own_reference(page):
    page(eq_a=r"\begin{aligned} c &= 2 a \\ d &= 3 a \end{aligned}")
    world = checks.world({**AB, "c": 2 * AB["a"], "d": 3 * AB["a"]})
    one, two = 2 * AB["a"][:, 0], 3 * AB["a"][:, 0]
    checks.displayed("eq-a", world, {"r": (one, two)}, over="o")
    checks.displayed("eq-a", world, {"r": (None, two)}, over="o")
    for wrong in ((two, two), (one, one), (None, one)):
        with pytest.raises(CheckFailed):
            checks.displayed("eq-a", world, {"r": wrong}, over="o")


def test_a_displayed_inequality_is_strict_in_one_world_and_an_equality_in_the_other(page, capsys):
    page(eq_a=r"\log b \le b - 1")
    strict = checks.world({"b": torch.tensor([0.5, 2.0], dtype=torch.float64)})
    equal = checks.world({"b": 1.0})
    checks.displayed("eq-a", strict, over="o", at_equality=equal)
    # Nothing is said of a relative error, as no side is equal to another.
    by = ", by 0.193 or more; equality within 1e-09; a shift by 2e-09 fails"
    assert f"o{by}\n" in capsys.readouterr().out
    with pytest.raises(CheckFailed, match="exceeds"):
        checks.displayed("eq-a", equal, over="o", at_equality=equal)
    with pytest.raises(CheckFailed, match="differ by"):
        checks.displayed("eq-a", strict, over="o", at_equality=strict)
    with pytest.raises(ValueError, match="give a world in which it is an equality"):
        checks.displayed("eq-a", strict, over="o")
    page(eq_a=r"\log b \ge b - 1")
    with pytest.raises(CheckFailed, match="exceeds"):
        checks.displayed("eq-a", strict, over="o", at_equality=equal)
    page(eq_a=r"b - 1 = -(1 - b) \ge \log b")
    checks.displayed(
        "eq-a", strict, {"log": [math.log(0.5), math.log(2)]}, over="o", at_equality=equal
    )
    assert by in capsys.readouterr().out
    with pytest.raises(CheckFailed, match="side 3 and b - 1 differ"):
        checks.displayed("eq-a", strict, {"b - 1": [-0.5, 1.0]}, over="o", at_equality=equal)
    with pytest.raises(CheckFailed, match="by 0.193 only, not by more than 0.2"):
        checks.displayed("eq-a", strict, over="o", at_equality=equal, tolerance=0.2)


def test_the_condition_of_an_equality_must_hold_there_and_only_there(page):
    strict, equal = checks.world({"b": torch.tensor([0.5, 2.0])}), checks.world({"b": 1.0})
    page(eq_a=r"\log b \le b - 1, \qquad \text{with equality only at } b = 1")
    checks.displayed("eq-a", strict, over="o", at_equality=equal)
    page(eq_a=r"\log b \le b - 1, \qquad \text{with equality only at } b = 2")
    with pytest.raises(CheckFailed, match="of the condition are different where"):
        checks.displayed("eq-a", strict, over="o", at_equality=equal)
    page(eq_a=r"\log b \le b - 1, \qquad \text{with equality only at } b^2 = b b")
    with pytest.raises(CheckFailed, match="of the condition are equal where"):
        checks.displayed("eq-a", strict, over="o", at_equality=equal)


def test_a_displayed_claim_that_is_wrong_is_refuted(page, capsys):
    page(wrong_a=r"a \overset{?}{=} a + 1", wrong_b=r"a \overset{?}{=} 2 a - a")
    checks.displayed("wrong-a", checks.world(AB), over="o")
    assert capsys.readouterr().out == (
        "wrong-a · refuted · left side ≠ right side · o, off by 1 or more\n"
        "    read from the page: a ?= a+1\n"
    )
    with pytest.raises(CheckFailed):
        checks.displayed("wrong-b", checks.world(AB), over="o")
    page(eq_a=r"a \overset{?}{=} a + 1")
    with pytest.raises(ValueError, match="needs a label wrong-"):
        checks.displayed("eq-a", checks.world(AB), over="o")


def test_references_pin_the_sides_of_a_refuted_display(page, capsys):
    page(wrong_a=r"a \overset{?}{=} a + 1")
    world, a = checks.world(AB), AB["a"][:, 0]
    checks.displayed("wrong-a", world, {"r": 1 + a}, over="o")
    assert "left side ≠ right side = r · o" in capsys.readouterr().out
    checks.displayed("wrong-a", world, {"l": (2 * a / 2, None), "r": 1 + a}, over="o")
    assert "left side = l ≠ right side = r · o" in capsys.readouterr().out
    with pytest.raises(CheckFailed, match="right side and r differ by 1"):
        checks.displayed("wrong-a", world, {"r": 2 + a}, over="o")
    with pytest.raises(CheckFailed, match="left side and r differ by 1"):
        checks.displayed("wrong-a", world, {"r": (1 + a, 1 + a)}, over="o")


def test_only_one_claim_of_two_sides_is_refuted(page):
    page(wrong_a=r"a \overset{?}{=} a + 1, \qquad a = a", wrong_b=r"a \overset{?}{=} a + 1 = 1 + a")
    for label in ("wrong-a", "wrong-b"):
        with pytest.raises(ValueError, match="unpack"):
            checks.displayed(label, checks.world(AB), over="o")


def test_what_a_display_uses_must_have_a_meaning(page):
    page(eq_a="2 a = c")
    with pytest.raises(Unreadable, match="eq-a: 'c' has no meaning"):
        checks.displayed("eq-a", checks.world(AB), over="o")
    with pytest.raises(LookupError, match="displays eq-b"):
        checks.displayed("eq-b", checks.world(AB), over="o")


@pytest.fixture()
def installed(tmp_path, monkeypatch):
    """A folder of installed pages, one of which defines c."""
    folder = tmp_path / "installed"
    folder.mkdir()
    (folder / "page.md").write_text("$$\nc := a + b\n$$ (def-c)\n\n$$\na = a\n$$ (eq-a)\n")
    monkeypatch.setattr(checks, "installed_pages", lambda: folder)


def test_a_definition_that_is_not_here_is_taken_from_the_installed_pages(page, installed):
    page(eq_a="c - b = a")
    checks.displayed("eq-a", checks.world(AB, "def-c"), over="o")
    page(eq_a="c - b = a", def_c="c := 2 a")
    with pytest.raises(CheckFailed):
        checks.displayed("eq-a", checks.world(AB, "def-c"), over="o")
    page(def_c="c := 2 a")
    with pytest.raises(LookupError, match="displays eq-a"):
        checks.displayed("eq-a", checks.world(AB), over="o")


def test_where_no_notebook_is_the_installed_display_is_read_and_that_is_said(
    installed, monkeypatch, tmp_path, capsys
):
    (tmp_path / "empty").mkdir()
    monkeypatch.chdir(tmp_path / "empty")
    with pytest.warns(UserWarning, match="no notebook in .*empty, so displays .* as .* installed"):
        checks.displayed("eq-a", checks.world(AB), over="o")
    assert line(capsys) == "read from the page: a = a"


def test_a_world_takes_definitions_from_the_book(page):
    page(def_c="c := a + b", eq_a="c - b = a")
    checks.displayed("eq-a", checks.world(AB, "def-c"), over="o")
    page(def_c="c := a + b", def_d="d := 2 c", eq_a="d - 2 b = 2 a")
    checks.displayed("eq-a", checks.world(AB, "def-c", "def-d"), over="o")
    page(def_c="c := a - b", eq_a="c - b = a")
    with pytest.raises(CheckFailed):
        checks.displayed("eq-a", checks.world(AB, "def-c"), over="o")


def test_points_come_from_both_signs_where_the_domain_has_both():
    drawn = checks.points(20, a=(-2, 2), b=(0.3, 3), c=(-1, 0, 5))
    assert drawn["a"].shape == (20, 1) and drawn["c"].shape == (5, 20, 1)
    assert drawn["a"].min() < -1 and drawn["a"].max() > 1
    assert drawn["b"].min() >= 0.3 and drawn["b"].max() <= 3
    assert torch.equal(drawn["a"], checks.points(20, a=(-2, 2))["a"])
    assert checks.points(a=(0, 1))["a"].shape == (50, 1)


def test_a_transcribed_display_is_bound_by_its_digest(page, capsys):
    page(eq_a="y = x + 1")
    digest = checks.digest_of("y  = x + 1")
    checks.transcribed("eq-a", digest)
    assert line(capsys) == f"eq-a · transcribed · copied into code by hand · {digest}"
    assert len(digest) == 8
    page(eq_a="y = x - 1", wrong_a="y = x + 1")
    checks.transcribed("wrong-a", digest)
    with pytest.raises(CheckFailed, match="has changed since .* accept eq-a"):
        checks.transcribed("eq-a", digest)


# Mistakes ----------------------------------------------------------------------------------------


def test_catches_prints_the_miss_to_three_digits(capsys):
    check = checks.exact("eq-a", sides(1.0, 1.0), over="o", tolerance=1e-9)
    check.catches("a factor", 1 + 1 / 3)
    assert line(capsys) == "eq-a · catches · a factor · off by 0.333"
    check.catches("0 / 0", float("nan"))
    assert line(capsys).endswith("off by inf")


def test_catches_fails_when_the_wrong_version_is_right():
    check = checks.exact("eq-a", sides(1.0, 1.0), over="o", tolerance=0.5)
    with pytest.raises(CheckFailed, match="'none' is off by 0.25, .*would not catch"):
        check.catches("none", 1.25)
    with pytest.raises(CheckFailed, match="off by 0.5, not by more than 0.5"):
        check.catches("none", 1.5)
    with pytest.raises(CheckFailed, match="would not catch"):
        checks.proved("eq-a", sides(x + x, 2 * x), over="").catches("none", 2 * x)


def test_catches_counts_standard_errors_for_monte_carlo(capsys):
    check = checks.monte_carlo("eq-a", sides(0.0, SAMPLES), over="o")
    check.catches("off by one", 1.0)
    assert line(capsys).endswith(" standard errors")
    with pytest.raises(CheckFailed, match="would not catch"):
        check.catches("nothing", 0.001)


def test_the_standard_error_is_that_of_the_mean(capsys):
    # 16 samples with the standard deviation sqrt(16 / 15), so the mean has sqrt(1 / 15).
    samples = torch.tensor([-1.0, 1.0]).repeat(8)
    checks.monte_carlo("eq-a", sides(0.0, samples), over="o").catches("off by two", 2.0)
    assert line(capsys).endswith(f"off by {2 * 15**0.5:.3g} standard errors")


def test_a_check_shows_nothing_of_its_own_in_a_notebook():
    check = checks.exact("eq-a", sides(1.0, 1.0), over="o", tolerance=1e-9)
    assert check._ipython_display_() is None


@pytest.mark.parametrize("label", ["def-a", "wrong-a", "a"])
def test_a_check_needs_a_label_of_a_fact(label):
    with pytest.raises(ValueError, match="eq-"):
        checks.exact(label, sides(1.0, 1.0), over="o", tolerance=1.0)


def test_a_refutation_needs_a_label_of_a_false_claim():
    with pytest.raises(ValueError, match="wrong-"):
        checks.refuted("eq-a", sides(1.0, 0.0), over="o")
