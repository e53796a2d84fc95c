"""What tools/record_rate_distortion.py trains and measures, on a few digits, and what it recorded."""

import json
from itertools import pairwise
from pathlib import Path

import numpy as np
import pytest
import record_rate_distortion as tool
import torch
from PIL import Image
from torch.distributions import Bernoulli, Normal, kl_divergence

from vae_teach import cli, training
from vae_teach.config import TrainConfig
from vae_teach.data import load_mnist_sample, prepare_pixels
from vae_teach.runs import Run, load_model

RUNS = Path(__file__).resolve().parents[1] / "book" / "runs"
RECORD = json.loads((RUNS / "rate_distortion.json").read_text())
CURVE = RECORD["curve"]


@pytest.fixture(scope="module")
def judge():
    return load_model(RUNS / "conv-64")[0].requires_grad_(False)


@pytest.fixture(scope="module")
def model():
    run = Run.start(TrainConfig(latent_dim=3, hidden=(8,)))
    return run.model.requires_grad_(False)


@pytest.fixture(scope="module")
def images():
    return prepare_pixels(load_mnist_sample("test").pixels[:40], "grey")


@pytest.fixture
def small(monkeypatch, tmp_path, tiny_sample):
    """A sweep of two weights on a few embedded digits, one epoch each, in this process."""
    monkeypatch.setattr(tool, "WORK", tmp_path / "work")
    monkeypatch.setattr(tool, "RECORD", tmp_path / "rate_distortion.json")
    monkeypatch.setattr(tool, "BETAS", (0.5, 8.0))
    monkeypatch.setattr(tool, "ANNEALING", ((8.0, 0.0, 0), (8.0, 0.5, 1)))
    monkeypatch.setattr(tool, "EPOCHS", 2)
    monkeypatch.setattr(tool, "NUM_JUDGED", 10)
    for module in (tool, training):
        monkeypatch.setattr(
            module, "load_mnist", lambda split, root=None: load_mnist_sample("test")
        )
    asked = []

    def vae_teach(*arguments):
        asked.append(arguments)
        cli.main([*arguments, "--no-progress"] if arguments[0] == "train" else list(arguments))

    monkeypatch.setattr(tool, "vae_teach", vae_teach)
    return tmp_path, asked


def test_a_sweep_trains_each_model_once_and_writes_what_it_found(small, judge):
    folder, asked = small
    tool.main()
    record = json.loads((folder / "rate_distortion.json").read_text())
    assert [row["beta"] for row in record["curve"]] == [0.5, 8.0]
    runs = [load_model(folder / "work" / f"beta-{beta}-warm-up-0-seed0") for beta in ("0.5", "8")]
    assert [config.beta for _, config in runs] == [0.5, 8.0]
    test = prepare_pixels(load_mnist_sample("test").pixels, "grey")
    for row, (model, _) in zip(record["curve"], runs, strict=True):
        assert row.items() >= tool.measure(model.requires_grad_(False), judge, test).items()
    kinds = [(row["beta"], row["warm_up"], row["seed"]) for row in record["annealing"]]
    assert kinds == [(8.0, 0.0, 0), (8.0, 0.5, 1)]
    assert [arguments[0] for arguments in asked] == ["train"] * 3
    _, config = load_model(folder / "work" / "beta-8-warm-up-0.5-seed1")
    assert (config.beta, config.warm_up, config.seed, config.epochs) == (8.0, 0.5, 1, 2)
    assert (config.centre_pixels, config.decoder_step_factor) == (False, 1)
    tool.main()
    assert len(asked) == 3 and json.loads((folder / "rate_distortion.json").read_text()) == record


def test_the_recorded_example_is_the_tools_command():
    assert RECORD["example"] == "python -m vae_teach " + " ".join(
        tool.train_arguments(4.0, 0.5, 1, "RUN")
    )


def test_an_interrupted_run_is_resumed(small, monkeypatch):
    _, asked = small
    monkeypatch.setattr(tool, "EPOCHS", 1)
    tool.trained(8.0)
    monkeypatch.setattr(tool, "EPOCHS", 2)
    tool.trained(8.0)
    assert [arguments[0] for arguments in asked] == ["train", "resume"]


def test_rate_and_distortion_are_the_terms_of_the_elbo(model, judge, images, monkeypatch):
    monkeypatch.setattr(tool, "NUM_JUDGED", 5)
    found = tool.measure(model, judge, images)
    mu, logvar = model.encode(images)
    units = kl_divergence(Normal(mu, (logvar / 2).exp()), Normal(0.0, 1.0)).mean(0)
    assert found["rate_of_units"] == pytest.approx(sorted(units.tolist(), reverse=True), abs=1e-3)
    assert found["rate"] == pytest.approx(units.sum().item(), abs=2e-3)
    assert found["elbo"] == pytest.approx(-found["rate"] - found["distortion"], abs=2e-3)


def test_the_cost_is_what_coins_of_these_greys_do_not_explain(judge, images):
    mu, logvar = judge.encode(images)
    noise = torch.randn(40, 64, generator=torch.Generator().manual_seed(1))
    logits = judge.decode(mu + (logvar / 2).exp() * noise)
    rate = kl_divergence(Normal(mu, (logvar / 2).exp()), Normal(0.0, 1.0)).sum(-1)
    misfit = kl_divergence(Bernoulli(images), Bernoulli(logits=logits)).sum(-1)
    assert torch.allclose(tool.cost(judge, images), rate + misfit, rtol=1e-3)


def test_a_row_shows_eight_draws_and_eight_reconstructions(model, images):
    row = tool.pictures(model, images)
    assert row.shape == (28, 16 * 28) and row.dtype == torch.uint8
    copies = torch.sigmoid(model.decoder(model.encoder(images[:8])[0]))
    third = (255 * copies[2]).round().byte().view(28, 28)
    assert torch.equal(row[:, 10 * 28 : 11 * 28], third)


def test_the_record_is_consistent():
    assert [row["beta"] for row in CURVE] == list(tool.BETAS)
    for row in CURVE + RECORD["annealing"]:
        assert row["elbo"] == pytest.approx(-row["rate"] - row["distortion"], abs=2e-3)
        assert sum(row["rate_of_units"]) == pytest.approx(row["rate"], abs=2e-3)
        assert len(row["rate_of_units"]) == RECORD["latent_dim"]
    plain = {row["beta"]: row for row in CURVE}
    for row in RECORD["annealing"]:
        if (row["warm_up"], row["seed"]) == (0.0, 0):
            assert row.items() >= plain[row["beta"]].items()
    picture = np.asarray(Image.open(RUNS / "rate_distortion.png"))
    assert picture.shape == (28 * len(CURVE), 28 * 2 * tool.NUM_PICTURES)


def test_the_price_of_a_nat_lies_between_the_weights():
    for first, second in pairwise(CURVE):
        sold, paid = first["rate"] - second["rate"], second["distortion"] - first["distortion"]
        assert first["beta"] <= paid / sold <= second["beta"]
    assert max(CURVE, key=lambda row: row["elbo"])["beta"] == 1.0
