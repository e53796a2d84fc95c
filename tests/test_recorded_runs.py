"""The recorded runs in book/runs: whole, and in agreement with themselves and with the data."""

import csv
import dataclasses
import json
import math
import re
import shlex
from pathlib import Path

import numpy as np
import pytest
import torch
import tyro
from helpers import seeded
from record_runs import ONE_SEED
from torch.distributions import Bernoulli, Normal, kl_divergence
from torch.nn.functional import binary_cross_entropy_with_logits

from vae_teach import data, evaluation, runs
from vae_teach.config import TrainConfig

RUNS = Path(__file__).parents[1] / "book" / "runs"
# Those that record_runs.py makes; other tools' runs have tests of their own.
NAMES = ["dense-2", "dense-20", "centred-20", "dense-2-beta4"]
FILES = ["command.txt", "config.json", "history.csv", "metrics.json", "model.safetensors"]
MEASURES = ["elbo", "log_p_x_given_z", "kl", "log_likelihood"]

# One draw of z for each of the 10,000 test images leaves this much noise in a mean: nats per image.
SAMPLER_NOISE = 0.03
TOLERANCE = 4 * SAMPLER_NOISE


def folder_of(name):
    folder = RUNS / name
    if not folder.is_dir():
        pytest.fail(
            f"There is no recorded run {folder}. Make it with the full MNIST: make train.",
            pytrace=False,
        )
    return folder


@pytest.fixture(params=NAMES)
def run(request):
    """A run's folder and its metrics."""
    folder = folder_of(request.param)
    return folder, json.loads((folder / "metrics.json").read_text())


def load_history(folder):
    with open(folder / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    return [{name: float(value) for name, value in row.items()} for row in rows]


@pytest.mark.parametrize("name", NAMES)
def test_the_runs_that_the_book_reads_are_there(name):
    assert sorted(path.name for path in folder_of(name).iterdir()) == FILES


def test_a_run_loads_and_its_two_records_of_the_settings_agree(run):
    folder, _ = run
    model, config = runs.load_model(folder)
    assert TrainConfig.from_dict(json.loads((folder / "config.json").read_text())) == config
    assert all(torch.isfinite(p).all() for p in model.parameters())
    assert (config.data, config.train_on_all, config.precision) == ("mnist", False, "float32")


def test_the_weights_are_those_after_the_last_epoch(run):
    folder, _ = run
    _, metadata = runs.load_tensors(folder / "model.safetensors")
    epochs = [row["epoch"] for row in load_history(folder)]
    assert epochs == list(range(1, metadata["config"]["epochs"] + 1))
    assert metadata["epoch"] == len(epochs)


def test_the_history_adds_up_and_ends_better_than_it_began(run):
    history = load_history(run[0])
    for row in history:
        for split in ("train", "validation"):
            total = row[f"{split}_log_p_x_given_z"] - row[f"{split}_kl"]
            assert row[f"{split}_elbo"] == pytest.approx(total, abs=2e-4)
    assert history[-1]["train_elbo"] > history[0]["train_elbo"] + 20
    assert all(row["seconds"] > 0 for row in history)


def test_the_test_elbo_is_near_the_validation_elbo_of_the_last_epoch(run):
    """Two sets of 10,000 images: each mean has a standard error, and training images do better."""
    folder, metrics = run
    _, config = runs.load_model(folder)
    last, test = load_history(folder)[-1], metrics["test"][config.pixels]
    for measure in ("elbo", "log_p_x_given_z", "kl"):
        error = math.sqrt(2) * test[measure]["standard_error"]
        difference = test[measure]["value"] - last[f"validation_{measure}"]
        assert abs(difference) < 5 * error + SAMPLER_NOISE, measure
    assert last["train_elbo"] > last["validation_elbo"]


@pytest.mark.parametrize("pixels", ["grey", "dynamic"])
def test_the_metrics_are_complete_and_consistent(run, pixels):
    found = run[1]["test"][pixels]
    assert (found["pixels"], found["num_images"]) == (pixels, 10_000)
    assert found["data"] == "MNIST test images"
    _, config = runs.load_model(run[0])
    assert 0 < found["active_units"] <= config.latent_dim
    total = found["log_p_x_given_z"]["value"] - found["kl"]["value"]
    assert found["elbo"]["value"] == pytest.approx(total)
    if pixels == "grey":
        assert found["log_likelihood"] is None and found["num_importance_samples"] is None
    else:
        assert found["num_importance_samples"] == 1000
        assert found["log_likelihood"]["value"] > found["elbo"]["value"]
    for measure in MEASURES:
        if found[measure] is not None:
            assert 0 < found[measure]["standard_error"] < 1


@pytest.mark.parametrize("name", [name for name in NAMES if name not in ONE_SEED])
def test_the_recorded_values_lie_within_the_range_of_three_seeds(name):
    metrics = json.loads((folder_of(name) / "metrics.json").read_text())
    assert metrics["seeds"] == [0, 1, 2]
    for pixels in ("grey", "dynamic"):
        ranges, values = metrics["three_seed_range"][pixels], metrics["test"][pixels]
        assert ranges.keys() == {name for name in MEASURES if values[name] is not None}
        for measure, (low, high) in ranges.items():
            assert low <= values[measure]["value"] <= high
            assert low < high, "three seeds do not give one number"
            assert high - low < 5


def test_the_commands_are_those_of_the_settings(run):
    folder, _ = run
    _, config = runs.load_model(folder)
    lines = [shlex.split(line) for line in (folder / "command.txt").read_text().splitlines()]
    assert [line[:4] for line in lines] == [
        ["python", "-m", "vae_teach", command] for command in ("train", "evaluate", "evaluate")
    ]
    *options, out_option, out = lines[0][4:]
    assert tyro.cli(TrainConfig, args=options) == config
    assert out_option == "--out" and all(line[4] == out for line in lines[1:])


def test_the_machine_is_named_without_names_of_persons_or_places(run):
    machine = run[1]["machine"]
    assert "CPU" in machine and "torch" in machine
    for text in (machine, (run[0] / "command.txt").read_text()):
        assert not re.search(r"(^|\s)/|@", text)


def test_the_dense_run_reaches_107_2_nats_on_grey_test_images():
    metrics = json.loads((folder_of("dense-20") / "metrics.json").read_text())
    assert -metrics["test"]["grey"]["elbo"]["value"] <= 107.2


def test_a_larger_beta_had_the_training_of_its_twin_and_gives_up_nats_for_a_smaller_kl():
    metrics = [
        json.loads((folder_of(name) / "metrics.json").read_text())["test"]["grey"]
        for name in ("dense-2", "dense-2-beta4")
    ]
    configs = [runs.load_model(folder_of(name))[1] for name in ("dense-2", "dense-2-beta4")]
    assert configs[1] == dataclasses.replace(configs[0], beta=4.0)
    assert metrics[1]["kl"]["value"] < metrics[0]["kl"]["value"] - 1
    assert metrics[1]["elbo"]["value"] < metrics[0]["elbo"]["value"]
    assert metrics[1]["active_units"] == 2


def test_twenty_latents_do_better_than_two():
    values = [
        json.loads((folder_of(name) / "metrics.json").read_text())["test"]["grey"]["elbo"]["value"]
        for name in ("dense-2", "dense-20")
    ]
    assert values[0] + 20 < values[1]


# With the full MNIST ----------------------------------------------------------------------------


@pytest.fixture
def official_bytes(full_mnist):
    return data.load_mnist("test", full_mnist).pixels


@pytest.mark.full_mnist
def test_evaluating_again_gives_the_recorded_numbers_on_grey(run, official_bytes):
    """All 10,000 official test images; the means agree within 4 times the sampler's noise."""
    folder, metrics = run
    model, _ = runs.load_model(folder)
    images = data.prepare_pixels(official_bytes, "grey")
    found = evaluation.evaluate(model, images, 1, seeded(), pixels="grey")
    recorded = metrics["test"]["grey"]
    for measure in ("elbo", "log_p_x_given_z", "kl"):
        again, before = getattr(found, measure), recorded[measure]
        assert abs(again.value - before["value"]) < TOLERANCE
        assert again.standard_error == pytest.approx(before["standard_error"], rel=0.02)
    assert found.active_units == recorded["active_units"]


@pytest.mark.full_mnist
def test_torchs_own_functions_give_the_recorded_numbers_on_grey(run, official_bytes):
    """One draw for each test image, with none of the package's mathematics."""
    folder, metrics = run
    model, _ = runs.load_model(folder)
    x = official_bytes.flatten(1) / 255
    with torch.no_grad():
        mu, logvar = model.encoder(x)
        sigma = logvar.exp().sqrt()
        logits = model.decoder(mu + sigma * torch.randn(mu.shape, generator=seeded(9)))
        log_p = -binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1).mean().item()
        kl = kl_divergence(Normal(mu, sigma), Normal(0.0, 1.0)).sum(-1).mean().item()
    recorded = metrics["test"]["grey"]
    assert kl == pytest.approx(recorded["kl"]["value"], abs=1e-3)
    assert abs(log_p - recorded["log_p_x_given_z"]["value"]) < TOLERANCE
    assert abs(log_p - kl - recorded["elbo"]["value"]) < TOLERANCE


@pytest.mark.full_mnist
def test_the_log_likelihood_of_500_images_fits_the_recorded_one(run, official_bytes):
    """K = 50 on 500 images lies above their ELBO, and below K = 1000 on all, within image noise."""
    folder, metrics = run
    model, _ = runs.load_model(folder)
    generator = seeded()
    images = data.prepare_pixels(official_bytes[:500], "dynamic", generator)
    found = evaluation.evaluate(model, images, 50, generator, pixels="dynamic")
    recorded = metrics["test"]["dynamic"]
    gap = found.log_likelihood.value - found.elbo.value
    whole_gap = recorded["log_likelihood"]["value"] - recorded["elbo"]["value"]
    assert 0.3 * whole_gap < gap < 1.2 * whole_gap
    image_noise = found.log_likelihood.standard_error
    difference = found.log_likelihood.value - recorded["log_likelihood"]["value"]
    assert abs(difference) < 4 * image_noise + whole_gap
    whole_spread = recorded["log_likelihood"]["standard_error"] * math.sqrt(10_000)
    assert image_noise * math.sqrt(500) == pytest.approx(whole_spread, rel=0.2)


@pytest.mark.full_mnist
def test_the_reference_numbers_are_those_of_the_data(full_mnist):
    """The floor by numpy and the constant model by torch, on the greys of the full set."""
    reference = json.loads((RUNS / "reference.json").read_text())
    train = data.load_mnist("train", full_mnist).pixels.flatten(1)
    test = data.load_mnist("test", full_mnist).pixels.flatten(1)
    assert (reference["pixels"], reference["num_test_images"]) == ("grey", len(test))
    counts = np.bincount(test.numpy().ravel(), minlength=256)
    grey = np.arange(256) / 255
    inner = slice(1, 255)
    entropy = -(grey * np.log(grey, where=grey > 0, out=np.zeros(256)))[inner]
    entropy -= ((1 - grey) * np.log(1 - grey, where=grey < 1, out=np.zeros(256)))[inner]
    floor = (counts[inner] * entropy).sum() / len(test)
    assert reference["floor"] == pytest.approx(floor, rel=1e-6)
    assert floor == pytest.approx(45.53, abs=0.005)
    chance = torch.tensor(train.numpy().mean(0)) / 255
    chance = chance.clamp(0.5 / len(train), 1 - 0.5 / len(train))
    mean_test = torch.tensor(test.numpy().mean(0)) / 255
    model = Bernoulli(probs=chance, validate_args=False)
    constant = -model.log_prob(mean_test).sum().item()
    assert reference["constant_model_neg_log_p"] == pytest.approx(constant, rel=1e-6)


@pytest.mark.full_mnist
def test_the_constant_models_on_other_pixels_are_those_of_the_data(full_mnist):
    """Threshold and fixed bits by counting lit pixels in numpy; the best constant on test greys."""
    reference = json.loads((RUNS / "reference.json").read_text())
    greys = {
        split: data.load_mnist(split, full_mnist).pixels.flatten(1).numpy() / np.float32(255)
        for split in ("train", "test")
    }
    for pixels in ("threshold", "fixed"):
        lit = {}
        for split, grey in greys.items():
            chances = np.random.default_rng(0).random(grey.shape)
            bits = grey > 0.5 if pixels == "threshold" else grey > chances
            lit[split] = bits.mean(0)
        chance = lit["train"].clip(0.5 / 50_000, 1 - 0.5 / 50_000)
        each = lit["test"] * np.log(chance) + (1 - lit["test"]) * np.log(1 - chance)
        assert reference[f"constant_model_neg_log_p_{pixels}"] == pytest.approx(-each.sum())
    mean = greys["test"].astype(float).mean(0)
    inner = mean[(mean > 0) & (mean < 1)]
    entropy = -(inner * np.log(inner) + (1 - inner) * np.log(1 - inner)).sum()
    found = reference["constant_model_neg_log_p_fitted_on_test"]
    assert found == pytest.approx(entropy, rel=1e-6)
    assert found == pytest.approx(205.65, abs=0.005)
    assert found < reference["constant_model_neg_log_p"]


@pytest.mark.full_mnist
def test_the_black_pixels_are_those_of_the_data(full_mnist):
    reference = json.loads((RUNS / "reference.json").read_text())
    train = data.load_mnist("train", full_mnist).pixels.numpy().reshape(-1, 784)
    test = data.load_mnist("test", full_mnist).pixels.numpy().reshape(-1, 784)
    black = [d for d in range(784) if not train[:, d].any()]
    assert reference["num_pixels_black_in_train"] == len(black) == 69
    lighting = [row for row in test if row[black].max() > 0]
    assert reference["num_test_images_that_light_one"] == len(lighting) == 1
