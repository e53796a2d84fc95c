"""What notation stands for: averages, densities, derivatives, and errors for what is unknown."""

import math

import pytest
import sympy
import torch

from equation_checks.world import (
    Each,
    Over,
    Unreadable,
    World,
    apply,
    divergence,
    entropy,
    interval,
    log_normal,
    numbers,
    slope,
    times,
    variance,
)

GRID = torch.linspace(-12, 12, 4801, dtype=torch.float64)
Z = Over("z", GRID, GRID[1] - GRID[0])


def test_a_name_is_a_value_or_worked_out_from_other_names():
    world = World({"mu": 2.0, "twice": lambda mu: 2 * mu, "again": lambda twice: twice + 1})
    assert world.look_up("again") == 5
    assert world.bind({"mu": 3.0}).look_up("again") == 7
    assert world.look_up("e") == math.e and world.look_up("pi") == math.pi
    assert world.bind({"child": "mu"}).look_up("child") == 2


def test_what_is_unknown_is_named_with_what_is_known():
    with pytest.raises(Unreadable, match=r"'nu' has no meaning here; what has: mu"):
        World({"mu": 1.0}).look_up("nu")
    with pytest.raises(Unreadable, match="'nu'"):
        World({"mu": lambda nu: nu}).look_up("mu")


def test_a_density_given_by_its_logarithm_does_not_underflow():
    world = World({"log p(z)": lambda z: -1000 * z, "z": torch.tensor(1.0)})
    assert world.look_up("p(z)") == 0
    assert world.log_of("p(z)") == -1000
    assert World({"p(z)": torch.tensor(0.5)}).log_of("p(z)") == math.log(0.5)


def test_over_sums_along_the_last_axis_and_keeps_it():
    total = Over("z", torch.tensor([1.0, 2.0]), torch.tensor([10.0, 1.0]))
    assert total(lambda z: z**2).tolist() == [14]
    assert total(lambda z: 1.0).tolist() == [11]
    assert Over("z", torch.arange(3), 0.1)(lambda z: 1.0).item() == pytest.approx(0.3, abs=1e-15)
    assert Z(lambda z: log_normal(z, 0.3, 1.7).exp()).item() == pytest.approx(1, abs=1e-12)


def test_each_averages_over_outcomes_with_weights():
    outcomes = [{"x": 1.0}, {"x": 4.0}]
    assert Each(outcomes)(lambda x: x) == 2.5
    assert Each(outcomes, [0.25, 0.75])(lambda x: x) == 3.25
    with pytest.raises(ValueError):
        Each(outcomes, [1.0])(lambda x: x)


def test_variance_of_numbers_and_covariance_of_columns():
    outcomes = Each([{"x": 1.0}, {"x": 4.0}], [0.25, 0.75])
    assert variance(outcomes, lambda x: x) == pytest.approx(0.25 * 0.75 * 9)
    columns = Each([{"x": sympy.Matrix([1, 0])}, {"x": sympy.Matrix([3, 2])}])
    assert numbers(variance(columns, lambda x: x)).tolist() == [[1, 1], [1, 1]]


def test_divergence_and_entropy_are_those_of_torch():
    q, p = torch.distributions.Normal(0.4, 0.7), torch.distributions.Normal(-0.2, 1.3)
    kl = divergence(Z, lambda z: q.log_prob(z), lambda z: p.log_prob(z))
    assert kl.item() == pytest.approx(torch.distributions.kl_divergence(q, p).item(), abs=1e-6)
    assert entropy(Z, lambda z: q.log_prob(z)).item() == pytest.approx(q.entropy().item(), abs=1e-6)


def test_where_q_is_0_nothing_is_added():
    table = Over("z", torch.arange(2), torch.ones(2))
    log_q, log_p = torch.tensor([0.0, -math.inf]), torch.tensor([0.5, 0.5]).log()
    kl = divergence(table, lambda z: log_q, lambda z: log_p)
    assert kl.item() == pytest.approx(math.log(2))
    assert entropy(table, lambda z: log_q).item() == 0


def test_log_normal_agrees_with_torch_in_one_and_in_three_dimensions():
    one = torch.distributions.Normal(0.4, 1.5**0.5)
    assert log_normal(torch.tensor(2.0), 0.4, 1.5) == pytest.approx(one.log_prob(torch.tensor(2.0)))
    covariance = torch.tensor([[2.0, 0.3, 0.1], [0.3, 1.0, -0.2], [0.1, -0.2, 1.5]]).double()
    mean, x = torch.tensor([1.0, -2.0, 0.5]).double(), torch.tensor([0.2, 0.1, 0.7]).double()
    three = torch.distributions.MultivariateNormal(mean, covariance)
    claimed = log_normal(*(sympy.Matrix(value.tolist()) for value in (x, mean, covariance)))
    assert claimed == pytest.approx(three.log_prob(x).item(), abs=1e-12)
    centred, spread = (sympy.Matrix(value.tolist()) for value in (x - mean, covariance))
    assert log_normal(centred, 0, spread).item() == pytest.approx(claimed.item(), abs=1e-12)


def test_a_slope_is_taken_row_by_row_and_in_one_entry():
    world = World({"mu": torch.tensor([[1.0], [2.0]]).double()})
    assert slope(world, lambda mu: mu**3, "mu").tolist() == [[3], [12]]
    vector = World({"mu": torch.tensor([1.0, 2.0]).double()})
    assert slope(vector, lambda mu: (mu**2).sum(), "mu", 2) == 4
    assert slope(vector, lambda mu: torch.tensor(5.0), "mu", 2) == 0
    assert slope(World({"mu": 0.1}), lambda mu: mu**2, "mu").item() == pytest.approx(0.2, abs=1e-15)
    assert slope(World({"mu": 0.1}), lambda mu: 5, "mu") == 0


def test_functions_take_numbers_tensors_and_matrices():
    assert apply("log", 1) == 0 and apply("exp", torch.zeros(1)) == 1
    assert apply("det", sympy.Matrix([[2, 1], [1, 3]])) == 5 and apply("det", 3.0) == 3
    assert times(sympy.Matrix([[1, 2]]), sympy.Matrix([3, 4])) == 11


def test_an_integral_between_limits():
    assert interval("x", 0, 1)(lambda x: x**2).item() == pytest.approx(1 / 3, abs=1e-12)
    assert interval("x", -2, 3)(lambda x: x.exp()).item() == pytest.approx(
        math.exp(3) - math.exp(-2), abs=1e-10
    )


def test_numbers_drop_the_axis_of_an_average():
    assert numbers(torch.zeros(3, 1)).shape == (3,)
    assert numbers(torch.zeros(3, 2)).shape == (3, 2)
    assert numbers(sympy.Rational(1, 4)).item() == 0.25
    assert numbers(sympy.Matrix([[1, 2], [3, 4]])).tolist() == [[1, 2], [3, 4]]
    assert numbers(2).dtype == torch.float64
