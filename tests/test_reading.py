r"""Every construction of the book's notation is worked out, and compared with a number from elsewhere.

What changes the meaning of a display must change the number: a lost sign, an index, an order.
"""

import math

import pytest
import sympy
import torch

from equation_checks.reading import define, normal_text, read
from equation_checks.world import Each, Over, Unreadable, World, log_normal, numbers

GRID = torch.linspace(-12, 12, 4801, dtype=torch.float64)
DZ = Over("z", GRID, GRID[1] - GRID[0])


def value(tex, world=None):
    """The number that the right side of ``y = tex`` means."""
    (statement,) = read(f"y = {tex}", World(world or {}))
    return numbers(statement.sides[-1].value(World(world or {}))).tolist()


SCALARS = {"x": 2.0, "y": 3.0, "mu_q": 0.5, "mu_p": -0.25, "sigma_q": 0.8, "n": 4, "d": 7}
SCALARS |= {
    "(partial g)/(partial x)": 5,
    "x^*": 8,
    "y^star": 9,
    "mu_z|x": 9,
    "lambda": lambda x: x**2,
}


@pytest.mark.parametrize(
    ("tex", "expected"),
    [
        ("x + y", 5),
        ("x - y", -1),
        ("-x y", -6),
        ("2 x^2", 8),
        (r"\frac{1}{2} x y^{n - 2}", 9),
        (r"x \cdot (1 - y)", -4),
        (r"\left(x + 1\right)^2", 9),
        (r"\frac{x + 1}{y - 1} - 1", 0.5),
        (r"\log\frac{x}{y}", math.log(2 / 3)),
        (r"\log x y", math.log(6)),
        (r"\log x - y", math.log(2) - 3),
        (r"x \log x + y", 2 * math.log(2) + 3),
        (r"\log(x) y", 3 * math.log(2)),
        (r"\log 2\pi x", math.log(4 * math.pi)),
        (r"e^{-x}", math.exp(-2)),
        (r"\exp\Big(x - y\Big)", math.exp(-1)),
        (r"\sin x \cdot y", 3 * math.sin(2)),
        (r"\sqrt{x + 2}", 2),
        (r"\left|x - y\right|", 1),
        (r"(\mu_q - \mu_p)^2", 0.5625),
        (r"\sigma_q^2 + \mu_q", 1.14),
        (r"\Big[x + y\Big] x", 10),
        (r"x^2\Big|_{x = 5}", 25),
        (r"x\Big|_{x^2 = 9}", 3),
        (r"\tfrac12 x", 1),
        (r"1.5 x 2", 6),
        (r"x \frac{1}{2}{x y}[y + 1]", 24),
        (r"{} - x", -2),
        (r"|x - (|y - 5|)|", 0),
        (r"y d x", 2 * 3 * 7),
        (r"\frac{d}{dx} x^2 x", 12),
        (r"(x - y)^3", -1),
        (r"\frac{d \lambda}{dx}", 4),
        (r"\frac{\partial g}{\partial x}", 5),
        (r"x^* + y^\star", 17),
        (r"\mu_{z \mid x}", 9),
    ],
)
def test_expressions(tex, expected):
    assert value(tex, SCALARS) == pytest.approx(expected)


VECTORS = {
    "a": torch.tensor([1.0, 2.0, 4.0]).double(),
    "A": torch.tensor([[1.0, 2.0], [3.0, 4.0]]).double(),
    "ell_p": torch.tensor([0.5, 1.5, 2.5]).double(),
    "D": 3,
    "t": 2,
    "d": range(1, 4),
    "i": range(1, 3),
    "k": range(1, 3),
    "B": [1, 3],
    "label": [2, 1],
    "a'": [10, 20],
    "W_z,x": 5.0,
}


@pytest.mark.parametrize(
    ("tex", "expected"),
    [
        (r"\sum_{j=1}^{D} a_j", 7),
        (r"\sum_{j=2}^{D} a_j", 6),
        (r"\sum_{j=1}^{D} a_j^2 - 1", 20),
        (r"\sum_{j=1}^{D} \left(a_j - 1\right)", 4),
        (r"\sum_{j=1}^{D} -a_j", -7),
        (r"\prod_{d} (a_d + 1)", 30),
        (r"\sum_{d} a_{d}", 7),
        (r"\sum_{i,k} A_{ik}", 10),
        (r"\sum_{i,k} A_{ik} A_{ki}", 1 + 16 + 6 + 6),
        (r"\sum_{j=1}^{D} e^{\ell_{p,j}}", sum(math.exp(v) for v in (0.5, 1.5, 2.5))),
        (r"\sum_{j \in B} a_j", 5),
        (r"\sum_{j=1}^{2} A_{j label_j}", None),
        (r"a_t", 2),
        (r"a'_t", 20),
        (r"A_{2,1}", 3),
        (r"\frac{\partial}{\partial a_t} \sum_{j=1}^{D} a_j^2", 4),
        (r"\frac{\partial}{\partial a} \sum_{j=1}^{D} a_j^2", 14),
        (r"\sum_{j=1}^{D} \log a_j a_j", sum(math.log(v * v) for v in (1, 2, 4))),
        (r"\log \frac{1}{D}\sum_{j=1}^{D} a_j", math.log(7 / 3)),
    ],
)
def test_sums_and_indices(tex, expected):
    if expected is None:
        pytest.raises(Unreadable, value, tex, VECTORS)
    else:
        assert value(tex, VECTORS) == pytest.approx(expected)


def test_an_index_may_itself_be_indexed():
    world = {"a": VECTORS["A"], "x": [2, 1], "d": range(1, 3)}
    assert value(r"\sum_{d} a_{d x_d}", world) == 2 + 3


def test_a_name_with_a_condition_in_its_subscript_is_given_whole():
    assert value(r"2\mu_{z \mid x}", {"mu_z|x": 1.5, "mu": 7.0, "z": 1, "x": 2}) == 3


def test_a_derivative_by_a_name_that_stands_for_another():
    """The chain rule over the children a = v^2 and b = 3v of v, for L = ab."""
    world = {"v": 2.0, "a": lambda v: v**2, "b": lambda v: 3 * v, "L": lambda a, b: a * b}
    world["children"] = ["a", "b"]
    rule = r"\sum_{c \in \mathrm{children}} \frac{\partial L}{\partial c} \frac{\partial c}{\partial v}"
    assert value(rule, world) == value(r"\frac{\partial L}{\partial v}", world) == 9 * 2.0**2


def normals():
    """q = N(mu, sigma^2) and p = N(0, 1) over z, and f."""
    return World(
        {
            "dz": DZ,
            "mu": 0.4,
            "sigma": 0.7,
            "log q(z)": lambda z, mu, sigma: log_normal(z, mu, sigma**2),
            "log p(z)": lambda z: log_normal(z, 0, 1),
            "f": lambda z: z**2,
            "dx": Over("x", GRID, DZ.weights),
            "alias": "mu",
            "varepsilon": torch.tensor(0.3).double(),
            "E_varepsilon": Over("varepsilon", GRID, log_normal(GRID, 0, 1).exp() * DZ.weights),
        }
    )


KL = 0.5 * (0.4**2 + 0.7**2 - 1 - math.log(0.7**2))


@pytest.mark.parametrize(
    ("tex", "expected"),
    [
        (r"\int q(z)\, dz", 1),
        (r"\int z^2 q(z)\,dz + 1", 0.16 + 0.49 + 1),
        (r"\int_0^1 z^2\, dz", 1 / 3),
        (
            r"\int_{z > 0} p(z)\, dz",
            0.5 - 0.0025 / math.sqrt(2 * math.pi),
        ),  # the bar at 0 is left out
        (r"\int q(z) \sigma z\, dz", 0.28),
        (r"\int \mathcal{N}(z; \mu, \sigma^2) z\, dz", 0.4),
        (r"\mathbb{E}_q[z]", 0.4),
        (r"\mathbb{E}_{z \sim p(z)}[z^2]", 1),
        (r"\mathbb{E}_{x \sim \mathcal{N}(\mu, \sigma^2)}[x]", 0.4),
        (r"\mathbb{E}_{q}\left[f(z)\right] - 1", 0.65 - 1),
        (r"\mathbb{E}_{q(z)}\big[z\big] \sigma", 0.28),
        (r"\mathbb{E}_{z \sim \mathcal{N}(\mu, \sigma^2)}[f(z)]", 0.65),
        (r"\mathbb{E}_{\varepsilon}[f(\mu + \sigma\varepsilon)]", 0.65),
        (r"\mathbb{E}_{\varepsilon \sim \mathcal{N}(0, 1)}[\varepsilon^2]", None),
        (r"\mathrm{Var}_q[z]", 0.49),
        (r"\mathrm{KL}(q \,\|\, p)", KL),
        (r"\mathrm{KL}(q(z) \,\|\, p(z))", KL),
        (r"\mathrm{KL}(\mathcal{N}(\mu, \sigma^2) \,\|\, \mathcal{N}(0, 1))", KL),
        (r"\mathbb{E}_q\Big[\log\frac{q(z)}{p(z)}\Big]", KL),
        (r"\mathrm{H}(q)", 0.5 * math.log(2 * math.pi * math.e * 0.49)),
        (r"\frac{\partial}{\partial\mu} \mathbb{E}_q[f(z)]", 0.8),
        (r"\frac{\partial\, \mathbb{E}_q[f(z)]}{\partial \sigma}", 1.4),
        (r"\frac{\partial\, \mathrm{KL}(q \,\|\, p)}{\partial \mu}", 0.4),
        (r"\frac{\partial\, \mathbb{E}_q[f(z)]}{\partial (\sigma^2)}", 1),
        (r"\frac{\partial\, \mathbb{E}_q[f(z)]}{\partial \mathrm{alias}}", 0.8),
        (r"\nabla_\mu \mathbb{E}_q[f(z)]", 0.8),
    ],
)
def test_averages_divergences_and_derivatives(tex, expected):
    if expected is None:  # nothing says how to integrate over epsilon but its average
        pytest.raises(Unreadable, value, tex, normals())
    else:
        assert value(tex, normals()) == pytest.approx(expected, abs=1e-7)


def test_the_order_of_a_divergence_matters():
    backward = value(r"\mathrm{KL}(p \,\|\, q)", normals())
    assert backward == pytest.approx(math.log(0.7) + (1 + 0.4**2) / (2 * 0.49) - 0.5, abs=1e-7)


def test_a_conditional_density_takes_its_names_from_the_place():
    world = World(
        {"p(x|z)": lambda x, z: x + 10 * z, "x": 1.0, "z": 2.0, "z_l": [5.0], "l": 1, "p": 3.0}
    )
    assert value(r"p(x \mid z)", world) == 21
    assert value(r"p(x \mid z + 1)", world) == 31
    for tex in (r"p(z \mid x)", r"p(x \mid x)", r"p(x, z + 1)"):
        with pytest.raises(Unreadable):
            value(tex, world)
    joint = world.bind({"p(x,z)": lambda x, z: -x, "p(x|z,y)": lambda x, z, y: z + y, "y": 7.0})
    assert value("p(x, z + 1)", joint) == -1
    assert value(r"p(x \mid z + 1, y)", joint) == 10
    with pytest.raises(Unreadable):
        value(r"q(x \mid z)", world)


def test_a_density_of_an_entry_is_summed_over_the_entry():
    tables = torch.tensor([[0.2, 0.8], [0.7, 0.3]], dtype=torch.float64)
    world = {
        "q_j(z_j)": lambda j, z_j: tables[j - 1, z_j],
        "dz_j": Over("z_j", torch.arange(2), 1.0),
        "z_j": lambda z, j: z[j - 1],
        "q(z)": lambda z: tables[0, z[0]] * tables[1, z[1]],
        "dz": Over("z", torch.tensor([[0, 0, 1, 1], [0, 1, 0, 1]]), 1.0),
        "j": 2,
    }
    assert value(r"\mathbb{E}_{q_j}[z_j]", world) == pytest.approx(0.3)
    assert value(r"\mathbb{E}_q[z_j]", world) == pytest.approx(0.3)
    # Without an integral over the entry, over the whole.
    world |= {"r(z_j)": lambda z, j: tables[0, z[0]] * tables[1, z[1]]}
    del world["dz_j"]
    assert value(r"\mathbb{E}_{r(z_j)}[z_j]", world) == pytest.approx(0.3)


def test_a_density_may_go_by_its_name_if_there_is_one_of_that_name():
    def given(x, z):
        return log_normal(z, x, 1)

    world = normals().bind({"log p(x|z)": given, "log r(z|x)": given, "x": 3.0})
    assert value(r"\mathbb{E}_p[z]", world) == pytest.approx(0)
    assert value(r"\mathbb{E}_r[z]", world) == pytest.approx(3)
    with pytest.raises(Unreadable, match="'p' is not the one density"):
        value(r"\mathbb{E}_p[z]", world.bind({"p(x)": 1.0}))


def test_what_an_average_binds_comes_before_an_entry():
    world = {"E_x_1": Each([{"x_1": 5.0}]), "x": [1.0, 2.0]}
    assert value(r"\mathbb{E}_{x_1}[x_1 + x_2]", world) == 7


def test_what_the_world_says_comes_before_what_is_built_in():
    assert value(r"\mathrm{KL}(q \,\|\, p)", normals().bind({"KL(q||p)": 5.0})) == 5
    both = {"p": lambda z: 5 * z, "log p(z)": lambda z: -z, "z": 2.0}
    assert value("p(z) + p(z + 1)", both) == pytest.approx(math.exp(-2) + 15)
    assert value(r"\mathrm{Cov}(x, 3)", {"Cov": lambda a, b: a * b, "x": 2.0}) == 6
    assert value(r"\mathrm{Var}(x)", {"E": Each([{"x": 1.0}, {"x": 3.0}])}) == 1


def test_an_expectation_without_a_meaning_is_never_a_product():
    for tex in (r"\mathbb{E}[x]", r"\mathbb{E}_q[x]", r"\mathbb{E} x"):
        with pytest.raises(Unreadable, match="E' has no meaning|'q' is not the one density"):
            value(tex, {"x": 2.0, "q": 3.0})


def test_a_letter_before_a_parenthesis_is_a_function_only_if_the_world_says_so():
    assert value("x(y + 1)", {"x": 2.0, "y": 3.0}) == 8
    assert value("x(y + 1)", {"x": lambda t: t**2, "y": 3.0}) == 16
    assert value("x[y + 1]", {"x": lambda t: t**2, "y": 3.0}) == 16
    assert value("F^{-1}(u)", {"F": lambda t: t, "F^(-1)": lambda t: t / 2, "u": 3.0}) == 1.5


def test_matrices():
    A, m = sympy.Matrix([[2.0, 1.0], [0.5, 3.0]]), sympy.Matrix([1.0, -2.0])
    world = {"A": A, "m": m, "I": sympy.eye(2), "x": 2.0}
    assert value(r"m^\top A m", world) == (m.T * A * m)[0]
    assert value(r"\mathrm{tr}(A)", world) == 5
    assert value(r"\log\det A", world) == pytest.approx(math.log(5.5))
    assert value(r"A^{-1} A + x I", world) == [[3, 0], [0, 3]]
    assert value(r"x \|m\|^2", world) == pytest.approx(10)
    outcomes = Each([{"v": sympy.Matrix([1, 0])}, {"v": sympy.Matrix([3, 2])}])
    assert value(r"\mathrm{Cov}[v]", {"E": outcomes}) == [[1, 1], [1, 1]]
    assert value(r"A (m - x m)", world) == numbers(-(A * m)).tolist()
    assert value(r"\left(A m\right)_{t}", {**world, "t": 2}) == -5.5


def test_the_probability_of_an_event():
    world = {"E": Each([{"u": 0.25}, {"u": 0.5}, {"u": 0.75}]), "F": lambda t: t / 2, "t": 1.0}
    assert value(r"P(u \le F(t))", world) == pytest.approx(2 / 3)
    assert value(r"P(u < F(t))", world) == pytest.approx(1 / 3)
    assert value(r"P(2 u > F(t))", world) == pytest.approx(2 / 3)
    assert value(r"P(2 u \ge F(t))", world) == pytest.approx(1)


@pytest.mark.parametrize(("x", "expected"), [(-2.0, 2), (0.0, 7), (3.0, 6)])
def test_cases(x, expected):
    tex = r"\begin{cases} -x & \text{if } x < 0 \\ 2 x & \text{if } x > 0 \\ 7 & \text{otherwise} \end{cases}"
    assert value(f"{tex} - 1", {"x": torch.tensor(x)}) == expected - 1
    only = r"\begin{cases} x & \text{if } x \ne 0 \\ 1 & \text{if } x = 1 \end{cases}"
    assert math.isnan(value(only, {"x": torch.tensor(0.0)}))


def test_an_operator_of_the_world():
    world = {"min_q": lambda operand: min(operand(q=q) for q in (3.0, 2.0)), "q": 0.0}
    assert value(r"\min_{q} q", world) == 2


@pytest.mark.parametrize(
    ("tex", "statements"),
    [
        (r"a = b = c", "a = b = c"),
        (r"\begin{aligned} a &= b \\ &= c \end{aligned}", "a = b = c"),
        (r"\begin{aligned} a &= b \\ c &= d \end{aligned}", "a = b; c = d"),
        (r"\begin{aligned} a = {}& b \\ &- c \end{aligned}", "a = b-c"),
        (r"\begin{aligned} a = f\Big(& b \\ & + c\Big) \end{aligned}", "a = f(b+c)"),
        (r"a = b, \qquad c = d", "a = b; c = d"),
        (r"a \le b, \qquad \text{with equality only at } c = d", "a <= b; where c = d"),
        (r"a \le b, \qquad \text{for concave } f", "a <= b"),
        (r"a = b, \quad d \ne 0", "a = b; d != 0"),
        (r"f(a, b) = c.", "f(a,b) = c"),
        (r"\begin{aligned} a &= b \\ &+ c = d \\ &- e = f \end{aligned}", "a = b+c = d-e = f"),
        (r"\begin{aligned} a + {} \\ b = c \end{aligned}", "a+b = c"),
        (r"\begin{aligned} a = b \\ \cdot c \end{aligned}", "a = b*c"),
    ],
)
def test_statements_of_a_display(tex, statements):
    assert normal_text(tex) == statements


def test_a_definition_of_the_book_gives_its_meaning():
    world = define(r"p(x, z) := p(z)\, p(x \mid z)", normals().bind({"p(x|z)": lambda x, z: x * z}))
    assert value("p(x, z)", world.bind({"x": 2.0, "z": torch.tensor(1.0)})) == pytest.approx(
        2 * math.exp(-0.5) / math.sqrt(2 * math.pi)
    )


def test_a_definition_holds_for_other_values_of_its_arguments():
    world = define(r"F(q, \theta) := q - \theta", World({"q": 1.0, "theta": 1.0}))
    world = world.bind({"q_t": 5.0, "theta_t": 2.0, "theta_t+1": 3.0})
    assert value(r"F(q_t, \theta_t)", world) == 3
    assert value(r"F(q_t, \theta_{t+1})", world) == 2
    # A name that stands for itself needs no value, as a density has none.
    world = {"F(q,theta)": lambda theta: 2 * theta, "theta_t": 3.0}
    assert value(r"F(q, \theta_t)", world) == 6


def test_the_logarithm_of_tiny_densities_is_exact():
    world = World({"log p(z)": lambda z: -1000 * z, "log q(z)": lambda z: -900 * z, "z": 1.0})
    world["z"] = torch.tensor(1.0)
    assert value(r"\log\left[p(z)\, q(z)\right]", world) == -1900
    assert value(r"\log\frac{p(z)}{q(z)}", world) == -100
    assert value(r"\log\frac{p(z)}{e}", world) == -1001
    assert value(r"\log\frac{e}{p(z)}", world) == 1001
    assert value(r"\log\left[p(z) e\right]", world) == -999
    assert value(r"\log\left[e p(z)\right]", world) == -999
    world = define(r"r(z) := p(z)\, q(z)", world)
    assert value(r"\log r(z)", world) == -1900


@pytest.mark.parametrize(
    "tex",
    [
        *("(x", "x +", r"\int x", "x ^", r"\log", "= 2", r"\frac{}{2}", "x)", "(x]", r"x + \mid y"),
        *(r"\sum x", "x_k", "f(x)", "x(k)", "e_1", r"\int x + y", "W_{z x}", "k", r"\mathrm{xy}"),
    ],
)
def test_what_cannot_be_read_is_an_error(tex):
    with pytest.raises(Unreadable):
        value(tex, {**SCALARS, "dy": DZ, "W_z,x": 5.0})
