"""Twenty seeds of the two models of the chapter on scalars: is the picture there luck?

    python benchmarks/scalar_seeds.py          # prints; about four minutes
    python benchmarks/scalar_seeds.py --record # also writes scalar_seeds.json

For each seed an autoencoder and a VAE are trained on the lamp strip as in the chapter. Then
the divergence of the true 256 probabilities from those of the samples is worked out, on a grid.
"""

import argparse
import json
import math
import os
import random
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from torch.nn.functional import logsigmoid

from vae_teach.exact_models import LampStrip
from vae_teach.scalar_autograd import gradients
from vae_teach.scalar_vae import VAE, Adam, Autoencoder, parameters

RECORD = Path(__file__).parents[1] / "book" / "runs" / "scalar_seeds.json"
SEEDS, STEPS, RATE = 20, 800, 0.04
STRIP = LampStrip()


def train(model, draw_noise, rng, images, weights_of_images):
    """The chapter's training: four images a step, and a rate that falls to 0."""
    weights = parameters(model.encoder, model.decoder)
    optimizer = Adam(weights)
    for step in range(STEPS + 1):
        batch = rng.choices(images, weights=weights_of_images, k=4)
        loss = sum(model.loss(x, *draw_noise()) for x in batch) / 4
        optimizer.step(gradients(loss, weights), RATE * min(1, 2 - 2 * step / STEPS))


def apply_on_tensors(network, values):
    """A network on scalars, applied to the rows of a tensor."""
    for number, layer in enumerate(network):
        if number > 0:
            values = values.tanh()
        rows = torch.tensor([[weight.data for weight in unit] for unit in layer])
        values = values @ rows[:, 1:].T + rows[:, 0]
    return values


def kl_from_truth(decoder, truth, mean=0.0, root=None):
    """The divergence of the truth from the samples, for codes ``mean + root u``, in nats."""
    line = torch.arange(-6, 6.05, 0.1)
    points = torch.cartesian_prod(line, line)
    log_mass = -(points**2).sum(-1) / 2 - math.log(2 * math.pi / 0.1**2)
    logits = apply_on_tensors(decoder, mean + (points if root is None else points @ root.T))
    log_p = STRIP.images() @ logits.T + logsigmoid(-logits).sum(-1)
    return (truth * (truth.log() - torch.logsumexp(log_p + log_mass, -1))).sum().item()


def one_seed(seed, truth):
    """The three divergences at the end of training."""
    rng = random.Random(seed)
    data = STRIP.images().int().tolist(), truth.tolist()
    plain = Autoencoder(8, 8, 2, rng)
    train(plain, lambda: [], rng, *data)
    vae = VAE(8, 8, 2, rng)
    train(vae, lambda: [[rng.gauss(0, 1), rng.gauss(0, 1)]], rng, *data)
    codes = apply_on_tensors(plain.encoder, STRIP.images())
    mean = truth @ codes
    spread = (codes - mean).T @ (truth[:, None] * (codes - mean))
    return {
        "autoencoder": round(kl_from_truth(plain.decoder, truth), 3),
        "fitted": round(
            kl_from_truth(plain.decoder, truth, mean, torch.linalg.cholesky(spread)), 3
        ),
        "vae": round(kl_from_truth(vae.decoder, truth), 3),
    }


def main():
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--record", action="store_true")
    arguments = parser.parse_args()
    torch.set_default_dtype(torch.float64)
    truth = STRIP.log_evidence(STRIP.images()).exp()
    rows = []
    for seed in range(SEEDS):
        rows.append(one_seed(seed, truth))
        print(seed, rows[-1], flush=True)
    if arguments.record:
        record = {"steps": STEPS, "rate": RATE, "divergences": rows}
        RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf8")


if __name__ == "__main__":
    main()
