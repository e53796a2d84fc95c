import pytest
import torch
from torch.distributions import Bernoulli, Normal, kl_divergence

from vae_teach.objective import Observation, fit, kl_features, pixel_features, power_law


def draw(batch_size, generator):
    def normal(columns):
        return torch.randn(batch_size, columns, generator=generator, dtype=torch.float64)

    x = torch.rand(batch_size, 6, generator=generator, dtype=torch.float64)
    return normal(6), x, normal(3), normal(3)


def observations(value, noise=0.0):
    generator = torch.Generator().manual_seed(0)
    found = []
    for batch_size in (4, 7):
        for _ in range(14):
            params, x, mu, second = draw(batch_size, generator)
            total = value(params, x, mu, second)
            total += noise * torch.randn((), generator=generator).item()
            features = (pixel_features(params, x), kl_features(mu, second))
            found.append(Observation(float(total), batch_size, *features))
    return found


def kl(mu, logvar):
    return kl_divergence(Normal(mu, torch.exp(logvar / 2)), Normal(0.0, 1.0)).sum()


def log_p(logits, x):
    return Bernoulli(logits=logits, validate_args=False).log_prob(x).sum()


def test_weights_are_recovered_at_each_batch_size():
    fits = fit(observations(lambda a, x, mu, s: (-log_p(a, x) + 3 * kl(mu, s)) / len(x) + 5))
    for one in fits:
        assert (one.reconstruction, one.reading) == ("cross-entropy of logits", "log-variance")
        assert one.reconstruction_weight == pytest.approx(1 / one.batch_size)
        assert one.kl_weights == pytest.approx([1.5 / one.batch_size] * 3)
        # The -1 of each latent variable is a constant, too.
        assert one.constant == pytest.approx(5 - 3 * 3 / 2)


def test_a_second_output_that_is_log_sigma_is_told_from_a_log_variance():
    fits = fit(observations(lambda a, x, mu, s: ((x - a) ** 2).sum() + kl(mu, 2 * s)))
    assert {(one.reconstruction, one.reading) for one in fits} == {("squared error", "log sigma")}


def test_what_nothing_explains_has_no_fit():
    assert fit(observations(lambda a, x, mu, s: (a**4).sum() + kl(mu, s))) is None


def test_a_weight_within_the_rounding_of_the_values_is_nothing():
    fits = fit(observations(lambda a, x, mu, s: -log_p(a, x), noise=1e-6))
    assert [one.kl_weights for one in fits] == [(0.0, 0.0, 0.0)] * 2
    assert [one.constant for one in fits] == [0.0] * 2


def test_the_value_of_the_weights_is_the_value():
    rows = observations(lambda a, x, mu, s: -2 * log_p(a, x) + kl(mu, s) / 7 + 1)
    for one in fit(rows):
        for row in rows:
            if row.batch_size == one.batch_size:
                assert one.value_of(row) == pytest.approx(row.value)


@pytest.mark.parametrize("power", [-1, 0, 1])
def test_a_power_of_the_batch_size_is_recognised(power):
    fits = fit(observations(lambda a, x, mu, s: kl(mu, s) * 5.0 * len(x) ** power))
    law = power_law(fits, [2 * one.kl_weights[0] for one in fits])
    assert (law.factor, law.power) == (pytest.approx(5), power)
    assert law.at(10) == pytest.approx(5 * 10.0**power)


def test_another_dependence_on_the_batch_size_is_none():
    fits = fit(observations(lambda a, x, mu, s: kl(mu, s) * (1 + len(x))))
    assert power_law(fits, [one.kl_weights[0] for one in fits]) is None
