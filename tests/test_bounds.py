import itertools
import math

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from oracles import MAX_Z, few_examples, gauss_hermite, randn, tensor, vectors, z_score
from torch.distributions import MultivariateNormal, Normal, kl_divergence

from vae_teach import bounds
from vae_teach.divergences import kl_standard_normal
from vae_teach.likelihoods import GaussianLikelihood

# z is N(0, 1) and x given z is N(z, 1/2): log p(x) and the posterior are known.
X = 0.8
EVIDENCE = Normal(tensor(0.0), tensor(1.5).sqrt()).log_prob(tensor(X))
POSTERIOR = Normal(tensor(X / 1.5), tensor(1 / 3).sqrt())
Q = Normal(tensor(0.2), tensor(0.9))


def densities(z, q=Q):
    prior = Normal(tensor(0.0), tensor(1.0))
    return Normal(z, tensor(0.5).sqrt()).log_prob(tensor(X)), prior.log_prob(z), q.log_prob(z)


def test_elbo_falls_short_of_the_evidence_by_the_kl_to_the_posterior():
    nodes, weights = gauss_hermite(20)
    elbo = (weights * bounds.elbo(*densities(Q.mean + Q.stddev * nodes))).sum()
    gap = kl_divergence(Q, POSTERIOR)
    assert gap > 0.05
    torch.testing.assert_close(elbo, EVIDENCE - gap)


def test_elbo_is_the_evidence_at_every_sample_when_q_is_the_posterior():
    z = randn(10)
    torch.testing.assert_close(bounds.elbo(*densities(z, POSTERIOR)), EVIDENCE.expand(10))


def test_elbo_is_the_log_joint_minus_log_q():
    z = randn(7)
    joint_cov = tensor([1.5, 1.0], [1.0, 1.0])
    joint = MultivariateNormal(tensor(0.0, 0.0), joint_cov).log_prob(
        torch.stack([torch.full_like(z, X), z], -1)
    )
    torch.testing.assert_close(bounds.elbo(*densities(z)), joint - Q.log_prob(z))


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


def test_iwae_with_one_sample_is_the_elbo():
    log_w = randn(1, 5)
    assert torch.equal(bounds.iwae(log_w), log_w[0])


def test_iwae_does_not_overflow():
    for shift in (-1e5, 1e5):
        assert bounds.iwae(tensor(0.0, math.log(3.0)) + shift).item() == pytest.approx(
            shift + math.log(2), abs=1e-9
        )


def test_iwae_rises_with_k_below_log_p_and_its_exponential_is_unbiased():
    """Two values of the weight, 1 and 4 with chances 0.7 and 0.3: all outcomes are enumerated."""
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
    weights = bounds.iwae(bounds.elbo(*densities(z))).exp()
    assert z_score(weights, EVIDENCE.exp()) < MAX_Z


# A loss as programs write it, against -log p(x given z) + beta KL ------------------------------

REDUCTIONS = ("sum", "batchmean", "mean")
B, PIXELS, LATENT_DIM = 3, 7, 2
SIZES = {"batch_size": B, "num_pixels": PIXELS, "latent_dim": LATENT_DIM}


def reduce(values, how):
    """``(B, coordinates)`` to a number, by torch's own sum and mean."""
    if how == "batchmean":
        return values.sum(-1).mean()
    return values.sum() if how == "sum" else values.mean()


def gradients_of(loss, leaves):
    return torch.cat([g.flatten() for g in torch.autograd.grad(loss, leaves, retain_graph=True)])


def small_vae():
    """Leaves of a tiny VAE, its squared errors, and its KL coordinate by coordinate."""
    x, eps = torch.sigmoid(randn(B, PIXELS)), randn(B, LATENT_DIM, seed=1)
    shapes = (B, LATENT_DIM), (B, LATENT_DIM), (LATENT_DIM, PIXELS)
    mu, logvar, weight = (
        randn(*shape, seed=seed).requires_grad_() for seed, shape in enumerate(shapes, 2)
    )
    means = (mu + torch.exp(logvar / 2) * eps) @ weight
    kl = kl_divergence(Normal(mu, torch.exp(logvar / 2)), Normal(tensor(0.0), tensor(1.0)))
    return x, means, mu, logvar, weight, kl


@pytest.mark.parametrize("reconstruction", REDUCTIONS)
@pytest.mark.parametrize("kl_by", REDUCTIONS)
@pytest.mark.parametrize("halved", [False, True])
def test_a_loss_has_the_gradient_of_the_elbo_with_the_implied_variance(
    reconstruction, kl_by, halved
):
    """beta / 2 is the variance for plain squared error, beta for half of it."""
    x, means, mu, logvar, weight, kl = small_vae()
    squared_error = (x - means) ** 2 / (2 if halved else 1)
    loss = 0.7 * reduce(squared_error, reconstruction) + 3 * reduce(kl, kl_by)
    beta = bounds.implied_beta(
        reconstruction, kl_by, **SIZES, reconstruction_weight=0.7, kl_weight=3
    )
    variance = beta if halved else beta / 2
    likelihood = GaussianLikelihood(math.sqrt(variance))
    minus_elbo = -(likelihood.log_prob(x, means) - kl_standard_normal(mu, logvar)).mean()
    leaves = (mu, logvar, weight)
    found, expected = gradients_of(loss, leaves), gradients_of(minus_elbo, leaves)
    factor = found.norm() / expected.norm()
    torch.testing.assert_close(found, factor * expected)


@pytest.mark.parametrize("reconstruction", REDUCTIONS)
@pytest.mark.parametrize("kl_by", REDUCTIONS)
def test_a_cross_entropy_loss_has_the_gradient_with_weight_beta(reconstruction, kl_by):
    x, logits, mu, logvar, weight, kl = small_vae()
    bits = (x > 0.5).double()
    errors = torch.nn.functional.binary_cross_entropy_with_logits(logits, bits, reduction="none")
    loss = reduce(errors, reconstruction) + 0.1 * reduce(kl, kl_by)
    beta = bounds.implied_beta(reconstruction, kl_by, **SIZES, kl_weight=0.1)
    weighted = errors.sum(-1).mean() + beta * kl.sum(-1).mean()
    leaves = (mu, logvar, weight)
    found, expected = gradients_of(loss, leaves), gradients_of(weighted, leaves)
    torch.testing.assert_close(found, found.norm() / expected.norm() * expected)


def test_mean_over_pixels_and_sum_over_latents_is_a_weight_of_784():
    sizes = {"batch_size": 128, "num_pixels": 784, "latent_dim": 20}
    assert bounds.implied_beta("mean", "batchmean", **sizes) == 784
    assert bounds.implied_beta("sum", "sum", **sizes) == 1
    assert bounds.implied_beta("mean", "mean", **sizes) == pytest.approx(39.2)
    assert bounds.implied_beta("sum", "batchmean", **sizes) == pytest.approx(1 / 128)


@pytest.mark.parametrize(
    ("arguments", "said"),
    [
        (
            {"reconstruction": "average", "kl": "sum"},
            "reconstruction must be reduced by one of sum",
        ),
        ({"reconstruction": "sum", "kl": "none"}, "kl must be reduced by one of sum"),
        ({"reconstruction": "sum", "kl": "sum", "kl_weight": 0}, "kl_weight must be positive"),
        ({"reconstruction": "sum", "kl": "sum", "reconstruction_weight": -1}, "must be positive"),
        ({"reconstruction": "sum", "kl": "sum", "latent_dim": 0}, "latent_dim must be positive"),
        ({"reconstruction": "sum", "kl": "sum", "kl_weight": math.nan}, "kl_weight must be"),
    ],
)
def test_implied_beta_says_what_it_expects(arguments, said):
    with pytest.raises(ValueError, match=said):
        bounds.implied_beta(**(SIZES | arguments))
