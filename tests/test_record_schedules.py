"""What tools/record_schedules.py does in a few steps, and what it recorded."""

import json
from pathlib import Path

import pytest
import record_schedules as tool
import torch

from vae_teach.data import load_mnist_sample, prepare_pixels
from vae_teach.runs import load_model

ROOT = Path(__file__).resolve().parents[1]
RUNS = ROOT / "book" / "runs"


@pytest.fixture(scope="module")
def held_out():
    return prepare_pixels(load_mnist_sample("test").pixels, "grey")


def test_the_loss_is_looked_at_after_every_few_steps_and_at_the_end(monkeypatch, held_out):
    monkeypatch.setattr(tool, "FEW", 2)
    found = tool.train(held_out[:200], held_out[:50], 5, 10, 0)
    assert list(found) == [2, 4, 5]
    assert found[5] < found[2]


def test_the_rate_of_every_weight_falls(monkeypatch, held_out):
    rates, start = [], tool.Run.start

    def watched(config):
        run = start(config)
        run.optimizer.register_step_pre_hook(
            lambda optimizer, *_: rates.append({group["lr"] for group in optimizer.param_groups})
        )
        return run

    monkeypatch.setattr(tool.Run, "start", watched)
    tool.train(held_out[:200], held_out[:50], 2, 4, 0)
    assert rates == [{0.001}, {0.00075}]


def test_a_rate_that_falls_to_0_moves_less(held_out):
    images = held_out[:256]
    falling, high = (tool.train(images, images, 6, total, 0)[6] for total in (6, 10_000))
    assert high < falling


def test_the_recorded_run_gives_the_recorded_loss(held_out):
    recorded, _ = load_model(RUNS / "dense-20")
    record = json.loads((RUNS / "schedules.json").read_text())
    with torch.no_grad():
        loss = tool.loss_of(recorded, held_out)
    assert loss == pytest.approx(record["50,000 digits, all steps"]["end"], abs=0.02)
