"""Which latent variables stay in use: Gaussian VAEs with a linear decoder and with a network.

    python tools/record_collapse.py        about ten minutes on one core

Trains on the 4,000 embedded grey digits, with a variance of the pixels that is fixed, and once with
one that is learned. The book reads ``book/runs/collapse.json``.
"""

import json

import torch
from record_runs import ROOT, machine
from torch import Tensor
from tqdm import tqdm

from vae_teach.data import load_mnist_sample, prepare_pixels
from vae_teach.divergences import kl_standard_normal
from vae_teach.likelihoods import GaussianLikelihood
from vae_teach.model import VAE
from vae_teach.networks import Decoder, Encoder
from vae_teach.runs import write_atomically
from vae_teach.training import start_from_mean

RECORD = ROOT / "book" / "runs" / "collapse.json"
COMMAND = "python tools/record_collapse.py"
DECODERS = {"linear": (), "network": (128,)}  # widths of the hidden layers
VARIANCES = (2.0, 1.0, 0.5)
SEEDS = (0, 1)
LATENT_DIM, EPOCHS, BATCH_SIZE, RATE = 40, 300, 200, 2e-3


def rates(model: VAE, images: Tensor) -> Tensor:
    """Return the KL of each latent variable, averaged over the images, ``(D,)`` nats."""
    with torch.no_grad():
        mu, logvar = model.encode(images)
    # One latent at a time: the sum over latents then has one term.
    return kl_standard_normal(mu[..., None], logvar[..., None]).mean(0)


def train(
    images: Tensor, decoder: str, variance: float, seed: int, learned: bool = False, epochs=EPOCHS
) -> VAE:
    """Train with Gaussian pixels of the given variance; with ``learned`` it only starts there.

    The step size stays at ``RATE`` for half of the epochs and falls to 0 in the other half.
    """
    draws = torch.Generator().manual_seed(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        encoder = Encoder(LATENT_DIM, DECODERS[decoder])
        likelihood = GaussianLikelihood(variance**0.5, learned=learned)
        model = VAE(encoder, Decoder(LATENT_DIM, DECODERS[decoder]), likelihood)
    start_from_mean(model, images)
    optimizer = torch.optim.Adam(model.parameters(), lr=RATE)
    for epoch in tqdm(range(epochs), desc=f"{decoder}, variance {variance}, seed {seed}"):
        optimizer.param_groups[0]["lr"] = RATE * min(1.0, 2 * (1 - epoch / epochs))
        for rows in torch.randperm(len(images), generator=draws).split(BATCH_SIZE):
            noise = torch.randn(len(rows), LATENT_DIM, generator=draws)
            loss = -model.elbo(images[rows], noise).elbo.mean()
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return model


def describe(model: VAE, images: Tensor, **settings) -> dict:
    """Return the settings of a run with the rates of its latent variables, largest first."""
    found = rates(model, images).sort(descending=True).values
    with torch.no_grad():
        active = (model.encode(images)[0].var(0) > 0.01).sum()
    return settings | {
        "final_variance": round(model.likelihood.scale.item() ** 2, 4),
        "active": int(active),
        "rates": [round(rate, 4) for rate in found.tolist()],
    }


def main() -> None:
    images = prepare_pixels(load_mnist_sample("train").pixels, "grey")
    plans = [("linear", variance, SEEDS[0], False) for variance in VARIANCES]
    plans += [("network", variance, seed, False) for variance in VARIANCES for seed in SEEDS]
    plans += [("network", VARIANCES[0], SEEDS[0], True)]
    found = []
    for decoder, variance, seed, learned in plans:
        model = train(images, decoder, variance, seed, learned)
        settings = {"decoder": decoder, "variance": variance, "seed": seed, "learned": learned}
        found.append(describe(model, images, **settings))
        print({name: value for name, value in found[-1].items() if name != "rates"}, flush=True)
    record = {
        "runs": found,
        "images": f"{len(images):,} embedded training digits, grey",
        "epochs": EPOCHS,
        "command": COMMAND,
        "machine": machine(),
    }
    write_atomically(RECORD, (json.dumps(record, indent=1) + "\n").encode())


if __name__ == "__main__":
    main()
