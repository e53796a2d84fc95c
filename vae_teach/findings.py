"""What a diagnosis says: findings with stable codes, and the sentences for an objective."""

import math
from dataclasses import dataclass
from html import escape
from typing import Literal, NamedTuple

from vae_teach.objective import Fit, PowerLaw, power_law

__all__ = ["Decoder", "Diagnosis", "Finding", "Objective", "explain", "finding"]

Decoder = Literal["logits", "probabilities", "means"]

# Every code, and the section of the book that explains it.
CODES = {
    # the KL
    "kl-sign": "sec-two-terms",
    "kl-factor": "sec-why-logvar",
    "kl-missing-term": "sec-why-logvar",
    "kl-mean-over-latents": "sec-sum-or-mean",
    "kl-mean-over-batch": "sec-sum-or-mean",
    "kl-broadcast-over-batch": "sec-sum-or-mean",
    "kl-over-wrong-axis": "sec-sum-or-mean",
    "kl-std-as-logvar": "sec-wrong-pairing",
    "kl-var-as-logvar": "sec-wrong-pairing",
    "kl-log-std": "sec-wrong-pairing",
    "kl-sigma-for-variance": "sec-wrong-pairing",
    "kl-squared-variance": "sec-wrong-pairing",
    "kl-of-the-sample": "sec-why-logvar",
    "kl-reversed": "sec-asymmetry",
    "kl-near-zero": "sec-collapse",
    "mu-and-logvar-swapped": "sec-why-logvar",
    "exp-twice": "sec-why-logvar",
    "free-bits-or-clamp": "sec-provoke",
    # the reconstruction
    "reconstruction-sign": "sec-two-terms",
    "reconstruction-factor": "sec-sum-or-mean",
    "reconstruction-missing": "sec-two-terms",
    "no-gradient-to-params": "sec-line-by-line",
    "reconstruction-mean-over-pixels": "sec-sum-or-mean",
    "logits-as-probabilities": "sec-likelihood-line",
    "sigmoid-twice": "sec-likelihood-line",
    "arguments-swapped": "sec-likelihood-line",
    "pixels-out-of-range": "sec-likelihood-line",
    "not-finite": "sec-likelihood-line",
    "squared-error": "sec-gaussian-likelihood",
    "absolute-error": "sec-gaussian-likelihood",
    "cross-entropy": "sec-parameters",
    "constant-missing": "sec-gaussian-likelihood",
    "constant-wrong": "sec-gaussian-likelihood",
    # their sum
    "loss-sign": "sec-two-terms",
    "beta": "sec-why-not",
    "weight-of-minibatch": "sec-minibatches",
    "batch-size-written-down": "sec-minibatches",
    # the noise
    "no-noise": "sec-reparameterisation",
    "stale-noise": "sec-reparameterisation",
    "same-noise-for-all": "sec-reparameterisation",
    "noise-off-in-training": "sec-reparameterisation",
    "noise-not-normal": "sec-reparameterisation",
    "noise-scale": "sec-reparameterisation",
    "scale-is-variance": "sec-wrong-pairing",
    "scale-is-logvar": "sec-wrong-pairing",
    "scale-is-precision": "sec-wrong-pairing",
    "no-gradient-to-mu": "sec-needs",
    "no-gradient-to-logvar": "sec-needs",
    # the model
    "no-gradient-to-encoder": "sec-needs",
    "no-gradient-to-decoder": "sec-needs",
    "gradients-pile-up": "sec-children-first",
    "same-output-for-all-images": "sec-collapse",
    "params-are-probabilities": "sec-likelihood-line",
    "params-out-of-range": "sec-parameters",
    "head-is-rectified": "sec-parameters",
    "heads-are-one-layer": "sec-line-by-line",
    # anything
    "wrong-shape": "sec-line-by-line",
    "raised": None,
    "not-written-yet": None,
    "known-mistake": None,
    "unexplained": None,
}
# Where the book explains it: label, title and chapter of the section.
SECTIONS = {
    "sec-asymmetry": ("Two directions, two fits", "divergences"),
    "sec-two-terms": ("Reconstruction minus KL", "elbo"),
    "sec-why-logvar": ("From the formula to the code", "gaussian_kl"),
    "sec-wrong-pairing": ("A variance is not a standard deviation", "gaussian_kl"),
    "sec-reparameterisation": ("Move the samples", "gradient_estimators"),
    "sec-needs": ("What moving needs, and what not", "gradient_estimators"),
    "sec-minibatches": ("How many samples, how many images", "variance_of_gradients"),
    "sec-parameters": ("Parameters, not pixels", "likelihoods"),
    "sec-likelihood-line": ("From coin flips to the likelihood line", "likelihoods"),
    "sec-gaussian-likelihood": ("From a Gaussian to squared error", "likelihoods"),
    "sec-children-first": ("An order in which all children come first", "scalar_vae"),
    "sec-line-by-line": ("From the formulas to the lines", "mnist_vae"),
    "sec-sum-or-mean": ("Sum or mean", "pixels_and_scale"),
    "sec-why-not": ("β-VAE: a weight on the KL", "variational_em"),
    "sec-collapse": ("Units that die", "latent_space"),
    "sec-provoke": ("Provoke it", "posterior_collapse"),
}


@dataclass(frozen=True)
class Finding:
    """One mistake: a stable ``code``, a ``message`` with the measured number, where to read on.

    A ``note`` states what is so and blames nobody.
    """

    code: str
    message: str
    see: str = ""
    note: bool = False


@dataclass(frozen=True)
class Diagnosis:
    """What was examined, what it is in one sentence, and the findings, notes last.

    ``ok`` says that there is no finding, notes apart, and ``examined`` that there could have
    been one. It prints as text, and as a table in notebooks.
    """

    subject: str
    summary: str
    findings: tuple[Finding, ...]
    examined: bool = True

    def __post_init__(self):
        ordered = tuple(sorted(self.findings, key=lambda finding: finding.note))
        object.__setattr__(self, "findings", ordered)

    @property
    def ok(self) -> bool:
        return all(one.note for one in self.findings)

    @property
    def mark(self) -> str:
        return "✗" if not self.ok else "✓" if self.examined else "?"

    def __str__(self) -> str:
        lines = [f"{self.mark} {self.subject}: {self.summary}"]
        for finding in self.findings:
            lines.append(f"  {'note: ' if finding.note else ''}{finding.code}: {finding.message}")
            if finding.see:
                lines.append(f"    read: {finding.see}")
        return "\n".join(lines)

    def __repr__(self) -> str:
        return str(self)

    def _repr_html_(self) -> str:
        head = f"<p>{self.mark} <code>{escape(self.subject)}</code>: {escape(self.summary)}</p>"
        rows = "".join(
            f"<tr><td>{'note: ' if one.note else ''}<code>{one.code}</code></td>"
            f"<td>{escape(one.message)}{f'<br>Read: {escape(one.see)}' if one.see else ''}</td></tr>"
            for one in self.findings
        )
        table = f"<table><tr><th>what</th><th>why</th></tr>{rows}</table>"
        return head + (table if rows else "")

    def as_dict(self) -> dict:
        """Return what JSON can hold."""
        findings = [vars(one) for one in self.findings]
        return vars(self) | {"ok": self.ok, "findings": findings}


def finding(code: str, message: str, note: bool = False) -> Finding:
    """Return a finding with the section that its code stands for."""
    label = CODES[code]
    title, chapter = SECTIONS.get(label, ("", ""))
    return Finding(code, message, f"“{title}” ({chapter}.html#{label})" if label else "", note)


class Objective(NamedTuple):
    """What explains a program's values, and what is known of the program.

    ``decoder`` is what its values say it takes, ``declared`` what it is said to take, ``shape``
    that of its result: a number, or one for each of the ``images`` or ``coordinates``.
    """

    fits: list[Fit]
    decoder: Decoder | None
    declared: Decoder | None
    num_pixels: int
    latent_dim: int
    shape: Literal["number", "images", "coordinates"]

    @property
    def reconstruction(self) -> PowerLaw | None:
        return power_law(self.fits, [one.reconstruction_weight for one in self.fits])

    @property
    def kl(self) -> PowerLaw | None:
        return power_law(self.fits, [_shared(_terms(one)) for one in self.fits])

    @property
    def form(self) -> str:
        return self.fits[0].reconstruction

    @property
    def is_density(self) -> bool:
        """Whether the pixels have a scale: squared and absolute errors, not cross-entropies."""
        return "error" in self.form


def explain(objective: Objective) -> tuple[str, list[Finding]]:
    """Return the objective as one sentence, and what is wrong with it, worst first."""
    if objective.form is None:
        summary, findings = _explain_kl(objective)
    elif objective.fits[0].reading is None:
        summary, findings = _explain_reconstruction(objective)
    else:
        summary, findings = _explain_loss(objective)
    if any(not one.note for one in findings):  # then nobody reports it as a likelihood
        findings = [one for one in findings if one.code != "constant-missing"]
    return summary, findings


# --- a KL ---------------------------------------------------------------------------------------

READINGS = {
    "log sigma": ("kl-log-std", "log sigma"),
    "sigma": ("kl-std-as-logvar", "a standard deviation"),
    "variance": ("kl-var-as-logvar", "a variance"),
}
# Of a whole step, whose sampler is known.
PAIRINGS = {
    "twice sigma for log-variance": (
        "scale-is-logvar",
        "standard deviation, halved",
        "log-variance",
    ),
    "raw sigma for log-variance": ("scale-is-logvar", "standard deviation", "log-variance"),
    "log sigma for log-variance": ("scale-is-variance", "log sigma", "log-variance"),
    "log sigma": ("kl-log-std", "log-variance", "log sigma"),
    "sigma for log-variance": ("kl-std-as-logvar", "standard deviation", "log-variance"),
    "variance for log-variance": ("kl-var-as-logvar", "variance", "log-variance"),
}
MIXED_UP = {
    "mu for log-variance": (
        "mu-and-logvar-swapped",
        "mu and the log-variance have changed places.",
    ),
    "reversed": (
        "kl-reversed",
        "This is KL(p(z) to q(z given x)). The ELBO has KL(q(z given x) to p(z)), an average under q.",
    ),
    "z for mu": (
        "kl-of-the-sample",
        "The KL takes the sample z where mu belongs. Its mean is too large by half a variance for each latent.",
    ),
    "sigma in place of the variance": (
        "kl-sigma-for-variance",
        "One term is sigma = exp(logvar / 2), where the variance exp(logvar) belongs.",
    ),
    "squared variance": (
        "kl-squared-variance",
        "exp(logvar) is squared, as if it were sigma. It is the variance already.",
    ),
}
EXP_TWICE = "exp is taken twice of the log-variance: once too often, or in place before logvar is used again."


def _terms(fit: Fit) -> dict[str, float]:
    """Return the weight of each term that varies, 1 where it is that of the KL."""
    mu, variance, log = fit.kl_weights
    return {"mu^2": 2 * mu, "exp(logvar)": 2 * variance, "logvar": 2 * log}


def _shared(terms: dict[str, float]) -> float:
    """Return the weight that most terms have; of equally many, that of the first."""
    weights = [weight for weight in terms.values() if weight]
    if not weights:
        return 0.0
    return max(weights, key=lambda weight: sum(_close(other, weight) for other in weights))


def _kl_form(objective: Objective, constant: float) -> list[Finding]:
    """Say what is wrong inside the KL, whatever weighs the whole of it.

    ``constant`` is what the values have besides, in all.
    """
    fit, D = objective.fits[0], objective.latent_dim
    if fit.reading == "log sigma" and _close(2 * fit.kl_weights[2], fit.kl_weights[0]):
        # exp(2 s) and s: one log-variance whose exponential is squared, and no log sigma.
        weights = (*fit.kl_weights[:2], 2 * fit.kl_weights[2])
        fit = fit._replace(reading="squared variance", kl_weights=weights)
    findings = []
    if fit.reading in READINGS:
        code, meaning = READINGS[fit.reading]
        message = (
            f"The KL reads its second argument as {meaning}. If that is what your encoder gives, the KL "
            "is right, and the sampler must agree; for a log-variance it is wrong."
        )
        findings.append(finding(code, message))
    elif fit.reading in PAIRINGS:
        code, of_sampler, of_kl = PAIRINGS[fit.reading]
        message = (
            f"Sampler and KL do not agree: what the sampler takes for the {of_sampler}, the KL takes for the "
            f"{of_kl}."
        )
        findings.append(finding(code, message))
    elif fit.reading.startswith("exp"):
        findings.append(finding("exp-twice", EXP_TWICE))
    elif fit.reading in MIXED_UP:
        code, message = MIXED_UP[fit.reading]
        findings.append(finding(code, message))
    terms = _terms(fit)
    if fit.reading == "one sample":
        terms = dict(zip(("z^2", "eps^2", "log-variance"), terms.values(), strict=True))
    else:
        terms["1"] = -2 * constant / (fit.batch_size * D)
    shared = _shared(terms)
    shares = {name: weight / shared for name, weight in terms.items()} if shared else {}
    errors = [2 * error for error in fit.errors]
    errors[-1] /= fit.batch_size * D
    for (name, share), error in zip(shares.items(), errors, strict=False):
        if abs(share - 1) < abs(error / shared):
            shares[name] = 1.0  # as exactly as the values tell
    if factor := _noise_factor(shares):
        message = f"The noise is {_number(factor)} times as large as exp(logvar / 2), which the KL takes it for."
        return [*findings, finding("noise-scale", message)]
    missing = [name for name, share in shares.items() if _close(share, 0)]
    if missing:
        message = f"Missing in 1/2 sum(mu^2 + exp(logvar) - 1 - logvar): {' and '.join(missing)}."
        findings.append(finding("kl-missing-term", message))
    for name, share in shares.items():
        if _close(share, -1):
            message = (
                f"The term {name} has the wrong sign in 1/2 sum(mu^2 + exp(logvar) - 1 - logvar)."
            )
            findings.append(finding("kl-sign", message))
        elif name not in missing and not _close(share, 1):
            message = f"The term {name} weighs {_ratio(share)} what it should, beside the others."
            findings.append(finding("kl-factor", message))
    return findings


def _noise_factor(shares: dict[str, float]) -> float | None:
    """Return the factor c of z = mu + c sigma eps, if the KL of sigma has these shares."""
    share = shares.get("exp(logvar)", 0.0)
    if (
        share <= 0
        or _close(share, 1)
        or not math.isclose(shares.get("1", 0.0), 1 + math.log(share), rel_tol=1e-2, abs_tol=1e-2)
    ):
        return None
    return share**-0.5


def _explain_kl(objective: Objective) -> tuple[str, list[Finding]]:
    law, D = objective.kl, objective.latent_dim
    if law is None or law.factor == 0:
        message = "The value does not depend on mu and logvar as a KL does."
        return "not the KL.", [finding("kl-missing-term", message)]
    findings = _kl_form(objective, objective.fits[0].constant)
    if law.factor < 0:
        message = "The sign of the whole is lost: this is minus the KL, and a KL is never below 0."
        findings.insert(0, finding("kl-sign", message))
    factor = abs(law.factor)
    if D > 1 and _close(factor * D, 1):
        findings.append(_mean_over_latents(D))
    elif not _close(factor, 1):
        message = f"The value is {_ratio(factor)} the KL."
        findings.append(finding("kl-factor", message))
    if law.power == -1:
        message = "A mean over images: right, if the reconstruction is averaged over images too."
        findings.append(finding("kl-mean-over-batch", message, note=True))
    wrong = any(not one.note for one in findings)
    return f"{'not ' if wrong else ''}the KL to N(0, I), {_over_images(law, objective)}.", findings


# --- a reconstruction term ------------------------------------------------------------------------


def _form(objective: Objective, sigma: float) -> list[Finding]:
    """Say what is wrong with the form of the reconstruction term, whatever its weight."""
    form, decoder, declared = objective.form, objective.decoder, objective.declared
    if form.startswith("swapped"):
        message = (
            "Image and decoder output have changed places: the decoder's output must come first."
        )
        return [finding("arguments-swapped", message)]
    if form == "cross-entropy of squashed logits" or (form, decoder) == (
        "cross-entropy of logits",
        "probabilities",
    ):
        message = (
            "A sigmoid is applied to what is a probability already, so that every pixel ends between 0.5 and "
            "0.73. Squash once, or leave the decoder's output as logits."
        )
        return [finding("sigmoid-twice", message)]
    if (form, declared) == ("cross-entropy of probabilities", "logits"):
        return [logits_as_probabilities()]
    if "cross-entropy" in form and declared == "means":
        message = "This is the cross-entropy of bits; the decoder is said to return means of Gaussian pixels."
        return [finding("cross-entropy", message)]
    if "error" in form and declared in ("logits", "probabilities"):
        code = form.split(" error")[0] + "-error"
        message = (
            f"This is the log-density of {_pixels(form, sigma)}, not the cross-entropy of bits. "
            'If you mean it, say decoder="means".'
        )
        return [finding(code, message)]
    return []


def logits_as_probabilities(reason: str = "") -> Finding:
    message = (
        "The decoder returns logits, any real numbers, and the loss takes them for probabilities. "
        f"Use binary_cross_entropy_with_logits.{reason}"
    )
    return finding("logits-as-probabilities", message)


def _constants(objective: Objective, per_pixel: float, sigma: float) -> list[Finding]:
    """Compare what is added for each pixel with the constant of the density."""
    laplace = objective.form.startswith("absolute")
    right = math.log(2 * sigma) if laplace else math.log(sigma) + 0.5 * math.log(2 * math.pi)
    if _close(per_pixel, 0):
        message = (
            f"The constant {right:.4g} of each pixel is left out: {right * objective.num_pixels:.5g} nats an "
            "image. No gradient needs it; a log-likelihood that you report does."
        )
        return [finding("constant-missing", message, note=True)]
    if _close(per_pixel, right):
        return []
    message = f"The constant of each pixel is {per_pixel:.4g}; with this weight of the error it is {right:.4g}."
    return [finding("constant-wrong", message)]


def _explain_reconstruction(objective: Objective) -> tuple[str, list[Finding]]:
    law, P, fit = objective.reconstruction, objective.num_pixels, objective.fits[0]
    if law is None or law.factor == 0:
        message = "The value does not depend on params and x as a log-likelihood does."
        return "no reconstruction term.", [finding("reconstruction-missing", message)]
    factor = abs(law.factor)
    sigma = _sigma(objective.form, 1, factor)
    findings = _form(objective, sigma)
    if law.factor < 0:
        findings.insert(0, _reconstruction_sign())
    if _is_mean_over_pixels(objective, factor):
        findings.append(_mean_over_pixels(objective, sigma))
    elif not objective.is_density and not _close(factor, 1):
        message = f"The value is {_ratio(factor)} the cross-entropy."
        findings.append(finding("reconstruction-factor", message))
    if objective.is_density:
        of_batch = abs(law.at(fit.batch_size)) / factor * fit.batch_size * P
        findings += _constants(objective, fit.constant / of_batch, sigma)
    summary = f"{_what(objective, sigma)}, {_over_images(law, objective)}."
    return summary, findings


# --- the sum of both ------------------------------------------------------------------------------


def _explain_loss(objective: Objective) -> tuple[str, list[Finding]]:
    alpha, kappa = objective.reconstruction, objective.kl
    P, D, density = objective.num_pixels, objective.latent_dim, objective.is_density
    if alpha is None or kappa is None:
        message = (
            "The weights of reconstruction and KL change with the batch size in no simple way."
        )
        return "no objective that this tool knows.", [finding("unexplained", message)]
    if alpha.factor == 0:
        message = "The value does not depend on params and x."
        return "a loss without reconstruction.", [finding("reconstruction-missing", message)]
    if kappa.factor == 0:
        message = "The value does not depend on mu and logvar: an autoencoder with noise."
        missing = finding("kl-missing-term", message)
        sign = [_reconstruction_sign()] if alpha.factor < 0 else []
        return "a loss without a KL.", [missing, *sign]
    a, k = abs(alpha.factor), abs(kappa.factor)
    sigma = _sigma(objective.form, k, a)
    of_constant, constant = _loss_constant(objective, sigma)
    inside = _form(objective, sigma) + _kl_form(objective, constant)
    weights, ratio = [], k / a
    by_batch = kappa.power - alpha.power
    if not density and (size := _batch_size_meant(ratio, by_batch)):
        weights, ratio, k, by_batch = [_written_down(size)], 1.0, a, 0
    same = _close(a, k) and not density
    if not same and _is_mean_over_pixels(objective, a) and not _close(k * P, 1):
        weights.append(_mean_over_pixels(objective, sigma))
        a *= P
    if not same and D > 1 and _close(k * D, 1):
        weights.append(_mean_over_latents(D))
        k *= D
    beta = k / a
    if by_batch:
        unit = density and any(_close(beta, one) for one in (1, 2))
        weights.append(_weight_by_batch(1.0 if unit else beta, by_batch))
    elif not density and not _close(beta, 1):
        weights.append(_beta(ratio))
    findings = _signs(alpha.factor, kappa.factor) + inside + weights + of_constant
    if _signs(alpha.factor, kappa.factor) or any(not one.note for one in inside):
        return "not a negative ELBO.", findings
    if by_batch:
        return "a negative ELBO whose weight of the KL depends on the batch size.", findings
    pixels = (
        f" of {_pixels(objective.form, sigma)}" if density else f" with beta = {_number(ratio)}"
    )
    return f"the negative ELBO{pixels}, {_over_images(alpha, objective, density)}.", findings


def _loss_constant(objective: Objective, sigma: float) -> tuple[list[Finding], float]:
    """Divide the constant between pixels and KL; return findings, and what is left to the KL.

    Cross-entropies have no constant. A density has one for each pixel, in the scale of the
    KL, or, when the KL has a weight beta, in the scale of the density.
    """
    fit = objective.fits[0]
    B, P, D = fit.batch_size, objective.num_pixels, objective.latent_dim
    if not objective.is_density:
        return [], fit.constant
    kappa, alpha = abs(objective.kl.at(B)), abs(fit.reconstruction_weight)
    of_kl = -0.5 * B * D * _shared(_terms(fit))
    unit = float(B) ** objective.reconstruction.power
    for left in (of_kl, 0.0):
        for scale in (kappa, unit):
            per_pixel = (fit.constant - left) / (B * P * scale)
            found = _constants(objective, per_pixel, _sigma(objective.form, scale, alpha))
            if all(one.note for one in found):
                weight = [] if found or _close(scale, kappa) else [_beta(kappa / unit)]
                return found + weight, left
    return _constants(objective, (fit.constant - of_kl) / (B * P * kappa), sigma), of_kl


def _signs(alpha: float, kappa: float) -> list[Finding]:
    if alpha < 0 and kappa < 0:
        message = "This is the ELBO, which is to be raised; a loss is minus the ELBO."
        return [finding("loss-sign", message)]
    if alpha < 0:
        return [_reconstruction_sign()]
    if kappa < 0:
        message = "The KL is subtracted. The ELBO is reconstruction minus KL, so the loss adds it."
        return [finding("kl-sign", message)]
    return []


def _batch_size_meant(ratio: float, power: int) -> int | None:
    """Return the one batch size at which a weight ``ratio * batch_size ** power`` is 1."""
    size = ratio ** (-power) if abs(power) == 1 else 0.0
    return (
        round(size) if 1.5 < size < 1025 and math.isclose(size, round(size), rel_tol=1e-4) else None
    )


def _written_down(size: int) -> Finding:
    message = (
        f"One term is divided by {size}, and the other by the batch size: right for batches of {size}, and for no "
        "other, such as the last of an epoch."
    )
    return finding("batch-size-written-down", message, note=True)


def _weight_by_batch(factor: float, power: int) -> Finding:
    """Say what a weight of the KL means that is ``factor * batch_size ** power``."""
    one = math.isclose(factor, 1, rel_tol=1e-2)
    if power == 1 and one:
        message = (
            "The KL is summed over the batch and the reconstruction is not, or the summed KL is added to each "
            "image: it weighs as often as there are images in the batch."
        )
        return finding("kl-broadcast-over-batch", message)
    if power == -1 and _close(factor, 1):
        message = "The KL is averaged over images and the reconstruction is summed: it weighs 1 / batch size."
        return finding("kl-mean-over-batch", message)
    if power == 1 and factor < 0.01:
        message = f"The KL is weighted by batch size / {1 / factor:.6g}. N / M belongs on both terms or on none."
        return finding("weight-of-minibatch", message)
    if power == -1 and factor > 100:
        message = f"The KL is weighted by {factor:.6g} / batch size. N / M belongs on both terms or on none."
        return finding("weight-of-minibatch", message)
    by = {1: f"{_number(factor)} * batch size", -1: f"{_number(factor)} / batch size"}
    message = f"The KL is weighted by {by.get(power, f'batch size to the power {power}')}."
    return finding("beta", message)


# --- words for numbers ------------------------------------------------------------------------------


def _close(a: float, b: float) -> bool:
    return math.isclose(a, b, rel_tol=2e-3, abs_tol=1e-3 if b == 0 else 0.0)


def _sigma(form: str, kappa: float, alpha: float) -> float:
    """Return the scale of pixels that a weight of the error means, beside a KL of weight ``kappa``."""
    return kappa / alpha if form.startswith("absolute") else math.sqrt(kappa / (2 * alpha))


def _is_mean_over_pixels(objective: Objective, factor: float) -> bool:
    units = (1.0, 0.5) if objective.is_density else (1.0,)
    return any(_close(factor * objective.num_pixels, unit) for unit in units)


def _pixels(form: str, sigma: float) -> str:
    if form.startswith("absolute"):
        return f"Laplace pixels with scale {sigma:.3g}"
    return f"Gaussian pixels with sigma = {sigma:.3g}"


def _what(objective: Objective, sigma: float) -> str:
    if objective.is_density:
        return f"-log p(x given z) of {_pixels(objective.form, sigma)}"
    return "a cross-entropy, -log p(x given z) of bits"


def _number(value: float) -> str:
    return f"{value:.4g}"


def _ratio(value: float) -> str:
    """Write "1/784 of" or "2 times"."""
    if abs(value) < 1 and _close(1 / value, round(1 / value)):
        return f"{'-' if value < 0 else ''}1/{abs(round(1 / value))} of"
    return f"{_number(value)} times"


def _over_images(law: PowerLaw, objective: Objective, density: bool = False) -> str:
    """Say how a total goes over the images, and up to what factor."""
    if objective.shape == "coordinates":
        over = f"a number for each {'latent variable' if objective.form is None else 'pixel'}"
    elif objective.shape == "images" and law.power == 0:
        over = "a number for each image"
    else:
        over = {0: "the sum over images", -1: "the mean over images"}.get(
            law.power, f"times the batch size to the power {law.power}"
        )
    factor = abs(law.factor)
    if density or _close(factor, 1):
        return over
    return (
        f"{_ratio(factor)} it, {over}"
        if over.startswith("a number")
        else f"{_ratio(factor)} {over}"
    )


def _mean_over_latents(D: int) -> Finding:
    message = f"A mean over the {D} latent variables, where a sum belongs: the KL weighs 1/{D} of what it should."
    return finding("kl-mean-over-latents", message)


def _mean_over_pixels(objective: Objective, sigma: float) -> Finding:
    message = f"A mean over the {objective.num_pixels} pixels, where a sum belongs"
    if objective.is_density:
        message += f": with this weight of the KL, these are {_pixels(objective.form, sigma)}."
    else:
        message += (
            f". Beside it, a KL as it should be weighs {objective.num_pixels} times too much."
        )
    return finding("reconstruction-mean-over-pixels", message)


def _reconstruction_sign() -> Finding:
    message = "The reconstruction term is the log-likelihood; a loss needs its negative."
    return finding("reconstruction-sign", message)


def _beta(beta: float) -> Finding:
    message = (
        f"The KL is weighted by beta = {_number(beta)}. If you mean that, it is a beta-VAE; the negative ELBO "
        "has 1."
    )
    return finding("beta", message)
