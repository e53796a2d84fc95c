import math
import random
from itertools import pairwise

import pytest
import torch
from helpers import few_examples, tensor
from hypothesis import given
from hypothesis import strategies as st
from oracles import all_bits, gauss_hermite, line
from torch import nn
from torch.distributions import Bernoulli, Normal, kl_divergence

from vae_teach.exact_models import LampStrip
from vae_teach.scalar_autograd import Value, gradients
from vae_teach.scalar_vae import (
    VAE,
    Adam,
    Autoencoder,
    apply,
    cross_entropy,
    kl_standard_normal,
    mlp,
    parameters,
)

IMAGE = [0, 0, 0, 1, 1, 0, 1, 0]


def values(numbers):
    return [Value(number) for number in numbers]


def data(nodes):
    return [node.data for node in nodes]


def torch_copy(network):
    """The same network in PyTorch, float64."""
    layers = []
    for layer in network:
        linear = nn.Linear(len(layer[0]) - 1, len(layer), dtype=torch.float64)
        rows = tensor(*[data(unit) for unit in layer]).reshape(len(layer), -1)
        linear.bias.data, linear.weight.data = rows[:, 0].clone(), rows[:, 1:].clone()
        layers += [linear, nn.Tanh()]
    return nn.Sequential(*layers[:-1])


def torch_slopes(*copies):
    """The gradients of the copies in the order of ``parameters``."""
    linears = [layer for copy in copies for layer in copy if isinstance(layer, nn.Linear)]
    rows = [torch.cat([one.bias.grad[:, None], one.weight.grad], 1) for one in linears]
    return torch.cat([row.flatten() for row in rows]).tolist()


def torch_negative_elbo(encoder, decoder, x, eps):
    """By the definition: minus log p(x given z) plus the KL, from torch.distributions."""
    mu, logvar = encoder(tensor(*x)).chunk(2)
    q = Normal(mu, logvar.exp().sqrt())
    log_p = Bernoulli(logits=decoder(mu + q.scale * tensor(*eps, 0.0)[:-1])).log_prob(tensor(*x))
    return kl_divergence(q, Normal(tensor(0.0), tensor(1.0))).sum() - log_p.sum()


# The parts --------------------------------------------------------------------------------------


@few_examples
@given(st.integers(0, 1000), st.lists(st.integers(1, 5), min_size=2, max_size=4))
def test_apply_is_the_same_network_as_torch(seed, sizes):
    rng = random.Random(seed)
    network = mlp(sizes, rng)
    x = [rng.gauss(0, 1) for _ in range(sizes[0])]
    expected = torch_copy(network)(tensor(*x, 0.0)[:-1]).tolist()
    assert data(apply(network, x)) == pytest.approx(expected, abs=1e-12)
    assert data(apply(network, values(x))) == pytest.approx(expected, abs=1e-12)
    assert len(parameters(network)) == sum((n + 1) * m for n, m in pairwise(sizes))


def test_fresh_weights_are_uniform_within_one_over_the_square_root_of_the_inputs():
    layers = mlp([4, 100, 2], random.Random(0))
    for layer, bound in zip(layers, (1 / 2, 1 / 10), strict=True):
        weights = data(parameters([layer]))
        assert max(map(abs, weights)) <= bound
        assert min(weights) < -0.9 * bound and max(weights) > 0.9 * bound
        assert abs(sum(weights) / len(weights)) < 4 * bound / math.sqrt(3 * len(weights))


def test_the_generator_settles_the_weights():
    first, same, other = (mlp([2, 3], random.Random(seed)) for seed in (0, 0, 1))
    assert data(parameters(first)) == data(parameters(same)) != data(parameters(other))


@few_examples
@given(
    st.lists(st.tuples(st.integers(0, 1), st.floats(-30, 30)), min_size=1, max_size=8),
)
def test_cross_entropy_is_minus_the_log_probability(pixels):
    x, logits = zip(*pixels, strict=True)
    nodes = values(logits)
    leaf = tensor(*logits, 0.0)[:-1].requires_grad_()
    expected = -Bernoulli(logits=leaf).log_prob(tensor(*x, 0.0)[:-1]).sum()
    (slopes,) = torch.autograd.grad(expected, leaf)
    loss = cross_entropy(x, nodes)
    assert loss.data == pytest.approx(expected.item(), rel=1e-10, abs=1e-12)
    assert gradients(loss, nodes) == pytest.approx(slopes.tolist(), rel=1e-9, abs=1e-12)


def test_the_probabilities_of_all_images_sum_to_one():
    logits = values([0.3, -2.0, 1.5])
    images = all_bits(3).tolist()
    assert sum(math.exp(-cross_entropy(x, logits).data) for x in images) == pytest.approx(1)


@few_examples
@given(st.lists(st.tuples(st.floats(-3, 3), st.floats(-4, 3)), min_size=1, max_size=4))
def test_kl_agrees_with_torch_distributions(latents):
    mu, logvar = zip(*latents, strict=True)
    q = Normal(tensor(*mu, 0.0)[:-1], tensor(*logvar, 0.0)[:-1].exp().sqrt())
    expected = kl_divergence(q, Normal(tensor(0.0), tensor(1.0))).sum().item()
    assert kl_standard_normal(values(mu), values(logvar)).data == pytest.approx(expected)


def test_kl_is_zero_only_at_the_prior():
    assert kl_standard_normal(values([0, 0]), values([0, 0])).data == 0
    assert kl_standard_normal(values([0.1]), values([0])).data > 0
    assert kl_standard_normal(values([0]), values([0.1])).data > 0


def test_adam_walks_as_torch_does():
    start, steps = [0.3, -1.0, 2.0], 30
    nodes, leaf = values(start), tensor(*start).requires_grad_()
    ours, theirs = Adam(nodes), torch.optim.Adam([leaf])
    for step in range(steps):
        rate = 0.1 * (1 - step / steps)
        loss = (nodes[0] * nodes[1] - 1) ** 2 + (nodes[2] + nodes[0]).tanh()
        ours.step(gradients(loss, nodes), rate)
        theirs.param_groups[0]["lr"] = rate
        theirs.zero_grad()
        ((leaf[0] * leaf[1] - 1) ** 2 + (leaf[2] + leaf[0]).tanh()).backward()
        theirs.step()
    assert data(nodes) == pytest.approx(leaf.tolist(), abs=1e-10)
    assert data(nodes) != pytest.approx(start, abs=0.1)


# The two models -----------------------------------------------------------------------------------


@pytest.mark.parametrize("seed", range(4))
def test_every_gradient_of_the_elbo_equals_torch(seed):
    rng = random.Random(seed)
    latent_dim = 1 + seed % 3
    vae = VAE(8, 6, latent_dim, rng)
    x = [rng.randrange(2) for _ in range(8)]
    eps = [rng.gauss(0, 1) for _ in range(latent_dim)]
    encoder, decoder = torch_copy(vae.encoder), torch_copy(vae.decoder)
    expected = torch_negative_elbo(encoder, decoder, x, eps)
    expected.backward()
    loss = vae.loss(x, eps)
    slopes = gradients(loss, parameters(vae.encoder, vae.decoder))
    assert loss.data == pytest.approx(expected.item(), abs=1e-10)
    assert slopes == pytest.approx(torch_slopes(encoder, decoder), rel=0, abs=1e-10)
    assert max(map(abs, slopes)) > 0.1


def test_every_gradient_of_the_autoencoder_equals_torch():
    model = Autoencoder(8, 6, 2, random.Random(0))
    encoder, decoder = torch_copy(model.encoder), torch_copy(model.decoder)
    x = tensor(*IMAGE)
    expected = -Bernoulli(logits=decoder(encoder(x))).log_prob(x).sum()
    expected.backward()
    loss = model.loss(IMAGE)
    slopes = gradients(loss, parameters(model.encoder, model.decoder))
    assert loss.data == pytest.approx(expected.item(), abs=1e-10)
    assert slopes == pytest.approx(torch_slopes(encoder, decoder), rel=0, abs=1e-10)


def test_the_mean_of_the_loss_over_eps_is_minus_the_elbo():
    """The ELBO by quadrature over z, from densities, without the closed form of the KL."""
    vae = VAE(8, 4, 1, random.Random(3))
    decoder = torch_copy(vae.decoder)
    _, mu, logvar = vae.forward(IMAGE, [0.0])
    q = Normal(tensor(mu[0].data), tensor(logvar[0].data).exp().sqrt())
    z, step = line(-12, 12, 4001)
    with torch.no_grad():
        log_p = Bernoulli(logits=decoder(z[:, None])).log_prob(tensor(*IMAGE)).sum(-1)
    log_ratio = log_p + Normal(tensor(0.0), tensor(1.0)).log_prob(z) - q.log_prob(z)
    elbo = (q.log_prob(z).exp() * log_ratio).sum() * step
    nodes, weights = gauss_hermite(120)
    losses = tensor(*[vae.loss(IMAGE, [eps]).data for eps in nodes.tolist()])
    assert (weights * losses).sum().item() == pytest.approx(-elbo.item(), abs=1e-6)


def test_forward_returns_logits_mu_and_logvar():
    vae = VAE(8, 5, 3, random.Random(0))
    output = vae.forward(IMAGE, [0.0, 0.0, 0.0])
    assert output._fields == ("logits", "mu", "logvar")
    assert [len(part) for part in output] == [8, 3, 3]
    assert data(output.mu) + data(output.logvar) == data(apply(vae.encoder, IMAGE))
    assert data(output.logits) == pytest.approx(data(apply(vae.decoder, output.mu)))


def test_eps_is_a_number_given_at_each_pass():
    vae = VAE(8, 5, 1, random.Random(0))
    again, same, other = (vae.loss(IMAGE, [eps]).data for eps in (0.5, 0.5, -0.5))
    assert again == same != other
    # Encoder 8-5-2 and decoder 1-5-8; no parameter stands for the noise.
    assert len(parameters(vae.encoder, vae.decoder)) == (9 * 5 + 6 * 2) + (2 * 5 + 6 * 8)


def test_the_two_models_differ_by_the_doubled_code_only():
    vae, plain = VAE(8, 5, 2, random.Random(0)), Autoencoder(8, 5, 2, random.Random(0))
    assert [len(layer) for layer in plain.encoder + plain.decoder] == [5, 2, 5, 8]
    assert [len(layer) for layer in vae.encoder + vae.decoder] == [5, 4, 5, 8]


@pytest.mark.parametrize("x", [[0.5] * 8, [2] + [0] * 7, [-1] + [0] * 7, values(IMAGE)])
def test_grey_pixels_are_refused(x):
    with pytest.raises(ValueError, match="must be 0 or 1"):
        cross_entropy(x, values([0.0] * 8))


def test_lengths_must_agree():
    vae = VAE(8, 5, 2, random.Random(0))
    for x, eps in ((IMAGE[:-1], [0, 0]), (IMAGE, [0]), (IMAGE, [0, 0, 0])):
        with pytest.raises(ValueError, match="zip"):
            vae.loss(x, eps)
    with pytest.raises(ValueError, match="zip"):
        cross_entropy(IMAGE, values([0.0] * 7))
    with pytest.raises(ValueError, match="zip"):
        kl_standard_normal(values([0, 0]), values([0]))
    with pytest.raises(ValueError, match="zip"):
        Adam(values([0, 0])).step([1.0], 0.1)


# Training -----------------------------------------------------------------------------------------


STRIP = LampStrip()
IMAGES = STRIP.images().int().tolist()
TRUTH = STRIP.log_evidence(STRIP.images()).exp()


def kl_from_truth(decoder):
    """KL(true distribution to that of the prior samples), over all 256 images, by quadrature."""
    nodes, weights = gauss_hermite(40)
    z = torch.cartesian_prod(nodes, nodes)
    with torch.no_grad():
        logits = torch_copy(decoder)(z)
    log_p = Bernoulli(logits=logits).log_prob(STRIP.images()[:, None]).sum(-1)
    log_weights = torch.cartesian_prod(weights, weights).prod(-1).log()
    log_model = torch.logsumexp(log_p + log_weights, -1)
    assert log_model.exp().sum().item() == pytest.approx(1)
    return (TRUTH * (TRUTH.log() - log_model)).sum().item()


def train(model, num_steps, rng, noise):
    weights = parameters(model.encoder, model.decoder)
    optimizer = Adam(weights)
    for step in range(num_steps):
        batch = rng.choices(IMAGES, weights=TRUTH.tolist(), k=4)
        losses = [model.loss(x, *noise()) for x in batch]
        rate = 0.03 * min(1, 2 * (1 - step / num_steps))
        optimizer.step(gradients(sum(losses) / 4, weights), rate)


def reconstruction_loss(model, *eps):
    """Mean cross-entropy over the true distribution, at z = mu for the VAE."""
    logits = [model.forward(x, *eps) for x in IMAGES]
    logits = [getattr(output, "logits", output) for output in logits]
    losses = tensor(*[cross_entropy(x, a).data for x, a in zip(IMAGES, logits, strict=True)])
    return (TRUTH * losses).sum().item()


def test_a_trained_vae_reconstructs_and_its_samples_come_close_to_the_truth():
    rng = random.Random(0)
    vae = VAE(8, 8, 2, rng)
    before = reconstruction_loss(vae, [0, 0]), kl_from_truth(vae.decoder)
    train(vae, 300, rng, lambda: [[rng.gauss(0, 1) for _ in range(2)]])
    after = reconstruction_loss(vae, [0, 0]), kl_from_truth(vae.decoder)
    assert before[0] > 5 and after[0] < 2
    # Lamps lit independently of each other, each with its true chance, stay at 1.487.
    assert before[1] > 1.5 and after[1] < 0.5


def test_a_trained_autoencoder_reconstructs_better_and_its_samples_are_far_off():
    rng = random.Random(0)
    model = Autoencoder(8, 8, 2, rng)
    train(model, 200, rng, lambda: [])
    assert reconstruction_loss(model) < 1.2
    assert kl_from_truth(model.decoder) > 0.6
