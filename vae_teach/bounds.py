"""Lower bounds on log p(x), from log-densities at samples of q(z given x)."""

import math

import torch
from torch import Tensor


def log_weight(log_p_x_given_z: Tensor, log_p_z: Tensor, log_q_z_given_x: Tensor) -> Tensor:
    """Return the log importance weights of samples z from q(z given x).

    ``log w = log p(x given z) + log p(z) - log q(z given x)``

    Shapes: any, all three alike; the result has the same shape, one value for
    each sample. Nats. The mean over q is the ELBO, a lower bound on log p(x); a
    single value can lie above log p(x).

    Book: def-elbo, def-log-weight. Source: Kingma and Welling (2014), equation 2.
    """
    return log_p_x_given_z + log_p_z - log_q_z_given_x


def iwae(log_w: Tensor) -> Tensor:
    """Estimate log p(x) by the logarithm of the mean of K importance weights.

    ``log (1/K sum_k w_k)``, stable for any size of ``log_w``

    Shapes: ``log_w (K, ...)`` to ``(...)``. Nats. Its mean is a lower bound on
    log p(x) that rises with K; K = 1 gives the ELBO.

    Book: def-iwae. Source: Burda, Grosse and Salakhutdinov (2016), equation 8.
    """
    return torch.logsumexp(log_w, dim=0) - math.log(log_w.shape[0])
