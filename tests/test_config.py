import dataclasses
import inspect
import json
import math

import pytest
import torch

from vae_teach.config import TrainConfig, build_model
from vae_teach.likelihoods import BernoulliLikelihood, GaussianLikelihood


def weights(model):
    return torch.cat([parameter.flatten() for parameter in model.parameters()])


def test_settings_survive_json():
    config = TrainConfig(data="sample", hidden=(64, 32), learning_rate=3e-4, precision="bfloat16")
    assert TrainConfig.from_dict(json.loads(json.dumps(config.as_dict()))) == config


def test_the_defaults_are_the_books_recipe():
    config = TrainConfig()
    assert (config.data, config.pixels, config.latent_dim, config.hidden) == (
        "mnist",
        "grey",
        20,
        (256,),
    )
    assert (config.epochs, config.batch_size, config.learning_rate) == (100, 256, 5e-3)
    assert (config.schedule, config.start_from_mean) == ("one-cycle", True)
    assert (config.centre_pixels, config.decoder_step_factor) == (True, 3)
    assert (config.seed, config.precision, config.train_on_all) == (0, "float32", False)


def test_settings_cannot_be_changed_after_the_fact():
    with pytest.raises(dataclasses.FrozenInstanceError):
        TrainConfig().seed = 1


@pytest.mark.parametrize(
    "setting, value",
    [
        ("data", "cifar"),
        ("pixels", "blue"),
        ("precision", "float16"),
        ("latent_dim", 0),
        ("epochs", 0),
        ("batch_size", -1),
        ("learning_rate", 0.0),
        ("learning_rate", math.nan),
        ("hidden", (256, 0)),
        ("hidden", (2.5,)),
        ("epochs", 1.5),
        ("batch_size", 2.5),
        ("learning_rate", math.inf),
        ("decoder_step_factor", 0.0),
        ("decoder_step_factor", math.nan),
        ("decoder_step_factor", math.inf),
        ("network", "transformer"),
        ("activation", "sine"),
        ("likelihood", "laplace"),
        ("schedule", "constant"),
        ("num_importance_samples", 0),
        ("beta", -1.0),
        ("beta", math.nan),
        ("beta", math.inf),
        ("warm_up", 1.5),
        ("seed", -1),
        ("seed", 2**63),
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_name_and_value(setting, value):
    with pytest.raises(ValueError, match=f"^{setting} must") as error:
        TrainConfig(**{setting: value})
    assert str(value) in str(error.value)


def test_a_convolutional_network_needs_a_convolution():
    with pytest.raises(ValueError, match="at least one convolution"):
        TrainConfig(network="conv", hidden=())


@pytest.mark.parametrize("setting", [{"beta": 2.0}, {"warm_up": 0.1}])
def test_a_weight_of_the_kl_is_refused_where_there_is_no_kl(setting):
    with pytest.raises(ValueError, match="IWAE_K has no such term"):
        TrainConfig(num_importance_samples=5, **setting)


@pytest.mark.parametrize("name", ["sample", "openmoji"])
def test_training_on_all_is_refused_where_there_is_no_more(name):
    with pytest.raises(ValueError, match=f"train_on_all .* with data={name}"):
        TrainConfig(data=name, train_on_all=True)


def test_a_run_of_an_older_version_is_read_as_what_it_was():
    old = TrainConfig(schedule="linear", start_from_mean=False).as_dict()
    newer = ("network", "activation", "likelihood", "num_importance_samples", "beta", "warm_up")
    newer += ("schedule", "start_from_mean", "centre_pixels", "decoder_step_factor")
    for name in newer:
        del old[name]
    found = TrainConfig.from_dict(old)
    assert (found.schedule, found.start_from_mean, found.num_importance_samples) == (
        "linear",
        False,
        1,
    )
    assert (found.beta, found.warm_up) == (1, 0)
    assert (found.centre_pixels, found.decoder_step_factor) == (False, 1)
    assert (found.network, found.activation, found.likelihood) == ("dense", "relu", "bernoulli")


def test_settings_of_another_version_are_refused_by_name():
    with pytest.raises(ValueError, match=r"Unknown settings: gamma\. Another version"):
        TrainConfig.from_dict(TrainConfig().as_dict() | {"gamma": 2})


def test_every_setting_is_explained():
    """The string under a field is what --help and the book's table show."""
    lines = inspect.getsource(TrainConfig).splitlines()
    for field in dataclasses.fields(TrainConfig):
        (row,) = (i for i, line in enumerate(lines) if line.startswith(f"    {field.name}: "))
        assert lines[row + 1].strip().startswith('"""'), field.name


def test_the_model_has_the_configured_shape():
    model = build_model(TrainConfig(latent_dim=3, hidden=(16, 8)))
    assert isinstance(model.likelihood, BernoulliLikelihood)
    mu, logvar = model.encode(torch.rand(5, 784))
    assert mu.shape == logvar.shape == (5, 3)
    assert model.decode(mu).shape == (5, 784)
    assert [layer.out_features for layer in model.encoder.layers[::2]] == [16, 8, 6]
    assert [layer.out_features for layer in model.decoder.layers[::2]] == [8, 16, 784]


def test_network_activation_and_likelihood_are_settings():
    model = build_model(TrainConfig(network="conv", hidden=(4, 6), activation="tanh", latent_dim=3))
    kinds = [type(layer).__name__ for layer in model.encoder.layers]
    assert kinds == ["Conv2d", "Tanh", "Conv2d", "Tanh", "Flatten", "Linear"]
    kinds = [type(layer).__name__ for layer in model.decoder.layers]
    assert kinds.count("Tanh") == 3 and "ReLU" not in kinds
    mu, _ = model.encode(torch.rand(5, 784))
    assert mu.shape == (5, 3) and model.decode(mu).shape == (5, 784)
    colour = build_model(TrainConfig(data="openmoji", likelihood="gaussian", hidden=(8,)))
    assert isinstance(colour.likelihood, GaussianLikelihood)
    assert any(parameter is colour.likelihood.log_scale for parameter in colour.parameters())
    assert colour.decode(colour.encode(torch.rand(5, 3072))[0]).shape == (5, 3072)


@pytest.mark.parametrize("gpu", [True, False])
def test_auto_is_a_gpu_where_there_is_one(monkeypatch, gpu):
    asked = []
    monkeypatch.setattr(torch.cuda, "is_available", lambda: gpu)
    monkeypatch.setattr(torch, "zeros", lambda *_, device: asked.append(device) or torch.ones(1))
    assert TrainConfig(device="auto").torch_device() == torch.device("cuda" if gpu else "cpu")
    assert asked == ["cuda" if gpu else "cpu"], "and it was tried"


def test_fresh_weights_depend_on_the_seed_alone_and_disturb_no_other_randomness():
    torch.manual_seed(5)
    before = torch.get_rng_state()
    first = build_model(TrainConfig(seed=1, hidden=(8,)))
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(6)
    again, other = (build_model(TrainConfig(seed=seed, hidden=(8,))) for seed in (1, 2))
    assert torch.equal(weights(first), weights(again))
    assert not torch.equal(weights(first), weights(other))


def test_a_given_generator_is_used_and_advanced():
    generator = torch.Generator().manual_seed(3)
    first, second = (build_model(TrainConfig(hidden=(8,)), generator) for _ in range(2))
    assert not torch.equal(weights(first), weights(second))
    assert torch.equal(weights(first), weights(build_model(TrainConfig(hidden=(8,), seed=3))))


def test_encoder_and_decoder_start_from_different_numbers():
    model = build_model(TrainConfig(hidden=(784,), latent_dim=392))
    assert not torch.equal(model.encoder.layers[0].weight, model.decoder.layers[-1].weight)
