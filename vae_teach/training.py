"""Training a VAE: plain PyTorch, one generator for all randomness, checkpoints."""

import csv
import io
import json
import time
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from vae_teach import checkpoint
from vae_teach.config import TrainConfig, build_model
from vae_teach.data import binarize, load_mnist, load_mnist_sample, prepare_pixels
from vae_teach.estimators import normal_noise
from vae_teach.model import VAE, ELBOTerms

__all__ = ["CHECKPOINT_FILE", "HISTORY_FILE", "TrainedRun", "resume", "train", "train_epoch"]

CHECKPOINT_FILE = "checkpoint.safetensors"
HISTORY_FILE = "history.csv"
TERMS = ELBOTerms._fields
VALIDATION_BATCH = 1_000


class TrainedRun(NamedTuple):
    """A trained model and its history.

    The history has for each epoch a dict of nats per image on train and validation.
    """

    model: VAE
    history: list[dict]


def train(
    config: TrainConfig, out: str | Path | None = None, root: str | Path | None = None
) -> TrainedRun:
    """Train a VAE from scratch.

    With ``out``, weights, settings and history are kept there after every
    epoch. ``root`` is a folder with the MNIST files (see ``data.load_mnist``).
    Raises ``FileExistsError`` when ``out`` already holds a run,
    ``FloatingPointError`` when a term of the ELBO stops being finite.
    """
    if out is not None and any(
        (Path(out) / name).exists() for name in (CHECKPOINT_FILE, checkpoint.MODEL_FILE)
    ):
        raise FileExistsError(
            f"{out} already holds a run. Go on with it (python -m vae_teach resume {out}), or choose another folder."
        )
    check_device(config)
    generator = torch.Generator().manual_seed(config.seed)
    model = build_model(config, generator).to(config.device)
    optimizer = make_optimizer(model, config)
    return run_epochs(config, model, optimizer, generator, [], out, root)


def resume(
    out: str | Path, root: str | Path | None = None, progress: bool | None = None
) -> TrainedRun:
    """Go on with the run in ``out`` after its last finished epoch.

    Every setting is the one it was started with, and the result the one an
    uninterrupted run would have given, bit for bit on the same machine with the
    same number of threads. ``progress`` overrides only whether progress is
    shown.
    """
    tensors, metadata = checkpoint.load(Path(out) / CHECKPOINT_FILE)
    settings = metadata["config"] | ({} if progress is None else {"progress": progress})
    config = TrainConfig.from_dict(settings)
    check_device(config)
    generator = torch.Generator()
    generator.set_state(tensors["generator"])
    model = build_model(config).to(config.device)
    prefix = "model."
    model.load_state_dict(
        {k.removeprefix(prefix): v for k, v in tensors.items() if k.startswith(prefix)}
    )
    optimizer = make_optimizer(model, config)
    checkpoint.restore_optimizer(optimizer, tensors)
    return run_epochs(config, model, optimizer, generator, metadata["history"], out, root)


def check_device(config: TrainConfig) -> None:
    """Raise ``ValueError`` when the configured device does not exist here."""
    try:
        torch.empty(0, device=config.device)
    except (RuntimeError, AssertionError) as error:
        raise ValueError(
            f"PyTorch cannot use the device {config.device!r} on this machine: {error}"
        ) from error


def make_optimizer(model: VAE, config: TrainConfig) -> torch.optim.Optimizer:
    """Return Adam over all parameters, encoder's and decoder's alike."""
    return torch.optim.Adam(model.parameters(), lr=config.learning_rate, fused=True)


def run_epochs(
    config: TrainConfig,
    model: VAE,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    history: list[dict],
    out: str | Path | None,
    root: str | Path | None,
) -> TrainedRun:
    """Train for the epochs that ``history`` does not hold yet."""
    images, validation = load_images(config, root)
    if out is not None:
        Path(out).mkdir(parents=True, exist_ok=True)
    for epoch in range(len(history), config.epochs):
        start = time.perf_counter()
        train_terms = train_epoch(config, model, optimizer, generator, images, epoch)
        validation_terms = validate(config, model, generator, validation)
        stop_if_not_finite(
            ELBOTerms(*torch.tensor(validation_terms)), f"epoch {epoch + 1}, validation"
        )
        row = {"epoch": epoch + 1}
        row |= {f"train_{name}": value for name, value in zip(TERMS, train_terms, strict=True)}
        row |= {
            f"validation_{name}": value for name, value in zip(TERMS, validation_terms, strict=True)
        }
        row["seconds"] = round(time.perf_counter() - start, 2)
        history = [*history, row]
        if out is not None:
            save_run(Path(out), config, model, optimizer, generator, history)
        if config.progress:
            print(describe(row, config.epochs), flush=True)
    return TrainedRun(model, history)


def load_images(config: TrainConfig, root: str | Path | None) -> tuple[Tensor, Tensor]:
    """Load training and validation images as prepared pixels on the run's device.

    Dynamic pixels stay grey here: their bits are drawn in every batch.
    """
    if config.data == "sample":
        train_digits, validation_digits = load_mnist_sample("train"), load_mnist_sample("test")
    else:
        train_digits, validation_digits = load_mnist("train", root), load_mnist("validation", root)
    pixels = "grey" if config.pixels == "dynamic" else config.pixels
    images = prepare_pixels(train_digits.pixels, pixels)
    validation = prepare_pixels(validation_digits.pixels, pixels)
    if config.train_on_all:
        images = torch.cat([validation, images])
    return images.to(config.device), validation.to(config.device)


def train_epoch(
    config: TrainConfig,
    model: VAE,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    images: Tensor,
    epoch: int,
) -> list[float]:
    """Train on all images once, in a fresh random order.

    Returns the mean of each ELBO term, nats per image.
    """
    model.train()
    batches = torch.randperm(len(images), generator=generator).split(config.batch_size)
    totals = torch.zeros(len(TERMS), dtype=torch.float64)
    bar = tqdm(
        batches,
        desc=f"epoch {epoch + 1}/{config.epochs}",
        leave=False,
        disable=None if config.progress else True,
    )
    for step, rows in enumerate(bar):
        done = (epoch * len(batches) + step) / (config.epochs * len(batches))
        for group in optimizer.param_groups:
            group["lr"] = config.learning_rate * (1 - done)
        terms = elbo_of_batch(config, model, images[rows.to(images.device)], generator)
        stop_if_not_finite(terms, f"epoch {epoch + 1}, step {step + 1}")
        loss = -terms.elbo.mean()
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        totals += torch.stack([term.detach().double().sum() for term in terms]).cpu()
    return (totals / len(images)).tolist()


@torch.no_grad()
def validate(
    config: TrainConfig, model: VAE, generator: torch.Generator, images: Tensor
) -> list[float]:
    """Return the mean of each ELBO term over the images, nats per image.

    Each image gets one sample of z.
    """
    model.eval()
    batches = [elbo_of_batch(config, model, x, generator) for x in images.split(VALIDATION_BATCH)]
    return [torch.cat(column).double().mean().item() for column in zip(*batches, strict=True)]


def elbo_of_batch(
    config: TrainConfig, model: VAE, x: Tensor, generator: torch.Generator
) -> ELBOTerms:
    """Take the ELBO of a batch, with fresh bits for dynamic pixels and fresh noise.

    Both are drawn on the CPU.
    """
    if config.pixels == "dynamic":
        x = binarize(x.cpu(), generator).to(x.device)
    eps = normal_noise((len(x), config.latent_dim), x, generator)
    with torch.autocast(x.device.type, torch.bfloat16, enabled=config.precision == "bfloat16"):
        return model.elbo(x, eps)


def stop_if_not_finite(terms: ELBOTerms, where: str) -> None:
    """Raise ``FloatingPointError`` when a term of the ELBO is not finite.

    It names the place (epoch and step) and the term.
    """
    if torch.isfinite(terms.elbo).all():
        return
    term = "kl" if not torch.isfinite(terms.kl).all() else "log_p_x_given_z"
    raise FloatingPointError(
        f"Training stopped at {where}: {term} is not finite. "
        "The usual causes are a learning rate that is too high and pixels outside [0, 1]. "
        "Finished epochs are kept."
    )


def save_run(
    out: Path,
    config: TrainConfig,
    model: VAE,
    optimizer: torch.optim.Optimizer,
    generator: torch.Generator,
    history: list[dict],
) -> None:
    """Keep one finished epoch.

    The checkpoint holds all that ``resume`` needs; the other files are for
    readers. It comes last: after an interruption in between, ``resume`` repeats
    the epoch and writes all four.
    """
    weights = model.state_dict()
    settings = config.as_dict()
    checkpoint.write_atomically(
        out / checkpoint.CONFIG_FILE, (json.dumps(settings, indent=2) + "\n").encode()
    )
    checkpoint.write_atomically(out / HISTORY_FILE, history_csv(history).encode())
    checkpoint.save(
        out / checkpoint.MODEL_FILE, weights, {"config": settings, "epoch": len(history)}
    )
    state = {
        f"model.{name}": value for name, value in weights.items()
    } | checkpoint.optimizer_tensors(optimizer)
    checkpoint.save(
        out / CHECKPOINT_FILE,
        state | {"generator": generator.get_state()},
        {"config": settings, "history": history},
    )


def history_csv(history: list[dict]) -> str:
    """Return the history as CSV text: one row per epoch.

    Nats per image with four decimals.
    """
    text = io.StringIO()
    writer = csv.DictWriter(text, history[0].keys(), lineterminator="\n")
    writer.writeheader()
    for row in history:
        writer.writerow(
            {
                k: f"{v:.4f}" if isinstance(v, float) and k != "seconds" else v
                for k, v in row.items()
            }
        )
    return text.getvalue()


def describe(row: dict, epochs: int) -> str:
    """Describe one epoch in one line.

    ELBO = log p(x given z) - KL, nats per image, on train and validation.
    """
    parts = [f"epoch {row['epoch']:>{len(str(epochs))}}/{epochs}"]
    for split in ("train", "validation"):
        elbo, log_p_x_given_z, kl = (row[f"{split}_{name}"] for name in TERMS)
        parts.append(f"{split} elbo {elbo:8.2f} = {log_p_x_given_z:8.2f} - {kl:5.2f}")
    return "  |  ".join(parts) + f"  nats per image  ({row['seconds']:.1f} s)"
