import math

import pytest
import torch
from helpers import few_examples, randn, tensor, vectors
from hypothesis import given
from hypothesis import strategies as st
from oracles import all_bits, gauss_hermite, line, plane
from torch.distributions import Bernoulli, MultivariateNormal, Normal

from vae_teach.distributions import (
    bernoulli_log_prob,
    diagonal_normal_log_prob,
    normal_log_prob,
    standard_normal_log_prob,
)

COV = tensor([1.5, 0.7], [0.7, 0.6])


@few_examples
@given(vectors(4, -8, 8))
def test_standard_normal_agrees_with_torch(z):
    expected = Normal(tensor(0.0), tensor(1.0)).log_prob(z).sum()
    torch.testing.assert_close(standard_normal_log_prob(z), expected)


def test_standard_normal_integrates_to_one_in_two_dimensions():
    nodes, cell = plane(-9, 9, 181)
    assert standard_normal_log_prob(nodes).exp().sum() * cell == pytest.approx(1, abs=1e-12)


@pytest.mark.parametrize("dims", [1, 2, 20])
def test_standard_normal_has_its_constant_once_for_each_coordinate(dims):
    at_zero = standard_normal_log_prob(torch.zeros(3, dims, dtype=torch.float64))
    assert at_zero.tolist() == pytest.approx([-dims / 2 * math.log(2 * math.pi)] * 3)


@few_examples
@given(vectors(3, -8, 8), vectors(3, -5, 5), vectors(3, -6, 4))
def test_diagonal_normal_agrees_with_torch(z, mu, logvar):
    expected = Normal(mu, torch.exp(logvar / 2)).log_prob(z).sum()
    torch.testing.assert_close(diagonal_normal_log_prob(z, mu, logvar), expected)


@pytest.mark.parametrize("logvar", [-2.0, 0.0, 1.5])
def test_diagonal_normal_has_mass_one_mean_mu_and_variance_exp_logvar(logvar):
    nodes, step = line(-40, 40, 8001)
    mu = tensor(0.7)
    density = diagonal_normal_log_prob(nodes[:, None], mu, tensor(logvar)).exp() * step
    assert density.sum() == pytest.approx(1, abs=1e-12)
    assert (density * nodes).sum() == pytest.approx(0.7, abs=1e-12)
    assert (density * (nodes - 0.7) ** 2).sum() == pytest.approx(math.exp(logvar), rel=1e-10)


def test_diagonal_normal_at_mu_zero_and_variance_one_is_the_standard_normal():
    z = randn(5, 3)
    zero = torch.zeros(3, dtype=torch.float64)
    expected = standard_normal_log_prob(z)
    torch.testing.assert_close(diagonal_normal_log_prob(z, zero, zero), expected)


def test_diagonal_normal_takes_a_sample_axis_in_front():
    z, mu, logvar = randn(6, 4, 3), randn(4, 3, seed=1), randn(4, 3, seed=2)
    together = diagonal_normal_log_prob(z, mu, logvar)
    one_by_one = torch.stack([diagonal_normal_log_prob(row, mu, logvar) for row in z])
    assert together.shape == (6, 4)
    torch.testing.assert_close(together, one_by_one)


@few_examples
@given(vectors(3), vectors(3), st.integers(0, 1000))
def test_full_normal_agrees_with_torch(x, mu, seed):
    factor = randn(3, 3, seed=seed)
    cov = factor @ factor.T + 0.1 * torch.eye(3, dtype=torch.float64)
    expected = MultivariateNormal(mu, cov).log_prob(x)
    torch.testing.assert_close(normal_log_prob(x, mu, cov), expected)


def test_full_normal_has_mass_one_and_its_covariance():
    nodes, cell = plane(-12, 12, 301)
    mu = tensor(0.5, -0.2)
    density = normal_log_prob(nodes, mu, COV).exp() * cell
    centred = nodes - mu
    assert density.sum() == pytest.approx(1, abs=1e-10)
    torch.testing.assert_close((density[:, None] * centred).T @ centred, COV)


def test_full_normal_with_a_diagonal_covariance_is_the_diagonal_normal():
    x, mu, logvar = randn(5, 3), randn(5, 3, seed=1), randn(5, 3, seed=2)
    full = normal_log_prob(x, mu, torch.diag_embed(logvar.exp()))
    torch.testing.assert_close(full, diagonal_normal_log_prob(x, mu, logvar))


def test_full_normal_follows_the_change_of_variables():
    x, mu, a = randn(2), randn(2, seed=1), tensor([2.0, 0.3], [-0.5, 1.0])
    moved = normal_log_prob(a @ x, a @ mu, a @ COV @ a.T)
    expected = normal_log_prob(x, mu, COV) - torch.linalg.slogdet(a).logabsdet
    torch.testing.assert_close(moved, expected)


def test_full_normal_refuses_a_matrix_that_is_no_covariance():
    with pytest.raises(torch.linalg.LinAlgError):
        normal_log_prob(randn(2), randn(2), tensor([1.0, 2.0], [2.0, 1.0]))


@few_examples
@given(vectors(5, -12, 12), st.integers(0, 31))
def test_bernoulli_agrees_with_torch(logits, image):
    x = all_bits(5)[image]
    expected = Bernoulli(logits=logits).log_prob(x).sum()
    torch.testing.assert_close(bernoulli_log_prob(x, logits), expected)


def test_bernoulli_sums_to_one_over_all_images_and_its_mean_is_the_sigmoid():
    images, logits = all_bits(8), randn(8) * 3
    chances = bernoulli_log_prob(images, logits).exp()
    assert chances.sum() == pytest.approx(1, abs=1e-13)
    torch.testing.assert_close(chances @ images, torch.sigmoid(logits))


def test_bernoulli_on_greys_is_the_mean_over_all_images_drawn_from_the_greys():
    grey, logits, images = tensor(0.0, 0.2, 0.5, 0.9, 1.0), randn(5), all_bits(5)
    weights = torch.where(images > 0, grey, 1 - grey).prod(-1)
    expected = (weights * bernoulli_log_prob(images, logits)).sum()
    torch.testing.assert_close(bernoulli_log_prob(grey, logits), expected)


def test_bernoulli_is_finite_and_right_at_extreme_logits():
    logits = tensor(1000.0, -1000.0)
    right, wrong = tensor(1.0, 0.0), tensor(0.0, 1.0)
    assert bernoulli_log_prob(right, logits) == 0
    assert bernoulli_log_prob(wrong, logits) == -2000


@pytest.mark.parametrize(
    "density",
    [
        lambda z: standard_normal_log_prob(z),
        lambda z: diagonal_normal_log_prob(z, tensor(0.3), tensor(-0.4)),
        lambda z: normal_log_prob(z, tensor([0.3]), tensor([[0.6]])),
    ],
)
def test_the_score_of_a_density_has_mean_zero(density):
    """The gradient of log p with respect to a shift, averaged by Gauss-Hermite over N(0, 1)."""
    nodes, weights = gauss_hermite()
    shift = tensor(0.0).requires_grad_()
    weighted = torch.exp(
        density((nodes + shift)[:, None]) - standard_normal_log_prob(nodes[:, None])
    )
    (gradient,) = torch.autograd.grad((weights * weighted).sum(), shift)
    assert abs(gradient.item()) < 1e-6


def test_densities_leave_their_inputs_alone():
    z, mu, logvar = randn(2, 3), randn(2, 3, seed=1), randn(2, 3, seed=2)
    before = [t.clone() for t in (z, mu, logvar)]
    standard_normal_log_prob(z)
    diagonal_normal_log_prob(z, mu, logvar)
    bernoulli_log_prob(z, logvar)
    for value, old in zip((z, mu, logvar), before, strict=True):
        assert torch.equal(value, old)
