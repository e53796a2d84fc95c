"""Sympy's expectations against quadrature, moments and torch: it must not be the only witness."""

import math

import numpy as np
import pytest
import sympy
import torch
from torch.distributions import Categorical, MultivariateNormal, Normal, kl_divergence

from vae_teach import symbolic
from vae_teach.symbolic import mu, sigma, z


def test_log_density_integrates_to_one_and_equals_torch():
    density = sympy.lambdify(z, sympy.exp(symbolic.normal_log_density(z, sympy.Rational(1, 2), 2)))
    grid = np.linspace(-30, 30, 20_001)
    assert np.trapezoid(density(grid), grid) == pytest.approx(1, abs=1e-12)
    value = float(symbolic.normal_log_density(sympy.S(1), sympy.Rational(1, 2), sympy.S(2)))
    assert value == pytest.approx(Normal(0.5, 2.0).log_prob(torch.tensor(1.0)).item(), abs=1e-6)


@pytest.mark.parametrize(
    ("power", "moment"),
    [(1, mu), (2, mu**2 + sigma**2), (3, mu**3 + 3 * mu * sigma**2), (0, sympy.S.One)],
)
def test_expectation_gives_the_known_moments(power, moment):
    assert sympy.expand(symbolic.expectation(z**power, z, mu, sigma) - moment) == 0


def test_expectation_equals_quadrature_for_a_function_that_is_no_polynomial():
    value = symbolic.expectation(sympy.exp(z), z, sympy.Rational(1, 3), sympy.Rational(1, 2))
    grid = np.linspace(-8, 8, 20_001)
    density = np.exp(-((grid - 1 / 3) ** 2) / (2 * 0.25)) / (0.5 * np.sqrt(2 * np.pi))
    assert float(value) == pytest.approx(np.trapezoid(np.exp(grid) * density, grid), abs=1e-10)


def test_discrete_expectation_equals_torch_and_does_not_depend_on_the_scale_of_the_weights():
    values, weights = [sympy.log(2), sympy.S(-3), sympy.S(5)], [sympy.S(1), sympy.S(4), sympy.S(2)]
    ours = symbolic.discrete_expectation(values, weights)
    chances = Categorical(torch.tensor([1.0, 4.0, 2.0]).double()).probs
    assert float(ours) == pytest.approx(
        (chances @ torch.tensor([math.log(2), -3.0, 5.0]).double()).item()
    )
    scaled = symbolic.discrete_expectation(values, [7 * weight for weight in weights])
    assert sympy.simplify(scaled - ours) == 0


def test_discrete_expectation_with_symbols_is_linear_and_keeps_a_constant():
    weights, values = sympy.symbols("w1:4", positive=True), sympy.symbols("v1:4", real=True)
    c = sympy.Symbol("c")
    assert sympy.simplify(symbolic.discrete_expectation([c] * 3, weights) - c) == 0
    shifted = symbolic.discrete_expectation([2 * v + c for v in values], weights)
    assert sympy.simplify(shifted - 2 * symbolic.discrete_expectation(values, weights) - c) == 0


def test_discrete_expectation_refuses_lengths_that_differ():
    with pytest.raises(ValueError, match="3 values and 2 weights"):
        symbolic.discrete_expectation(sympy.symbols("a b c"), sympy.symbols("d e"))


@pytest.mark.parametrize("point", [(1.0, 0.5, 0.0, 1.0), (-2.0, 3.0, 1.0, 2.0)])
def test_kl_by_integration_equals_torch(point):
    mean_q, std_q, mean_p, std_p = point
    ours = symbolic.kl_by_integration(*(sympy.Rational(str(value)) for value in point))
    torch_kl = kl_divergence(
        Normal(torch.tensor(mean_q).double(), std_q), Normal(torch.tensor(mean_p).double(), std_p)
    )
    assert float(ours) == pytest.approx(torch_kl.item(), abs=1e-7)


def matrix(values):
    return sympy.Matrix(values).applyfunc(sympy.nsimplify)


FACTOR, MEAN = [[1.5, 0.0], [-0.5, 0.8]], [0.3, -1.2]


def test_expectation_in_two_dimensions_equals_sampling_within_its_error():
    x = sympy.Matrix(sympy.symbols("x_1 x_2"))
    value = x[0] ** 2 - 2 * x[0] * x[1] + x[1] + 3
    ours = float(symbolic.normal_expectation_2d(value, x, matrix(MEAN), matrix(FACTOR)))
    eps = torch.randn(200_000, 2, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    draws = torch.tensor(MEAN).double() + eps @ torch.tensor(FACTOR).double().T
    sampled = draws[:, 0] ** 2 - 2 * draws[:, 0] * draws[:, 1] + draws[:, 1] + 3
    assert abs(sampled.mean().item() - ours) < 4.5 * sampled.std().item() / len(sampled) ** 0.5


def test_expectation_in_two_dimensions_refuses_what_it_cannot_do():
    x = sympy.Matrix(sympy.symbols("x_1 x_2"))
    with pytest.raises(ValueError, match="degree at most 2"):
        symbolic.normal_expectation_2d(x[0] ** 3, x, matrix(MEAN), matrix(FACTOR))


def test_log_density_in_two_dimensions_equals_torch():
    factor = torch.tensor(FACTOR).double()
    point = [0.7, 0.1]
    ours = float(
        symbolic.normal_log_density_2d(
            matrix(point), matrix(MEAN), matrix(FACTOR) * matrix(FACTOR).T
        )
    )
    reference = MultivariateNormal(torch.tensor(MEAN).double(), scale_tril=factor)
    assert ours == pytest.approx(reference.log_prob(torch.tensor(point).double()).item(), abs=1e-7)
