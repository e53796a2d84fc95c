"""What tools/record_film.py does in a few steps, and what it recorded."""

import csv
import json
from pathlib import Path

import numpy as np
import pytest
import record_film as tool
import torch
from PIL import Image

from vae_teach import runs, training
from vae_teach.config import TrainConfig
from vae_teach.data import load_mnist_sample, prepare_pixels

ROOT = Path(__file__).resolve().parents[1]
RUNS = ROOT / "book" / "runs"
CONFIG = TrainConfig(
    data="sample", latent_dim=3, hidden=(8,), epochs=2, batch_size=100, progress=False
)


@pytest.fixture(scope="module")
def images():
    return prepare_pixels(load_mnist_sample("test").pixels, "grey")


def test_a_frame_is_what_the_decoder_makes_of_the_codes():
    model = runs.Run.start(CONFIG).model
    row = tool.frame(model)
    assert row.shape == (28, 20 * 28) and row.dtype == torch.uint8
    with torch.no_grad():
        seventh = torch.sigmoid(model.decoder(tool.codes(3)[7])).view(28, 28)
    assert torch.equal(row[:, 7 * 28 : 8 * 28], (255 * seventh).round().byte())


def test_the_moments_are_filmed_and_the_run_does_not_notice(images):
    rows, validation = images[:500], images[500:600]
    filmed, plain = runs.Run.start(CONFIG), runs.Run.start(CONFIG)
    found = tool.film(filmed, rows, validation, steps=(0, 1, 3), epochs=(1, 2))
    for epoch in range(2):
        training.train_epoch(plain, rows, epoch)
        training.validate(plain, validation)
    assert list(found) == ["0 steps", "1 steps", "3 steps", "1 epoch", "2 epochs"]
    for name, weight in plain.model.state_dict().items():
        assert torch.equal(weight, filmed.model.state_dict()[name])
    assert torch.equal(found["2 epochs"][0], tool.frame(plain.model))
    assert found["2 epochs"][1] < found["0 steps"][1]


def test_the_recorded_film_ends_with_the_recorded_run():
    record = json.loads((RUNS / "film" / "film.json").read_text())
    film = np.asarray(Image.open(RUNS / "film" / "film.png")).astype(int)
    assert film.shape == (28 * len(record["moments"]), 28 * tool.NUM_CODES)
    assert record["moments"][0] == "0 steps" and record["moments"][-1] == "100 epochs"
    model, config = runs.load_model(RUNS / "dense-20")
    assert TrainConfig.from_dict(record["config"]) == TrainConfig.from_dict(
        config.as_dict() | {"progress": False}
    )
    # Another machine rounds otherwise, and a hundred epochs magnify it.
    ending = np.asarray(tool.frame(model)).astype(int)
    misses = [np.abs(row - ending).mean() for row in np.split(film, len(film) // 28)]
    assert misses == sorted(misses, reverse=True) and misses[-1] < 4
    with open(RUNS / "dense-20" / "history.csv") as file:
        *_, last = csv.DictReader(file)
    # With other noise than the run's own.
    assert record["neg_elbo"][-1] == pytest.approx(-float(last["validation_elbo"]), abs=0.3)
