import math

import mpmath
import numpy as np
import pytest
import torch
from helpers import few_examples, randn, tensor, vectors
from hypothesis import given
from hypothesis import strategies as st
from oracles import MAX_Z, all_bits, central_difference, line, z_score
from torch.distributions import Bernoulli, Categorical, ContinuousBernoulli, Normal
from torch.nn.functional import binary_cross_entropy_with_logits, cross_entropy, one_hot

from vae_teach.likelihoods import (
    SERIES_BELOW,
    BernoulliLikelihood,
    CategoricalLikelihood,
    ContinuousBernoulliLikelihood,
    GaussianLikelihood,
    log_expm1_over,
)


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


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_gaussian_draw_is_the_mean_and_noise_scale_times_as_large(dtype):
    mean = torch.full((20_000, 1), 1.3, dtype=dtype)
    draws = GaussianLikelihood(0.5).sample(mean, torch.Generator().manual_seed(0))
    noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(0), dtype=dtype)
    torch.testing.assert_close((draws - mean) / 0.5, noise, rtol=1e-5, atol=1e-6)
    within_one_scale = ((draws - mean).abs() < 0.5).double()
    assert z_score(within_one_scale, math.erf(1 / math.sqrt(2))) < MAX_Z


@pytest.mark.parametrize(
    "likelihood",
    [
        BernoulliLikelihood(),
        GaussianLikelihood(0.5),
        CategoricalLikelihood(),
        ContinuousBernoulliLikelihood(),
    ],
)
def test_draws_depend_on_the_generator_alone(likelihood):
    params = randn(50, 4)
    first, again, other = (
        likelihood.sample(params, torch.Generator().manual_seed(seed)) for seed in (1, 1, 2)
    )
    assert torch.equal(first, again) and not torch.equal(first, other)


@pytest.mark.parametrize("scale", [0.0, -1.0, math.nan])
def test_gaussian_refuses_a_scale_that_is_not_positive(scale):
    for learned in (False, True):
        with pytest.raises(ValueError, match="must be positive"):
            GaussianLikelihood(scale, learned)


def test_a_fixed_scale_is_no_part_of_the_parameters_or_of_a_checkpoint():
    likelihood = GaussianLikelihood(0.3)
    assert not list(likelihood.parameters()) and likelihood.state_dict() == {}
    likelihood.load_state_dict({})
    assert likelihood.scale.item() == pytest.approx(0.3) and likelihood.scale.shape == ()


def test_a_learned_scale_starts_where_it_is_told_and_survives_a_checkpoint():
    likelihood = GaussianLikelihood(0.3, learned=True)
    assert [name for name, _ in likelihood.named_parameters()] == ["log_scale"]
    assert likelihood.scale.item() == pytest.approx(0.3)
    other = GaussianLikelihood(2.0, learned=True)
    other.load_state_dict(likelihood.state_dict())
    x, mean = randn(3, 5), randn(3, 5, seed=1)
    assert torch.equal(other.log_prob(x, mean), likelihood.log_prob(x, mean))
    with pytest.raises(RuntimeError, match="log_scale"):
        other.load_state_dict({})


@few_examples
@given(vectors(5), vectors(5), st.floats(0.2, 4))
def test_gradient_in_a_learned_log_scale_is_squared_error_over_variance_less_the_size(
    x, mean, scale
):
    likelihood = GaussianLikelihood(scale, learned=True)
    (gradient,) = torch.autograd.grad(likelihood.log_prob(x, mean), likelihood.log_scale)
    torch.testing.assert_close(gradient, ((x - mean) ** 2).sum() / scale**2 - 5)
    numeric = central_difference(
        lambda log_scale: Normal(mean, log_scale.exp()).log_prob(x).sum(), tensor([math.log(scale)])
    )
    torch.testing.assert_close(gradient, numeric[0], rtol=1e-6, atol=1e-6)


def test_the_best_learned_scale_is_the_root_mean_squared_error():
    x, mean = randn(40, 7), 0.3 * randn(40, 7, seed=1)
    likelihood = GaussianLikelihood(3.0, learned=True)
    optimizer = torch.optim.LBFGS(likelihood.parameters(), line_search_fn="strong_wolfe")

    def loss():
        optimizer.zero_grad()
        value = -likelihood.log_prob(x, mean).mean()
        value.backward()
        return value

    optimizer.step(loss)
    rmse = ((x - mean) ** 2).mean().sqrt().item()
    assert likelihood.scale.item() == pytest.approx(rmse, rel=1e-5)


@pytest.mark.parametrize("learned", [False, True])
def test_the_dtype_of_pixels_is_kept_whatever_the_scale_has(learned, generator):
    likelihood = GaussianLikelihood(0.3, learned)
    x, mean = randn(4, 6), randn(4, 6, seed=1)
    expected = Normal(mean, 0.3).log_prob(x).sum(-1)
    for module in (likelihood, likelihood.float(), likelihood.double(), likelihood.to("cpu")):
        for dtype in (torch.float32, torch.float64):
            log_prob = module.log_prob(x.to(dtype), mean.to(dtype))
            draws = module.sample(mean.to(dtype), generator)
            assert log_prob.dtype == draws.dtype == dtype
            torch.testing.assert_close(log_prob.double(), expected, rtol=1e-5, atol=1e-5)


def classes(size, count):
    """All ``count^size`` vectors of class numbers."""
    return torch.cartesian_prod(*[torch.arange(count)] * size)


@few_examples
@given(vectors(12, -15, 15), st.lists(st.integers(0, 2), min_size=4, max_size=4))
def test_categorical_agrees_with_torch(logits, numbers):
    x, logits = torch.tensor(numbers), logits.reshape(4, 3)
    found = CategoricalLikelihood().log_prob(x, logits)
    torch.testing.assert_close(found, Categorical(logits=logits).log_prob(x).sum())
    torch.testing.assert_close(found, -cross_entropy(logits, x, reduction="sum"))
    by_hand = logits.exp()[torch.arange(4), x] / logits.exp().sum(-1)
    torch.testing.assert_close(found, by_hand.log().sum())


def test_categorical_is_normalised_over_all_images_and_keeps_the_batch():
    logits = randn(5, 3, 4) * 2
    log_prob = CategoricalLikelihood().log_prob(classes(3, 4)[:, None], logits)
    assert log_prob.shape == (64, 5) and (log_prob <= 0).all()
    torch.testing.assert_close(log_prob.exp().sum(0), torch.ones(5, dtype=torch.float64))


@pytest.mark.parametrize(
    "x_shape, params_shape, shape",
    [
        ((3,), (5, 3, 4), (5,)),
        ((5, 3), (3, 4), (5,)),
        ((5, 3), (5, 3, 4), (5,)),
        ((1, 3), (1, 3, 4), (1,)),
        ((6, 1, 3), (5, 3, 4), (6, 5)),
        ((5, 3), (6, 5, 3, 4), (6, 5)),
    ],
)
def test_categorical_broadcasts_images_and_params(x_shape, params_shape, shape):
    x = torch.randint(4, x_shape, generator=torch.Generator().manual_seed(0))
    params = randn(*params_shape)
    found = CategoricalLikelihood().log_prob(x, params)
    assert found.shape == shape
    xs, rows = x.expand(*shape, 3).reshape(-1, 3), params.expand(*shape, 3, 4).reshape(-1, 3, 4)
    single = [
        sum(math.log(math.exp(a[c]) / sum(map(math.exp, a))) for c, a in zip(x, row, strict=True))
        for x, row in zip(xs.tolist(), rows.tolist(), strict=True)
    ]
    assert found.flatten().tolist() == pytest.approx(single)


def test_categorical_ignores_a_shift_of_all_logits_of_a_pixel():
    x, logits = torch.tensor([2, 0, 1]), randn(3, 4)
    likelihood, shifts = CategoricalLikelihood(), tensor(800.0, -800.0, 3.0)[:, None]
    for function in (lambda a: likelihood.log_prob(x, a), likelihood.mean):
        torch.testing.assert_close(function(logits + shifts), function(logits))


def test_two_classes_are_a_bernoulli_with_the_difference_of_the_logits():
    logits, bits = randn(6, 2) * 2, all_bits(6)
    difference = logits[:, 1] - logits[:, 0]
    found = CategoricalLikelihood().log_prob(bits.long(), logits)
    torch.testing.assert_close(found, BernoulliLikelihood().log_prob(bits, difference))
    mean = CategoricalLikelihood().mean(logits)
    torch.testing.assert_close(mean[:, 1], BernoulliLikelihood().mean(difference))


def test_categorical_gradient_is_the_one_hot_image_less_the_mean():
    x, logits = torch.tensor([2, 0, 1]), (randn(3, 4) * 2).requires_grad_()
    (gradient,) = torch.autograd.grad(CategoricalLikelihood().log_prob(x, logits), logits)
    torch.testing.assert_close(gradient, one_hot(x, 4) - CategoricalLikelihood().mean(logits))


@pytest.mark.parametrize("dtype", [torch.float32, torch.uint8, torch.int32, torch.bool])
def test_categorical_refuses_what_are_no_class_numbers(dtype):
    with pytest.raises(TypeError, match=rf"class numbers of type torch.int64, but got {dtype}"):
        CategoricalLikelihood().log_prob(torch.ones(3, dtype=dtype), randn(3, 4))


@pytest.mark.parametrize("number", [-1, 4])
def test_categorical_refuses_a_class_that_is_not_there(number):
    with pytest.raises(RuntimeError, match="out of bounds"):
        CategoricalLikelihood().log_prob(torch.tensor([0, number, 1]), randn(3, 4))


def test_categorical_draws_are_classes_with_the_right_frequency(generator):
    logits = randn(2, 3, 4)
    draws = CategoricalLikelihood().sample(logits.expand(20_000, 2, 3, 4), generator)
    assert draws.shape == (20_000, 2, 3) and draws.dtype == torch.int64
    chances = CategoricalLikelihood().mean(logits)
    torch.testing.assert_close(chances, Categorical(logits=logits).probs)
    assert z_score(one_hot(draws, 4), chances) < MAX_Z


# Logits of the continuous Bernoulli where a formula may lose digits, on both sides of 0: at 0,
# where the series ends, and where exp overflows in float32 and in float64.
SIZES = [0.0, 1e-30, 1e-9, 1e-4, 0.0099999, SERIES_BELOW, 0.0100001, 0.1, 1, 5, 40, 100, 800]
EDGES = sorted({sign * size for size in SIZES for sign in (-1.0, 1.0)})
GREY = ContinuousBernoulliLikelihood()


def exact(a):
    """Log-normaliser, mean and variance of the density ``exp(a x)`` on [0, 1], to 100 digits."""
    if a == 0:
        return 0.0, 0.5, 1 / 12
    with mpmath.workdps(100):
        a = mpmath.mpf(a)
        values = (
            mpmath.log(mpmath.expm1(a) / a),
            -1 / mpmath.expm1(-a) - 1 / a,
            1 / a**2 - 1 / (4 * mpmath.sinh(a / 2) ** 2),
        )
        return tuple(float(value) for value in values)


def unit_interval(panels=200, order=12):
    """Gauss-Legendre nodes ``(M, 1)`` on panels of [0, 1] and their weights ``(M,)``."""
    nodes, weights = np.polynomial.legendre.leggauss(order)
    x = (np.arange(panels)[:, None] + (nodes + 1) / 2).ravel() / panels
    return torch.from_numpy(x)[:, None], torch.from_numpy(np.tile(weights / 2, panels) / panels)


@pytest.mark.parametrize("a", EDGES)
def test_log_normaliser_and_mean_agree_with_100_digits(a):
    log_normaliser, mean, variance = exact(a)
    params = tensor([a]).requires_grad_()
    value = log_expm1_over(params)
    (slope,) = torch.autograd.grad(value.sum(), params)
    assert value.item() == pytest.approx(log_normaliser, rel=1e-12, abs=1e-15)
    assert slope.item() == pytest.approx(mean, rel=0, abs=3e-14)
    found = GREY.mean(params)
    (slope,) = torch.autograd.grad(found.sum(), params)
    assert found.item() == pytest.approx(mean, rel=0, abs=3e-14)
    assert slope.item() == pytest.approx(variance, rel=1e-9, abs=5e-12)


@pytest.mark.parametrize("a", EDGES)
def test_float32_keeps_its_digits(a):
    params = torch.tensor([a], requires_grad=True)
    log_normaliser, mean, _ = exact(params.item())
    value = log_expm1_over(params)
    (slope,) = torch.autograd.grad(value.sum(), params)
    assert value.dtype == torch.float32
    assert value.item() == pytest.approx(log_normaliser, rel=3e-7, abs=5e-7)
    assert [slope.item(), GREY.mean(params).item()] == pytest.approx([mean] * 2, abs=1e-5)
    if abs(a) < SERIES_BELOW:
        assert value.item() == pytest.approx(log_normaliser, rel=3e-7)
        assert [slope.item(), GREY.mean(params).item()] == pytest.approx([mean] * 2, abs=1e-7)


@few_examples
@given(st.floats(-30, 30))
def test_continuous_bernoulli_has_mass_one_and_its_mean(a):
    x, weights = unit_interval()
    density = GREY.log_prob(x, tensor([a])).exp() * weights
    assert density.sum().item() == pytest.approx(1, abs=1e-12)
    assert (density * x[:, 0]).sum().item() == pytest.approx(GREY.mean(tensor(a)).item(), abs=1e-12)


@few_examples
@given(vectors(4, 0.01, 0.99), vectors(4, -15, 15))
def test_continuous_bernoulli_agrees_with_torch(x, params):
    # Near 0 torch has a series of its own, good to six digits.
    expected = ContinuousBernoulli(logits=params)
    torch.testing.assert_close(
        GREY.log_prob(x, params), expected.log_prob(x).sum(), rtol=1e-5, atol=1e-5
    )
    torch.testing.assert_close(GREY.mean(params), expected.mean, rtol=1e-5, atol=1e-5)


def test_continuous_bernoulli_is_the_bernoulli_formula_with_another_normaliser():
    """By how much does not depend on the image, and nothing is left out where the params are 0."""
    x, params = torch.rand(5, 3, generator=torch.Generator().manual_seed(0)), randn(3)
    ratio = GREY.log_prob(x, params) - BernoulliLikelihood().log_prob(x, params)
    assert ratio.shape == (5,)
    torch.testing.assert_close(ratio, ratio[:1].expand(5))
    assert GREY.log_prob(x, torch.zeros(3)).tolist() == [0.0] * 5


@few_examples
@given(vectors(3, 0, 1), vectors(3, -50, 50))
def test_a_negative_of_the_image_has_the_negative_params(x, params):
    torch.testing.assert_close(GREY.log_prob(1 - x, -params), GREY.log_prob(x, params))
    torch.testing.assert_close(GREY.mean(-params), 1 - GREY.mean(params))


def test_continuous_bernoulli_keeps_the_batch():
    x = torch.rand(5, 1, 3, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    params = randn(4, 3) * 3
    log_prob = GREY.log_prob(x, params)
    assert log_prob.shape == (5, 4)
    one = ContinuousBernoulli(logits=params[2]).log_prob(x[1, 0]).sum()
    torch.testing.assert_close(log_prob[1, 2], one)


def test_gradient_of_the_density_is_the_image_less_the_mean():
    x, params = tensor(0.0, 0.2, 0.5, 1.0), tensor(-800.0, 0.0, 0.7, 800.0).requires_grad_()
    (gradient,) = torch.autograd.grad(GREY.log_prob(x, params), params)
    expected = tensor(-1 / 800, 0.2 - 0.5, 0.5 - exact(0.7)[1], 1 / 800)
    torch.testing.assert_close(gradient, expected)


@pytest.mark.parametrize("a", [-800.0, -6.0, -0.5, 0.0, 0.009, 0.5, 3.0, 800.0])
def test_continuous_bernoulli_draws_have_its_moments_and_quantiles(a, generator):
    _, mean, variance = exact(a)
    draws = GREY.sample(tensor([a]).expand(40_000, 1), generator)
    assert z_score(draws, mean) < MAX_Z
    assert z_score(draws**2, mean**2 + variance) < MAX_Z
    x, weights = unit_interval(8000)
    density = GREY.log_prob(x, tensor([a])).exp() * weights
    for steps in (-0.5, 0, 0.5):
        bound = round((mean + steps * variance**0.5) * 8000) / 8000  # an edge between panels
        chance = density[x[:, 0] < bound].sum()
        assert z_score((draws < bound).double(), chance) < MAX_Z


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_a_draw_is_the_quantile_of_a_uniform_number_with_all_its_digits(dtype):
    params = torch.full((1000,), -2.0, dtype=dtype)
    draws = GREY.sample(params, torch.Generator().manual_seed(0))
    uniform = torch.rand(1000, generator=torch.Generator().manual_seed(0), dtype=dtype)
    chance_below = torch.expm1(-2 * draws) / math.expm1(-2)
    torch.testing.assert_close(chance_below, uniform)


@pytest.mark.parametrize("a", [-1e-3, 1e-3, -0.0099, 0.0099, -0.0101, 0.0101])
def test_draws_follow_small_params_too(a):
    """Against a uniform draw from the same seed; the difference is small and so is its error."""
    draws, uniform = (
        GREY.sample(tensor([value]).expand(20_000, 1), torch.Generator().manual_seed(0))
        for value in (a, 0.0)
    )
    uniform = 1 - uniform if a > 0 else uniform
    assert z_score(draws - uniform, exact(a)[1] - 0.5) < MAX_Z


def test_a_uniform_number_just_below_one_still_gives_a_draw_in_the_interval(monkeypatch):
    sizes = 10 ** torch.linspace(-9, 4, 50_001)
    params = torch.cat([sizes, -sizes])
    for steps in (0, 1, 2, 3, 2**24):
        u = torch.tensor(1 - steps * 2**-24 - 2**-24).clamp(min=0)
        monkeypatch.setattr(torch, "rand", lambda shape, u=u, **_: u.expand(shape))
        draws = GREY.sample(params)
        assert (draws >= 0).all() and (draws <= 1).all()


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64])
def test_nothing_is_ever_nan(dtype, generator):
    huge = [1e-45, 1e-38, 1e4, 1e30]
    values = EDGES + huge + [-value for value in huge]
    params = torch.tensor(values, dtype=dtype, requires_grad=True)
    draws = GREY.sample(params.detach().expand(1000, -1), generator)
    assert draws.dtype == dtype and (draws >= 0).all() and (draws <= 1).all()
    mean = GREY.mean(params)
    assert mean.dtype == dtype and (mean >= 0).all() and (mean <= 1).all()
    results = [mean, log_expm1_over(params)]
    results += [
        GREY.log_prob(x[None], params[:, None]) for x in torch.tensor([0, 0.3, 1]).to(dtype)
    ]
    for result in results:
        (gradient,) = torch.autograd.grad(result.sum(), params, retain_graph=True)
        assert result.isfinite().all() and gradient.isfinite().all()
