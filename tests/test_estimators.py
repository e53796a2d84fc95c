import math

import pytest
import sympy
import torch
from helpers import few_examples, randn, tensor, vectors
from hypothesis import given
from hypothesis import strategies as st
from oracles import MAX_Z, central_difference, gauss_hermite, z_score
from torch.distributions import Normal

from vae_teach.estimators import (
    normal_noise,
    pathwise_gradient,
    reparameterize,
    score_function_gradient,
)

ESTIMATORS = [pathwise_gradient, score_function_gradient]


def bumpy(z):
    """A smooth function of whole rows that is no sum over columns."""
    return torch.sin(z.sum(-1)) + (z**2).prod(-1) / 4 + z[..., 0]


def log_q(z, mu, logvar):
    return Normal(mu, logvar.exp().sqrt()).log_prob(z).sum()


def test_noise_is_standard_normal_and_like_the_tensor_given():
    eps = normal_noise((20_000, 2), tensor(0.0), torch.Generator().manual_seed(0))
    assert eps.shape == (20_000, 2) and eps.dtype == torch.float64
    assert z_score(eps, 0.0) < MAX_Z and z_score(eps**2, 1.0) < MAX_Z
    assert z_score(eps[:, 0] * eps[:, 1], 0.0) < MAX_Z


@few_examples
@given(vectors(3), vectors(3, -8, 4), vectors(3))
def test_standardising_the_sample_gives_the_noise_back(mu, logvar, eps):
    z = reparameterize(mu, logvar, eps)
    torch.testing.assert_close((z - mu) / logvar.exp().sqrt(), eps, rtol=1e-6, atol=1e-9)


@few_examples
@given(vectors(2), vectors(2, -4, 3), vectors(2))
def test_the_sample_lies_at_the_quantile_of_the_noise(mu, logvar, eps):
    chance = Normal(tensor(0.0), tensor(1.0)).cdf(eps)
    expected = Normal(mu, logvar.exp().sqrt()).icdf(chance)
    torch.testing.assert_close(reparameterize(mu, logvar, eps), expected, rtol=1e-6, atol=1e-6)


@pytest.mark.parametrize("logvar", [-3.0, 0.0, 2.0])
def test_samples_have_mean_mu_and_variance_exp_logvar(logvar):
    nodes, weights = gauss_hermite(20)
    shape = nodes.shape
    z = reparameterize(tensor(1.3).expand(shape), tensor(logvar).expand(shape), nodes)
    assert (weights * z).sum().item() == pytest.approx(1.3)
    assert (weights * (z - 1.3) ** 2).sum().item() == pytest.approx(math.exp(logvar))
    assert (weights * (z - 1.3) ** 4).sum().item() == pytest.approx(3 * math.exp(2 * logvar))


def test_samples_pass_a_monte_carlo_check_of_their_density():
    mu, logvar = tensor(0.5, -1.0), tensor(-1.0, 1.0)
    z = reparameterize(mu, logvar, randn(50_000, 2))
    entropy = Normal(mu, logvar.exp().sqrt()).entropy().sum()
    log_density = Normal(mu, logvar.exp().sqrt()).log_prob(z).sum(-1)
    assert z_score(-log_density, entropy) < MAX_Z
    assert z_score(z, mu) < MAX_Z


def test_gradients_pass_through_to_mu_and_logvar():
    """For f(z) = sin z the mean under N(mu, s^2) is sin(mu) exp(-s^2 / 2)."""
    nodes, weights = gauss_hermite()

    def mean_of_sine(parameters):
        mu, logvar = (value.expand(nodes.shape) for value in parameters)
        return (weights * torch.sin(reparameterize(mu, logvar, nodes))).sum()

    parameters = tensor(0.4, -0.6).requires_grad_()
    (gradient,) = torch.autograd.grad(mean_of_sine(parameters), parameters)
    damping, variance = math.exp(-math.exp(-0.6) / 2), math.exp(-0.6)
    exact = tensor(math.cos(0.4) * damping, -math.sin(0.4) * damping * variance / 2)
    torch.testing.assert_close(gradient, exact)
    numeric = central_difference(mean_of_sine, parameters.detach())
    torch.testing.assert_close(numeric, exact, rtol=1e-7, atol=1e-9)


def test_each_sample_uses_its_own_row_of_noise():
    mu, logvar, eps = randn(4, 3), randn(4, 3, seed=1), randn(6, 4, 3, seed=2)
    z = reparameterize(mu, logvar, eps)
    assert z.shape == (6, 4, 3)
    for k in range(6):
        for b in range(4):
            torch.testing.assert_close(z[k, b], reparameterize(mu[b], logvar[b], eps[k, b]))


def test_the_sample_is_a_function_of_its_arguments_and_changes_none():
    values = [randn(4, 3, seed=seed) for seed in range(3)]
    before = [value.clone() for value in values]
    assert torch.equal(reparameterize(*values), reparameterize(*values))
    assert all(torch.equal(value, old) for value, old in zip(values, before, strict=True))


@pytest.mark.parametrize(
    "mu, logvar, eps",
    [
        ((4, 3), (4, 3), (3,)),
        ((4, 3), (4, 3), (1, 3)),
        ((4, 3), (4, 3), (4, 1)),
        ((4, 3), (4, 3), (6, 1, 3)),
        ((4, 3), (4, 3), (6, 4, 1)),
        ((4, 3), (4, 3), (2, 6, 4, 3)),
        ((4, 3), (3,), (4, 3)),
        ((4, 3), (4, 1), (4, 3)),
        ((1, 3), (1, 3), (4, 3)),
    ],
)
def test_shapes_that_would_broadcast_by_accident_are_refused(mu, logvar, eps):
    with pytest.raises(ValueError, match="reparameterize needs") as error:
        reparameterize(torch.zeros(mu), torch.zeros(logvar), torch.zeros(eps))
    assert str(eps) in str(error.value)


@few_examples
@given(vectors(3), vectors(3, -3, 2), vectors(3))
def test_a_pathwise_row_is_the_derivative_along_the_path(mu, logvar, eps):
    grad_mu, grad_logvar = pathwise_gradient(bumpy, mu, logvar, eps[None])
    leaves = mu.clone().requires_grad_(), logvar.clone().requires_grad_()
    by_autograd = torch.autograd.grad(bumpy(reparameterize(*leaves, eps)), leaves)
    torch.testing.assert_close((grad_mu[0], grad_logvar[0]), by_autograd)

    def value(parameters):
        return bumpy(parameters[:3] + (parameters[3:] / 2).exp() * eps)

    numeric = central_difference(value, torch.cat([mu, logvar]))
    torch.testing.assert_close(
        torch.cat([grad_mu, grad_logvar], 1)[0], numeric, rtol=1e-5, atol=1e-5
    )


@few_examples
@given(vectors(3), vectors(3, -3, 2), vectors(3), st.floats(-2, 2))
def test_a_score_function_row_is_the_value_times_the_gradient_of_log_q(mu, logvar, eps, baseline):
    grad_mu, grad_logvar = score_function_gradient(bumpy, mu, logvar, eps[None], baseline)
    z = reparameterize(mu, logvar, eps)
    leaves = mu.clone().requires_grad_(), logvar.clone().requires_grad_()
    score = torch.autograd.grad(log_q(z, *leaves), leaves)
    weight = bumpy(z) - baseline
    expected = weight * score[0], weight * score[1]
    torch.testing.assert_close((grad_mu[0], grad_logvar[0]), expected, rtol=1e-9, atol=1e-9)
    numeric = central_difference(
        lambda parameters: log_q(z, parameters[:3], parameters[3:]), torch.cat([mu, logvar])
    )
    found = torch.cat([grad_mu, grad_logvar], 1)[0]
    torch.testing.assert_close(found, weight * numeric, rtol=1e-5, atol=1e-5)


def test_rows_are_estimated_each_by_itself():
    mu, logvar, eps = randn(3), randn(3, seed=1), randn(6, 3, seed=2)
    for estimator in ESTIMATORS:
        together = estimator(bumpy, mu, logvar, eps)
        assert [result.shape for result in together] == [(6, 3)] * 2
        rows = [estimator(bumpy, mu, logvar, eps[n : n + 1]) for n in range(6)]
        for result, single in zip(together, zip(*rows, strict=True), strict=True):
            torch.testing.assert_close(result, torch.cat(single))


# f, and the mean of f under N(mu, s^2) in one dimension or the sum of such means.
SMOOTH = {
    "square": (lambda z: (z**2).sum(-1), lambda mu, s2: (mu**2 + s2).sum()),
    "sine": (
        lambda z: torch.sin(2 * z).sum(-1),
        lambda mu, s2: (torch.sin(2 * mu) * torch.exp(-2 * s2)).sum(),
    ),
    "exp of a sum": (
        lambda z: torch.exp(z.sum(-1) / 2),
        lambda mu, s2: torch.exp(mu.sum() / 2 + s2.sum() / 8),
    ),
}


@pytest.mark.parametrize("name", SMOOTH)
@pytest.mark.parametrize("dim", [1, 3])
@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_the_mean_over_samples_is_the_gradient_of_the_mean(estimator, dim, name):
    f, mean = SMOOTH[name]
    mu = tensor(0.4, -0.7, 0.2)[:dim].requires_grad_()
    logvar = tensor(-0.5, 0.3, -1.0)[:dim].requires_grad_()
    exact = torch.autograd.grad(mean(mu, logvar.exp()), (mu, logvar))
    rows = estimator(f, mu, logvar, randn(50_000, dim))
    for samples, expected in zip(rows, exact, strict=True):
        assert z_score(samples, expected) < MAX_Z


@pytest.mark.parametrize("baseline", [-1.0, 0.7, 3.0])
def test_no_baseline_moves_the_mean(baseline):
    nodes, weights = gauss_hermite()
    mu, logvar = tensor([0.3]), tensor([-0.4])
    found = score_function_gradient(
        lambda z: z[:, 0] ** 3, mu, logvar, nodes[:, None], baseline=baseline
    )
    variance = math.exp(-0.4)  # E z^3 = mu^3 + 3 mu variance
    assert (weights @ found[0]).item() == pytest.approx(3 * 0.3**2 + 3 * variance)
    assert (weights @ found[1]).item() == pytest.approx(3 * 0.3 * variance)


def exact_variance(f, mu, estimate):
    """Of one row, at standard deviation 1; ``estimate`` is written in ``f``, ``df`` and ``e``."""
    e = sympy.Symbol("e", real=True)
    value, slope = f.subs("z", mu + e), sympy.diff(f, "z").subs("z", mu + e)
    row = sympy.expand(sympy.sympify(estimate, {"f": value, "df": slope, "e": e}))
    density = sympy.exp(-(e**2) / 2) / sympy.sqrt(2 * sympy.pi)
    mean, square = (
        sympy.integrate(sympy.expand(g) * density, (e, -sympy.oo, sympy.oo)) for g in (row, row**2)
    )
    return float((square - mean**2).evalf(30))


def squared(z):
    return z[:, 0] ** 2


def fast_sine(z):
    return torch.sin(5 * z[:, 0])


VARIANCES = [
    (squared, 1.0, pathwise_gradient, {}, "df", 4.0),
    (squared, 1.0, score_function_gradient, {}, "f * e", 30.0),
    (squared, 1.0, score_function_gradient, {"baseline": 4.0}, "(f - 4) * e", 14.0),
    (squared, 1.0, score_function_gradient, {"baseline": 2.0}, "(f - 2) * e", 18.0),
    (fast_sine, 0.0, pathwise_gradient, {}, "df", 12.5),
    (fast_sine, 0.0, score_function_gradient, {}, "f * e", 0.5),
]


@pytest.mark.parametrize("f, mu, estimator, options, by_hand, variance", VARIANCES)
def test_the_variance_of_a_row_is_the_exact_one(f, mu, estimator, options, by_hand, variance):
    z = sympy.Symbol("z")
    formula = z**2 if f is squared else sympy.sin(5 * z)
    assert exact_variance(formula, int(mu), by_hand) == pytest.approx(variance, abs=1e-8)
    mu, logvar = tensor([mu]), tensor([0.0])
    nodes, weights = gauss_hermite(120)
    rows = estimator(f, mu, logvar, nodes[:, None], **options)[0][:, 0]
    mean = weights @ rows
    assert (weights @ (rows - mean) ** 2).item() == pytest.approx(variance, abs=1e-6)
    rows = estimator(f, mu, logvar, randn(200_000, 1), **options)[0][:, 0]
    assert z_score((rows - mean) ** 2, variance) < MAX_Z


def test_across_a_step_only_the_score_function_sees_the_slope():
    """E[1 if z > 0 else -1] is erf(mu / (sigma sqrt 2))."""
    mu, logvar = tensor([0.3]).requires_grad_(), tensor([-0.4]).requires_grad_()
    mean = torch.erf(mu / (2 * logvar.exp()).sqrt()).sum()
    exact = torch.autograd.grad(mean, (mu, logvar))
    eps = randn(50_000, 1)
    for result in pathwise_gradient(lambda z: torch.sign(z[:, 0]), mu, logvar, eps):
        assert (result == 0).all()
    rows = score_function_gradient(lambda z: torch.sign(z[:, 0]), mu, logvar, eps)
    for samples, expected in zip(rows, exact, strict=True):
        assert expected.abs() > 0.1 and z_score(samples, expected) < MAX_Z


def test_the_pathwise_estimator_refuses_a_function_without_a_derivative():
    with pytest.raises(RuntimeError, match="does not require grad"):
        pathwise_gradient(lambda z: (z[:, 0] > 0).double(), randn(1), randn(1), randn(4, 1))


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_estimates_are_numbers_and_leave_their_inputs_alone(estimator):
    values = [randn(2), randn(2, seed=1), randn(5, 2, seed=2)]
    expected = estimator(bumpy, *values)
    before = [value.clone() for value in values]
    values[0].requires_grad_(), values[1].requires_grad_()
    factor = torch.ones((), dtype=torch.float64, requires_grad=True)
    found = estimator(lambda z: factor * bumpy(z), *values)
    torch.testing.assert_close(found, expected)
    assert not any(result.requires_grad for result in found)
    assert all(torch.equal(value, old) for value, old in zip(values, before, strict=True))
    assert values[0].requires_grad and values[0].grad is None and factor.grad is None


@pytest.mark.parametrize("estimator", ESTIMATORS)
def test_a_function_that_gives_no_number_a_row_is_refused(estimator):
    for f, shape in ((torch.square, (5, 1)), (torch.sum, ())):
        with pytest.raises(ValueError, match="one number for each row") as error:
            estimator(f, randn(1), randn(1), randn(5, 1))
        assert f"(5, 1) to {shape}" in str(error.value)
