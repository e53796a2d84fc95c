"""The explorer's files: what they hold, how exactly, and that the committed ones are the exported ones."""

import base64
import json
from pathlib import Path

import numpy as np
import pytest
import torch

from vae_teach import data, explorer, runs
from vae_teach.config import TrainConfig, build_model

ROOT = Path(__file__).resolve().parents[1]
STATIC = ROOT / "book" / "_static"
RUNS = [ROOT / run for run in explorer.RUNS]


def content(path):
    """What a file puts into explorerData, and under which name."""
    head, json_text = path.read_text().split("] = ", 1)
    return head.split('["')[1][:-1], json.loads(json_text.removesuffix(";\n"))


def floats(text):
    return torch.tensor(np.frombuffer(base64.b64decode(text), "<f4").copy())


def unpacked(layer):
    """The numbers of a packed matrix, from the bits of the base64, 18 at a time."""
    padded = layer["packed"] + "A" * (-len(layer["packed"]) % 4)
    bits = np.unpackbits(np.frombuffer(base64.b64decode(padded), np.uint8))
    count = len(layer["packed"]) // 3
    whole = bits[: 18 * count].reshape(-1, 18) @ (1 << np.arange(17, -1, -1))
    scales = floats(layer["scales"])
    return torch.tensor(whole - 2**17).reshape(len(scales), -1) * scales.double()[:, None]


@pytest.fixture(scope="module")
def exported(tmp_path_factory):
    return explorer.export(RUNS, tmp_path_factory.mktemp("explorer"))


def test_the_committed_files_are_those_that_the_recorded_runs_give(exported):
    committed = STATIC / "explorer"
    assert {path.name for path in exported} == {path.name for path in committed.iterdir()}
    for path in exported:
        assert path.read_bytes() == (committed / path.name).read_bytes(), (
            f"{path.name} is not what the runs give: python -m vae_teach export-explorer"
        )


def test_all_that_the_page_loads_for_it_is_at_most_4_mb(exported):
    scripts = [STATIC / "slider.js", STATIC / "explorer.js"]
    assert sum(path.stat().st_size for path in [*exported, *scripts]) <= 4e6


@pytest.mark.parametrize("number", range(len(RUNS)))
def test_a_file_holds_its_model(exported, number):
    model, _ = runs.load_model(RUNS[number])
    name, found = content(exported[number + 1])
    assert name == RUNS[number].name
    layers = [*model.encoder.layers[::2], *model.decoder.layers[::2]]
    large = 0
    for layer, stored in zip(layers, found["encoder"] + found["decoder"], strict=True):
        weight = layer.weight.detach().double()
        assert torch.equal(floats(stored["bias"]), layer.bias)
        if "weight" in stored:
            assert torch.equal(floats(stored["weight"]), layer.weight.flatten())
        else:
            large += 1
            half_a_step = weight.abs().amax(1, keepdim=True) / (2**17 - 1) / 2
            assert ((unpacked(stored) - weight).abs() <= 1.01 * half_a_step).all()
    assert large == 2


@pytest.mark.parametrize("number", range(len(RUNS)))
def test_the_cloud_is_that_of_the_test_digits(exported, number):
    model, _ = runs.load_model(RUNS[number])
    digits = data.load_mnist_sample("test")
    with torch.no_grad():
        mu, _ = model.encode(data.prepare_pixels(digits.pixels, "grey"))
    found = floats(content(exported[number + 1])[1]["means"]).reshape(-1, 2)
    assert torch.allclose(found, mu, rtol=1e-4, atol=1e-4)
    assert content(exported[0])[1]["cloud"] == "".join(map(str, digits.labels.tolist()))


def test_a_centred_encoder_is_written_for_pixels_as_they_are():
    model = build_model(TrainConfig(latent_dim=2, centre_pixels=True)).requires_grad_(False)
    images = torch.rand(20, 784)
    model.encoder.mean.copy_(images.mean(0))
    found = explorer.describe_model(model, images)
    first, second = found["encoder"]
    hidden = (images.double() @ unpacked(first).T + floats(first["bias"])).clamp(min=0)
    mu_and_logvar = hidden @ floats(second["weight"]).double().reshape(4, 256).T
    mu = (mu_and_logvar + floats(second["bias"]))[:, :2].float()
    torch.testing.assert_close(mu, model.encode(images)[0], rtol=1e-3, atol=1e-4)
    torch.testing.assert_close(mu.flatten(), floats(found["means"]), rtol=1e-3, atol=1e-4)


def test_there_are_five_digits_of_each_class_to_pick(exported):
    name, found = content(exported[0])
    assert name == "digits"
    assert found["labels"] == "".join(str(digit) * 5 for digit in range(10))
    images = np.frombuffer(base64.b64decode(found["images"]), np.uint8).reshape(-1, 28, 28)
    digits = data.load_mnist_sample("test")
    all_of_them = {
        (image.numpy().tobytes(), int(label)) for image, label in zip(*digits, strict=True)
    }
    shown = {(image.tobytes(), i // 5) for i, image in enumerate(images)}
    assert len(shown) == 50 and shown <= all_of_them


def test_exporting_again_gives_the_same_bytes(tiny_sample, tiny_run, tmp_path):
    first, second = (explorer.export([tiny_run], tmp_path / name) for name in "ab")
    assert [path.name for path in first] == ["digits.js", "tiny.js"]
    assert [path.read_bytes() for path in first] == [path.read_bytes() for path in second]


@pytest.mark.parametrize(
    "name, said",
    [
        ("dense-20", "latent_dim 20 (not 2)"),
        ("conv-64", "network conv (not dense), 2 hidden layers (not 1)"),
        ("openmoji-32", "drawings in colour (not digits)"),
    ],
)
def test_what_cannot_be_shown_is_refused_before_anything_is_written(name, said, tmp_path):
    with pytest.raises(ValueError) as error:
        explorer.export([RUNS[0], ROOT / "book" / "runs" / name], tmp_path / "out")
    assert said in str(error.value) and f"the run {name}" in str(error.value)
    assert "--latent-dim 2 --hidden 256" in str(error.value)
    assert not (tmp_path / "out").exists()
