"""Train the same network with different weights of the KL: rate, distortion and what they buy.

    python tools/record_rate_distortion.py        about twenty minutes on one core

Needs the full MNIST. Each run has the recipe of ``SECOND_OPTIONS`` and another ``--beta``; two are
repeated with a second seed and with KL annealing (``--warm-up``). Training happens in ``_runs/``,
where an interrupted run is resumed. The recorded run ``conv-64`` judges what they draw. The book
reads ``book/runs/rate_distortion.json`` and, beside it, ``rate_distortion.png``: for each beta a
row of eight decoded draws from the prior and eight reconstructions.
"""

import io
import json

import numpy as np
import torch
from PIL import Image
from record_runs import ROOT, SECOND_OPTIONS, WORK, machine, vae_teach
from torch import Tensor

from vae_teach.data import load_mnist, load_mnist_sample, prepare_pixels
from vae_teach.divergences import kl_standard_normal
from vae_teach.evaluation import evaluate
from vae_teach.model import VAE
from vae_teach.runs import CHECKPOINT_FILE, Run, load_model, write_atomically

RECORD = ROOT / "book" / "runs" / "rate_distortion.json"
COMMAND = "python tools/record_rate_distortion.py"
EPOCHS = 20
BETAS = (0.1, 0.25, 0.5, 1.0, 2.0, 4.0, 8.0, 16.0, 64.0)
WARM_UP = 0.5  # of the run
# beta, warm-up, seed: with annealing and without, twice each
ANNEALING = tuple(
    (beta, warm_up, seed) for beta in (1.0, 4.0) for warm_up in (0.0, WARM_UP) for seed in (0, 1)
)
NUM_PICTURES = 8
JUDGE = "conv-64"
NUM_JUDGED = 1_000


def train_arguments(beta: float, warm_up: float, seed: int, out: str) -> list[str]:
    """Return the command of one run, less ``python -m vae_teach``."""
    options = ["train", *SECOND_OPTIONS.split(), "--epochs", f"{EPOCHS}"]
    options += ["--beta", f"{beta:g}", "--seed", f"{seed}"]
    return [*options, *(["--warm-up", f"{warm_up:g}"] if warm_up else []), "--out", out]


def trained(beta: float, warm_up: float = 0.0, seed: int = 0) -> VAE:
    """Train one model, unless that was done, and return it."""
    out = WORK / f"beta-{beta:g}-warm-up-{warm_up:g}-seed{seed}"
    if not (out / CHECKPOINT_FILE).exists():
        vae_teach(*train_arguments(beta, warm_up, seed, str(out)))
    elif len(Run.load(out).history) < EPOCHS:
        vae_teach("resume", str(out))
    return load_model(out)[0]


def cost(judge: VAE, pictures: Tensor) -> Tensor:
    """Return what the judge needs for grey pictures above their floor, ``(N, 784)`` to ``(N,)``.

    Its -ELBO less the entropy of bits drawn with the greys as probabilities. Nats, at
    least 0.
    """
    latent_dim = judge.decoder.latent_dim
    noise = torch.randn(len(pictures), latent_dim, generator=torch.Generator().manual_seed(1))
    entropy = torch.special.entr(pictures) + torch.special.entr(1 - pictures)
    return -judge.elbo(pictures, noise).elbo - entropy.sum(-1)


def decoded(model: VAE, z: Tensor) -> Tensor:
    """Return the means of the pixels at codes, ``(N, D)`` to ``(N, 784)``."""
    return model.likelihood.mean(model.decode(z))


@torch.no_grad()
def measure(model: VAE, judge: VAE, images: Tensor) -> dict:
    """Measure rate, distortion and ELBO on grey images ``(N, 784)``, nats per image.

    The rate is the KL averaged over images, ``rate_of_units`` its share of each latent, largest
    first. The distortion is -log p(x given z), averaged over q and over images. The costs are the
    judge's, of decoded draws from the prior and of the first images, decoded at the mean of q.
    """
    found = evaluate(model, images, 1, torch.Generator().manual_seed(0), pixels="grey")
    z = torch.randn(
        NUM_JUDGED, model.decoder.latent_dim, generator=torch.Generator().manual_seed(0)
    )
    mu, logvar = model.encode(images)
    # One latent at a time: the sum over latents then has one term.
    units = kl_standard_normal(mu[..., None], logvar[..., None]).double().mean(0)
    return {
        "rate": round(found.kl.value, 3),
        "distortion": round(-found.log_p_x_given_z.value, 3),
        "elbo": round(found.elbo.value, 3),
        "elbo_standard_error": round(found.elbo.standard_error, 3),
        "active_units": found.active_units,
        "sample_cost": round(cost(judge, decoded(model, z)).mean().item(), 2),
        "reconstruction_cost": round(cost(judge, decoded(model, mu[:NUM_JUDGED])).mean().item(), 2),
        "rate_of_units": [round(share, 4) for share in units.sort(descending=True)[0].tolist()],
    }


@torch.no_grad()
def pictures(model: VAE, images: Tensor) -> Tensor:
    """Return a row of bytes ``(28, 16 * 28)``: eight draws from the prior, eight reconstructions.

    The codes of the draws are the same for all models; a reconstruction decodes the mean of q.
    """
    draws = torch.Generator().manual_seed(0)
    z = torch.randn(NUM_PICTURES, model.decoder.latent_dim, generator=draws)
    mu, _ = model.encode(images[:NUM_PICTURES])
    row = decoded(model, torch.cat([z, mu])).reshape(-1, 28, 28).permute(1, 0, 2).reshape(28, -1)
    return (255 * row).round().byte()


def main() -> None:
    test = prepare_pixels(load_mnist("test").pixels, "grey")
    shown = prepare_pixels(load_mnist_sample("test").pixels, "grey")
    judge, _ = load_model(ROOT / "book" / "runs" / JUDGE)
    models = {beta: trained(beta) for beta in BETAS}
    curve = [{"beta": beta} | measure(model, judge, test) for beta, model in models.items()]
    rows = torch.cat([pictures(model, shown) for model in models.values()])
    annealing = [
        {"beta": beta, "warm_up": warm_up, "seed": seed}
        | measure(trained(beta, warm_up, seed), judge, test)
        for beta, warm_up, seed in ANNEALING
    ]
    record = {
        "curve": curve,
        "annealing": annealing,
        "epochs": EPOCHS,
        "latent_dim": len(curve[0]["rate_of_units"]),
        "judge": JUDGE,
        "num_judged": NUM_JUDGED,
        "data": f"MNIST, {len(test):,} test images",
        "pixels": "grey",
        "pictures": "eight decoded draws from the prior, the first eight embedded test digits",
        "example": "python -m vae_teach " + " ".join(train_arguments(*ANNEALING[-1], "RUN")),
        "command": COMMAND,
        "machine": machine(),
    }
    picture = io.BytesIO()
    Image.fromarray(np.asarray(rows), "L").save(picture, "PNG", optimize=True)
    write_atomically(RECORD.with_suffix(".png"), picture.getvalue())
    write_atomically(RECORD, (json.dumps(record, indent=2) + "\n").encode())


if __name__ == "__main__":
    main()
