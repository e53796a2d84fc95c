"""How many times slower is a VAE on scalars than on tensors?

    python benchmarks/scalar_vs_torch.py          # prints; about two minutes
    python benchmarks/scalar_vs_torch.py --record # also writes scalar_vs_torch.json

The same networks, the same loss, the same optimiser, one thread. The two sides take
turns, so that a busy machine slows both; what counts is the ratio. In the last case a
step on scalars has one image only: a hundred would take minutes.
"""

import argparse
import json
import os
import platform
import random
import statistics
import time
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch import nn
from torch.nn.functional import logsigmoid

from vae_teach.scalar_autograd import gradients, topological_order
from vae_teach.scalar_vae import VAE, Adam, parameters

RECORD = Path(__file__).parents[1] / "book" / "runs" / "scalar_vs_torch.json"
# name, (pixels, hidden, latent_dim), images a step: on scalars, on tensors
CASES = [
    ("strip, 4 images a step", (8, 8, 2), 4, 4),
    ("strip, 256 images a step", (8, 8, 2), 256, 256),
    ("MNIST-sized, 100 images a step", (784, 256, 20), 1, 100),
]


def scalar_step(sizes, batch, rng):
    """A function that takes one training step, and the number of nodes of one image's loss."""
    pixels, _, latent_dim = sizes
    vae = VAE(*sizes, rng)
    weights = parameters(vae.encoder, vae.decoder)
    optimizer = Adam(weights)
    images = [[rng.randrange(2) for _ in range(pixels)] for _ in range(batch)]

    def loss(x):
        return vae.loss(x, [rng.gauss(0, 1) for _ in range(latent_dim)])

    def step():
        total = sum(loss(x) for x in images) / batch
        optimizer.step(gradients(total, weights), 1e-3)

    return step, len(topological_order(loss(images[0])))


def torch_step(sizes, batch):
    """The same step in PyTorch, in its default float32."""
    pixels, hidden, latent_dim = sizes
    encoder = nn.Sequential(nn.Linear(pixels, hidden), nn.Tanh(), nn.Linear(hidden, 2 * latent_dim))
    decoder = nn.Sequential(nn.Linear(latent_dim, hidden), nn.Tanh(), nn.Linear(hidden, pixels))
    optimizer = torch.optim.Adam([*encoder.parameters(), *decoder.parameters()], lr=1e-3)
    x = torch.randint(2, (batch, pixels)).float()

    def step():
        mu, logvar = encoder(x).chunk(2, -1)
        logits = decoder(mu + torch.exp(logvar / 2) * torch.randn(mu.shape))
        log_p = (x * logits + logsigmoid(-logits)).sum(-1)
        loss = (0.5 * (mu**2 + logvar.exp() - 1 - logvar).sum(-1) - log_p).mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()

    return step


def milliseconds(function, at_least=0.2):
    """Time of one call, from as many calls as take a while."""
    calls, start = 0, time.perf_counter()
    while (passed := time.perf_counter() - start) < at_least:
        function()
        calls += 1
    return 1000 * passed / calls


def measure(name, sizes, scalar_batch, torch_batch, rounds=7):
    on_scalars, nodes = scalar_step(sizes, scalar_batch, random.Random(0))
    on_tensors = torch_step(sizes, torch_batch)
    on_scalars(), on_tensors()  # once before the clock runs
    pairs = [
        (milliseconds(on_scalars) / scalar_batch, milliseconds(on_tensors) / torch_batch)
        for _ in range(rounds)
    ]
    ratios = sorted(scalars / tensors for scalars, tensors in pairs)
    scalars, tensors = (statistics.median(column) for column in zip(*pairs, strict=True))
    return {
        "case": name,
        "nodes_per_image": nodes,
        "scalar_ms_per_image": significant(scalars),
        "torch_ms_per_image": significant(tensors),
        "times_slower": significant(statistics.median(ratios), 2),
        "times_slower_range": [significant(ratios[0], 2), significant(ratios[-1], 2)],
    }


def significant(number, digits=3):
    rounded = float(f"{number:.{digits}g}")
    return int(rounded) if rounded >= 100 else rounded


def processor():
    try:
        lines = Path("/proc/cpuinfo").read_text().splitlines()
        return next(line.split(":")[1].strip() for line in lines if line.startswith("model name"))
    except (OSError, StopIteration):
        return platform.processor() or platform.machine()


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--record", action="store_true", help=f"write {RECORD.name}")
    record = options.parse_args().record
    torch.set_num_threads(1)
    cases = []
    for case in CASES:
        cases.append(measure(*case))
        print(json.dumps(cases[-1]))
    if record:
        result = {
            "command": "python benchmarks/scalar_vs_torch.py --record",
            "machine": f"{processor()}, one thread of {os.cpu_count()} cores",
            "python": platform.python_version(),
            "torch": torch.__version__.split("+")[0],
            "cases": cases,
        }
        RECORD.write_text(json.dumps(result, indent=1) + "\n", encoding="utf8")


if __name__ == "__main__":
    main()
