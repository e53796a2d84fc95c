import pytest
import torch
from helpers import randn, tensor
from oracles import MAX_Z, gauss_hermite, line, z_score
from torch import nn
from torch.distributions import Independent, Normal, kl_divergence
from torch.nn.functional import binary_cross_entropy_with_logits

from vae_teach import bounds
from vae_teach.likelihoods import BernoulliLikelihood, GaussianLikelihood
from vae_teach.model import VAE
from vae_teach.networks import Decoder, Encoder

PIXELS = 6


def make_vae(latent_dim=3, likelihood=None, hidden=(5,), seed=0):
    """A small VAE in float64 whose weights are large enough to make every term matter."""
    vae = VAE(
        Encoder(latent_dim, hidden, PIXELS),
        Decoder(latent_dim, hidden, PIXELS),
        likelihood or BernoulliLikelihood(),
    ).double()
    with torch.no_grad():
        for index, parameter in enumerate(vae.parameters()):
            parameter.copy_(randn(*parameter.shape, seed=seed + index))
    return vae.requires_grad_(False)


def images(n, seed=7):
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 2, (n, PIXELS), generator=generator).double()


def q_of(vae, x):
    mu, logvar = vae.encode(x)
    return Independent(Normal(mu, logvar.exp().sqrt()), 1)


def log_evidence(vae, x):
    """log p(x) of a VAE with one latent variable, by the trapezoidal rule."""
    nodes, step = line(-12, 12, 24_001)
    logits = vae.decode(nodes[:, None])
    cross_entropy = binary_cross_entropy_with_logits(
        logits.expand(len(x), -1, -1), x[:, None].expand(-1, len(nodes), -1), reduction="none"
    )
    joint = -cross_entropy.sum(-1) + Normal(tensor(0.0), tensor(1.0)).log_prob(nodes)
    return torch.logsumexp(joint, -1) + torch.log(tensor(step)), joint


def test_elbo_terms_agree_with_torch():
    vae, x, eps = make_vae(), images(9), randn(9, 3)
    q = q_of(vae, x)
    z = q.mean + q.stddev * eps
    log_p = -binary_cross_entropy_with_logits(vae.decoder(z), x, reduction="none").sum(-1)
    prior = Independent(Normal(torch.zeros_like(z), torch.ones_like(z)), 1)
    kl = kl_divergence(q, prior)
    terms = vae.elbo(x, eps)
    assert all(term.shape == (9,) for term in terms)
    torch.testing.assert_close(terms.log_p_x_given_z, log_p)
    torch.testing.assert_close(terms.kl, kl)
    torch.testing.assert_close(terms.elbo, log_p - kl)


def test_elbo_with_a_gaussian_likelihood_agrees_with_torch():
    vae, x, eps = make_vae(likelihood=GaussianLikelihood(0.4)), images(5), randn(5, 3)
    q = q_of(vae, x)
    expected = Normal(vae.decoder(q.mean + q.stddev * eps), 0.4).log_prob(x).sum(-1)
    torch.testing.assert_close(vae.elbo(x, eps).log_p_x_given_z, expected)


def test_mean_elbo_is_the_evidence_less_the_kl_to_the_posterior():
    """One latent variable: the mean over eps, the evidence and the posterior are all integrals."""
    vae, x = make_vae(latent_dim=1, hidden=()), images(4)
    nodes, weights = gauss_hermite()
    elbo = sum(w * vae.elbo(x, n.expand(4, 1)).elbo for n, w in zip(nodes, weights, strict=True))
    evidence, joint = log_evidence(vae, x)
    z, step = line(-12, 12, 24_001)
    q = q_of(vae, x)
    log_q = Normal(q.mean, q.stddev).log_prob(z)
    gap = (log_q.exp() * (log_q - joint + evidence[:, None])).sum(-1) * step
    assert (gap > 1e-3).all()
    torch.testing.assert_close(elbo, evidence - gap, rtol=1e-7, atol=1e-7)


def test_mean_weight_is_the_evidence():
    vae, x = make_vae(latent_dim=1, hidden=()), images(4)
    with torch.no_grad():
        vae.encoder.layers[-1].bias[1] = 0.5
        vae.encoder.layers[-1].weight[1] = 0.0
    evidence, _ = log_evidence(vae, x)
    weights = vae.log_weights(x, randn(200_000, 4, 1)).exp()
    assert z_score(weights, evidence.exp()) < MAX_Z


def test_log_weights_agree_with_torch():
    vae, x, eps = make_vae(), images(4), randn(7, 4, 3)
    q = q_of(vae, x)
    z = q.mean + q.stddev * eps
    prior = Independent(Normal(torch.zeros_like(z), torch.ones_like(z)), 1)
    log_p = -binary_cross_entropy_with_logits(
        vae.decoder(z), x.expand(7, 4, PIXELS), reduction="none"
    ).sum(-1)
    found = vae.log_weights(x, eps)
    assert found.shape == (7, 4)
    torch.testing.assert_close(found, log_p + prior.log_prob(z) - q.log_prob(z))


def test_log_weights_and_elbo_have_the_same_mean():
    """log p(z) - log q(z given x) averages to minus the KL that ``elbo`` takes in closed form."""
    vae, x, eps = make_vae(), images(3), randn(20_000, 3, 3)
    q = q_of(vae, x)
    log_p_x_given_z = vae.likelihood.log_prob(x, vae.decode(q.mean + q.stddev * eps))
    closed_form = -vae.elbo(x, eps[0]).kl
    assert z_score(vae.log_weights(x, eps) - log_p_x_given_z, closed_form) < MAX_Z


def test_more_samples_raise_the_bound_and_never_past_the_evidence():
    vae, x = make_vae(latent_dim=1, hidden=()), images(4)
    evidence, _ = log_evidence(vae, x)
    log_w = vae.log_weights(x, randn(50 * 400, 4, 1)).reshape(50, 400, 4)
    means = [bounds.iwae(log_w[:k]).mean() for k in (1, 5, 50)]
    assert means[0] < means[1] < means[2] < evidence.mean() + 0.01


def test_the_sample_is_drawn_and_not_taken_at_the_mean():
    vae, x = make_vae(), images(3)
    at_mean = vae.elbo(x, torch.zeros(3, 3, dtype=torch.float64))
    drawn = vae.elbo(x, randn(3, 3))
    assert (drawn.log_p_x_given_z - at_mean.log_p_x_given_z).abs().min() > 1e-3
    assert torch.equal(drawn.kl, at_mean.kl)


def test_noise_that_would_be_shared_between_images_is_refused():
    vae, x = make_vae(), images(4)
    for shape in ((3,), (1, 3), (4, 1)):
        with pytest.raises(ValueError, match="reparameterize needs"):
            vae.elbo(x, randn(*shape))
        with pytest.raises(ValueError, match="reparameterize needs|axis of K samples"):
            vae.log_weights(x, randn(5, *shape))
    with pytest.raises(ValueError, match="axis of K samples"):  # which would mix the images
        vae.log_weights(x, randn(4, 3))


def test_whole_numbers_are_refused_with_the_remedy():
    with pytest.raises(TypeError, match="prepare_pixels"):
        make_vae().encode(torch.zeros(2, PIXELS, dtype=torch.uint8))


class Identity(nn.Module):
    """A decoder whose output is z itself, so that samples show the prior."""

    latent_dim = 4

    def __init__(self):
        super().__init__()
        self.scale = nn.Parameter(torch.ones(1, dtype=torch.float64), requires_grad=False)

    def forward(self, z):
        return self.scale * z


def test_sampling_draws_z_from_the_standard_normal(generator):
    vae = VAE(nn.Identity(), Identity(), GaussianLikelihood(1.0))
    z = vae.sample(20_000, generator)
    assert z.shape == (20_000, 4) and z.dtype == torch.float64
    assert z_score(z, 0.0) < MAX_Z
    assert z_score(z**2, 1.0) < MAX_Z
    assert z_score(z[:, 0] * z[:, 1], 0.0) < MAX_Z


def test_sampling_shows_means_unless_draws_are_asked_for():
    vae = make_vae()
    means, draws = (
        vae.sample(500, torch.Generator().manual_seed(3), draw=draw) for draw in (False, True)
    )
    assert ((means > 0) & (means < 1)).all()
    assert set(draws.unique().tolist()) == {0, 1}
    assert z_score(draws - means, 0.0) < MAX_Z


@pytest.mark.parametrize("draw", [False, True])
def test_samples_depend_on_the_generator_alone(draw):
    vae = make_vae()
    first, again, other = (
        vae.sample(20, torch.Generator().manual_seed(s), draw=draw) for s in (1, 1, 2)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)


def test_probabilities_are_taken_in_float32_under_bfloat16():
    vae, x = make_vae().float(), images(8).float()
    exact = vae.elbo(x, randn(8, 3).float())
    with torch.autocast("cpu", torch.bfloat16):
        assert vae.encoder(x)[0].dtype == torch.bfloat16
        assert vae.decoder(randn(8, 3).float()).dtype == torch.bfloat16
        assert all(value.dtype == torch.float32 for value in vae.encode(x))
        assert vae.decode(randn(8, 3).float()).dtype == torch.float32
        terms = vae.elbo(x, randn(8, 3).float())
    assert all(term.dtype == torch.float32 for term in terms)
    for rough, precise in zip(terms, exact, strict=True):
        torch.testing.assert_close(rough, precise, rtol=0.1, atol=0.5)


def test_the_gradient_of_the_elbo_reaches_every_parameter_and_is_right():
    vae, x, eps = make_vae().requires_grad_(True), images(4), randn(4, 3)
    vae.elbo(x, eps).elbo.sum().backward()
    for parameter in vae.parameters():
        direction = randn(*parameter.shape, seed=11)
        slope = (parameter.grad * direction).sum().item()
        values = []
        with torch.no_grad():
            for step in (1e-6, -1e-6):
                parameter += step * direction
                values.append(vae.elbo(x, eps).elbo.sum().item())
                parameter -= step * direction
        assert slope == pytest.approx((values[0] - values[1]) / 2e-6, rel=1e-5, abs=1e-5)
        assert parameter.grad.abs().max() > 0
