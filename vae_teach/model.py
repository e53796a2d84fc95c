"""The variational autoencoder: an encoder, a decoder and a likelihood."""

from typing import NamedTuple

import torch
from torch import Tensor, nn

from vae_teach import bounds
from vae_teach.distributions import diagonal_normal_log_prob, standard_normal_log_prob
from vae_teach.divergences import kl_standard_normal
from vae_teach.estimators import normal_noise, reparameterize


class ELBOTerms(NamedTuple):
    """The ELBO of each example and its two terms.

    ``elbo = log_p_x_given_z - kl``, each ``(B,)``, nats
    """

    elbo: Tensor
    log_p_x_given_z: Tensor
    kl: Tensor


class IWAETerms(NamedTuple):
    """The bound IWAE_K of each example, ``(B,)``, nats."""

    iwae: Tensor


class VAE(nn.Module):
    """A variational autoencoder: p(z) = N(0, I), p(x given z) and q(z given x).

    ``decoder`` and ``likelihood`` make p(x given z), ``encoder`` makes q(z
    given x). Encoder and decoder are modules or functions; ``sample`` needs a
    module, whose ``latent_dim`` and parameters say what to draw.
    """

    def __init__(self, encoder: nn.Module, decoder: nn.Module, likelihood: nn.Module):
        super().__init__()
        self.encoder, self.decoder, self.likelihood = encoder, decoder, likelihood

    def encode(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """Return the mean and the log-variance of q(z given x).

        Shapes: ``x (..., D_x)`` floating to ``(mu, logvar)``, each ``(...,
        latent_dim)``. Raises ``TypeError`` for whole numbers.
        """
        if not x.is_floating_point():
            raise TypeError(
                f"The model takes floating-point pixels in [0, 1], but got {x.dtype}. "
                "Convert with vae_teach.data.prepare_pixels."
            )
        mu, logvar = self.encoder(x)
        return _at_least_float32(mu), _at_least_float32(logvar)

    def decode(self, z: Tensor) -> Tensor:
        """Return the parameters of p(x given z), logits for Bernoulli pixels.

        Shapes: ``z (..., latent_dim)`` to ``(..., D_x)``.
        """
        return _at_least_float32(self.decoder(z))

    def elbo(self, x: Tensor, eps: Tensor) -> ELBOTerms:
        """Estimate the ELBO with one sample of z, the KL in closed form.

        ``log p(x given z) - KL(q(z given x) to p(z))`` at ``z = mu + sigma * eps``

        Shapes: ``x (B, D_x)``, ``eps (B, latent_dim)`` standard normal noise;
        three results ``(B,)``. Nats per example. Unbiased for the ELBO over
        ``eps``; the loss is ``-elbo.mean()``.

        Book: eq-elbo-one-sample. Source: Kingma and Welling (2014), equation 10.
        """
        mu, logvar = self.encode(x)
        z = reparameterize(mu, logvar, eps)
        log_p_x_given_z = self.likelihood.log_prob(x, self.decode(z))
        kl = kl_standard_normal(mu, logvar)
        return ELBOTerms(log_p_x_given_z - kl, log_p_x_given_z, kl)

    def log_weights(self, x: Tensor, eps: Tensor) -> Tensor:
        """Return the log importance weights of K samples of q(z given x).

        ``log p(x given z) + log p(z) - log q(z given x)``

        Shapes: ``x (B, D_x)``, ``eps (K, B, latent_dim)`` to ``(K, B)``. Nats.
        The mean over K estimates the ELBO, ``bounds.iwae`` of it estimates log
        p(x) from below. Raises ``ValueError`` when ``eps`` has no axis of samples.

        Book: def-log-weight. Source: Burda, Grosse and Salakhutdinov (2016), section 3.
        """
        if eps.dim() != x.dim() + 1:
            raise ValueError(
                f"eps needs an axis of K samples before those of x: for x of shape {tuple(x.shape)} it has "
                f"{x.dim() + 1} axes, but got {tuple(eps.shape)}."
            )
        mu, logvar = self.encode(x)
        z = reparameterize(mu, logvar, eps)
        return bounds.log_weight(
            self.likelihood.log_prob(x, self.decode(z)),
            standard_normal_log_prob(z),
            diagonal_normal_log_prob(z, mu, logvar),
        )

    @torch.no_grad()
    def sample(
        self, n: int, generator: torch.Generator | None = None, draw: bool = False
    ) -> Tensor:
        """Draw z from the prior and decode it into ``(n, D_x)`` means of p(x given z).

        With ``draw`` the images are drawn from p(x given z) instead.
        """
        weight = next(self.decoder.parameters())
        z = normal_noise((n, self.decoder.latent_dim), weight, generator)
        params = self.decode(z)
        return self.likelihood.sample(params, generator) if draw else self.likelihood.mean(params)


class Objective(nn.Module):
    """The bound that training raises: the ELBO for K = 1, IWAE_K for K > 1.

    Called with ``x (B, D_x)`` and ``eps``, ``(B, latent_dim)`` for K = 1 and ``(K, B,
    latent_dim)`` otherwise; the result's first field is the bound, ``(B,)``. Nats per example.
    """

    def __init__(self, model: VAE):
        super().__init__()
        self.model = model

    def forward(self, x: Tensor, eps: Tensor) -> ELBOTerms | IWAETerms:
        if eps.dim() == 2:
            return self.model.elbo(x, eps)
        return IWAETerms(bounds.iwae(self.model.log_weights(x, eps)))


def _at_least_float32(values: Tensor) -> Tensor:
    """Widen half precision, in which log-probabilities would lose digits."""
    return values.to(torch.promote_types(values.dtype, torch.float32))
