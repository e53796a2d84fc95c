"""What tools/record_collapse.py does in a few steps, and what it recorded."""

import json
import math
from pathlib import Path

import pytest
import record_collapse as tool
import torch

from vae_teach.data import load_mnist_sample, prepare_pixels

RECORD = Path(__file__).resolve().parents[1] / "book" / "runs" / "collapse.json"


@pytest.fixture(scope="module")
def images():
    return prepare_pixels(load_mnist_sample("train").pixels, "grey")


@pytest.fixture(scope="module")
def record():
    return json.loads(RECORD.read_text())


@pytest.mark.parametrize("decoder", tool.DECODERS)
def test_a_run_is_described_by_its_rates(images, decoder):
    model = tool.train(images[:400], decoder, 1.0, seed=0, epochs=3)
    found = tool.describe(model, images[:400], decoder=decoder)
    assert found["decoder"] == decoder and found["final_variance"] == 1.0
    assert len(found["rates"]) == tool.LATENT_DIM
    assert found["rates"] == sorted(found["rates"], reverse=True)
    mu, logvar = model.encode(images[:400])
    q = torch.distributions.Normal(mu, (logvar / 2).exp())
    prior = torch.distributions.Normal(0.0, 1.0)
    kl = torch.distributions.kl_divergence(q, prior).mean(0).sum().item()
    assert sum(found["rates"]) == pytest.approx(kl, abs=0.01)


def test_a_learned_variance_falls_and_a_fixed_one_stays(images):
    fixed, learned = (
        tool.train(images[:400], "network", 2.0, 0, learned=learned, epochs=3).likelihood.scale
        for learned in (False, True)
    )
    assert fixed.item() == pytest.approx(2**0.5)
    assert learned < fixed


def test_every_plan_is_recorded(record):
    runs = [
        (run["decoder"], run["variance"], run["seed"], run["learned"]) for run in record["runs"]
    ]
    assert len(set(runs)) == len(runs) == 10
    assert all(len(run["rates"]) == tool.LATENT_DIM for run in record["runs"])


@pytest.mark.parametrize("variance", tool.VARIANCES)
def test_linear_models_follow_the_eigenvalues(record, images, variance):
    eigenvalues = torch.linalg.eigvalsh(torch.cov(images.T.double(), correction=0)).flip(0)
    rule = 0.5 * (eigenvalues[: tool.LATENT_DIM] / variance).clamp(min=1).log()
    run = next(
        run for run in record["runs"] if (run["decoder"], run["variance"]) == ("linear", variance)
    )
    worst = max(abs(a - b) for a, b in zip(run["rates"], rule.tolist(), strict=True))
    assert worst < 0.1
    assert math.isclose(sum(run["rates"]), rule.sum().item(), rel_tol=0.03)
