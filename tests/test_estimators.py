import math

import pytest
import torch
from hypothesis import given
from oracles import (
    MAX_Z,
    central_difference,
    few_examples,
    gauss_hermite,
    randn,
    tensor,
    vectors,
    z_score,
)
from torch.distributions import Normal

from vae_teach.estimators import reparameterize


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
