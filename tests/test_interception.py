import pytest
import torch
from torch import nn
from torch.nn import functional as F

from vae_teach.interception import record


class Model(nn.Module):
    def __init__(self):
        super().__init__()
        self.encoder = nn.Sequential(nn.Linear(6, 8), nn.BatchNorm1d(8), nn.Linear(8, 4))
        self.decoder = nn.Linear(2, 6)
        self.log_sigma = 0.0

    def forward(self, x):
        self.mu, self.logvar = self.encoder(x).chunk(2, -1)
        self.z = self.mu + torch.exp(self.logvar / 2) * torch.randn_like(self.mu)
        self.params = torch.sigmoid(self.decoder(self.z))
        return F.binary_cross_entropy(self.params, x)


@pytest.fixture
def model():
    with torch.random.fork_rng():
        torch.manual_seed(0)
        return Model()


X = torch.rand(5, 6, generator=torch.Generator().manual_seed(1))


def test_noise_z_and_outputs_are_those_of_the_step(model):
    seen = record(model, X, seed=0)
    assert seen.z.equal(model.z)
    assert (seen.z - model.mu).allclose(torch.exp(model.logvar / 2) * seen.noise[0])
    assert any(output.equal(model.params) for output in seen.outputs)
    assert seen.targets[0].equal(X)
    assert seen.attached


def test_shifted_noise_moves_z_by_the_standard_deviation(model):
    seen, moved = (record(model, X, 3, shift) for shift in (0.0, 1.0))
    assert (moved.z - seen.z).allclose(torch.exp(model.logvar / 2), rtol=1e-5)


def test_layers_are_disturbed_and_noise_is_ours_only_with_a_seed(model):
    assert not record(model, X, seed=0).z.equal(record(model, X, seed=1).z)
    assert record(model, X, seed=0).z.equal(record(model, X, seed=0).z)
    model.eval()
    record(model, X)
    assert model.mu.equal(model.encoder(X).chunk(2, -1)[0])


def test_nothing_is_learnt_and_nothing_changes(model):
    optimizer = torch.optim.SGD(model.parameters(), lr=1.0)
    model(X).backward()
    before = {name: value.clone() for name, value in model.state_dict().items()}
    gradients = [parameter.grad.clone() for parameter in model.parameters()]

    def step(x):
        loss = model(x)
        loss.backward()
        optimizer.step()
        optimizer.zero_grad()

    seen = record(step, X.double(), seed=0)
    assert seen.result is None
    assert seen.loss.dtype == torch.float64
    for name, value in model.state_dict().items():
        assert value.equal(before[name]) and value.dtype == before[name].dtype, name
    for parameter, gradient in zip(model.parameters(), gradients, strict=True):
        assert parameter.grad.equal(gradient)


def test_a_step_that_fails_gives_the_weights_back(model):
    before = [parameter.data_ptr() for parameter in model.parameters()]

    def step(x):
        model(x)
        raise RuntimeError("lost")

    with pytest.raises(RuntimeError, match="lost"):
        record(step, X, seed=0)
    assert [parameter.data_ptr() for parameter in model.parameters()] == before


def test_bits_drawn_inside_are_a_target(model):
    def step(x):
        return model(torch.bernoulli(x))

    seen = record(step, X, seed=0)
    (bits,) = [target for target in seen.targets if not target.equal(X)]
    assert set(bits.unique().tolist()) == {0.0, 1.0}


def test_a_draw_that_is_z_itself_has_no_gradient(model):
    def step(x):
        mu, logvar = model.encoder(x).chunk(2, -1)
        z = torch.distributions.Normal(mu, torch.exp(logvar / 2)).sample()
        return model.decoder(z).sum()

    seen = record(step, X, seed=0)
    assert not seen.attached
    assert seen.noise[0].std() < 3  # the noise, and not z


def test_an_optimizer_that_fails_leaves_the_gradients(model):
    free = nn.Parameter(torch.zeros(2))  # of no module
    free.grad = torch.ones(2)
    optimizer = torch.optim.SGD([free], lr=1.0)

    def step(x):
        optimizer.step(closure=lambda: model(None))

    with pytest.raises(TypeError):
        record(step, X)
    assert free.grad.equal(torch.ones(2)) and free.equal(torch.zeros(2))
