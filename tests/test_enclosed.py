"""The recorded enclosures of the lamp strip hold what the package computes, and one another."""

import importlib.util
import json
from fractions import Fraction
from pathlib import Path

import pytest
import torch

from vae_teach.exact_models import LampStrip

ROOT = Path(__file__).resolve().parents[1]
RECORD = json.loads((ROOT / "book" / "runs" / "enclosed.json").read_text(encoding="utf8"))


def images(names):
    return torch.tensor([[float(digit) for digit in name] for name in names])


def middles(balls):
    return torch.tensor([float(middle) for middle, _ in balls], dtype=torch.float64)


def test_the_evidences_are_those_of_the_package_and_add_up_to_one():
    names, balls = zip(*RECORD["evidence"].items(), strict=True)
    evidence = LampStrip().log_evidence(images(names)).exp()
    torch.testing.assert_close(evidence, middles(balls), rtol=1e-9, atol=1e-14)
    total = sum(Fraction(middle) for middle, _ in balls)
    assert len(names) == 256 and abs(total - 1) < Fraction("1e-28")
    assert max(Fraction(radius) for _, radius in balls) < Fraction("1e-28")


def test_each_elbo_and_each_gap_is_that_of_the_package():
    strip, records = LampStrip(), RECORD["gap"]
    x = images([record["image"] for record in records])
    mu = torch.tensor([[float(record["mean"])] for record in records], dtype=torch.float64)
    scale = torch.tensor([[float(record["scale"])] for record in records], dtype=torch.float64)
    elbo = strip.elbo(x, mu, 2 * scale.log())
    torch.testing.assert_close(elbo, middles([r["ELBO(x)"] for r in records]), rtol=1e-9, atol=0)
    gap = strip.log_evidence(x) - elbo
    torch.testing.assert_close(gap, middles([r["KL"] for r in records]), rtol=1e-8, atol=0)


# The two README commands do not need this library: what it found is recorded, and tested above.
@pytest.mark.skipif(
    importlib.util.find_spec("flint") is None, reason='needs pip install "vae_teach[enclose]"'
)
def test_interval_arithmetic_gives_the_recorded_balls_again(monkeypatch):
    monkeypatch.syspath_prepend(ROOT / "tools")
    import enclose
    from flint import arb, ctx

    ctx.prec = enclose.BITS
    for name in ("00000000", "00011100", "11111111"):
        bits = [int(digit) for digit in name]
        assert enclose.ends(enclose.evidence(bits)) == RECORD["evidence"][name]
    record = RECORD["gap"][9]
    bits = [int(digit) for digit in record["image"]]
    for key, ball in enclose.gap(bits, arb(record["mean"]), arb(record["scale"])).items():
        assert enclose.ends(ball) == record[key]
