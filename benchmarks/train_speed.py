"""How long does a step of training take: the textbook's, ours, and the products alone?

    python benchmarks/train_speed.py          # prints; about three minutes
    python benchmarks/train_speed.py --record # also writes train_speed.json

One network (784-256-20-256-784), 128 grey MNIST digits a step, one thread. The columns take
turns, so that a busy machine slows all of them. Processor time is counted, which on an idle
machine is the time that passes. The floor is the five large matrix products of a step and
nothing else: two forward, three backward.
"""

import argparse
import json
import os
import platform
import statistics
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from scalar_vs_torch import processor, significant
from textbook import Textbook

from vae_teach.config import TrainConfig
from vae_teach.data import load_mnist, prepare_pixels
from vae_teach.runs import Run
from vae_teach.training import train_epoch

RECORD = Path(__file__).parents[1] / "book" / "runs" / "train_speed.json"
BATCH, STEPS, ROUNDS = 128, 60, 12
BFLOAT16 = ("avx512_bf16", "amx_bf16", "bf16")  # of a processor that calculates in it


def ours(images, precision):
    """A function that takes STEPS steps with the package's own trainer."""
    settings = {"epochs": 1_000, "batch_size": BATCH, "progress": False}
    run = Run.start(TrainConfig(precision=precision, **settings))
    return lambda: train_epoch(run, images, 0)


def large_products(images):
    """A function that does only the large products of STEPS steps, with the same shapes."""
    into_hidden, out_of_hidden = 0.01 * torch.randn(256, 784), 0.01 * torch.randn(784, 256)

    def products():
        for x in images.split(BATCH):
            hidden = x @ into_hidden.T
            logits = hidden @ out_of_hidden.T
            logits.T @ hidden  # the gradient of the last layer's weights,
            grad_hidden = logits @ out_of_hidden  # of what goes into it,
            grad_hidden.T @ x  # and of the first layer's weights

    return products


def pyro_svi(images):
    """A function that takes STEPS steps with Pyro's SVI, or None where Pyro is not installed."""
    try:
        import pyro
        from pyro import distributions as dist
        from pyro.infer import SVI, TraceMeanField_ELBO
    except ImportError:
        return None
    net = Run.start(TrainConfig()).model

    def model(x):
        pyro.module("decoder", net.decoder)
        with pyro.plate("images", len(x)):
            prior = dist.Normal(torch.zeros(len(x), 20), 1.0).to_event(1)
            z = pyro.sample("z", prior)
            bits = dist.Bernoulli(logits=net.decoder(z), validate_args=False).to_event(1)
            pyro.sample("x", bits, obs=x)

    def guide(x):
        pyro.module("encoder", net.encoder)
        with pyro.plate("images", len(x)):
            mu, logvar = net.encoder(x)
            pyro.sample("z", dist.Normal(mu, torch.exp(0.5 * logvar)).to_event(1))

    svi = SVI(model, guide, pyro.optim.Adam({"lr": 1e-3}), TraceMeanField_ELBO())

    def steps():
        for rows in torch.randperm(len(images)).split(BATCH):
            svi.step(images[rows])

    return steps


def milliseconds(steps):
    """Processor time of one step."""
    start = time.process_time()
    steps()
    return 1000 * (time.process_time() - start) / STEPS


def ratios(above, below):
    """How many times longer: of the shortest rounds, and of the median ones."""
    return {
        "of_minima": significant(min(above) / min(below)),
        "of_medians": significant(statistics.median(above) / statistics.median(below)),
    }


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--record", action="store_true", help=f"write {RECORD.name}")
    record = options.parse_args().record
    torch.set_num_threads(1)
    digits = load_mnist("train")
    pixels, labels = digits.pixels[: BATCH * STEPS], digits.labels[: BATCH * STEPS]
    images = prepare_pixels(pixels, "grey")
    columns = {
        "textbook": Textbook(pixels, labels).train_epoch,
        "ours": ours(images, "float32"),
        "products": large_products(images),
    }
    if any(torch.cpu.get_capabilities().get(name) for name in BFLOAT16):
        columns["ours_bfloat16"] = ours(images, "bfloat16")
    if svi := pyro_svi(images):
        columns["pyro"] = svi

    times = {name: [] for name in columns}
    for number in range(ROUNDS + 1):
        for name, steps in columns.items():
            taken = milliseconds(steps)
            if number > 0:  # the first round warms up
                times[name].append(taken)
    result = {
        "command": "python benchmarks/train_speed.py --record",
        "machine": f"{processor()}, one thread of {os.cpu_count()} cores",
        "python": platform.python_version(),
        "torch": torch.__version__.split("+")[0],
        "clock": "processor time",
        "batch_size": BATCH,
        "steps_a_round": STEPS,
        "rounds": ROUNDS,
        "milliseconds_a_step": {
            name: {
                "minimum": significant(min(column)),
                "median": significant(statistics.median(column)),
            }
            for name, column in times.items()
        },
        "textbook_over_ours": ratios(times["textbook"], times["ours"]),
        "ours_over_products": ratios(times["ours"], times["products"]),
    }
    for name in ("ours_bfloat16", "pyro"):
        if name in times:
            result[f"{name}_over_ours"] = ratios(times[name], times["ours"])
    print(json.dumps(result, indent=1))
    if record:
        RECORD.write_text(json.dumps(result, indent=1) + "\n", encoding="utf8")


if __name__ == "__main__":
    main()
