"""Measuring a trained model: ELBO, its two terms and log p(x), each with its error."""

import math
from collections import defaultdict
from dataclasses import asdict, dataclass
from typing import NamedTuple, get_args

import torch
from torch import Tensor
from tqdm import tqdm

from vae_teach.data import Pixels
from vae_teach.divergences import kl_standard_normal
from vae_teach.estimators import normal_noise, reparameterize
from vae_teach.likelihoods import BernoulliLikelihood
from vae_teach.model import VAE

__all__ = ["Estimate", "Evaluation", "bernoulli_floor", "constant_pixel_log_likelihood", "evaluate"]

_ELBO_SAMPLES = 10
_ACTIVE_VARIANCE = 0.01
GROUP = 100  # images
DRAWS = 10  # of z for each of them at once


class Estimate(NamedTuple):
    """A mean over images in nats per image, and its standard error over those images."""

    value: float
    standard_error: float


@dataclass(frozen=True)
class Evaluation:
    """What ``evaluate`` measured, in nats per image.

    The ELBO and the log-likelihood carry the sign of a log-probability.
    """

    pixels: str
    num_images: int
    elbo: Estimate
    log_p_x_given_z: Estimate
    kl: Estimate
    log_likelihood: Estimate | None
    num_importance_samples: int | None
    active_units: int

    def as_dict(self) -> dict:
        """Return the same as JSON can hold it.

        Each estimate is ``{"value": ..., "standard_error": ...}``.
        """
        estimates = {
            name: value._asdict()
            for name, value in vars(self).items()
            if isinstance(value, Estimate)
        }
        return asdict(self) | estimates


def mean_with_error(values: Tensor) -> Estimate:
    """Return the mean of ``(N,)`` values and its standard error.

    The error is the sample standard deviation over sqrt(N).
    """
    values = values.double()
    return Estimate(values.mean().item(), (values.std() / len(values) ** 0.5).item())


def evaluate(
    model: VAE,
    images: Tensor,
    num_importance_samples: int,
    generator: torch.Generator,
    *,
    pixels: Pixels,
    progress: bool = False,
) -> Evaluation:
    """Evaluate on prepared images ``(N, D_x)``, floating, in [0, 1], N at least 2.

    The ELBO averages 10 draws of z for each image, with the KL in closed form. The
    log-likelihood is ``log 1/K sum_k w_k`` with K = ``num_importance_samples`` draws
    from q(z given x); it is a lower bound on average, and is None for coins that are given
    greys, where it would mean nothing. ``pixels`` says what the images are. Standard errors
    are over the images given: they say how well these determine the mean over all such
    images, not how much training runs differ. The noise of the ELBO does not depend on K,
    and more draws begin with those that fewer would have had; memory does not grow with K.

    Raises ``ValueError`` for fewer images or draws than that, for pixels outside [0, 1] and
    for images that are not what ``pixels`` says.
    """
    if num_importance_samples < 1:
        raise ValueError(
            f"num_importance_samples must be at least 1, but is {num_importance_samples}."
        )
    check_images(images, pixels)
    is_likelihood = is_bits(images) or not isinstance(model.likelihood, BernoulliLikelihood)
    was_training = model.training
    model.eval()
    try:
        table = measure(
            model, images, num_importance_samples if is_likelihood else 0, generator, progress
        )
    finally:
        model.train(was_training)
    return Evaluation(
        pixels=pixels,
        num_images=len(images),
        elbo=mean_with_error(table["log_p_x_given_z"] - table["kl"]),
        log_p_x_given_z=mean_with_error(table["log_p_x_given_z"]),
        kl=mean_with_error(table["kl"]),
        log_likelihood=mean_with_error(table["log_likelihood"]) if is_likelihood else None,
        num_importance_samples=num_importance_samples if is_likelihood else None,
        active_units=int((table["mu"].var(0) > _ACTIVE_VARIANCE).sum()),
    )


def check_images(images: Tensor, pixels: str) -> None:
    """Raise ``ValueError`` when the images cannot be evaluated as the pixels named."""
    if pixels not in get_args(Pixels):
        raise ValueError(
            f"There are no pixels {pixels!r}; choose one of {', '.join(get_args(Pixels))}."
        )
    if len(images) < 2:
        raise ValueError(f"A standard error takes at least 2 images, but there are {len(images)}.")
    low, high = images.min().item(), images.max().item()
    if not 0 <= low <= high <= 1:
        raise ValueError(
            f"Pixels must lie in [0, 1], but these go from {low:.4g} to {high:.4g}. "
            "The usual causes are bytes that were not divided by 255, and a Normalize "
            "transform that subtracts the mean."
        )
    if pixels != "grey" and not is_bits(images):
        raise ValueError(
            f"{pixels} pixels are all 0 or 1, but these images hold greys. "
            "Prepare them with vae_teach.data.prepare_pixels, or say pixels='grey'."
        )


def is_bits(images: Tensor) -> bool:
    """Say whether every pixel is 0 or 1."""
    return bool(((images == 0) | (images == 1)).all())


@torch.no_grad()
def measure(
    model: VAE, images: Tensor, num_weights: int, generator: torch.Generator, progress: bool
) -> dict[str, Tensor]:
    """Return for each image E log p(x given z), the KL, the mean of q, and log p(x) if wanted.

    Each group of images has two generators of its own, one for the ELBO and one for the
    importance weights.
    """
    device = next(model.parameters()).device
    columns: dict[str, list[Tensor]] = defaultdict(list)
    groups = images.split(GROUP)
    seeds = torch.randint(2**62, (len(groups), 2), generator=generator).tolist()
    with tqdm(total=len(images), desc="evaluate", disable=None if progress else True) as bar:
        for x, (elbo_seed, weight_seed) in zip(groups, seeds, strict=True):
            x = x.to(device)
            mu, logvar = model.encode(x)
            noise = torch.Generator().manual_seed(elbo_seed)
            z = reparameterize(mu, logvar, normal_noise((_ELBO_SAMPLES, *mu.shape), mu, noise))
            log_p_x_given_z = model.likelihood.log_prob(x, model.decode(z))
            columns["log_p_x_given_z"].append(log_p_x_given_z.mean(0))
            columns["kl"].append(kl_standard_normal(mu, logvar))
            columns["mu"].append(mu)
            if num_weights:
                noise = torch.Generator().manual_seed(weight_seed)
                columns["log_likelihood"].append(log_likelihood(model, x, num_weights, noise))
            bar.update(len(x))
            if num_weights:
                bar.set_postfix_str(f"log p(x) {torch.cat(columns['log_likelihood']).mean():.2f}")
    return {name: torch.cat(parts) for name, parts in columns.items()}


def log_likelihood(
    model: VAE, x: Tensor, num_importance_samples: int, generator: torch.Generator
) -> Tensor:
    """Return ``log 1/K sum_k w_k`` of each image, ``(B, D_x)`` to ``(B,)``, nats.

    The K weights are added up a few at a time.
    """
    latent_dim = model.encode(x)[0].shape[-1]
    total = torch.full(x.shape[:1], -math.inf, dtype=torch.float64, device=x.device)
    for done in range(0, num_importance_samples, DRAWS):
        draws = min(DRAWS, num_importance_samples - done)
        eps = normal_noise((draws, len(x), latent_dim), x, generator)
        log_w = model.log_weights(x, eps).double()
        total = torch.logaddexp(total, torch.logsumexp(log_w, 0))
    return total - math.log(num_importance_samples)


def bernoulli_floor(images: Tensor) -> float:
    """Return the lowest binary cross-entropy that any decoder can reach on grey images.

    A decoder that names each grey exactly reaches it: the entropy of bits drawn with the
    greys as probabilities. ``(N, D_x)``, in [0, 1]. Nats per image, at least 0, and 0 only
    for bits.

    Book: def-grey-floor.
    """
    x = images.double()
    return -(torch.xlogy(x, x) + torch.xlogy(1 - x, 1 - x)).sum(-1).mean().item()


def constant_pixel_log_likelihood(train_images: Tensor, images: Tensor) -> float:
    """Return the mean log-probability of ``images`` under independent pixels.

    A pixel's probability is its mean in training, but at least that of half a lit image in N
    (and as far from 1), so that a stray lit pixel costs a finite amount. Shapes ``(N, D_x)``
    and ``(M, D_x)``, in [0, 1]. Nats per image.
    """
    n = len(train_images)
    p = train_images.double().mean(0).clamp(0.5 / n, 1 - 0.5 / n)
    x = images.double()
    return (x * p.log() + (1 - x) * (1 - p).log()).sum(-1).mean().item()
