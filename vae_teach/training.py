"""Training a VAE: plain PyTorch, one generator for all randomness, a checkpoint each epoch.

Started by ``torchrun``, each process takes its share of every batch. Shuffling and noise are
drawn for the whole batch by all, so that the result does not depend on their number.
"""

import math
import time
import warnings
from pathlib import Path

import torch
from torch import Tensor, distributed
from tqdm import tqdm

from vae_teach.config import TrainConfig
from vae_teach.data import binarize, load_mnist, load_mnist_sample, prepare_pixels
from vae_teach.drawings import load_openmoji
from vae_teach.estimators import normal_noise
from vae_teach.likelihoods import BernoulliLikelihood
from vae_teach.model import VAE, ELBOTerms, IWAETerms
from vae_teach.runs import CHECKPOINT_FILE, MODEL_FILE, Run

__all__ = ["resume", "train", "train_epoch", "validate"]

VALIDATION_ROWS = 1_000
WARM_UP = 0.2  # of a one-cycle run


def train(
    config: TrainConfig, out: str | Path | None = None, root: str | Path | None = None
) -> Run:
    """Train a VAE from scratch.

    With ``out``, the run is kept there after every epoch. ``root`` is a folder with the
    MNIST files (see ``data.load_mnist``). Raises ``FileExistsError`` when ``out`` already
    holds a run, ``FloatingPointError`` when a term of the bound stops being finite.
    """
    if out is not None and process_number() == 0:
        refuse_existing(Path(out))
    warn_if_slow(config)
    run = Run.start(config)
    images, validation = load_images(config, root)
    set_means(run, images)
    return run_epochs(run, images, validation, out)


def resume(out: str | Path, root: str | Path | None = None, progress: bool | None = None) -> Run:
    """Go on with the run in ``out`` after its last finished epoch.

    Every setting is the one it was started with, and the result the one an
    uninterrupted run would have given, bit for bit on the same machine with the
    same number of threads. ``progress`` overrides only whether progress is
    shown.
    """
    run = Run.load(out, progress)
    if process_number() == 0:
        run.save(out)
        if len(run.history) == run.config.epochs and run.config.progress:
            print(f"All {run.config.epochs} epochs are done: nothing was left to train.")
    images, validation = load_images(run.config, root)
    return run_epochs(run, images, validation, out)


def refuse_existing(out: Path) -> None:
    """Raise ``FileExistsError`` when the folder already holds a run."""
    if any((out / name).exists() for name in (CHECKPOINT_FILE, MODEL_FILE)):
        raise FileExistsError(
            f"{out} already holds a run. Go on with it (python -m vae_teach resume {out}), or choose another folder."
        )


def warn_if_slow(config: TrainConfig) -> None:
    """Warn when bfloat16 is asked of a processor that has to imitate it."""
    found = torch.cpu.get_capabilities()
    has_it = any(found.get(name) for name in ("avx512_bf16", "amx_bf16", "bf16"))
    if config.precision == "bfloat16" and config.torch_device().type == "cpu" and not has_it:
        warnings.warn(
            "This processor has no bfloat16 arithmetic and imitates it, many times slower than float32. "
            "Leave precision at float32.",
            stacklevel=3,
        )


def set_means(run: Run, images: Tensor) -> None:
    """Give a fresh run what its settings want of the mean image of ``images (N, D_x)``."""
    if run.config.centre_pixels:
        run.model.encoder.mean.copy_(images.mean(0))
    if run.config.start_from_mean:
        start_from_mean(run.model, images)


def start_from_mean(model: VAE, images: Tensor) -> None:
    """Set the decoder's last bias so that its output starts at the mean image, ``(N, D_x)``.

    A convolution has one bias for each channel, which starts at the mean of that channel.
    """
    bias = model.decoder.layers[-1].bias
    mean = images.mean(0).reshape(len(bias), -1).mean(1)
    if isinstance(model.likelihood, BernoulliLikelihood):
        mean = torch.logit(mean, eps=1e-3)
    with torch.no_grad():
        bias.copy_(mean)


def run_epochs(run: Run, images: Tensor, validation: Tensor, out: str | Path | None) -> Run:
    """Train for the epochs that the run's history does not hold yet."""
    writes = out is not None and process_number() == 0
    if writes:
        Path(out).mkdir(parents=True, exist_ok=True)  # a place that cannot be written is told now
    for epoch in range(len(run.history), run.config.epochs):
        start = time.perf_counter()
        row = {"epoch": epoch + 1}
        row |= {f"train_{name}": value for name, value in train_epoch(run, images, epoch).items()}
        row |= {f"validation_{name}": value for name, value in validate(run, validation).items()}
        row["seconds"] = round(time.perf_counter() - start, 2)
        run.history.append(row)
        if writes:
            run.save(out)
        if run.config.progress and process_number() == 0:
            print(describe(row, run.config.epochs), flush=True)
    return run


def load_images(config: TrainConfig, root: str | Path | None) -> tuple[Tensor, Tensor]:
    """Load training and validation images as prepared pixels on the run's device.

    Dynamic pixels stay grey here: their bits are drawn in every batch.
    """
    if config.data == "sample":
        train_set, validation_set = load_mnist_sample("train"), load_mnist_sample("test")
    elif config.data == "openmoji":
        train_set, validation_set = load_openmoji("train"), load_openmoji("validation")
    else:
        train_set, validation_set = load_mnist("train", root), load_mnist("validation", root)
    pixels = "grey" if config.pixels == "dynamic" else config.pixels
    images = prepare_pixels(train_set.pixels, pixels)
    validation = prepare_pixels(validation_set.pixels, pixels)
    if config.train_on_all:
        images = torch.cat([validation, images])
    device = config.torch_device()
    return images.to(device), validation.to(device)


def train_epoch(run: Run, images: Tensor, epoch: int) -> dict[str, float]:
    """Train on all images once, in a fresh random order.

    Returns the mean of each term of the bound, nats per image.
    """
    run.model.train()
    batches = torch.randperm(len(images), generator=run.generator).split(run.config.batch_size)
    seen = []
    for step, rows in enumerate(progress_bar(run, batches, epoch)):
        done = (epoch * len(batches) + step) / (run.config.epochs * len(batches))
        for group in run.optimizer.param_groups:
            group["lr"] = step_size(run.config, done) * group["step_factor"]
        terms = bound_of_batch(run, images.index_select(0, rows.to(images.device)))
        raised = weigh_kl(terms, kl_weight(run.config, done))
        loss = -raised.sum() / len(rows) * num_processes()  # over which gradients are averaged
        if not math.isfinite(loss.item()):
            stop(terms, f"epoch {epoch + 1}, step {step + 1}")
        run.optimizer.zero_grad()
        loss.backward()
        run.optimizer.step()
        seen.append(torch.stack([term.detach() for term in terms]))
    return means(terms._fields, torch.cat(seen, 1).double().sum(1), len(images))


@torch.no_grad()
def validate(run: Run, images: Tensor) -> dict[str, float]:
    """Return the mean of each term of the bound over the images, nats per image.

    Each image gets as many samples of z as in training.
    """
    run.model.eval()
    totals = 0.0
    for x in images.split(max(1, VALIDATION_ROWS // run.config.num_importance_samples)):
        terms = bound_of_batch(run, x)
        totals += torch.stack([term.double().sum() for term in terms])
    if not totals.isfinite().all():
        stop(terms._make(totals), f"epoch {len(run.history) + 1}, validation")
    return means(terms._fields, totals, len(images))


def bound_of_batch(run: Run, x: Tensor) -> ELBOTerms | IWAETerms:
    """Take the bound of a batch, with fresh bits for dynamic pixels and fresh noise.

    Both are drawn on the CPU, for the whole batch; each process then takes its share.
    """
    if run.config.pixels == "dynamic":
        x = binarize(x.cpu(), run.generator).to(x.device)
    k = run.config.num_importance_samples
    shape = (len(x), run.config.latent_dim) if k == 1 else (k, len(x), run.config.latent_dim)
    eps = normal_noise(shape, x, run.generator)
    share = slice(process_number(), None, num_processes())
    if run.config.precision == "float32":
        return run.objective(x[share], eps[..., share, :])
    with torch.autocast(x.device.type, torch.bfloat16):
        return run.objective(x[share], eps[..., share, :])


def step_size(config: TrainConfig, done: float) -> float:
    """Return the encoder's step size when the share ``done`` of the run, in [0, 1), is over.

    ``linear`` falls in a straight line from the largest step size to zero. ``one-cycle`` rises in
    one to it during the first fifth, and then falls in another.
    """
    if config.schedule == "linear":
        return config.learning_rate * (1 - done)
    return config.learning_rate * min(done / WARM_UP, (1 - done) / (1 - WARM_UP))


def kl_weight(config: TrainConfig, done: float) -> float:
    """Return the weight of the KL when the share ``done`` of the run is over.

    It is ``beta``, to which it rises from 0 in a straight line during the warm-up.
    """
    return config.beta * (done / config.warm_up if done < config.warm_up else 1.0)


def weigh_kl(terms: ELBOTerms | IWAETerms, weight: float) -> Tensor:
    """Return what a step raises for each image: the bound itself when the KL's weight is 1."""
    return terms[0] if weight == 1 else terms.log_p_x_given_z - weight * terms.kl


def stop(terms: ELBOTerms | IWAETerms, where: str) -> None:
    """Raise ``FloatingPointError``, naming the place and the term that is not finite."""
    broken = [name for name, term in terms._asdict().items() if not term.isfinite().all()]
    term = broken[-1] if broken else "their weighted sum"
    raise FloatingPointError(
        f"Training stopped at {where}: {term} is not finite. "
        "The usual causes are a learning rate that is too high and pixels outside [0, 1]. "
        "Finished epochs are kept."
    )


def means(names: tuple[str, ...], totals: Tensor, count: int) -> dict[str, float]:
    """Divide the sums of all processes by the number of images."""
    if distributed.is_initialized():
        distributed.all_reduce(totals)
    return dict(zip(names, (totals / count).tolist(), strict=True))


def num_processes() -> int:
    """Return how many processes train together: 1, unless ``torchrun`` started more."""
    return distributed.get_world_size() if distributed.is_initialized() else 1


def process_number() -> int:
    """Return this process's number. Number 0 alone writes files and shows progress."""
    return distributed.get_rank() if distributed.is_initialized() else 0


def progress_bar(run: Run, batches: tuple[Tensor, ...], epoch: int):
    """Show the batches of an epoch as they pass, on a terminal."""
    return tqdm(
        batches,
        desc=f"epoch {epoch + 1}/{run.config.epochs}",
        leave=False,
        disable=None if run.config.progress and process_number() == 0 else True,
    )


def describe(row: dict, epochs: int) -> str:
    """Describe one epoch in one line: nats per image, on train and validation.

    For the ELBO with its terms, ELBO = log p(x given z) - KL.
    """
    parts = [f"epoch {row['epoch']:>{len(str(epochs))}}/{epochs}"]
    for split in ("train", "validation"):
        if f"{split}_iwae" in row:
            parts.append(f"{split} iwae {row[f'{split}_iwae']:8.2f}")
        else:
            elbo, log_p_x_given_z, kl = (row[f"{split}_{name}"] for name in ELBOTerms._fields)
            parts.append(f"{split} elbo {elbo:8.2f} = {log_p_x_given_z:8.2f} - {kl:5.2f}")
    return "  |  ".join(parts) + f"  nats per image  ({row['seconds']:.1f} s)"
