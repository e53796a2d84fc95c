"""Measuring a trained model: ELBO, its two terms and log p(x), each with its error."""

from dataclasses import asdict, dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from tqdm import tqdm

from vae_teach import bounds
from vae_teach.estimators import normal_noise
from vae_teach.model import VAE

__all__ = ["Estimate", "Evaluation", "bernoulli_floor", "constant_pixel_log_likelihood", "evaluate"]

_ELBO_SAMPLES = 10
_ACTIVE_VARIANCE = 0.01
ROWS_AT_ONCE = 4_000


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


@torch.no_grad()
def evaluate(
    model: VAE,
    images: Tensor,
    num_importance_samples: int,
    generator: torch.Generator,
    *,
    pixels: str,
    progress: bool = False,
) -> Evaluation:
    """Evaluate on prepared images ``(N, D_x)``, floating, in [0, 1], N at least 2.

    The ELBO averages 10 draws of z for each image, with the KL in closed form. The
    log-likelihood is ``log 1/K sum_k w_k`` with K = ``num_importance_samples`` draws
    from q(z given x); it is a lower bound on average, and is None for grey pixels,
    where it would mean nothing. ``pixels`` says what the images are. Standard errors
    are over the images given: they say how well these determine the mean over all such
    images, not how much training runs differ.
    """
    if num_importance_samples < 1:
        raise ValueError(
            f"num_importance_samples must be at least 1, but is {num_importance_samples}."
        )
    device = next(model.parameters()).device
    wants_likelihood = pixels != "grey"
    samples = max(_ELBO_SAMPLES, num_importance_samples if wants_likelihood else 0)
    columns: dict[str, list[Tensor]] = {
        "log_p_x_given_z": [],
        "kl": [],
        "log_likelihood": [],
        "mu": [],
    }
    for x in tqdm(
        images.split(max(1, ROWS_AT_ONCE // samples)),
        desc="evaluate",
        disable=None if progress else True,
    ):
        x = x.to(device)
        mu, _ = model.encode(x)
        terms = [model.elbo(x, normal_noise(mu.shape, x, generator)) for _ in range(_ELBO_SAMPLES)]
        columns["log_p_x_given_z"].append(
            torch.stack([term.log_p_x_given_z for term in terms]).mean(0)
        )
        columns["kl"].append(terms[0].kl)
        columns["mu"].append(mu)
        if wants_likelihood:
            eps = normal_noise((num_importance_samples, *mu.shape), x, generator)
            columns["log_likelihood"].append(bounds.iwae(model.log_weights(x, eps)))
    table = {name: torch.cat(parts) for name, parts in columns.items() if parts}
    return Evaluation(
        pixels=pixels,
        num_images=len(images),
        elbo=mean_with_error(table["log_p_x_given_z"] - table["kl"]),
        log_p_x_given_z=mean_with_error(table["log_p_x_given_z"]),
        kl=mean_with_error(table["kl"]),
        log_likelihood=mean_with_error(table["log_likelihood"]) if wants_likelihood else None,
        num_importance_samples=num_importance_samples if wants_likelihood else None,
        active_units=int((table["mu"].var(0) > _ACTIVE_VARIANCE).sum()),
    )


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
