import math

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles import MAX_Z, few_examples, gauss_hermite, randn, tensor, z_score
from torch.distributions import Bernoulli, Normal

from vae_teach.divergences import kl_standard_normal
from vae_teach.exact_models import LampStrip

STRIP = LampStrip()
IMAGES = STRIP.images()
EVIDENCE = STRIP.log_evidence(IMAGES)
BLANK = IMAGES[:1]
PRIOR = Normal(tensor(0.0), tensor(1.0))


def panels(low=-9.0, high=9.0, count=120, order=12):
    """Gauss-Legendre nodes and weights on panels: another quadrature than the model's own."""
    nodes, weights = np.polynomial.legendre.leggauss(order)
    edges = np.linspace(low, high, count + 1)
    half = (edges[1] - edges[0]) / 2
    middles = (edges[:-1] + edges[1:]) / 2
    z = (middles[:, None] + half * nodes).ravel()
    return torch.from_numpy(z), torch.from_numpy(np.tile(half * weights, count))


def log_likelihood(images, z):
    return Bernoulli(logits=STRIP.logits(z)).log_prob(images.unsqueeze(-2)).sum(-1)


def test_images_are_the_binary_numbers_lamp_0_first():
    assert IMAGES.shape == (256, 8) and IMAGES.dtype == torch.float64
    assert [int("".join(str(int(bit)) for bit in row), 2) for row in IMAGES] == list(range(256))


@pytest.mark.parametrize("z, brightest", [(-1.4, 0), (-0.2, 3), (0.2, 4), (1.4, 7)])
def test_the_bump_moves_to_the_right_with_z(z, brightest):
    logits = STRIP.logits(tensor(z))
    by_hand = [3 - 1.5 * (d - 3.5 - 2.5 * z) ** 2 for d in range(8)]
    assert logits.tolist() == pytest.approx(by_hand)
    assert logits.argmax() == brightest and 2.9 < logits.max() <= 3


def test_probabilities_of_all_images_sum_to_one():
    assert EVIDENCE.exp().sum().item() == pytest.approx(1, abs=1e-12)


def test_evidence_agrees_with_another_quadrature():
    z, weights = panels()
    expected = (log_likelihood(IMAGES, z) + PRIOR.log_prob(z)).exp() @ weights
    torch.testing.assert_close(EVIDENCE.exp(), expected, rtol=1e-8, atol=1e-12)


def test_evidence_agrees_with_draws_from_the_model():
    z = randn(20_000)
    chances = Bernoulli(logits=STRIP.logits(z)).probs
    draws = torch.bernoulli(chances, generator=torch.Generator().manual_seed(1))
    numbers = (draws @ tensor(128.0, 64.0, 32.0, 16.0, 8.0, 4.0, 2.0, 1.0)).long()
    common = EVIDENCE.exp() > 0.005
    hits = torch.nn.functional.one_hot(numbers, 256)[:, common].double()
    assert z_score(hits, EVIDENCE[common].exp()) < MAX_Z


def test_the_blank_strip_has_probability_0_0566_and_two_modes():
    assert EVIDENCE[0].exp().item() == pytest.approx(0.0566, abs=5e-5)
    posterior = STRIP.log_posterior(BLANK)[0]
    inner = (posterior[1:-1] > posterior[:-2]) & (posterior[1:-1] > posterior[2:])
    modes = STRIP.grid[1:-1][inner & (posterior[1:-1] > -3)]
    assert modes.tolist() == pytest.approx([-2.1, 2.1], abs=0.06)


def test_the_posterior_is_bayes_rule_and_integrates_to_one():
    posterior = STRIP.log_posterior(IMAGES)
    ones = STRIP.expectation(posterior, torch.ones_like(posterior))
    torch.testing.assert_close(ones, torch.ones(256, dtype=torch.float64))
    z = STRIP.grid[2100]
    joint = log_likelihood(IMAGES, z[None])[:, 0] + PRIOR.log_prob(z)
    torch.testing.assert_close(posterior[:, 2100], joint - EVIDENCE)


def test_posterior_mean_agrees_with_importance_sampling_from_the_prior():
    image, z = IMAGES[0b00011100], randn(200_000)
    weights = log_likelihood(image, z).exp()
    mean = STRIP.expectation(STRIP.log_posterior(image), STRIP.grid)
    assert z_score(weights * (z - mean), 0.0) < MAX_Z


def test_log_q_is_the_normal_density():
    mu, logvar = tensor(0.4, -1.0), tensor(-1.0, 0.5)
    expected = Normal(mu[:, None], logvar.exp().sqrt()[:, None]).log_prob(STRIP.grid)
    torch.testing.assert_close(STRIP.log_q(mu, logvar), expected)


@few_examples
@given(st.floats(-2, 2), st.floats(-5, 1.2))
def test_expectations_under_q_are_exact(mu, logvar):
    log_q = STRIP.log_q(tensor(mu), tensor(logvar))
    z = STRIP.grid
    found = [STRIP.expectation(log_q, values).item() for values in (z, z**2, torch.cos(z))]
    variance = math.exp(logvar)
    exact = [mu, mu**2 + variance, math.cos(mu) * math.exp(-variance / 2)]
    assert found == pytest.approx(exact, abs=1e-9)


def test_expectation_ignores_infinite_values_where_the_density_is_zero():
    log_q = STRIP.log_q(tensor(0.0), tensor(-4.0))
    values = torch.where(STRIP.grid.abs() > 10, math.inf, 1.0)
    assert STRIP.expectation(log_q, values).item() == pytest.approx(1)


@few_examples
@given(st.integers(0, 255), st.floats(-2, 2), st.floats(-4, 1))
def test_elbo_is_mean_log_likelihood_less_the_closed_form_kl(number, mu, logvar):
    """Gauss-Legendre for the first term, the formula for the second."""
    mu, logvar = tensor(mu), tensor(logvar)
    z, weights = panels(-14, 14, 250)
    density = Normal(mu, logvar.exp().sqrt()).log_prob(z).exp()
    first = (density * weights * log_likelihood(IMAGES[number], z)).sum()
    expected = first - kl_standard_normal(mu[None], logvar[None])
    torch.testing.assert_close(
        STRIP.elbo(IMAGES[number], mu, logvar), expected, rtol=1e-7, atol=1e-7
    )


@few_examples
@given(st.integers(0, 255), st.floats(-2, 2), st.floats(-4, 1))
def test_the_gap_between_evidence_and_elbo_is_the_kl_to_the_posterior(number, mu, logvar):
    image, mu, logvar = IMAGES[number], tensor(mu), tensor(logvar)
    gap = EVIDENCE[number] - STRIP.elbo(image, mu, logvar)
    kl = STRIP.kl_to_posterior(image, mu, logvar)
    assert kl > 0
    torch.testing.assert_close(gap, kl, rtol=1e-9, atol=1e-9)


def test_elbo_agrees_with_monte_carlo():
    image, mu, logvar = IMAGES[0b00011100], tensor(0.1), tensor(-1.5)
    q = Normal(mu, logvar.exp().sqrt())
    z = q.mean + q.stddev * randn(50_000)
    samples = log_likelihood(image, z) + PRIOR.log_prob(z) - q.log_prob(z)
    assert z_score(samples, STRIP.elbo(image, mu, logvar)) < MAX_Z


def test_elbo_and_gap_are_taken_for_each_image_with_its_own_q():
    mu, logvar = randn(5) * 0.5, randn(5, seed=1) * 0.3 - 1
    for function in (STRIP.elbo, STRIP.kl_to_posterior):
        together = function(IMAGES[:5], mu, logvar)
        single = [function(IMAGES[i], mu[i], logvar[i]) for i in range(5)]
        assert together.shape == (5,)
        torch.testing.assert_close(together, torch.stack(single))


def test_mutual_information_is_entropy_less_conditional_entropy():
    """H(x) over the 256 images less the mean over z of the entropy of eight independent lamps."""
    entropy = -(EVIDENCE.exp() * EVIDENCE).sum()
    nodes, weights = panels()
    given_z = Bernoulli(logits=STRIP.logits(nodes)).entropy().sum(-1)
    conditional = (weights * PRIOR.log_prob(nodes).exp() * given_z).sum()
    found = STRIP.mutual_information()
    assert found.item() == pytest.approx((entropy - conditional).item(), abs=1e-8)
    assert found.item() == pytest.approx(1.763, abs=5e-4)


def test_no_gaussian_q_closes_the_gap_of_the_blank_strip():
    mu, logvar = torch.cartesian_prod(
        torch.linspace(-3, 3, 16, dtype=torch.float64),
        torch.linspace(-4, 1.2, 14, dtype=torch.float64),
    ).T
    gaps = STRIP.kl_to_posterior(BLANK.expand(len(mu), 8), mu, logvar)
    assert gaps.min() > 0.3


def test_gradients_of_the_elbo_agree_with_the_pathwise_mean():
    image, mu, logvar = IMAGES[0b00011100], tensor(0.3), tensor(-1.0)
    mu.requires_grad_(), logvar.requires_grad_()
    by_grid = torch.autograd.grad(STRIP.elbo(image, mu, logvar), (mu, logvar))
    nodes, weights = gauss_hermite(150)
    z = mu + torch.exp(logvar / 2) * nodes
    path = (weights * log_likelihood(image, z)).sum() - kl_standard_normal(mu[None], logvar[None])
    by_path = torch.autograd.grad(path, (mu, logvar))
    torch.testing.assert_close(by_grid, by_path, rtol=1e-5, atol=1e-6)
