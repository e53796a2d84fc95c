"""Film a training: what the decoder makes of the same 20 codes, from no step to the last.

    python tools/record_film.py        about six minutes on one core

Needs the full MNIST. The run is ``dense-20`` once more. Its last row resembles what the recorded
weights give; a hundred epochs magnify what another machine rounds otherwise. Writes to
``book/runs/film/``: ``film.png``, a row of 20 decoded codes for each moment, and ``film.json``:
the moments, the settings and the command.
"""

import io
import json

import numpy as np
import torch
from PIL import Image
from record_runs import FIRST_RECIPE, ROOT, machine
from torch import Tensor

from vae_teach import training
from vae_teach.config import TrainConfig
from vae_teach.model import VAE
from vae_teach.runs import Run, write_atomically

FOLDER = ROOT / "book" / "runs" / "film"
COMMAND = "python tools/record_film.py"
NUM_CODES = 20
STEPS = (0, 10, 30, 100, 300)
EPOCHS = (1, 3, 10, 30, 100)


def codes(latent_dim: int) -> Tensor:
    """Draw the codes of the film from the prior, ``(20, latent_dim)``."""
    return torch.randn(NUM_CODES, latent_dim, generator=torch.Generator().manual_seed(0))


@torch.no_grad()
def frame(model: VAE) -> Tensor:
    """Decode the codes into one row of bytes, ``(28, 20 * 28)``."""
    z = codes(model.decoder.latent_dim)
    means = model.likelihood.mean(model.decode(z))
    row = means.reshape(NUM_CODES, 28, 28).permute(1, 0, 2).reshape(28, -1)
    return (255 * row).round().byte()


def film(
    run: Run, images: Tensor, validation: Tensor, steps: tuple[int, ...], epochs: tuple[int, ...]
) -> dict[str, tuple[Tensor, float]]:
    """Train a fresh run up to the last of ``epochs``.

    Returns for each moment its frame and the loss on the validation images, nats per image.
    """
    found: dict[str, tuple[Tensor, float]] = {}
    done = 0

    def keep(moment: str) -> None:
        found[moment] = frame(run.model), loss_of(run, validation)

    def count(*_) -> None:
        nonlocal done
        done += 1
        if done in steps:
            keep(f"{done} steps")

    if 0 in steps:
        keep("0 steps")
    hook = run.optimizer.register_step_post_hook(count)
    for epoch in range(epochs[-1]):
        training.train_epoch(run, images, epoch)
        training.validate(run, validation)  # as ``train`` does, so that the noise is the same
        if epoch + 1 in epochs:
            keep(f"{epoch + 1} epochs" if epoch else "1 epoch")
    hook.remove()
    return found


@torch.no_grad()
def loss_of(run: Run, images: Tensor) -> float:
    """Return the mean of -ELBO with noise of its own, so that the run goes on undisturbed."""
    noise = torch.randn(
        len(images), run.config.latent_dim, generator=torch.Generator().manual_seed(0)
    )
    return -run.model.elbo(images, noise).elbo.mean().item()


def main() -> None:
    config = TrainConfig(**FIRST_RECIPE, progress=False)
    run = Run.start(config)
    images, validation = training.load_images(config, None)
    found = film(run, images, validation, STEPS, EPOCHS)
    picture = io.BytesIO()
    rows = torch.cat([row for row, _ in found.values()])
    Image.fromarray(np.asarray(rows), "L").save(picture, "PNG", optimize=True)
    record = {
        "moments": list(found),
        "neg_elbo": [round(loss, 2) for _, loss in found.values()],
        "pixels": config.pixels,
        "config": config.as_dict(),
        "command": COMMAND,
        "machine": machine(),
    }
    FOLDER.mkdir(parents=True, exist_ok=True)
    write_atomically(FOLDER / "film.png", picture.getvalue())
    write_atomically(FOLDER / "film.json", (json.dumps(record, indent=2) + "\n").encode())


if __name__ == "__main__":
    main()
