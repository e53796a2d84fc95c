"""Sympy's side of the derivations: densities and expectations that prove the closed forms.

Nothing here uses the closed forms of ``divergences``. An expectation is an integral, or
follows from the moments of independent standard normals.
"""

from collections.abc import Sequence

import sympy
from sympy import Expr, Matrix, Symbol

mu, mu_q, mu_p = sympy.symbols("mu mu_q mu_p", real=True)
sigma, sigma_q, sigma_p = sympy.symbols("sigma sigma_q sigma_p", positive=True)
ell = sympy.Symbol("ell", real=True)
z = sympy.Symbol("z", real=True)


def normal_log_density(x: Expr, mean: Expr, std: Expr) -> Expr:
    """Return log N(x; mean, std^2) for scalars, constant included.

    Book: def-standard-normal.
    """
    return -((x - mean) ** 2) / (2 * std**2) - sympy.log(std) - sympy.log(2 * sympy.pi) / 2


def expectation(value: Expr, x: Symbol, mean: Expr, std: Expr) -> Expr:
    """Return the expectation of ``value`` under ``x`` ~ N(mean, std^2).

    It is integrated over the whole line.
    """
    density = sympy.exp(-((x - mean) ** 2) / (2 * std**2)) / (std * sympy.sqrt(2 * sympy.pi))
    return sympy.simplify(sympy.integrate(sympy.expand(value) * density, (x, -sympy.oo, sympy.oo)))


def discrete_expectation(values: Sequence[Expr], weights: Sequence[Expr]) -> Expr:
    """Return the expectation of a variable that takes finitely many values.

    ``sum_k weights_k values_k / sum_k weights_k``

    The weights are positive and need not sum to 1, so that they can be free symbols. Raises
    ``ValueError`` when there is not one weight for each value.

    Book: eq-elbo-chain.
    """
    if len(values) != len(weights) or not values:
        raise ValueError(
            "discrete_expectation needs one weight for each value, but got "
            f"{len(values)} values and {len(weights)} weights."
        )
    total = sum(weights, start=sympy.S.Zero)
    return sum((w * v for w, v in zip(weights, values, strict=True)), sympy.S.Zero) / total


def kl_by_integration(mean_q: Expr, std_q: Expr, mean_p: Expr, std_p: Expr) -> Expr:
    """Return KL(N(mean_q, std_q^2) to N(mean_p, std_p^2)) as the integral of q (log q - log p).

    Book: def-kl.
    """
    log_ratio = normal_log_density(z, mean_q, std_q) - normal_log_density(z, mean_p, std_p)
    return expectation(log_ratio, z, mean_q, std_q)


def normal_expectation_2d(value: Expr, x: Matrix, mean: Matrix, factor: Matrix) -> Expr:
    """Return the expectation of a polynomial of degree at most 2 under N(mean, factor factor^T).

    Put ``x = mean + factor eps`` (2 x 1), expand, and replace the monomials of eps by their
    means: 0 for eps_1, eps_2 and their product, 1 for their squares. Raises ``ValueError``
    for a higher degree.
    """
    eps = sympy.symbols("epsilon_1 epsilon_2", real=True)
    substituted = value.subs(
        dict(zip(x, mean + factor * Matrix(eps), strict=True)), simultaneous=True
    )
    polynomial = sympy.Poly(sympy.expand(substituted), *eps)
    if polynomial.total_degree() > 2:
        raise ValueError(
            f"normal_expectation_2d takes polynomials of degree at most 2, but got {polynomial.total_degree()}."
        )
    means = {(0, 0): 1, (1, 0): 0, (0, 1): 0, (1, 1): 0, (2, 0): 1, (0, 2): 1}
    return sum(coefficient * means[powers] for powers, coefficient in polynomial.terms())


def normal_log_density_2d(x: Matrix, mean: Matrix, cov: Matrix) -> Expr:
    """Return log N(x; mean, cov) for 2 x 1 vectors, constant included.

    Book: def-full-normal.
    """
    deviation = x - mean
    quadratic = (deviation.T * cov.inv() * deviation)[0, 0]
    return -quadratic / 2 - sympy.log(cov.det()) / 2 - sympy.log(2 * sympy.pi)
