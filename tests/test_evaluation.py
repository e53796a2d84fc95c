import json
import math

import numpy as np
import pytest
import torch
from helpers import randn, seeded, tensor
from oracles import MAX_Z, gauss_hermite, line
from torch import nn
from torch.distributions import Bernoulli, Normal, kl_divergence
from torch.nn.functional import binary_cross_entropy_with_logits

from vae_teach import evaluation
from vae_teach.estimators import normal_noise
from vae_teach.evaluation import (
    bernoulli_floor,
    constant_pixel_log_likelihood,
    evaluate,
    mean_with_error,
)
from vae_teach.likelihoods import BernoulliLikelihood, GaussianLikelihood
from vae_teach.model import VAE
from vae_teach.networks import Decoder, Encoder

PIXELS, N = 6, 40


def make_vae(latent_dim=1):
    """A decoder far from linear, and a q wide enough for importance sampling to work well."""
    vae = VAE(
        Encoder(latent_dim, (), PIXELS), Decoder(latent_dim, (), PIXELS), BernoulliLikelihood()
    )
    vae = vae.double().requires_grad_(False)
    for index, parameter in enumerate(vae.parameters()):
        parameter.copy_(randn(*parameter.shape, seed=index))
    encoder = vae.encoder.layers[0]
    encoder.weight.mul_(0.4)
    encoder.bias[latent_dim:] = -0.3
    vae.decoder.layers[0].weight.mul_(2)
    return vae


VAE_1D = make_vae()
BITS = torch.randint(0, 2, (N, PIXELS), generator=torch.Generator().manual_seed(2)).double()


def exact_terms(vae, x):
    """For each image E_q log p(x given z), its variance over q, and the KL, by Gauss-Hermite."""
    nodes, weights = gauss_hermite()
    mu, logvar = vae.encode(x)
    z = mu + logvar.exp().sqrt() * nodes
    logits = vae.decode(z[..., None])
    log_p = Bernoulli(logits=logits).log_prob(x[:, None]).sum(-1)
    mean = log_p @ weights
    variance = (log_p**2) @ weights - mean**2
    kl = kl_divergence(Normal(mu, logvar.exp().sqrt()), Normal(0.0, 1.0)).sum(-1)
    return mean, variance, kl


def exact_log_evidence(vae, x):
    nodes, step = line(-12, 12, 4_001)
    logits = vae.decode(nodes[:, None])
    log_p = Bernoulli(logits=logits).log_prob(x[:, None]).sum(-1)
    joint = log_p + Normal(tensor(0.0), tensor(1.0)).log_prob(nodes)
    return torch.logsumexp(joint, -1) + math.log(step)


def test_elbo_and_terms_are_the_exact_means_over_q_within_sampling_noise():
    x = BITS.repeat(4, 1)
    mean, variance, kl = exact_terms(VAE_1D, x)
    found = evaluate(VAE_1D, x, 1, seeded(), pixels="grey")
    noise_of_mean = math.sqrt(variance.mean() / (10 * len(x)))
    assert found.kl.value == pytest.approx(kl.mean().item())
    assert abs(found.log_p_x_given_z.value - mean.mean()) < MAX_Z * noise_of_mean
    assert found.elbo.value == pytest.approx(found.log_p_x_given_z.value - found.kl.value)
    logits = VAE_1D.decode(VAE_1D.encode(x)[0])
    at_mean = -binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)
    assert abs(at_mean.mean() - mean.mean()) > 2 * MAX_Z * noise_of_mean, "a test that could fail"


def test_ten_draws_an_image_leave_a_tenth_of_the_variance():
    """Over 300 evaluations the variance of the mean is the exact one, within its own error."""
    _, variance, _ = exact_terms(VAE_1D, BITS)
    generator = seeded()
    values = tensor(
        *(evaluate(VAE_1D, BITS, 1, generator, pixels="grey").elbo.value for _ in range(300))
    )
    ratio = values.var() / (variance.mean() / (10 * N))
    assert abs(ratio.item() - 1) < MAX_Z * math.sqrt(2 / 300)


def test_log_likelihood_approaches_the_exact_evidence_from_above_the_elbo():
    exact = exact_log_evidence(VAE_1D, BITS).mean().item()
    found = evaluate(VAE_1D, BITS, 3_000, seeded(), pixels="dynamic")
    assert found.log_likelihood.value == pytest.approx(exact, abs=0.02)
    assert found.elbo.value < exact - 0.1
    rough = evaluate(VAE_1D, BITS, 2, seeded(), pixels="dynamic")
    assert rough.elbo.value < rough.log_likelihood.value < exact - 0.02


def test_standard_errors_are_over_images():
    mean, variance, kl = exact_terms(VAE_1D, BITS)
    found = evaluate(VAE_1D, BITS, 3_000, seeded(), pixels="dynamic")
    assert found.kl.standard_error == pytest.approx(np.std(kl.numpy(), ddof=1) / math.sqrt(N))
    spread = ((mean - kl).var() + variance.mean() / 10).sqrt() / math.sqrt(N)
    assert found.elbo.standard_error == pytest.approx(spread.item(), rel=0.1)
    spread = exact_log_evidence(VAE_1D, BITS).std() / math.sqrt(N)
    assert found.log_likelihood.standard_error == pytest.approx(spread.item(), rel=0.02)


def test_mean_with_error_is_deviation_over_root_n():
    """1, 2, 3, 6: mean 3, sample variance 14/3, error sqrt(14/3)/2."""
    found = mean_with_error(torch.tensor([1.0, 2.0, 3.0, 6.0]))
    assert found == (3, pytest.approx(math.sqrt(14 / 3) / 2))


def test_repeating_the_images_leaves_means_and_halves_variances():
    once = mean_with_error(BITS[:, 0])
    fourfold = mean_with_error(BITS[:, 0].repeat(400))
    assert fourfold.value == pytest.approx(once.value)
    assert fourfold.standard_error == pytest.approx(once.standard_error / 20, rel=0.02)


def test_the_result_does_not_depend_on_how_images_are_grouped(monkeypatch):
    """Grouping changes which noise an image gets, so the results agree within the noise."""
    one = evaluate(VAE_1D, BITS, 2_000, seeded(), pixels="dynamic")
    monkeypatch.setattr(evaluation, "GROUP", 7)
    monkeypatch.setattr(evaluation, "DRAWS", 300)
    other = evaluate(VAE_1D, BITS, 2_000, seeded(), pixels="dynamic")
    assert one.num_images == other.num_images == N
    assert one.kl.value == pytest.approx(other.kl.value)
    assert one.log_likelihood.value == pytest.approx(other.log_likelihood.value, abs=0.02)
    assert one.active_units == other.active_units


def test_every_image_draw_and_group_has_noise_of_its_own(monkeypatch):
    drawn = []

    def record(*arguments):
        drawn.append(normal_noise(*arguments))
        return drawn[-1]

    monkeypatch.setattr(evaluation, "normal_noise", record)
    monkeypatch.setattr(evaluation, "GROUP", 9)
    monkeypatch.setattr(evaluation, "DRAWS", 8)
    evaluate(VAE_1D, BITS, 20, seeded(), pixels="fixed")
    numbers = torch.cat([eps.flatten() for eps in drawn])
    assert len(numbers) == N * (10 + 20)
    assert len(numbers.unique()) == len(numbers)


def test_the_same_seed_gives_the_same_numbers_and_another_gives_others():
    first, again, other = (
        evaluate(VAE_1D, BITS, 5, seeded(seed), pixels="threshold") for seed in (0, 0, 1)
    )
    assert first == again
    assert first.elbo.value != other.elbo.value
    assert first.log_likelihood.value != other.log_likelihood.value


def test_coins_that_are_given_greys_have_no_log_likelihood():
    found = evaluate(VAE_1D, BITS * 0.5, 50, seeded(), pixels="grey")
    assert found.log_likelihood is None and found.num_importance_samples is None
    assert found.pixels == "grey"


def test_a_density_has_a_log_likelihood_on_greys():
    """z moves the mean of one Gaussian pixel, so x is N(b, w^2 + scale^2)."""
    vae = VAE(Encoder(1, (), 1), Decoder(1, (), 1), GaussianLikelihood(0.3)).double()
    vae.requires_grad_(False)
    vae.decoder.layers[0].weight.fill_(0.4)
    vae.decoder.layers[0].bias.fill_(0.5)
    vae.encoder.layers[0].weight.copy_(tensor([1.0], [0.0]))
    vae.encoder.layers[0].bias.copy_(tensor(-0.5, -0.2))
    grey = torch.rand(50, 1, generator=seeded(3)).double()
    found = evaluate(vae, grey, 2_000, seeded(), pixels="grey")
    exact = Normal(0.5, math.hypot(0.4, 0.3)).log_prob(grey[:, 0]).mean().item()
    assert found.log_likelihood.value == pytest.approx(exact, abs=0.005)


@pytest.mark.parametrize("k", [1, 9, 40])
def test_the_noise_of_the_elbo_does_not_depend_on_k(k):
    assert evaluate(VAE_1D, BITS, k, seeded(), pixels="fixed").elbo == (
        evaluate(VAE_1D, BITS, 5, seeded(), pixels="fixed").elbo
    )


def test_more_draws_begin_with_the_draws_of_fewer(monkeypatch):
    """All weights of the later draws are 0, so that the sum is that of the first ten."""
    log_w, calls = VAE.log_weights, []

    def first_ten(self, x, eps):
        calls.append(eps)
        return log_w(self, x, eps) + (0 if len(calls) == 1 else -math.inf)

    few = evaluate(VAE_1D, BITS, 10, seeded(), pixels="fixed").log_likelihood.value
    monkeypatch.setattr(VAE, "log_weights", first_ten)
    many = evaluate(VAE_1D, BITS, 30, seeded(), pixels="fixed").log_likelihood.value
    assert len(calls) == 3
    assert many == pytest.approx(few - math.log(3))


def test_memory_does_not_grow_with_k(monkeypatch):
    sizes, log_w = [], VAE.log_weights

    def record(self, x, eps):
        sizes.append(eps.numel())
        return log_w(self, x, eps)

    monkeypatch.setattr(VAE, "log_weights", record)
    evaluate(VAE_1D, BITS.repeat(10, 1), 5_000, seeded(), pixels="fixed")
    assert max(sizes) == evaluation.GROUP * evaluation.DRAWS
    assert sum(sizes) == 10 * N * 5_000


def test_dropout_rests_during_evaluation_and_the_mode_is_put_back():
    vae = make_vae()
    vae.encoder.layers.insert(0, nn.Dropout(0.5))
    for mode in (True, False):
        vae.train(mode)
        found = evaluate(vae, BITS, 5, seeded(), pixels="fixed")
        assert vae.training == vae.encoder.layers[0].training == mode
        assert found == evaluate(VAE_1D, BITS, 5, seeded(), pixels="fixed")


@pytest.mark.parametrize(
    "images, pixels, said",
    [
        (BITS * 255, "grey", r"in \[0, 1\], but these go from 0 to 255.*divided by 255"),
        ((BITS - 0.13) / 0.31, "grey", "from -0.4194 to 2.806.*Normalize"),
        (BITS * float("nan"), "grey", "from nan to nan"),
        (BITS * 0.5, "dynamic", "dynamic pixels are all 0 or 1, but these images hold greys"),
        (BITS, "Grey", "There are no pixels 'Grey'; choose one of grey"),
        (BITS[:1], "fixed", "at least 2 images, but there are 1"),
    ],
)
def test_images_that_cannot_be_evaluated_are_refused_with_the_usual_cause(images, pixels, said):
    with pytest.raises(ValueError, match=said):
        evaluate(VAE_1D, images, 5, seeded(), pixels=pixels)


def test_a_latent_is_active_when_its_mean_varies_over_the_images_by_more_than_0_01():
    vae = make_vae(latent_dim=4)
    first = vae.encoder.layers[0]
    first.weight.zero_()
    first.bias.copy_(randn(8) * 3)
    x = torch.zeros(N, PIXELS, dtype=torch.float64)
    x[: N // 2, 0] = 1
    step = 2 * math.sqrt(0.01 * (N - 1) / N)
    first.weight[0, 0], first.weight[1, 0] = 1.05 * step, 0.95 * step
    assert evaluate(vae, x, 1, seeded(), pixels="grey").active_units == 1
    first.weight[1, 0] = 1.05 * step
    first.weight[4:, 0] = 5.0
    assert evaluate(vae, x, 1, seeded(), pixels="grey").active_units == 2


def test_the_result_is_json():
    found = evaluate(VAE_1D, BITS, 5, seeded(), pixels="fixed")
    table = json.loads(json.dumps(found.as_dict()))
    assert table["elbo"] == {
        "value": found.elbo.value,
        "standard_error": found.elbo.standard_error,
    }
    assert table["log_likelihood"]["value"] == found.log_likelihood.value
    assert (table["pixels"], table["num_images"]) == ("fixed", N)
    assert (table["num_importance_samples"], table["active_units"]) == (5, found.active_units)
    grey = evaluate(VAE_1D, BITS * 0.5, 5, seeded(), pixels="grey").as_dict()
    assert grey["log_likelihood"] is None and grey.keys() == table.keys()


def test_evaluation_leaves_the_model_and_global_randomness_alone():
    before, state = [p.clone() for p in VAE_1D.parameters()], torch.get_rng_state()
    evaluate(VAE_1D, BITS, 5, seeded(), pixels="fixed")
    assert torch.equal(torch.get_rng_state(), state)
    assert all(torch.equal(p, q) for p, q in zip(VAE_1D.parameters(), before, strict=True))


@pytest.mark.parametrize("samples", [0, -3])
def test_no_importance_samples_are_refused(samples):
    with pytest.raises(
        ValueError, match=f"num_importance_samples must be at least 1, but is {samples}"
    ):
        evaluate(VAE_1D, BITS, samples, seeded(), pixels="dynamic")


def test_the_grey_floor_is_the_entropy_of_the_greys():
    grey = torch.rand(N, PIXELS, dtype=torch.float64, generator=seeded())
    expected = Bernoulli(probs=grey).entropy().sum(-1).mean().item()
    assert bernoulli_floor(grey) == pytest.approx(expected)
    best = binary_cross_entropy_with_logits(torch.logit(grey), grey, reduction="sum") / N
    assert bernoulli_floor(grey) == pytest.approx(best.item())
    assert bernoulli_floor(BITS) == 0


def test_no_decoder_beats_the_grey_floor():
    grey = torch.rand(N, PIXELS, dtype=torch.float64, generator=seeded())
    logits = torch.logit(grey).requires_grad_()
    cross_entropy = binary_cross_entropy_with_logits(logits, grey, reduction="sum")
    (gradient,) = torch.autograd.grad(cross_entropy, logits)
    assert gradient.abs().max() < 1e-12, "the floor is stationary, and cross-entropy is convex"


def test_the_constant_model_has_the_training_means_as_chances():
    train, test = BITS[:30], BITS[30:]
    chances = train.mean(0)
    expected = Bernoulli(probs=chances).log_prob(test).sum(-1).mean().item()
    assert constant_pixel_log_likelihood(train, test) == pytest.approx(expected)


def test_the_constant_model_is_the_best_constant_on_its_own_images():
    grey = torch.rand(N, PIXELS, dtype=torch.float64, generator=seeded())
    logits = torch.logit(grey.mean(0))
    best = -nn.functional.binary_cross_entropy_with_logits(
        logits.expand_as(grey), grey, reduction="sum"
    )
    assert constant_pixel_log_likelihood(grey, grey) == pytest.approx(best.item() / N)


def test_a_pixel_never_lit_in_training_gets_the_chance_of_half_an_image():
    train, test = torch.zeros(50, 1), torch.ones(3, 1)
    assert constant_pixel_log_likelihood(train, test) == pytest.approx(math.log(0.5 / 50))
    assert constant_pixel_log_likelihood(train + 1, test - 1) == pytest.approx(math.log(0.5 / 50))
