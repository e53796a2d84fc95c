"""Settle "an autoencoder with a Gaussian fitted to its codes does as well as a VAE".

    python tools/record_autoencoders.py        about an hour on one core

Needs the full MNIST. The autoencoders are the VAEs of ``record_runs.py`` without noise and without
KL: same networks, same seeds, same budget. Training happens in ``_runs/``, where a finished run is
kept; the book reads ``book/runs/autoencoder-2``, ``autoencoder-20`` and ``autoencoders.json``.
"""

import json
import math
import shutil
from pathlib import Path

import torch
from record_runs import FIRST_RECIPE, ROOT, WORK, machine
from torch import Tensor, nn
from torch.nn.functional import cross_entropy, softplus

from vae_teach import training
from vae_teach.config import TrainConfig
from vae_teach.data import load_mnist, prepare_pixels
from vae_teach.distributions import standard_normal_log_prob
from vae_teach.model import VAE, ELBOTerms
from vae_teach.runs import (
    CONFIG_FILE,
    HISTORY_FILE,
    MODEL_FILE,
    Run,
    load_model,
    write_atomically,
)

BOOK = ROOT / "book" / "runs"
COMMAND = "python tools/record_autoencoders.py"
SEEDS = (0, 1)
NUM_EXACT = 1_000  # test digits whose log p(x) is summed over the grid
NUM_SAMPLES = 10_000
SURE = 0.99  # the judge is sure of a digit to which it gives this probability


class Autoencoder(VAE):
    """The networks of a VAE with the code at mu: no noise, no KL."""

    def elbo(self, x: Tensor, eps: Tensor) -> ELBOTerms:
        """Return log p(x given z = mu) in the ELBO's place; eps is drawn and not used."""
        mu, _ = self.encode(x)
        log_p = self.likelihood.log_prob(x, self.decode(mu))
        return ELBOTerms(log_p, log_p, torch.zeros_like(log_p))


def folder(kind: str, dim: int, seed: int) -> Path:
    """Return where a trained model lies: the first seed's in the book."""
    name = f"{kind}-{dim}"
    return BOOK / name if seed == SEEDS[0] else WORK / f"{name}-seed{seed}"


def train(kind: str, dim: int, seed: int) -> None:
    """Train one model, unless that was done; keep the first seed's autoencoder in the book."""
    config = TrainConfig(latent_dim=dim, seed=seed, **FIRST_RECIPE)
    book = BOOK / f"{kind}-{dim}"
    work = WORK / f"{kind}-{dim}-seed{seed}"
    if not work.exists():
        run = Run.start(config)
        if kind == "autoencoder":
            vae = run.model
            model = Autoencoder(vae.encoder, vae.decoder, vae.likelihood)
            run = Run(config, model, run.optimizer, run.generator, [])
        training.run_epochs(run, *training.load_images(config, None), work)
    if kind == "autoencoder" and seed == SEEDS[0]:
        book.mkdir(parents=True, exist_ok=True)
        for file in (MODEL_FILE, CONFIG_FILE, HISTORY_FILE):
            shutil.copyfile(work / file, book / file)
        write_atomically(book / "command.txt", f"{COMMAND}\n".encode())


def fit_gaussian(codes: Tensor) -> tuple[Tensor, Tensor]:
    """Return the mean and the covariance of codes ``(N, D)``, in float64."""
    return codes.double().mean(0), codes.double().T.cov()


def draw(mean: Tensor, covariance: Tensor, n: int, generator: torch.Generator) -> Tensor:
    """Draw n codes from a Gaussian, ``(n, D)`` float64."""
    noise = torch.randn(n, len(mean), generator=generator, dtype=torch.float64)
    return mean + noise @ torch.linalg.cholesky(covariance).T


def log_evidence(
    vae: VAE, mean: Tensor, covariance: Tensor, bits: Tensor, points: int = 961
) -> Tensor:
    """Return log p(x) of bits ``(N, 784)`` when z is N(mean, covariance) in two dimensions.

    With z = mean + L u and u from N(0, I) this is a sum over a grid of u, 6 deviations each way.
    ``GridModel`` gives the same; it keeps p(x given z) of all points, for which a grid this fine is
    too large.
    """
    axis = torch.linspace(-6, 6, points, dtype=torch.float64)
    root = torch.linalg.cholesky(covariance)
    total = torch.full((len(bits),), -torch.inf, dtype=torch.float64)
    for u in torch.cartesian_prod(axis, axis).split(5_000):
        logits = vae.decode((mean + u @ root.T).float())
        log_p_x_given_z = (bits @ logits.T - softplus(logits).sum(-1)).double()
        log_joint = log_p_x_given_z + standard_normal_log_prob(u)
        total = torch.logaddexp(total, torch.logsumexp(log_joint, -1))
    return total + 2 * math.log(axis[1] - axis[0])


def make_judge() -> nn.Sequential:
    """Return a small convolutional classifier; all but its last layer give the features."""
    return nn.Sequential(
        nn.Unflatten(1, (1, 28, 28)),
        nn.Conv2d(1, 16, 5, stride=2),
        nn.ReLU(),
        nn.Conv2d(16, 32, 5, stride=2),
        nn.ReLU(),
        nn.Flatten(),
        nn.Linear(512, 64),
        nn.ReLU(),
        nn.Linear(64, 10),
    )


def train_judge(images: Tensor, labels: Tensor, epochs: int = 5) -> nn.Sequential:
    torch.manual_seed(SEEDS[0])
    judge = make_judge()
    optimizer = torch.optim.Adam(judge.parameters(), lr=1e-3)
    for _ in range(epochs):
        for rows in torch.randperm(len(images)).split(128):
            loss = cross_entropy(judge(images[rows]), labels[rows].long())
            optimizer.zero_grad()
            loss.backward()
            optimizer.step()
    return judge


def frechet(first: Tensor, second: Tensor) -> float:
    """Return the Frechet distance of Gaussians fitted to two sets of features ``(N, F)``.

    ``|m - n|^2 + tr(A + B - 2 (A B)^(1/2))``; the root's trace is the sum of the roots of the
    eigenvalues of A B, which are at least 0. Source: Heusel et al. (2017), equation 6.
    """
    (m, a), (n, b) = fit_gaussian(first), fit_gaussian(second)
    roots = torch.linalg.eigvals(a @ b).real.clamp(min=0).sqrt().sum()
    return ((m - n).square().sum() + a.trace() + b.trace() - 2 * roots).item()


def judged(judge: nn.Sequential, images: Tensor, real: Tensor) -> dict[str, float]:
    """Return how far images are from real ones in the judge's features, and how often it is sure."""
    features, real = judge[:-1](images), judge[:-1](real)
    largest = judge[-1](features).softmax(-1).amax(-1)
    return {
        "frechet": frechet(features, real),
        "sure": (largest > SURE).double().mean().item(),
    }


def codes_of(vae: VAE, images: Tensor, generator: torch.Generator | None = None) -> Tensor:
    """Return the codes of images: their means, or with a generator draws from their clouds."""
    mu, logvar = vae.encode(images)
    if generator is None:
        return mu
    return mu + torch.exp(logvar / 2) * torch.randn(mu.shape, generator=generator)


@torch.no_grad()
def measure(seed: int) -> dict:
    """Compare the models of one seed; bits, samples and judge are the same for all."""
    generator = torch.Generator().manual_seed(SEEDS[0])
    digits = {split: load_mnist(split) for split in ("train", "validation", "test")}
    grey = {split: prepare_pixels(found.pixels, "grey") for split, found in digits.items()}
    pixels = digits["test"].pixels[:NUM_EXACT]
    bits = prepare_pixels(pixels, "dynamic", generator)
    with torch.enable_grad():
        judge = train_judge(grey["train"], digits["train"].labels)
    right = judge(grey["test"]).argmax(-1) == digits["test"].labels
    found: dict = {
        "judge_accuracy": right.double().mean().item(),
        "real": judged(judge, grey["validation"], grey["test"]),
    }
    for dim in (2, 20):
        prior = torch.zeros(dim).double(), torch.eye(dim).double()
        vae, autoencoder = (load_model(folder(k, dim, seed))[0] for k in ("dense", "autoencoder"))
        pairs = {
            "autoencoder, fitted Gaussian": (
                autoencoder,
                fit_gaussian(codes_of(autoencoder, grey["train"])),
            ),
            "VAE, prior": (vae, prior),
            "VAE, fitted Gaussian": (vae, fit_gaussian(codes_of(vae, grey["train"], generator))),
        }
        for name, (model, gaussian) in pairs.items():
            images = draw(*gaussian, NUM_SAMPLES, generator).float()
            entry = judged(judge, model.likelihood.mean(model.decode(images)), grey["test"])
            if dim == 2:
                log_p = log_evidence(model, *gaussian, bits)
                coarse = log_evidence(model, *gaussian, bits, points=481)
                entry["neg_log_p"] = -log_p.mean().item()
                entry["standard_error"] = (log_p.std() / math.sqrt(len(log_p))).item()
                entry["more_on_a_grid_half_as_fine"] = (log_p - coarse).mean().item()
            found.setdefault(f"{dim} latents", {})[name] = entry
            print(f"{dim} latents, {name}: {entry}", flush=True)
    return found


def main() -> None:
    for seed in SEEDS:
        for dim in (2, 20):
            train("autoencoder", dim, seed)
            if seed != SEEDS[0]:
                train("dense", dim, seed)
    first, second = (measure(seed) for seed in SEEDS)
    record = first | {
        f"seed {SEEDS[1]}": {name: second[name] for name in ("2 latents", "20 latents")},
        "data": "MNIST test images",
        "pixels": {"training": "grey", "samples": "grey means", "neg_log_p": "dynamic"},
        "epochs": TrainConfig().epochs,
        "seed": SEEDS[0],
        "num_samples": NUM_SAMPLES,
        "num_images_of_neg_log_p": NUM_EXACT,
        "sure_above": SURE,
        "command": COMMAND,
        "machine": machine(),
    }
    write_atomically(BOOK / "autoencoders.json", (json.dumps(record, indent=2) + "\n").encode())


if __name__ == "__main__":
    main()
