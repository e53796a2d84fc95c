import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles import MAX_Z, all_bits, few_examples, line, randn, tensor, vectors, z_score
from torch.distributions import Bernoulli, Normal
from torch.nn.functional import binary_cross_entropy_with_logits

from vae_teach.likelihoods import BernoulliLikelihood, GaussianLikelihood


@few_examples
@given(vectors(6, 0, 1), vectors(6, -15, 15))
def test_bernoulli_is_minus_torchs_summed_cross_entropy(x, logits):
    expected = -binary_cross_entropy_with_logits(logits, x, reduction="sum")
    torch.testing.assert_close(BernoulliLikelihood().log_prob(x, logits), expected)


def test_bernoulli_is_normalised_over_bits_and_keeps_the_batch():
    logits = randn(3, 6) * 2
    log_prob = BernoulliLikelihood().log_prob(all_bits(6)[:, None], logits)
    assert log_prob.shape == (64, 3)
    torch.testing.assert_close(log_prob.exp().sum(0), torch.ones(3, dtype=torch.float64))


def test_bernoulli_mean_is_the_chance_of_a_lit_pixel():
    logits = randn(4, 6) * 3
    torch.testing.assert_close(BernoulliLikelihood().mean(logits), Bernoulli(logits=logits).mean)


def test_bernoulli_draws_are_bits_with_the_right_frequency(generator):
    logits = tensor(-2.0, 0.0, 1.0)
    draws = BernoulliLikelihood().sample(logits.expand(20_000, 3), generator)
    assert set(draws.unique().tolist()) == {0, 1} and draws.dtype == torch.float64
    assert z_score(draws, torch.sigmoid(logits)) < MAX_Z


@few_examples
@given(vectors(5), vectors(5), st.floats(0.05, 4))
def test_gaussian_agrees_with_torch(x, mean, scale):
    expected = Normal(mean, scale).log_prob(x).sum()
    torch.testing.assert_close(GaussianLikelihood(scale).log_prob(x, mean), expected)


@pytest.mark.parametrize("scale", [0.1, 1.0, 2.5])
def test_gaussian_has_mass_one_and_standard_deviation_scale(scale):
    nodes, step = line(-30, 30, 12_001)
    density = GaussianLikelihood(scale).log_prob(nodes[:, None], tensor(0.4)).exp() * step
    assert density.sum() == pytest.approx(1, abs=1e-10)
    assert (density * (nodes - 0.4) ** 2).sum().sqrt() == pytest.approx(scale, rel=1e-9)


def test_gaussian_constant_on_mnist_is_720_nats_at_scale_one():
    image = torch.zeros(784, dtype=torch.float64)
    assert GaussianLikelihood(1.0).log_prob(image, image).item() == pytest.approx(
        -720.4479, abs=1e-4
    )


def test_gaussian_is_squared_error_over_two_variances_plus_the_constant():
    x, mean, scale = randn(3, 10), randn(3, 10, seed=1), 0.3
    squared_error = ((x - mean) ** 2).sum(-1)
    constant = 10 / 2 * math.log(2 * math.pi * scale**2)
    expected = -squared_error / (2 * scale**2) - constant
    torch.testing.assert_close(GaussianLikelihood(scale).log_prob(x, mean), expected)


def test_gaussian_draws_have_the_mean_and_the_scale(generator):
    mean = tensor(-1.0, 0.0, 2.0)
    likelihood = GaussianLikelihood(0.5)
    draws = likelihood.sample(mean.expand(20_000, 3), generator)
    assert z_score(draws, mean) < MAX_Z
    assert z_score((draws - mean) ** 2, 0.25) < MAX_Z
    assert torch.equal(likelihood.mean(mean), mean)


@pytest.mark.parametrize("likelihood", [BernoulliLikelihood(), GaussianLikelihood(0.5)])
def test_draws_depend_on_the_generator_alone(likelihood):
    params = randn(50, 4)
    first, again, other = (
        likelihood.sample(params, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan])
def test_gaussian_refuses_a_scale_that_is_not_positive(scale):
    with pytest.raises(ValueError, match="must be positive"):
        GaussianLikelihood(scale)
