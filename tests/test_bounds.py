import itertools
import math

import pytest
import torch
from helpers import few_examples, randn, tensor, vectors
from hypothesis import given
from hypothesis import strategies as st
from oracles import MAX_Z, gauss_hermite, z_score
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from vae_teach import bounds

# z is N(0, 1) and x given z is N(z, 1/2): log p(x) and the posterior are known.
X = 0.8
EVIDENCE = Normal(tensor(0.0), tensor(1.5).sqrt()).log_prob(tensor(X))
POSTERIOR = Normal(tensor(X / 1.5), tensor(1 / 3).sqrt())
Q = Normal(tensor(0.2), tensor(0.9))


def densities(z, q=Q):
    prior = Normal(tensor(0.0), tensor(1.0))
    return Normal(z, tensor(0.5).sqrt()).log_prob(tensor(X)), prior.log_prob(z), q.log_prob(z)


def test_the_mean_of_log_weight_falls_short_of_the_evidence_by_the_kl_to_the_posterior():
    nodes, weights = gauss_hermite(20)
    elbo = (weights * bounds.log_weight(*densities(Q.mean + Q.stddev * nodes))).sum()
    gap = kl_divergence(Q, POSTERIOR)
    assert gap > 0.05
    torch.testing.assert_close(elbo, EVIDENCE - gap)


def test_log_weight_is_the_evidence_at_every_sample_when_q_is_the_posterior():
    z = randn(10)
    torch.testing.assert_close(bounds.log_weight(*densities(z, POSTERIOR)), EVIDENCE.expand(10))


def test_log_weight_is_the_log_joint_minus_log_q():
    z = randn(7)
    joint_cov = tensor([1.5, 1.0], [1.0, 1.0])
    joint = MultivariateNormal(tensor(0.0, 0.0), joint_cov).log_prob(
        torch.stack([torch.full_like(z, X), z], -1)
    )
    torch.testing.assert_close(bounds.log_weight(*densities(z)), joint - Q.log_prob(z))


@few_examples
@given(vectors(5, -20, 5))
def test_iwae_is_the_log_of_the_mean_weight(log_w):
    expected = math.log(sum(math.exp(w) for w in log_w.tolist()) / 5)
    assert bounds.iwae(log_w).item() == pytest.approx(expected, abs=1e-10)


@few_examples
@given(st.integers(1, 50), st.floats(-1e4, 1e4))
def test_iwae_of_equal_weights_is_that_weight_for_every_k(k, log_w):
    weights = torch.full((k, 2), log_w, dtype=torch.float64)
    assert bounds.iwae(weights).tolist() == pytest.approx([log_w, log_w])


def test_iwae_averages_over_the_first_axis_and_keeps_the_others():
    log_w = randn(6, 4, 3) * 3
    found = bounds.iwae(log_w)
    assert found.shape == (4, 3)
    for b, c in itertools.product(range(4), range(3)):
        assert found[b, c].item() == pytest.approx(math.log(log_w[:, b, c].exp().mean().item()))


def test_iwae_with_one_sample_is_its_log_weight():
    log_w = randn(1, 5)
    assert torch.equal(bounds.iwae(log_w), log_w[0])


def test_iwae_does_not_overflow():
    for shift in (-1e5, 1e5):
        assert bounds.iwae(tensor(0.0, math.log(3.0)) + shift).item() == pytest.approx(
            shift + math.log(2), abs=1e-9
        )


def test_iwae_rises_with_k_below_log_p_and_its_exponential_is_unbiased():
    """Two values of the weight, 1 and 4 with probabilities 0.7 and 0.3: all outcomes are enumerated."""
    value, chance = tensor(1.0, 4.0), tensor(0.7, 0.3)
    evidence, previous = 0.7 * 1 + 0.3 * 4, -math.inf
    for k in range(1, 7):
        outcomes = torch.tensor(list(itertools.product((0, 1), repeat=k)))
        probability = chance[outcomes].prod(-1)
        bound = bounds.iwae(value[outcomes].log().T)
        assert (probability * bound.exp()).sum().item() == pytest.approx(evidence)
        mean = (probability * bound).sum().item()
        assert previous < mean < math.log(evidence)
        previous = mean


def test_iwae_estimates_the_evidence_from_samples_of_q():
    z = Q.mean + Q.stddev * randn(100, 5_000)
    weights = bounds.iwae(bounds.log_weight(*densities(z))).exp()
    assert z_score(weights, EVIDENCE.exp()) < MAX_Z
