"""Enclose integrals of the lamp strip by interval arithmetic: python tools/enclose.py

Needs python-flint (pip install "vae_teach[enclose]"), whose balls hold the true value for certain: every
rounding and every truncation is in the radius. Writes book/runs/enclosed.json:

- the evidence p(x) of all 256 images,
- for sixteen of them, and a Gaussian q each, log p(x), ELBO(x) and KL(q(z|x) || p(z|x)), as three integrals.
"""

import json
from collections.abc import Sequence
from pathlib import Path

from flint import acb, arb, ctx

RECORD = Path(__file__).resolve().parents[1] / "book" / "runs" / "enclosed.json"
BITS = 192
# What is left out beyond so many standard deviations is bounded, and added to the radius.
REACH = 16
# The images of the gap, as numbers of eight binary digits, and the mean and the standard deviation of q.
GAPS = [
    (0, "-2.1", "0.3"),
    (1, "1.9", "0.4"),
    (3, "1.6", "0.2"),
    (6, "1.2", "0.15"),
    (7, "1.25", "0.25"),
    (12, "0.7", "0.2"),
    (14, "0.8", "0.3"),
    (24, "-0.1", "0.14"),
    (28, "0.3", "0.2"),
    (56, "-0.3", "0.25"),
    (60, "-0.2", "0.5"),
    (96, "-0.9", "0.3"),
    (112, "-0.8", "0.2"),
    (129, "-0.4", "0.5"),
    (192, "-1.7", "0.3"),
    (255, "0", "0.6"),
]


def logits(z: acb) -> list[acb]:
    """a_d(z) = 3 - 3/2 (d - 7/2 - 5/2 z)^2 for the eight lamps."""
    return [3 - (d - acb(7) / 2 - acb(5) / 2 * z) ** 2 * 3 / 2 for d in range(8)]


def likelihood(bits: Sequence[int], z: acb) -> acb:
    """p(x|z): the product of 1 / (1 + e^(-a)) where a lamp is lit, of 1 / (1 + e^a) where not."""
    value = acb(1)
    for bit, a in zip(bits, logits(z), strict=True):
        value /= 1 + (-a if bit else a).exp()
    return value


def log_likelihood(bits: Sequence[int], z: acb, analytic: bool) -> acb:
    """log p(x|z), from -log(1 + e^(-a)) and -log(1 + e^a); not a number across a branch cut."""
    terms = (
        (1 + (-a if bit else a).exp()).log(analytic=analytic)
        for bit, a in zip(bits, logits(z), strict=True)
    )
    return -sum(terms, acb(0))


def density(z: acb, mean: arb, scale: arb) -> acb:
    return (-(((z - mean) / scale) ** 2) / 2).exp() / (scale * (2 * arb.pi()).sqrt())


def log_density(z: acb, mean: arb, scale: arb) -> acb:
    return -(((z - mean) / scale) ** 2) / 2 - (scale * (2 * arb.pi()).sqrt()).log()


def tail(scale: arb) -> arb:
    """A bound of what lies beyond REACH deviations of q, of q times a polynomial of degree two.

    There, with t = |z - mean| / scale > REACH and |mean| < 3, a logit is below
    3 + 3/2 (11 + 5/2 scale t)^2 in absolute value, and so the logarithms of likelihood, prior, q and
    evidence together are below 100 (1 + t)^2 (1 + scale)^2; and the integral of (1 + t)^2 phi(t) from T
    on is below 2 (T + 2) phi(T), on each side, for T > 2.
    """
    phi = (-(arb(REACH) ** 2) / 2).exp() / (2 * arb.pi()).sqrt()
    return 100 * (1 + scale) ** 2 * 2 * 2 * (REACH + 2) * phi


def integral(integrand, mean: arb, scale: arb, left_out: arb) -> arb:
    """The integral over the whole line: over REACH deviations each way, and a bound of the rest."""
    found = acb.integral(integrand, mean - REACH * scale, mean + REACH * scale)
    return found.real + arb(0, left_out)


def evidence(bits: Sequence[int]) -> arb:
    """p(x) = int p(x|z) N(z; 0, 1) dz; as p(x|z) <= 1, the rest is below the tails of the prior."""
    zero, one = arb(0), arb(1)
    rest = (arb(REACH) / arb(2).sqrt()).erfc()
    return integral(lambda z, _: likelihood(bits, z) * density(z, zero, one), zero, one, rest)


def gap(bits: Sequence[int], mean: arb, scale: arb) -> dict[str, arb]:
    """log p(x), the ELBO of q = N(mean, scale^2), and its KL to the posterior."""
    log_evidence = evidence(bits).log()

    def log_joint(z: acb, analytic: bool) -> acb:
        return log_likelihood(bits, z, analytic) + log_density(z, arb(0), arb(1))

    def elbo(z: acb, analytic: bool) -> acb:
        return density(z, mean, scale) * (log_joint(z, analytic) - log_density(z, mean, scale))

    def divergence(z: acb, analytic: bool) -> acb:
        log_posterior = log_joint(z, analytic) - log_evidence
        return density(z, mean, scale) * (log_density(z, mean, scale) - log_posterior)

    return {
        "log p(x)": log_evidence,
        "ELBO(x)": integral(elbo, mean, scale, tail(scale)),
        "KL": integral(divergence, mean, scale, tail(scale)),
    }


def ends(ball: arb) -> list[str]:
    """The ball in decimal digits: its middle, and a radius that also covers their rounding."""
    middle = ball.mid().str(30, radius=False)
    radius = (ball - arb(middle)).abs_upper() * arb("1.01")  # three digits may be rounded down
    return [middle, radius.mid().str(3, radius=False)]


def bits_of(number: int) -> list[int]:
    return [int(digit) for digit in f"{number:08b}"]


def main() -> None:
    ctx.prec = BITS
    record = {
        "command": "python tools/enclose.py",
        "evidence": {f"{number:08b}": ends(evidence(bits_of(number))) for number in range(256)},
        "gap": [
            {
                "image": f"{number:08b}",
                "mean": mean,
                "scale": scale,
                **{k: ends(v) for k, v in gap(bits_of(number), arb(mean), arb(scale)).items()},
            }
            for number, mean, scale in GAPS
        ],
    }
    RECORD.write_text(json.dumps(record, indent=1) + "\n", encoding="utf8")
    radii = [float(radius) for _, radius in record["evidence"].values()]
    print(f"{len(radii)} evidences, the widest within {max(radii):.1e}; {len(GAPS)} gaps")


if __name__ == "__main__":
    main()
