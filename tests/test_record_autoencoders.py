"""The arithmetic of tools/record_autoencoders.py, and what it recorded."""

import csv
import json
from pathlib import Path

import pytest
import record_autoencoders as tool
import torch
from helpers import seeded

from vae_teach import runs
from vae_teach.exact_models import GridModel
from vae_teach.likelihoods import BernoulliLikelihood
from vae_teach.model import VAE
from vae_teach.networks import Decoder, Encoder

ROOT = Path(__file__).resolve().parents[1]
RUNS = ROOT / "book" / "runs"


def small_vae(kind=VAE, latent_dim=2):
    torch.manual_seed(0)
    return kind(Encoder(latent_dim, (8,)), Decoder(latent_dim, (8,)), BernoulliLikelihood())


def test_the_frechet_distance_of_a_shift_and_a_scale():
    first = torch.randn(500, 3, generator=seeded(), dtype=torch.float64)
    second = 2 * first + torch.tensor([1.0, 0.0, -2.0])
    mean, covariance = tool.fit_gaussian(first)
    # The roots of C and 4 C commute: the traces leave (2 - 1)^2 tr C.
    moved = (second.mean(0) - mean).square().sum() + covariance.trace()
    assert tool.frechet(first, second) == pytest.approx(moved.item())
    assert tool.frechet(first, first) == pytest.approx(0, abs=1e-6)


def test_codes_are_drawn_from_the_gaussian_that_was_fitted():
    codes = torch.randn(1000, 2, generator=seeded()) @ torch.tensor([[2.0, 0.0], [1.0, 0.5]]) + 3
    mean, covariance = tool.fit_gaussian(codes)
    again = tool.fit_gaussian(tool.draw(mean, covariance, 200_000, seeded(1)))
    assert again[0] == pytest.approx(mean, abs=0.03)
    assert again[1] == pytest.approx(covariance, abs=0.06)


def test_the_evidence_is_that_of_the_grid_model():
    vae = small_vae()
    bits = (torch.rand(3, 784, generator=seeded()) < 0.2).float()
    mean = torch.tensor([0.5, -1.0]).double()
    root = torch.tensor([[2.0, 0.0], [0.7, 0.4]]).double()
    with torch.no_grad():

        def log_p(x, u):
            return vae.likelihood.log_prob(x, vae.decode((mean + u @ root.T).float())).double()

        expected = GridModel(log_p, limit=6.0, points_per_axis=121).log_evidence(bits)
        found = tool.log_evidence(vae, mean, root @ root.T, bits, points=121)
    assert found.tolist() == pytest.approx(expected.tolist(), abs=1e-3)


def test_an_autoencoder_has_no_noise_and_no_kl():
    model = small_vae(tool.Autoencoder)
    x = torch.rand(4, 784, generator=seeded())
    first, second = (model.elbo(x, torch.randn(4, 2, generator=seeded(i))) for i in (1, 2))
    assert torch.equal(first.elbo, second.elbo) and not first.kl.any()
    assert torch.equal(first.elbo, model.likelihood.log_prob(x, model.decode(model.encode(x)[0])))


@pytest.mark.parametrize("latent_dim", [2, 20])
def test_the_autoencoders_had_the_training_of_their_twins(latent_dim):
    folder, twin = (RUNS / f"{kind}-{latent_dim}" for kind in ("autoencoder", "dense"))
    _, config = runs.load_model(folder)
    assert config == runs.load_model(twin)[1]
    with open(folder / "history.csv", newline="") as file:
        history = list(csv.DictReader(file))
    assert len(history) == config.epochs
    assert {float(row["train_kl"]) for row in history} == {0.0}


def test_the_record_names_its_data_pixels_and_budget():
    record = json.loads((RUNS / "autoencoders.json").read_text())
    assert record["data"] == "MNIST test images" and record["epochs"] == 100
    assert record["pixels"]["neg_log_p"] == "dynamic"
    assert record["command"] == (RUNS / "autoencoder-2" / "command.txt").read_text().strip()
    for figures in (record["2 latents"], record["20 latents"]):
        for entry in figures.values():
            assert entry["frechet"] > record["real"]["frechet"] > 0
            assert 0 < entry["sure"] < record["real"]["sure"] <= 1
