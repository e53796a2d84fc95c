import math

import numpy as np
import pytest
import torch
from helpers import few_examples, randn, tensor, vectors
from hypothesis import given
from hypothesis import strategies as st
from oracles import MAX_Z, central_difference, gauss_hermite, line, plane, z_score
from torch.distributions import Bernoulli, MultivariateNormal, Normal

from vae_teach.divergences import kl_normals, kl_standard_normal
from vae_teach.exact_models import GridModel, LampStrip, LinearGaussian
from vae_teach.likelihoods import BernoulliLikelihood
from vae_teach.model import VAE

STRIP = LampStrip()
IMAGES = STRIP.images()
EVIDENCE = STRIP.log_evidence(IMAGES)
BLANK = IMAGES[0]
PRIOR = Normal(tensor(0.0), tensor(1.0))


def panels(low=-9.0, high=9.0, count=120, order=12):
    """Gauss-Legendre nodes ``(M,)`` and weights on panels: not the model's own quadrature."""
    nodes, weights = np.polynomial.legendre.leggauss(order)
    edges = np.linspace(low, high, count + 1)
    half = (edges[1] - edges[0]) / 2
    middles = (edges[:-1] + edges[1:]) / 2
    z = (middles[:, None] + half * nodes).ravel()
    return torch.from_numpy(z), torch.from_numpy(np.tile(half * weights, count))


def log_likelihood(images, z):
    """By torch: ``(..., 8)`` and ``(M,)`` to ``(..., M)``."""
    return Bernoulli(logits=STRIP.logits(z[:, None])).log_prob(images.unsqueeze(-2)).sum(-1)


def test_images_are_the_binary_numbers_lamp_0_first():
    assert IMAGES.shape == (256, 8) and IMAGES.dtype == torch.float64
    assert [int("".join(str(int(bit)) for bit in row), 2) for row in IMAGES] == list(range(256))


@pytest.mark.parametrize("z, brightest", [(-1.4, 0), (-0.2, 3), (0.2, 4), (1.4, 7)])
def test_the_bump_moves_to_the_right_with_z(z, brightest):
    logits = STRIP.logits(tensor(z)[None])
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
    z = randn(20_000, 1)
    draws = torch.bernoulli(
        torch.sigmoid(STRIP.logits(z)), generator=torch.Generator().manual_seed(1)
    )
    numbers = (draws @ tensor(128.0, 64.0, 32.0, 16.0, 8.0, 4.0, 2.0, 1.0)).long()
    common = EVIDENCE.exp() > 0.005
    hits = torch.nn.functional.one_hot(numbers, 256)[:, common].double()
    assert z_score(hits, EVIDENCE[common].exp()) < MAX_Z


def test_the_blank_strip_has_probability_0_0566_and_two_modes():
    assert EVIDENCE[0].exp().item() == pytest.approx(0.0566, abs=5e-5)
    posterior = STRIP.log_posterior(BLANK)
    inner = (posterior[1:-1] > posterior[:-2]) & (posterior[1:-1] > posterior[2:])
    modes = STRIP.axis[1:-1][inner & (posterior[1:-1] > -3)]
    assert modes.tolist() == pytest.approx([-2.1, 2.1], abs=0.06)


def test_the_posterior_is_bayes_rule_and_integrates_to_one():
    posterior = STRIP.log_posterior(IMAGES)
    ones = STRIP.mean(posterior, torch.ones_like(posterior))
    torch.testing.assert_close(ones, torch.ones(256, dtype=torch.float64))
    z = STRIP.axis[2100]
    joint = log_likelihood(IMAGES, z[None])[:, 0] + PRIOR.log_prob(z)
    torch.testing.assert_close(posterior[:, 2100], joint - EVIDENCE)


def test_posterior_mean_agrees_with_importance_sampling_from_the_prior():
    image, z = IMAGES[0b00011100], randn(200_000)
    weights = log_likelihood(image, z).exp()
    mean = STRIP.mean(STRIP.log_posterior(image), STRIP.axis)
    assert z_score(weights * (z - mean), 0.0) < MAX_Z


def test_log_q_is_the_normal_density():
    mu, logvar = tensor([0.4], [-1.0]), tensor([-1.0], [0.5])
    expected = Normal(mu, logvar.exp().sqrt()).log_prob(STRIP.axis)
    torch.testing.assert_close(STRIP.log_q(mu, logvar), expected)


@pytest.mark.parametrize("shape", [(), (256,), (1, 2)])
def test_what_is_no_latent_variable_of_the_strip_is_refused(shape):
    """It would broadcast: over the grid, or over the lamps."""
    with pytest.raises(ValueError, match=r"\(\.\.\., 1\)"):
        STRIP.log_q(torch.zeros(shape), torch.zeros(shape))
    with pytest.raises(ValueError, match=r"\(\.\.\., 1\)"):
        STRIP.logits(torch.zeros(shape))


def test_the_strip_is_a_decoder_of_the_package():
    """Gauss-Hermite nodes as noise: the mean of VAE.elbo is the exact ELBO."""
    mu, logvar, image = tensor([0.1]), tensor([-1.5]), IMAGES[0b00011100]

    def encoder(x):
        return mu.expand(len(x), 1), logvar.expand(len(x), 1)

    vae = VAE(encoder, STRIP.logits, BernoulliLikelihood())
    nodes, weights = gauss_hermite(150)
    elbos = vae.elbo(image.expand(150, 8), nodes[:, None]).elbo
    torch.testing.assert_close(weights @ elbos, STRIP.elbo(image, mu, logvar), rtol=0, atol=1e-6)


@few_examples
@given(st.floats(-2, 2), st.floats(-5, 1.2))
def test_expectations_under_q_are_exact(mu, logvar):
    log_q = STRIP.log_q(tensor([mu]), tensor([logvar]))
    z = STRIP.axis
    found = [STRIP.mean(log_q, values).item() for values in (z, z**2, torch.cos(z))]
    variance = math.exp(logvar)
    exact = [mu, mu**2 + variance, math.cos(mu) * math.exp(-variance / 2)]
    assert found == pytest.approx(exact, abs=1e-9)


def test_expectation_ignores_infinite_values_where_the_density_is_zero():
    log_q = STRIP.log_q(tensor([0.0]), tensor([-4.0]))
    values = torch.where(STRIP.axis.abs() > 10, math.inf, 1.0)
    assert STRIP.mean(log_q, values).item() == pytest.approx(1)


@few_examples
@given(st.integers(0, 255), st.floats(-2, 2), st.floats(-4, 1))
def test_elbo_is_mean_log_likelihood_less_the_closed_form_kl(number, mu, logvar):
    """Gauss-Legendre for the first term, the formula for the second."""
    mu, logvar = tensor([mu]), tensor([logvar])
    z, weights = panels(-14, 14, 250)
    density = Normal(mu, logvar.exp().sqrt()).log_prob(z).exp()
    first = (density * weights * log_likelihood(IMAGES[number], z)).sum()
    expected = first - kl_standard_normal(mu, logvar)
    torch.testing.assert_close(
        STRIP.elbo(IMAGES[number], mu, logvar), expected, rtol=1e-7, atol=1e-7
    )


@few_examples
@given(st.integers(0, 255), st.floats(-2, 2), st.floats(-4, 1))
def test_the_gap_between_evidence_and_elbo_is_the_kl_to_the_posterior(number, mu, logvar):
    image, mu, logvar = IMAGES[number], tensor([mu]), tensor([logvar])
    gap = EVIDENCE[number] - STRIP.elbo(image, mu, logvar)
    kl = STRIP.kl_to_posterior(image, mu, logvar)
    assert kl > 0
    torch.testing.assert_close(gap, kl, rtol=1e-9, atol=1e-9)


def test_elbo_agrees_with_monte_carlo():
    image, mu, logvar = IMAGES[0b00011100], tensor([0.1]), tensor([-1.5])
    q = Normal(mu, logvar.exp().sqrt())
    z = q.mean + q.stddev * randn(50_000)
    samples = log_likelihood(image, z) + PRIOR.log_prob(z) - q.log_prob(z)
    assert z_score(samples, STRIP.elbo(image, mu, logvar)) < MAX_Z


def test_elbo_and_gap_are_taken_for_each_image_with_its_own_q():
    mu, logvar = randn(5, 1) * 0.5, randn(5, 1, seed=1) * 0.3 - 1
    for function in (STRIP.elbo, STRIP.kl_to_posterior):
        together = function(IMAGES[:5], mu, logvar)
        single = [function(IMAGES[i], mu[i], logvar[i]) for i in range(5)]
        assert together.shape == (5,)
        torch.testing.assert_close(together, torch.stack(single))


def test_mutual_information_is_entropy_less_conditional_entropy():
    """H(x) over the 256 images less the mean over z of the entropy of eight independent lamps."""
    entropy = -(EVIDENCE.exp() * EVIDENCE).sum()
    nodes, weights = panels()
    given_z = Bernoulli(logits=STRIP.logits(nodes[:, None])).entropy().sum(-1)
    conditional = (weights * PRIOR.log_prob(nodes).exp() * given_z).sum()
    found = STRIP.mutual_information()
    assert found.item() == pytest.approx((entropy - conditional).item(), abs=1e-8)
    assert found.item() == pytest.approx(1.763, abs=5e-4)


def test_no_gaussian_q_closes_the_gap_of_the_blank_strip():
    mu, logvar = torch.cartesian_prod(
        torch.linspace(-3, 3, 16, dtype=torch.float64),
        torch.linspace(-4, 1.2, 14, dtype=torch.float64),
    ).split(1, -1)
    gaps = STRIP.kl_to_posterior(BLANK, mu, logvar)
    assert gaps.min() > 0.3


def test_gradients_of_the_elbo_agree_with_the_pathwise_mean():
    image, mu, logvar = IMAGES[0b00011100], tensor([0.3]), tensor([-1.0])
    mu.requires_grad_(), logvar.requires_grad_()
    by_grid = torch.autograd.grad(STRIP.elbo(image, mu, logvar), (mu, logvar))
    nodes, weights = gauss_hermite(150)
    z = mu + torch.exp(logvar / 2) * nodes
    path = (weights * log_likelihood(image, z)).sum() - kl_standard_normal(mu, logvar)
    by_path = torch.autograd.grad(path, (mu, logvar))
    torch.testing.assert_close(by_grid, by_path, rtol=1e-5, atol=1e-6)


def linear(latent_dim, pixels=4, scale=0.7):
    return LinearGaussian(randn(pixels, latent_dim, seed=7), randn(pixels, seed=8), scale)


def joint_normal(model):
    """Mean and covariance of the pair (z, x), from x = weight z + bias + noise."""
    D_x, D = model.weight.shape
    to_pair = torch.cat([torch.eye(D, dtype=torch.float64), model.weight])
    noise = torch.diag(torch.cat([torch.zeros(D), torch.full((D_x,), model.scale**2)]).double())
    return torch.cat([torch.zeros(D).double(), model.bias]), to_pair @ to_pair.T + noise


@pytest.mark.parametrize("latent_dim", [1, 2, 6])
def test_linear_evidence_is_a_normal_density(latent_dim):
    model, x = linear(latent_dim), 2 * randn(3, 5, 4)
    mean, cov = joint_normal(model)
    marginal = MultivariateNormal(mean[latent_dim:], cov[latent_dim:, latent_dim:])
    found = model.log_evidence(x)
    assert found.shape == (3, 5)
    torch.testing.assert_close(found, marginal.log_prob(x))


@pytest.mark.parametrize("latent_dim", [1, 2])
def test_linear_evidence_and_posterior_agree_with_bayes_rule_on_a_grid(latent_dim):
    model, x = linear(latent_dim), 2 * randn(4)
    z, cell = plane(-7, 7, 561) if latent_dim == 2 else line(-7, 7, 2001)
    z = z.reshape(-1, latent_dim)
    likelihood = Normal(z @ model.weight.T + model.bias, 0.7).log_prob(x).sum(-1)
    torch.testing.assert_close(model.log_p_x_given_z(x, z), likelihood)
    joint = (likelihood + PRIOR.log_prob(z).sum(-1)).exp() * cell
    torch.testing.assert_close(model.log_evidence(x), joint.sum().log())
    posterior = joint / joint.sum()
    mean = posterior @ z
    torch.testing.assert_close(model.posterior_mean(x), mean)
    cov = (z - mean).T @ (posterior[:, None] * (z - mean))
    torch.testing.assert_close(model.posterior_precision(), torch.linalg.inv(cov))


@pytest.mark.parametrize("latent_dim", [1, 2, 6])
def test_linear_posterior_is_the_joint_normal_conditioned_on_x(latent_dim):
    model, x = linear(latent_dim), randn(3, 5, 4)
    mean, cov = joint_normal(model)
    D = latent_dim
    regression = cov[:D, D:] @ torch.linalg.inv(cov[D:, D:])
    expected = mean[:D] + (x - mean[D:]) @ regression.T
    found = model.posterior_mean(x)
    assert found.shape == (3, 5, D)
    torch.testing.assert_close(found, expected)
    conditional = cov[:D, :D] - regression @ cov[D:, :D]
    torch.testing.assert_close(model.posterior_precision(), torch.linalg.inv(conditional))


@few_examples
@given(vectors(4), vectors(3), vectors(3, -3, 2))
def test_linear_elbo_is_the_evidence_less_the_kl_to_the_posterior(x, mu, logvar):
    model = linear(3)
    posterior_cov = torch.linalg.inv(model.posterior_precision())
    kl = kl_normals(mu, torch.diag(logvar.exp()), model.posterior_mean(x), posterior_cov)
    torch.testing.assert_close(model.kl_to_posterior(x, mu, logvar), kl)
    torch.testing.assert_close(model.elbo(x, mu, logvar), model.log_evidence(x) - kl)


@few_examples
@given(vectors(4), vectors(2), vectors(2, -3, 2))
def test_linear_elbo_is_the_mean_of_log_joint_less_log_q(x, mu, logvar):
    """By Gauss-Hermite in each dimension; three nodes are exact for squares."""
    model = linear(2)
    nodes, weights = gauss_hermite(3)
    eps = torch.cartesian_prod(nodes, nodes)
    q = Normal(mu, logvar.exp().sqrt())
    z = q.mean + q.stddev * eps
    values = Normal(z @ model.weight.T + model.bias, 0.7).log_prob(x).sum(-1)
    values = values + (PRIOR.log_prob(z) - q.log_prob(z)).sum(-1)
    expected = torch.cartesian_prod(weights, weights).prod(-1) @ values
    torch.testing.assert_close(model.elbo(x, mu, logvar), expected)


def test_linear_elbo_agrees_with_monte_carlo():
    model, x = linear(6), randn(4)
    mu, logvar = randn(6, seed=1), randn(6, seed=2) - 1
    q = Normal(mu, logvar.exp().sqrt())
    z = q.mean + q.stddev * randn(50_000, 6, seed=3)
    samples = model.log_p_x_given_z(x, z) + (PRIOR.log_prob(z) - q.log_prob(z)).sum(-1)
    assert z_score(samples, model.elbo(x, mu, logvar)) < MAX_Z


def test_the_best_diagonal_q_has_the_posterior_mean_and_the_inverse_precisions():
    model, x = linear(3), randn(4)
    precision = model.posterior_precision()
    best = torch.cat([model.posterior_mean(x), -precision.diagonal().log()])

    def elbo(parameters):
        return model.elbo(x, parameters[..., :3], parameters[..., 3:])

    gradient = central_difference(elbo, best)
    torch.testing.assert_close(gradient, torch.zeros(6).double(), rtol=0, atol=1e-8)
    assert (elbo(best + 0.5 * randn(200, 6)) < elbo(best)).all()
    gap = (precision.diagonal().log().sum() - torch.logdet(precision)) / 2
    torch.testing.assert_close(model.log_evidence(x) - elbo(best), gap)
    assert gap > 0.05


def test_linear_elbo_closes_the_gap_where_the_posterior_is_diagonal():
    rotation = torch.linalg.qr(randn(4, 2)).Q
    model, x = LinearGaussian(rotation * tensor(2.0, 0.5), randn(4, seed=8), 0.7), randn(5, 4)
    logvar = -model.posterior_precision().diagonal().log()
    found = model.elbo(x, model.posterior_mean(x), logvar)
    assert found.shape == (5,)
    torch.testing.assert_close(found, model.log_evidence(x))


def test_linear_results_are_taken_for_each_image_with_its_own_q():
    model, x = linear(3), randn(5, 4)
    mu, logvar, z = randn(5, 3, seed=1), randn(5, 3, seed=2), randn(5, 3, seed=3)
    for function, arguments in (
        (model.log_evidence, (x,)),
        (model.posterior_mean, (x,)),
        (model.elbo, (x, mu, logvar)),
        (model.kl_to_posterior, (x, mu, logvar)),
        (model.log_p_x_given_z, (x, z)),
    ):
        single = [function(*row) for row in zip(*arguments, strict=True)]
        torch.testing.assert_close(function(*arguments), torch.stack(single))


def test_a_grid_of_one_dimension_agrees_with_the_lamp_strip():
    some = IMAGES[::37]
    model = GridModel(
        lambda x, z: Bernoulli(logits=STRIP.logits(z)).log_prob(x).sum(-1),
        dim=1,
        limit=8.0,
        points_per_axis=1601,
    )
    torch.testing.assert_close(model.grid[:, 0], model.axis)
    torch.testing.assert_close(model.log_evidence(some), EVIDENCE[::37])
    inner = STRIP.axis.abs() < 8.005
    torch.testing.assert_close(model.axis, STRIP.axis[inner])
    torch.testing.assert_close(model.log_posterior(some), STRIP.log_posterior(some)[:, inner])


def test_a_grid_of_two_dimensions_agrees_with_the_linear_model():
    linear_model, x = linear(2), randn(3, 4)
    model = GridModel(linear_model.log_p_x_given_z)
    assert model.axis.shape == (201,) and model.grid.shape == (201**2, 2)
    assert model.axis[[0, -1]].tolist() == [-5, 5]
    torch.testing.assert_close(model.log_evidence(x), linear_model.log_evidence(x))
    precision = linear_model.posterior_precision()
    for i, mean in enumerate(linear_model.posterior_mean(x)):
        expected = MultivariateNormal(mean, precision_matrix=precision).log_prob(model.grid)
        torch.testing.assert_close(model.log_posterior(x)[i], expected)
    torch.testing.assert_close(
        model.log_joint(x, model.grid[::999]), linear_model.log_joint(x, model.grid[::999])
    )
    mu, logvar = 0.5 * randn(3, 2, seed=1), randn(3, 2, seed=2) - 2
    for name in ("elbo", "kl_to_posterior"):
        found, expected = (getattr(m, name)(x, mu, logvar) for m in (model, linear_model))
        assert found.shape == (3,)
        torch.testing.assert_close(found, expected)


def test_a_grid_keeps_the_order_of_the_two_dimensions():
    """The image is z itself, seen with noise of another size in each dimension."""
    noise, x = tensor(0.3, 1.5), tensor([[1.0, -2.0]])
    model = GridModel(lambda x, z: Normal(z, noise).log_prob(x).sum(-1), limit=6.0)
    weights = model.log_posterior(x)[0].exp() * (12 / 200) ** 2
    torch.testing.assert_close(weights @ model.grid, x[0] / (1 + noise**2))
    expected = Normal(0, (1 + noise**2).sqrt()).log_prob(x[0]).sum()
    torch.testing.assert_close(model.log_evidence(x)[0], expected)


@pytest.mark.parametrize("dim, points", [(1, 101), (2, 41)])
def test_a_grid_posterior_has_mass_one_and_is_bayes_rule(dim, points):
    model = GridModel(
        lambda x, z: Bernoulli(logits=z.sum(-1)[:, None] - 0.5).log_prob(x).sum(-1),
        dim,
        4.0,
        points,
    )
    x = all_images = torch.tensor([[0.0, 0.0], [0.0, 1.0], [1.0, 0.0], [1.0, 1.0]]).double()
    posterior = model.log_posterior(x)
    assert posterior.shape == (4, points**dim)
    cell = (8 / (points - 1)) ** dim
    torch.testing.assert_close(posterior.exp().sum(-1) * cell, torch.ones(4).double())
    evidence = model.log_evidence(all_images)
    torch.testing.assert_close(posterior, model.log_joint(x, model.grid) - evidence[:, None])
    # What is missing is the mass of the prior beyond the grid.
    assert evidence.exp().sum().item() == pytest.approx(1, abs=2e-4)
    prior = PRIOR.log_prob(model.grid).sum(-1).exp() * cell
    both_lit = torch.sigmoid(model.grid.sum(-1) - 0.5) ** 2
    torch.testing.assert_close(evidence.exp()[3], prior @ both_lit)


@pytest.mark.parametrize("dim", [0, 3])
def test_a_grid_refuses_other_dimensions(dim):
    with pytest.raises(
        ValueError, match=rf"1 or 2 latent dimensions, but got {dim}: .* 201\^{dim}"
    ):
        GridModel(lambda x, z: z, dim=dim)
