"""How far a training loss is from the negative ELBO."""


def implied_beta(
    reconstruction: str,
    kl: str,
    *,
    batch_size: int,
    num_pixels: int,
    latent_dim: int,
    reconstruction_weight: float = 1.0,
    kl_weight: float = 1.0,
) -> float:
    """Return the weight of the KL in a loss whose reconstruction term is scaled to weight 1.

    ``beta = kl_weight * n_reconstruction / (reconstruction_weight * n_kl)``

    ``reconstruction`` and ``kl`` say how a program reduces each term: ``"sum"``
    over everything (n = 1), ``"batchmean"``, a sum over pixels or latents and a
    mean over images (n = batch_size), or ``"mean"`` over everything (n =
    batch_size times num_pixels or latent_dim). The result is a positive number
    without unit. For a cross-entropy it is 1 when the loss is proportional to
    the negative ELBO. A squared error ``(x - m)^2`` gives a loss proportional
    to the negative ELBO of Gaussian pixels with variance ``beta / 2``; ``(x -
    m)^2 / 2`` gives variance ``beta``. Raises ``ValueError`` for another
    reduction, and for sizes or weights that are not positive.

    Book: eq-implied-beta. Source: Rybkin, Daniilidis and Levine (2021).
    """
    sizes = {"batch_size": batch_size, "num_pixels": num_pixels, "latent_dim": latent_dim}
    weights = {"reconstruction_weight": reconstruction_weight, "kl_weight": kl_weight}
    for name, value in (sizes | weights).items():
        if not value > 0:
            raise ValueError(f"{name} must be positive, but is {value}.")
    n_reconstruction = _divisor("reconstruction", reconstruction, batch_size, num_pixels)
    n_kl = _divisor("kl", kl, batch_size, latent_dim)
    return kl_weight * n_reconstruction / (reconstruction_weight * n_kl)


def _divisor(term: str, reduction: str, batch_size: int, coordinates: int) -> int:
    """Return by what a reduction divides the sum over all images and coordinates."""
    divisors = {"sum": 1, "batchmean": batch_size, "mean": batch_size * coordinates}
    if reduction not in divisors:
        raise ValueError(
            f"{term} must be reduced by one of {', '.join(divisors)}, but got {reduction!r}. "
            "A sum over coordinates followed by a mean over images is 'batchmean'."
        )
    return divisors[reduction]
