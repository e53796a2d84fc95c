import dataclasses
import inspect
import json
import math

import pytest
import torch

from vae_teach.config import TrainConfig, build_model
from vae_teach.likelihoods import BernoulliLikelihood


def weights(model):
    return torch.cat([parameter.flatten() for parameter in model.parameters()])


def test_settings_survive_json():
    config = TrainConfig(data="sample", hidden=(64, 32), learning_rate=3e-4, precision="bfloat16")
    assert TrainConfig.from_dict(json.loads(json.dumps(config.as_dict()))) == config


def test_the_defaults_are_the_books_dense_run():
    config = TrainConfig()
    assert (config.data, config.pixels, config.latent_dim, config.hidden) == (
        "mnist",
        "grey",
        20,
        (256,),
    )
    assert (config.epochs, config.batch_size, config.learning_rate) == (100, 128, 1e-3)
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
    ],
)
def test_a_setting_that_cannot_be_is_refused_by_name_and_value(setting, value):
    with pytest.raises(ValueError, match=f"^{setting} must") as error:
        TrainConfig(**{setting: value})
    assert str(value) in str(error.value)


def test_training_on_all_is_refused_for_the_sample():
    with pytest.raises(ValueError, match="train_on_all"):
        TrainConfig(data="sample", train_on_all=True)


def test_settings_of_another_version_are_refused_by_name():
    with pytest.raises(ValueError, match=r"Unknown settings: beta\. Another version"):
        TrainConfig.from_dict(TrainConfig().as_dict() | {"beta": 2})


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
