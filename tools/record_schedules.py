"""Settle "it is better because it saw 50,000 digits": data, steps and schedule apart.

    python tools/record_schedules.py        about ten minutes on one core

Needs the full MNIST. The network of the recorded run is trained on 4,000 or 50,000 grey digits, and
its rate falls to 0 over few steps or over as many as the recorded run has. The book reads
``book/runs/schedules.json``.
"""

import json

import torch
from record_runs import FIRST_RECIPE, ROOT, machine
from torch import Tensor
from tqdm import tqdm

from vae_teach.config import TrainConfig
from vae_teach.data import load_mnist, load_mnist_sample, prepare_pixels
from vae_teach.model import VAE
from vae_teach.runs import Run, load_model, write_atomically

RECORD = ROOT / "book" / "runs" / "schedules.json"
COMMAND = "python tools/record_schedules.py"
FEW, MANY = 1_280, 39_100  # steps; MANY is a hundred epochs of 50,000 digits
SEEDS = (0, 1)


@torch.no_grad()
def loss_of(model: VAE, held_out: Tensor) -> float:
    """Return the mean of -ELBO on held-out digits, with one fixed draw of the noise."""
    noise = torch.randn(len(held_out), 20, generator=torch.Generator().manual_seed(0))
    return -model.elbo(held_out, noise).elbo.mean().item()


def train(images: Tensor, held_out: Tensor, steps: int, total: int, seed: int) -> dict[int, float]:
    """Take ``steps`` steps of a schedule of ``total``; return the loss after each ``FEW`` of them."""
    config = TrainConfig(seed=seed, **FIRST_RECIPE)
    run = Run.start(config)
    generator, model, optimizer = run.generator, run.model, run.optimizer
    rows: list[Tensor] = []
    found: dict[int, float] = {}
    for step in tqdm(range(steps), desc=f"{len(images):,} digits, seed {seed}"):
        if not rows:
            rows = list(torch.randperm(len(images), generator=generator).split(config.batch_size))
        x = images[rows.pop()]
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * (1 - step / total)
        loss = -model.elbo(x, torch.randn(len(x), 20, generator=generator)).elbo.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        if (step + 1) % FEW == 0 or step + 1 == steps:
            found[step + 1] = loss_of(model, held_out)
    return found


def main() -> None:
    few = prepare_pixels(load_mnist_sample("train").pixels, "grey")
    many = prepare_pixels(load_mnist("train").pixels, "grey")
    held_out = prepare_pixels(load_mnist_sample("test").pixels, "grey")
    record: dict = {"few_steps": {}}
    for images in (few, many):
        record["few_steps"][f"{len(images):,} digits"] = {
            name: [round(train(images, held_out, FEW, total, seed)[FEW], 2) for seed in SEEDS]
            for name, total in (("rate falls to 0", FEW), ("rate stays high", MANY))
        }
    long = train(few, held_out, MANY, MANY, SEEDS[0])
    best = min(long, key=long.get)
    record["4,000 digits, all steps"] = {"best": round(long[best], 2), "best_step": best}
    record["4,000 digits, all steps"]["end"] = round(long[MANY], 2)
    recorded, _ = load_model(ROOT / "book" / "runs" / "dense-20")
    record["50,000 digits, all steps"] = {"end": round(loss_of(recorded, held_out), 2)}
    record |= {"steps": [FEW, MANY], "seeds": list(SEEDS), "pixels": "grey"}
    record |= {"held_out": f"{len(held_out):,} embedded test digits"}
    record |= {"command": COMMAND, "machine": machine()}
    write_atomically(RECORD, (json.dumps(record, indent=2) + "\n").encode())


if __name__ == "__main__":
    main()
