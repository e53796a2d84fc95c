"""Lower bounds on log p(x), from log-densities at samples of q(z given x)."""

import math

import torch
from torch import Tensor


def log_weight(log_p_x_given_z: Tensor, log_p_z: Tensor, log_q_z_given_x: Tensor) -> Tensor:
    """Logarithm of the importance weight of samples z from q(z given x).

    ``log w = log p(x given z) + log p(z) - log q(z given x)``

    Shapes: any, all three alike; the result has the same shape, one value for each
    sample. Nats. Its mean over q is the ELBO, a bound on log p(x); a single value can lie
    above log p(x).

    Book: def-elbo, def-log-weight. Source: Kingma and Welling (2014), equation 2.
    """
    return log_p_x_given_z + log_p_z - log_q_z_given_x


def iwae(log_w: Tensor) -> Tensor:
    """``log (1/K sum_k w_k)``: log p(x) from K importance weights, stable for any size
    of ``log_w``.

    Shapes: ``log_w (K, ...)`` to ``(...)``. Nats. Its mean is a lower bound on log p(x)
    that rises with K; K = 1 gives the ELBO.

    Book: def-iwae. Source: Burda, Grosse and Salakhutdinov (2016), equation 8.
    """
    return torch.logsumexp(log_w, dim=0) - math.log(log_w.shape[0])
