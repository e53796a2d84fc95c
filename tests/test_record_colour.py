"""What tools/record_colour.py recorded: two convolutional runs, one of them of drawings."""

import csv
import json
import math
import shlex
from pathlib import Path

import pytest
import record_colour as tool
import torch
import tyro
from helpers import needs_colour, seeded

from vae_teach.config import TrainConfig
from vae_teach.data import load_mnist, prepare_pixels
from vae_teach.drawings import Drawings, load_openmoji, load_sheet, split_of
from vae_teach.evaluation import evaluate
from vae_teach.runs import load_model, load_tensors

ROOT = Path(__file__).resolve().parents[1]
RUNS = ROOT / "book" / "runs"
FILES = ["command.txt", "config.json", "history.csv", "metrics.json", "model.safetensors"]
NAMES = ["conv-64", "openmoji-32"]


def metrics_of(name):
    return json.loads((RUNS / name / "metrics.json").read_text())


def history_of(name):
    with open(RUNS / name / "history.csv", newline="") as file:
        return [{key: float(value) for key, value in row.items()} for row in csv.DictReader(file)]


def test_the_files_that_the_book_reads_are_there():
    found = {name: sorted(path.name for path in (RUNS / name).iterdir()) for name in NAMES}
    assert found["conv-64"] == FILES
    assert found["openmoji-32"] == sorted([*FILES, "codes.safetensors", "sheet.png", "sheet.json"])


@pytest.mark.parametrize("name", NAMES)
def test_weights_settings_and_command_agree(name):
    _, config = load_model(RUNS / name)
    assert TrainConfig.from_dict(json.loads((RUNS / name / "config.json").read_text())) == config
    train, _ = (RUNS / name / "command.txt").read_text().splitlines()
    assert train == f"python -m vae_teach train {tool.RUNS[name]} --out RUN-{name}"
    assert tyro.cli(TrainConfig, args=shlex.split(tool.RUNS[name])) == config
    assert len(history_of(name)) == config.epochs


@pytest.mark.parametrize("name", NAMES)
def test_the_numbers_add_up(name):
    for found in (metrics_of(name)["test"]["grey"], *history_of(name)[-1:]):
        if "elbo" not in found:
            found = {
                key: {"value": found[f"validation_{key}"]}
                for key in ("elbo", "log_p_x_given_z", "kl")
            }
        parts = found["log_p_x_given_z"]["value"] - found["kl"]["value"]
        assert found["elbo"]["value"] == pytest.approx(parts, abs=0.02)


@pytest.mark.full_mnist
def test_the_digits_give_their_number_again(full_mnist):
    """A thousand of the 10,000 test images, against the record: the standard error of a thousand."""
    model, _ = load_model(RUNS / "conv-64")
    few = prepare_pixels(load_mnist("test", full_mnist).pixels[::10], "grey")
    found = evaluate(model, few, 1, seeded(1), pixels="grey")
    recorded = metrics_of("conv-64")["test"]["grey"]["elbo"]["value"]
    assert abs(found.elbo.value - recorded) < 4 * found.elbo.standard_error


def test_the_sheet_shows_drawings_of_train_and_test():
    sheet = load_sheet(RUNS / "openmoji-32" / "sheet.png")
    assert list(sheet.codes) == tool.SHEET.split()
    assert {split_of(code) for code in sheet.codes} == {"train", "test"}
    assert (sheet.pixels[:, :, 0, 0] == 255).double().mean() > 0.8, "most corners are white"


def test_the_learned_deviation_is_that_of_the_weights_and_near_the_error_in_training():
    model, _ = load_model(RUNS / "openmoji-32")
    metrics = metrics_of("openmoji-32")
    assert metrics["scale"] == pytest.approx(model.likelihood.scale.item(), abs=1e-9)
    assert metrics["scale"] == pytest.approx(metrics["root_mean_squared_error"]["train"], rel=0.05)


def test_the_codes_have_the_moments_that_the_recorded_kl_allows():
    """By Jensen: KL of the fitted Gaussian to the prior is at most the average KL."""
    codes, _ = load_tensors(RUNS / "openmoji-32" / "codes.safetensors")
    covariance = codes["covariance"].double()
    assert (torch.linalg.eigvalsh(covariance) > 0).all()
    moments = codes["mean"].double().square().sum() + covariance.trace() - len(covariance)
    kl = (moments - torch.logdet(covariance)) / 2
    assert 0 < kl < metrics_of("openmoji-32")["train"]["kl"]["value"]


@needs_colour
def test_the_drawings_give_their_numbers_again():
    model, _ = load_model(RUNS / "openmoji-32")
    images = prepare_pixels(load_openmoji("test").pixels, "grey")
    metrics = metrics_of("openmoji-32")
    assert len(images) == metrics["num_drawings"]["test"]
    found = evaluate(model, images, 1, seeded(1), pixels="grey")
    recorded = metrics["test"]["grey"]
    assert found.kl.value == pytest.approx(recorded["kl"]["value"], abs=0.01)
    noise = 0.1 * recorded["elbo"]["standard_error"]  # ten draws of z against ten others
    assert abs(found.elbo.value - recorded["elbo"]["value"]) < noise


@needs_colour
def test_the_moments_of_the_codes_are_those_of_draws():
    model, _ = load_model(RUNS / "openmoji-32")
    images = prepare_pixels(load_openmoji("train").pixels, "grey")
    with torch.no_grad():
        mu, logvar = model.encode(images)
    z = (mu + (logvar / 2).exp() * torch.randn(mu.shape, generator=seeded())).double()
    codes, _ = load_tensors(RUNS / "openmoji-32" / "codes.safetensors")
    n = len(z)
    assert (z.mean(0) - codes["mean"]).abs().max() < 5 * (z.var(0).max() / n) ** 0.5
    assert (z.T.cov() - codes["covariance"]).abs().max() < 10 / math.sqrt(n)


def test_a_sheet_is_made_of_the_splits(monkeypatch):
    monkeypatch.setattr(tool, "SHEET", "1F436 1F641")  # of train and of test
    pixels = torch.randint(256, (3, 3, 32, 32), generator=seeded()).byte()
    splits = {"train": Drawings(pixels[:2], ("1F431", "1F436"))}
    splits["test"] = Drawings(pixels[2:], ("1F641",))
    found = tool.some_of(splits)
    assert found.codes == ("1F436", "1F641") and (found.pixels == pixels[1:]).all()
