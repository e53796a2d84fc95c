"""A loss as programs write it, against -log p(x given z) + beta KL."""

import math

import pytest
import torch
from helpers import randn, tensor
from torch.distributions import Normal, kl_divergence

from vae_teach.divergences import kl_standard_normal
from vae_teach.likelihoods import GaussianLikelihood
from vae_teach.losses import implied_beta

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
    beta = implied_beta(reconstruction, kl_by, **SIZES, reconstruction_weight=0.7, kl_weight=3)
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
    beta = implied_beta(reconstruction, kl_by, **SIZES, kl_weight=0.1)
    weighted = errors.sum(-1).mean() + beta * kl.sum(-1).mean()
    leaves = (mu, logvar, weight)
    found, expected = gradients_of(loss, leaves), gradients_of(weighted, leaves)
    torch.testing.assert_close(found, found.norm() / expected.norm() * expected)


def test_mean_over_pixels_and_sum_over_latents_is_a_weight_of_784():
    sizes = {"batch_size": 128, "num_pixels": 784, "latent_dim": 20}
    assert implied_beta("mean", "batchmean", **sizes) == 784
    assert implied_beta("sum", "sum", **sizes) == 1
    assert implied_beta("mean", "mean", **sizes) == pytest.approx(39.2)
    assert implied_beta("sum", "batchmean", **sizes) == pytest.approx(1 / 128)


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
        implied_beta(**(SIZES | arguments))
