import math

import pytest
import torch
from helpers import few_examples, randn, tensor, vectors
from hypothesis import given
from hypothesis import strategies as st
from oracles import MAX_Z, central_difference, line, plane, z_score
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from vae_teach.divergences import (
    kl_diagonal_normals,
    kl_monte_carlo,
    kl_normals,
    kl_standard_normal,
)


def normal(mu, logvar):
    return Normal(mu, torch.exp(logvar / 2))


def covariance(seed, dims=3):
    factor = randn(dims, dims, seed=seed)
    return factor @ factor.T + 0.2 * torch.eye(dims, dtype=torch.float64)


def kl_by_quadrature(q, p, low=-60, high=60, points=60_001):
    nodes, step = line(low, high, points)
    log_q = q.log_prob(nodes)
    return (log_q.exp() * (log_q - p.log_prob(nodes))).sum() * step


@few_examples
@given(vectors(3), vectors(3))
def test_kl_to_the_standard_normal_agrees_with_torch(mu, logvar):
    expected = kl_divergence(normal(mu, logvar), Normal(tensor(0.0), tensor(1.0))).sum()
    torch.testing.assert_close(kl_standard_normal(mu, logvar), expected)


@few_examples
@given(st.floats(-3, 3), st.floats(-4, 2))
def test_kl_to_the_standard_normal_agrees_with_quadrature(mu, logvar):
    expected = kl_by_quadrature(
        normal(tensor(mu), tensor(logvar)), Normal(tensor(0.0), tensor(1.0))
    )
    assert kl_standard_normal(tensor([mu]), tensor([logvar])).item() == pytest.approx(
        expected.item(), abs=1e-10
    )


def test_kl_to_the_standard_normal_agrees_with_monte_carlo():
    mu, logvar = tensor(0.8, -1.2), tensor(-1.0, 0.7)
    z = mu + torch.exp(logvar / 2) * randn(100_000, 2)
    log_ratio = (normal(mu, logvar).log_prob(z) - Normal(0.0, 1.0).log_prob(z)).sum(-1)
    assert z_score(log_ratio, kl_standard_normal(mu, logvar)) < MAX_Z


@few_examples
@given(vectors(4), vectors(4))
def test_gradients_of_the_kl_are_mu_and_half_of_variance_minus_one(mu, logvar):
    mu.requires_grad_(), logvar.requires_grad_()
    by_mu, by_logvar = torch.autograd.grad(kl_standard_normal(mu, logvar), (mu, logvar))
    torch.testing.assert_close(by_mu, mu.detach())
    torch.testing.assert_close(by_logvar, (logvar.detach().exp() - 1) / 2)


def test_gradients_of_the_kl_agree_with_central_differences():
    mu, logvar = randn(3), randn(3, seed=1)
    by_mu = central_difference(lambda m: kl_standard_normal(m, logvar), mu)
    by_logvar = central_difference(lambda v: kl_standard_normal(mu, v), logvar)
    torch.testing.assert_close(by_mu, mu, rtol=1e-7, atol=1e-8)
    torch.testing.assert_close(by_logvar, (logvar.exp() - 1) / 2, rtol=1e-7, atol=1e-8)


def test_kl_is_summed_over_coordinates_and_kept_for_each_example():
    mu, logvar = randn(2, 5, 4), randn(2, 5, 4, seed=1)
    total = kl_standard_normal(mu, logvar)
    single = kl_standard_normal(mu[..., None], logvar[..., None])
    assert total.shape == (2, 5) and single.shape == (2, 5, 4)
    torch.testing.assert_close(total, single.sum(-1))


def test_kl_of_the_prior_to_itself_is_zero_whatever_the_dimension():
    zero = torch.zeros(7, dtype=torch.float64)
    assert kl_standard_normal(zero, zero) == 0
    assert kl_diagonal_normals(zero + 1, zero + 2, zero + 1, zero + 2) == 0


@few_examples
@given(vectors(3), vectors(3), vectors(3), vectors(3))
def test_kl_of_diagonal_normals_agrees_with_torch(mu_q, logvar_q, mu_p, logvar_p):
    expected = kl_divergence(normal(mu_q, logvar_q), normal(mu_p, logvar_p)).sum()
    torch.testing.assert_close(kl_diagonal_normals(mu_q, logvar_q, mu_p, logvar_p), expected)


def test_kl_of_diagonal_normals_agrees_with_quadrature_in_both_orders():
    q, p = (tensor(0.5), tensor(-1.0)), (tensor(-0.7), tensor(0.8))
    for first, second in ((q, p), (p, q)):
        expected = kl_by_quadrature(normal(*first), normal(*second))
        found = kl_diagonal_normals(*(value[None] for value in (*first, *second)))
        assert found.item() == pytest.approx(expected.item(), rel=1e-10)


def test_kl_of_diagonal_normals_is_not_symmetric():
    """KL(N(0, e^2) to N(0, 1)) is (e^2 - 3)/2, the other way round (e^-2 + 1)/2."""
    zero, two = tensor(0.0), tensor(2.0)
    there, back = (
        kl_diagonal_normals(zero, two, zero, zero),
        kl_diagonal_normals(zero, zero, zero, two),
    )
    assert there.item() == pytest.approx((math.exp(2) - 3) / 2)
    assert back.item() == pytest.approx((math.exp(-2) + 1) / 2)


@few_examples
@given(vectors(3), vectors(3))
def test_kl_of_diagonal_normals_to_the_prior_is_the_kl_to_the_standard_normal(mu, logvar):
    zero = torch.zeros(3, dtype=torch.float64)
    found = kl_diagonal_normals(mu, logvar, zero, zero)
    torch.testing.assert_close(found, kl_standard_normal(mu, logvar))


@few_examples
@given(vectors(3), vectors(3), st.integers(0, 500), st.integers(501, 1000))
def test_kl_of_full_normals_agrees_with_torch(mu_q, mu_p, seed_q, seed_p):
    cov_q, cov_p = covariance(seed_q), covariance(seed_p)
    expected = kl_divergence(MultivariateNormal(mu_q, cov_q), MultivariateNormal(mu_p, cov_p))
    torch.testing.assert_close(kl_normals(mu_q, cov_q, mu_p, cov_p), expected)


def test_kl_of_full_normals_agrees_with_quadrature_in_two_dimensions():
    nodes, cell = plane(-15, 15, 301)
    mu_q, cov_q = tensor(0.5, -0.3), tensor([0.8, 0.3], [0.3, 0.5])
    mu_p, cov_p = tensor(-0.2, 0.4), tensor([1.5, -0.6], [-0.6, 2.0])
    log_q = MultivariateNormal(mu_q, cov_q).log_prob(nodes)
    log_p = MultivariateNormal(mu_p, cov_p).log_prob(nodes)
    expected = (log_q.exp() * (log_q - log_p)).sum() * cell
    torch.testing.assert_close(kl_normals(mu_q, cov_q, mu_p, cov_p), expected)


def test_kl_of_identical_full_normals_in_four_dimensions_is_zero():
    mu, cov = randn(4), covariance(3, dims=4)
    assert kl_normals(mu, cov, mu, cov).item() == pytest.approx(0, abs=1e-12)


def test_kl_of_full_normals_does_not_change_under_an_affine_map():
    mu_q, mu_p, cov_q, cov_p = randn(3), randn(3, seed=1), covariance(2), covariance(3)
    a, b = covariance(4) + randn(3, 3, seed=5), randn(3, seed=6)
    before = kl_normals(mu_q, cov_q, mu_p, cov_p)
    after = kl_normals(a @ mu_q + b, a @ cov_q @ a.T, a @ mu_p + b, a @ cov_p @ a.T)
    torch.testing.assert_close(after, before)


def test_kl_of_full_normals_with_diagonal_covariances_is_the_diagonal_form():
    values = [randn(5, 3, seed=seed) for seed in range(4)]
    mu_q, logvar_q, mu_p, logvar_p = values
    full = kl_normals(
        mu_q, torch.diag_embed(logvar_q.exp()), mu_p, torch.diag_embed(logvar_p.exp())
    )
    assert full.shape == (5,)
    torch.testing.assert_close(full, kl_diagonal_normals(*values))


def test_kl_of_full_normals_refuses_a_matrix_that_is_no_covariance():
    bad, good = tensor([1.0, 2.0], [2.0, 1.0]), torch.eye(2, dtype=torch.float64)
    for cov_q, cov_p in ((bad, good), (good, bad)):
        with pytest.raises(torch.linalg.LinAlgError):
            kl_normals(randn(2), cov_q, randn(2), cov_p)


def test_monte_carlo_kl_is_the_mean_log_ratio_with_deviation_over_root_n():
    """Log ratios 1, 2, 3, 6: mean 3, sample variance 14/3, so the error is sqrt(14/3)/2."""
    estimate, error = kl_monte_carlo(lambda s: s, lambda s: 0 * s, tensor(1.0, 2.0, 3.0, 6.0))
    assert estimate.item() == 3
    assert error.item() == pytest.approx(math.sqrt(14 / 3) / 2)


def test_monte_carlo_kl_takes_the_ratio_of_q_to_p():
    estimate, _ = kl_monte_carlo(lambda s: 5 * s, lambda s: 2 * s, tensor(1.0, 3.0))
    assert estimate.item() == 6


def test_monte_carlo_kl_agrees_with_the_closed_form_and_its_error_is_honest():
    """Over 400 estimates the z-scores have mean 0 and variance 1, within sampling error."""
    q, p = Normal(tensor(0.5), tensor(0.6)), Normal(tensor(0.0), tensor(1.0))
    samples = 0.5 + 0.6 * randn(2_000, 400)
    estimate, error = kl_monte_carlo(q.log_prob, p.log_prob, samples)
    assert estimate.shape == error.shape == (400,)
    z = (estimate - kl_divergence(q, p)) / error
    assert abs(z.mean().item()) < MAX_Z / math.sqrt(400)
    assert abs(z.var().item() - 1) < MAX_Z * math.sqrt(2 / 400)


def test_monte_carlo_kl_needs_two_samples():
    with pytest.raises(ValueError, match="at least 2 samples"):
        kl_monte_carlo(lambda s: s, lambda s: s, tensor([1.0]))


def test_divergences_leave_their_inputs_alone():
    values = [randn(2, 3, seed=seed) for seed in range(4)]
    before = [value.clone() for value in values]
    kl_standard_normal(*values[:2])
    kl_diagonal_normals(*values)
    assert all(torch.equal(value, old) for value, old in zip(values, before, strict=True))
