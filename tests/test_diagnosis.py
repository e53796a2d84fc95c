import pytest
import torch

from vae_teach import diagnosis
from vae_teach.diagnosis import (
    diagnose_kl,
    diagnose_loss,
    diagnose_model,
    diagnose_sampler,
    diagnose_step,
    diagnose_value,
)


def kl(mu, logvar):
    return 0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(-1)


def codes(found):
    return [finding.code for finding in found.findings]


def test_nothing_outside_is_changed():
    class Model(torch.nn.Module):
        def sample(self, mu, logvar):
            torch.set_default_dtype(torch.float64)
            torch.set_grad_enabled(False)
            torch.manual_seed(3)
            return mu + torch.exp(logvar / 2) * torch.randn_like(mu)

    model, state = Model().eval(), torch.get_rng_state()
    diagnose_sampler(model.sample)
    assert torch.get_rng_state().equal(state)
    assert torch.get_default_dtype() == torch.float32
    assert torch.is_grad_enabled()
    assert not model.training


def test_what_a_function_raises_is_said_with_its_line():
    def broken(mu, logvar):
        return mu.no_such_method()

    (finding,) = diagnose_kl(broken).findings
    line = broken.__code__.co_firstlineno + 1
    assert finding.code == "raised"
    assert f"AttributeError, line {line} of test_diagnosis.py" in finding.message


@pytest.mark.parametrize("unwritten", [None, ..., NotImplementedError])
def test_what_is_not_written_yet_is_no_error(unwritten):
    def stub(*_):
        if unwritten is NotImplementedError:
            raise NotImplementedError
        return unwritten

    assert codes(diagnose_kl(stub)) == ["not-written-yet"]
    assert codes(diagnose_loss(stub)) == ["not-written-yet"]
    assert codes(diagnose_sampler(stub)) == ["not-written-yet"]


def test_an_interrupt_is_not_swallowed():
    def interrupted(mu, logvar):
        raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        diagnose_kl(interrupted)


def test_an_unknown_decoder_is_refused():
    with pytest.raises(ValueError, match="logits, probabilities, means"):
        diagnose_loss(kl, decoder="sigmoid")


def test_a_function_may_change_what_it_is_given():
    def in_place(mu, logvar):
        return 0.5 * (mu.pow_(2) + logvar.exp() - 1 - logvar).sum(-1)

    assert diagnose_kl(in_place).ok


@pytest.mark.parametrize("latent_dim", [1, 2, 4, 7, 784])
def test_any_number_of_latents_will_do(latent_dim):
    assert diagnose_kl(kl, latent_dim).ok
    assert codes(diagnose_kl(lambda m, s: -kl(m, s), latent_dim)) == ["kl-sign"]


def test_a_value_is_compared_to_four_digits_or_rounded_to_three():
    assert diagnose_value(1.50002, 1.5).ok
    assert codes(diagnose_value(1.502, 1.5)) == ["unexplained"]
    assert diagnose_value(4340, 4344.3).ok
    assert codes(diagnose_value(4348, 4344.3)) == ["unexplained"]
    lost = diagnose_value(torch.tensor(3.0), torch.tensor(1.5), {"the factor 1/2 is lost": 3.0})
    assert codes(lost) == ["known-mistake"]
    assert "the factor 1/2 is lost" in str(lost)


def test_a_value_that_is_not_written_yet_is_not_given_away():
    def stub():
        raise NotImplementedError

    for yours in (None, ..., stub, lambda: None):
        found = diagnose_value(yours, 1.5)
        assert codes(found) == ["not-written-yet"] and "1.5" not in str(found)


def test_a_function_is_asked_for_its_value_and_may_fail():
    assert diagnose_value(lambda: torch.tensor(1.5), 1.5, unit="").ok
    assert codes(diagnose_value(lambda: 1 / 0, 1.5)) == ["raised"]


def test_a_value_without_unit_ends_with_the_number():
    assert str(diagnose_value(0.7273, 8 / 11, unit="")).endswith("exact value 0.7273")


def test_what_python_prints_is_the_text():
    assert repr(diagnose_kl(kl)) == "✓ kl(mu, logvar): the KL to N(0, I), a number for each image."
    assert diagnosis.Diagnosis is type(diagnose_kl(kl))


class Net(torch.nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder, self.decoder = torch.nn.Linear(20, 6), torch.nn.Linear(3, 20)

    def forward(self, x):
        mu, logvar = self.encoder(x).chunk(2, -1)
        return self.decoder(mu + torch.exp(logvar / 2) * torch.randn_like(mu)), mu, logvar


X = torch.rand(10, 20, generator=torch.Generator().manual_seed(0))


def loss(logits, x, mu, logvar):
    cost = torch.nn.functional.binary_cross_entropy_with_logits(logits, x, reduction="none")
    return (cost.sum(1) + kl(mu, logvar)).mean()


def test_a_loop_that_returns_nothing_is_judged_by_what_it_calls_backward_on():
    net = Net()

    def step(x):
        loss(net(x)[0], x, *net(x)[1:]).backward()

    def once(x):
        logits, mu, logvar = net(x)
        loss(logits, x, mu, logvar).backward()

    assert diagnose_step(once, X).ok and diagnose_step(once, X).examined
    twice = diagnose_step(step, X)  # two draws of noise cannot be told apart
    assert twice.ok and not twice.examined


def test_outputs_in_the_wrong_order_are_found_in_the_step():
    net = Net()

    def step(x):
        logits, logvar, mu = net(x)
        return loss(logits, x, mu, logvar)

    assert codes(diagnose_step(step, X))[0] == "mu-and-logvar-swapped"


def test_a_model_whose_heads_are_cut_or_one_is_named():
    class Cut(Net):
        def forward(self, x):
            params, mu, logvar = super().forward(x)
            return params, mu, torch.relu(logvar)

    class One(Net):
        def forward(self, x):
            params, mu, _ = super().forward(x)
            return params, mu, mu

    assert "head-is-rectified" in codes(diagnose_model(Cut(), X))
    assert "heads-are-one-layer" in codes(diagnose_model(One(), X))
    assert codes(diagnose_model(Net(), 255 * X)) == ["pixels-out-of-range"]
    assert codes(diagnose_model(Net(), 1e6 * X)) == ["pixels-out-of-range"]  # whose exp overflows


@pytest.mark.parametrize("cut", [torch.Tensor.detach, torch.Tensor.item])
def test_a_right_value_without_a_gradient_is_no_loss(cut):
    found = diagnose_loss(lambda *given: cut(loss(*given)))
    missing = ["no-gradient-to-params", "no-gradient-to-mu", "no-gradient-to-logvar"]
    assert codes(found) == missing


@pytest.mark.parametrize(
    ("code", "logvar_of"),
    [
        ("kl-log-std", lambda s: 2 * s),
        ("kl-std-as-logvar", lambda s: (s**2).log()),
        ("kl-var-as-logvar", torch.log),
        ("exp-twice", torch.exp),
    ],
)
def test_a_kl_of_another_number_has_no_other_fault(code, logvar_of):
    assert codes(diagnose_kl(lambda m, s: kl(m, logvar_of(s)))) == [code]


def test_an_exponential_that_is_squared_is_no_log_sigma():
    found = diagnose_kl(lambda m, s: 0.5 * (m**2 + s.exp() ** 2 - 1 - s).sum(-1))
    assert codes(found) == ["kl-squared-variance"]


def test_noise_that_is_too_small_is_measured_in_the_step():
    net = Net()

    def step(x):
        mu, logvar = net.encoder(x).chunk(2, -1)
        z = mu + 0.1 * torch.exp(logvar / 2) * torch.randn_like(mu)
        return loss(net.decoder(z), x, mu, logvar)

    (finding,) = diagnose_step(step, X).findings
    assert finding.code == "noise-scale"
    assert "0.1 times" in finding.message


@pytest.mark.parametrize(
    ("weight", "sigma"), [(1.0, 0.7071), (0.5, 1.0), (1 / 784, 19.8), (12.5, 0.2)]
)
def test_a_squared_error_means_a_standard_deviation(weight, sigma):
    found = diagnose_loss(
        lambda m, x, mu, s: weight * ((x - m) ** 2).sum(1) + kl(mu, s), decoder="means"
    )
    assert f"sigma = {sigma:.3g}," in found.summary


@pytest.mark.parametrize("beta", [0.00025, 0.5, 4.0, 39.2])
def test_beta_is_measured(beta):
    def weighted(logits, x, mu, logvar):
        cost = torch.nn.functional.softplus(logits) - x * logits
        return (cost.sum(1) + beta * kl(mu, logvar)).mean()

    found = diagnose_loss(weighted)
    assert codes(found) == ["beta"]
    assert f"beta = {beta:.4g}," in found.summary


def test_an_absolute_error_means_a_scale():
    found = diagnose_loss(lambda m, x, mu, s: 0.25 * (x - m).abs().sum(1) + kl(mu, s), "means")
    assert "Laplace pixels with scale 4," in found.summary


def test_an_optimiser_has_nothing_to_go_by():
    net = Net()
    optimizer = torch.optim.Adam(net.parameters())
    net(X)[0].sum().backward()
    before = [weight.grad.clone() for weight in net.decoder.parameters()]

    def step(x):
        logits, mu, logvar = net(x)
        value = loss(logits, x, mu, logvar)
        value.backward()
        torch.nn.utils.clip_grad_norm_(net.parameters(), 1e-3)
        optimizer.step()
        optimizer.zero_grad()
        return value

    assert diagnose_step(step, X).ok
    assert not optimizer.state
    for weight, gradient in zip(net.decoder.parameters(), before, strict=True):
        assert weight.grad.equal(gradient)


def keep(net, optimizer):
    pass


def clear(net, optimizer):
    optimizer.zero_grad()


def clear_in_place(net, optimizer):
    net.zero_grad(set_to_none=False)


def clear_by_hand(net, optimizer):
    for weight in net.parameters():
        weight.grad = None


def clear_the_decoder_only(net, optimizer):
    net.decoder.zero_grad()


@pytest.mark.parametrize("moment", ["first", "before backward", "last"])
@pytest.mark.parametrize(
    "clearing, expected",
    [
        (keep, ["gradients-pile-up"]),
        (clear, []),
        (clear_in_place, []),
        (clear_by_hand, []),
        (clear_the_decoder_only, ["gradients-pile-up"]),
    ],
)
def test_gradients_have_to_be_cleared_at_some_moment(clearing, expected, moment):
    net = Net()
    frozen = torch.nn.Parameter(torch.zeros(3), requires_grad=False)
    optimizer = torch.optim.Adam([*net.parameters(), frozen])

    def perhaps(now):
        if now == moment:
            clearing(net, optimizer)

    def step(x):
        perhaps("first")
        logits, mu, logvar = net(x)
        value = loss(logits, x, mu, logvar)
        perhaps("before backward")
        value.backward()
        optimizer.step()
        perhaps("last")

    assert codes(diagnose_step(step, X)) == expected


def test_two_optimizers_may_clear_one_after_the_other():
    net = Net()
    both = [torch.optim.Adam(part.parameters()) for part in (net.encoder, net.decoder)]

    def step(x):
        logits, mu, logvar = net(x)
        loss(logits, x, mu, logvar).backward()
        for optimizer in both:
            optimizer.step()
            optimizer.zero_grad()

    assert diagnose_step(step, X).ok


def test_a_step_without_backward_is_not_asked_about_gradients():
    net = Net()
    optimizer = torch.optim.Adam(net.parameters())

    def step(x):
        logits, mu, logvar = net(x)
        optimizer.step()
        return loss(logits, x, mu, logvar)

    assert diagnose_step(step, X).ok


def test_gradients_that_no_optimizer_takes_may_pile_up():
    net = Net()

    def step(x):
        logits, mu, logvar = net(x)
        loss(logits, x, mu, logvar).backward()

    assert diagnose_step(step, X).ok


def test_a_model_may_keep_what_it_computed():
    class Keeps(Net):
        def forward(self, x):
            self.kept = super().forward(x)
            return self.kept

    model = Keeps().eval()
    model(X)  # tensors with a graph cannot be copied
    before = {name: value.clone() for name, value in model.state_dict().items()}
    assert diagnose_model(model, X).ok
    assert not model.training
    assert all(value.equal(before[name]) for name, value in model.state_dict().items())


def test_a_model_that_returns_nothing_or_too_little_is_told():
    assert codes(diagnose_model(lambda x: None, X)) == ["not-written-yet"]
    assert codes(diagnose_model(lambda x: x, X)) == ["wrong-shape"]


def test_a_variance_that_a_layer_returned_is_no_crash():
    net = Net()

    def step(x):
        mu, variance = net.encoder(x).chunk(2, -1)
        z = mu + torch.sqrt(variance) * torch.randn_like(mu)
        nats = 0.5 * (mu**2 + variance - 1 - variance.log()).sum(1)
        cost = torch.nn.functional.binary_cross_entropy_with_logits(net.decoder(z), x)
        return (cost + nats).mean()

    found = diagnose_step(step, X)
    assert codes(found) == ["not-finite"]
    assert "logarithm" in found.findings[0].message


def test_a_loss_that_is_finite_only_near_the_start_is_told():
    net = Net()

    def step(x):
        logits, mu, logvar = net(x)
        return loss(logits, x, mu, logvar) + 0 * torch.log(1 + mu.min())

    with torch.no_grad():
        for weight in net.encoder.parameters():
            weight.mul_(0.1)
    assert codes(diagnose_step(step, X)) == ["not-finite"]


def test_a_model_of_nan_is_not_praised():
    net = Net()
    with torch.no_grad():
        net.decoder.weight.fill_(torch.nan)
    found = diagnose_model(net, X)
    assert codes(found) == ["not-finite"] and found.findings[0].message.startswith("params")


def test_one_image_is_too_few_to_judge_a_model():
    assert codes(diagnose_model(Net(), X[:1])) == ["wrong-shape"]


@pytest.mark.parametrize("value", [[1, 2], 1 + 2j, torch.ones(2), "abc"])
def test_what_is_not_one_number_is_told(value):
    (told,) = diagnose_value(value, 3.0).findings
    assert told.code == "wrong-shape" and told.message.startswith("Expected one number")


def test_results_of_other_kinds_are_named():
    assert codes(diagnose_loss(lambda params, x, mu, logvar: [])) == ["wrong-shape"]
    assert codes(diagnose_model(lambda x: (x, x[:, 0], x[:, 1]), X)) == ["wrong-shape"]
    (told,) = diagnose_sampler(lambda mu, logvar: mu.numpy()).findings
    assert "ndarray" in told.message


@pytest.mark.parametrize(
    "noise, expected",
    [
        (torch.randn_like, []),
        (lambda mu: 1.2 * torch.randn_like(mu), ["noise-scale"]),
        (lambda mu: 0.9 * torch.randn_like(mu), ["noise-scale"]),
        (lambda mu: torch.randn_like(mu) + 0.2, ["noise-not-normal"]),
        (lambda mu: 6**0.5 * (torch.rand_like(mu) + torch.rand_like(mu) - 1), ["noise-not-normal"]),
    ],
)
def test_noise_that_is_a_little_off_is_found(noise, expected):
    assert codes(diagnose_sampler(lambda mu, logvar: mu + torch.exp(logvar / 2) * noise(mu))) == (
        expected
    )
