"""What is wrong with *your* VAE: run its functions on random inputs, and name the mistake.

Each ``diagnose_...`` takes a function as people write it and compares its values with what the
package computes. Nothing is read in its source. PyTorch's random state, weights, gradients
and training modes are as before; what the function itself notes elsewhere, in a list say, stays.
"""

import math
import traceback
from collections.abc import Callable, Mapping
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from vae_teach.divergences import kl_standard_normal
from vae_teach.findings import (
    Decoder,
    Diagnosis,
    Finding,
    Objective,
    explain,
    finding,
    logits_as_probabilities,
)
from vae_teach.interception import Recording, record
from vae_teach.objective import (
    Fit,
    Observation,
    fit,
    kl_features,
    kl_features_of_noise,
    pixel_features,
)

__all__ = [
    "Decoder",
    "Diagnosis",
    "Finding",
    "diagnose_kl",
    "diagnose_loss",
    "diagnose_model",
    "diagnose_reconstruction",
    "diagnose_sampler",
    "diagnose_step",
    "diagnose_value",
]


def diagnose_value(
    yours: float | Tensor | None | Callable[[], float | Tensor],
    exact: float | Tensor,
    mistakes: Mapping[str, float] | None = None,
    unit: str = "nats",
) -> Diagnosis:
    """Compare a number with the exact one, to four digits, or rounded to three.

    ``yours`` is a number, or a function without arguments that returns it. ``mistakes`` are
    numbers that one gets by known mistakes, by what the mistake is called. What is not written
    yet is not told the exact value.
    """
    subject, exact = "your value", float(exact)
    try:
        yours = _number(called(yours if callable(yours) else lambda: yours))
    except _Stop as stop:
        return Diagnosis(subject, "not compared with the exact one.", (stop.finding,))
    unit = f" {unit}" if unit else ""
    summary = f"{yours:.4g} · exact value {exact:.4g}{unit}"
    if _agree(yours, exact):
        return Diagnosis(subject, summary, ())
    for mistake, value in (mistakes or {}).items():
        if _agree(yours, float(value)):
            return Diagnosis(subject, summary, (finding("known-mistake", f"{mistake}."),))
    message = f"Off by {yours - exact:.4g}{unit}, and no mistake on the list gives that."
    return Diagnosis(subject, summary, (finding("unexplained", message),))


def _number(value) -> float:
    try:
        return float(value)
    except (TypeError, ValueError, RuntimeError):
        message = f"Expected one number, but got {value!r:.60}."
        raise _Stop(finding("wrong-shape", message)) from None


def _agree(yours: float, value: float) -> bool:
    rounded = float(f"{value:.3g}")
    return any(math.isclose(yours, other, rel_tol=5e-4) for other in (value, rounded))


def diagnose_kl(kl: Callable, latent_dim: int = 20) -> Diagnosis:
    """Say whether ``kl(mu, logvar)`` is KL(N(mu, diag exp(logvar)) to N(0, I)), or what else.

    It takes two tensors ``(B, latent_dim)`` and returns a number, ``(B,)`` or ``(B,
    latent_dim)``, in nats, where a mean over images is as good as a sum.

    Book: eq-kl-logvar.
    """
    program = _Program(kl, ("mu", "second"), latent_dim=latent_dim)
    return _examine(_subject(kl, "kl", "(mu, logvar)"), program)


def diagnose_reconstruction(
    loss: Callable, decoder: Decoder = "logits", num_pixels: int = 784
) -> Diagnosis:
    """Say whether ``loss(params, x)`` is -log p(x given z), or what else.

    It takes the decoder's output and pixels in [0, 1], ``(B, num_pixels)``, or ``(B, 1, H,
    H)`` if it cannot take these. It returns a number, ``(B,)`` or one value for each pixel, in
    nats. ``decoder`` says what the output is: ``logits`` or ``probabilities`` of bits, or
    ``means`` of Gaussian pixels.

    Book: eq-bernoulli-logits, eq-gaussian-squared-error.
    """
    program = _Program(loss, ("params", "x"), decoder=decoder, num_pixels=num_pixels)
    return _examine(_subject(loss, "loss", "(params, x)"), program)


def diagnose_loss(
    loss: Callable, decoder: Decoder = "logits", num_pixels: int = 784, latent_dim: int = 20
) -> Diagnosis:
    """Say which objective ``loss(params, x, mu, logvar)`` is, compared with the negative ELBO.

    It takes ``(B, num_pixels)`` twice and ``(B, latent_dim)`` twice. It returns a number,
    ``(B,)``, a tuple that begins with the total, or a dict with the total under ``loss``.
    ``decoder`` is as in ``diagnose_reconstruction``.

    Book: eq-elbo-two-terms, eq-implied-beta.
    """
    names = ("params", "x", "mu", "second")
    program = _Program(loss, names, decoder, num_pixels, latent_dim)
    return _examine(_subject(loss, "loss", "(params, x, mu, logvar)"), program)


def diagnose_sampler(sample: Callable, latent_dim: int = 20) -> Diagnosis:
    """Say whether ``sample(mu, logvar)`` draws from N(mu, diag exp(logvar)), differentiably.

    It takes two tensors ``(B, latent_dim)`` and returns one. A method of a module is run in
    training mode.

    Book: eq-reparameterisation.
    """
    subject = _subject(sample, "sample", "(mu, logvar)")
    with undisturbed(sample):
        try:
            findings = _noise(sample, latent_dim) + _gradients(sample, latent_dim)
        except _Stop as stop:
            return Diagnosis(subject, "not examined to the end.", (stop.finding,))
    summary = (
        "not z = mu + exp(logvar / 2) * eps." if findings else "z = mu + exp(logvar / 2) * eps."
    )
    return Diagnosis(subject, summary, tuple(findings))


def diagnose_step(step: Callable, x: Tensor) -> Diagnosis:
    """Say which objective a training step minimises, encoder, noise and decoder inside.

    ``step(x)`` takes a batch ``(B, ...)`` of pixels in [0, 1] and returns the loss as
    ``diagnose_loss`` allows, or calls ``backward`` on it. It is run some forty times with
    noise of ours and layers disturbed at random. ``backward`` does nothing meanwhile, so that
    nothing is learnt. Of a Lightning module give ``lambda x: module.training_step((x, None),
    0)``.

    Book: eq-elbo-one-sample, eq-implied-beta.
    """
    subject = _subject(step, "step", "(x)")
    with undisturbed(step):
        try:
            first, again = (_watched(step, x) for _ in range(2))
            if not math.isfinite(_value(first)):
                message = f"The loss of this batch is {_value(first)}."
                raise _Stop(finding("not-finite", f"{message} {NOT_FINITE}"))
            findings = _noise_of_step(first, again) + _old_gradients(step, x, first)
            reason = _cannot_be_taken_apart(first)
            objective, target = (None, None) if reason else _objective_of_step(step, x)
        except _Stop as stop:
            return Diagnosis(subject, "not examined to the end.", (stop.finding,))
    if objective is None:
        summary = (
            reason
            or "the loss is no weighted sum of a reconstruction and a KL in the book's forms."
        )
        summary = f"cannot be taken apart: {summary}"
        return Diagnosis(subject, summary, tuple(findings), examined=False)
    summary, more = explain(objective)
    if "cross-entropy" in objective.form and (target.min() < 0 or target.max() > 1):
        findings.append(_out_of_range(target))
    return Diagnosis(subject, summary, (*findings, *more))


def diagnose_model(model: Callable, x: Tensor) -> Diagnosis:
    """Say whether a VAE is connected as it should be: noise, gradients, and what depends on x.

    ``model(x)`` takes pixels ``(B, ...)`` and returns ``(params, mu, logvar)``, where
    ``params`` has as many numbers as ``x``. A module is examined in training mode.
    """
    subject = "model(x)"
    with undisturbed(model):
        try:
            findings, summary = _connections(model, x)
        except _Stop as stop:
            return Diagnosis(subject, "not examined to the end.", (stop.finding,))
    return Diagnosis(subject, summary, tuple(findings))


def _subject(function: Callable, name: str, arguments: str) -> str:
    """Write the reader's function with its own name, if it has one."""
    own = getattr(function, "__name__", "")
    return (own if own.isidentifier() else name) + arguments


# --- running the reader's function ------------------------------------------------------------


class _Stop(Exception):
    """The examination cannot go on; carries the finding that says why."""

    def __init__(self, finding: Finding):
        self.finding = finding


@dataclass(frozen=True)
class _Program:
    """The reader's function, what it takes, and how it likes to be given that.

    ``latents`` says where ``mu`` and ``second`` are drawn: anywhere; only positive, which a
    standard deviation or a variance must be; far out, above any threshold on the KL; or near
    the prior, within any clamp.
    """

    function: Callable
    takes: tuple[str, ...]
    decoder: Decoder | None = None
    num_pixels: int = 784
    latent_dim: int = 20
    dtype: torch.dtype = torch.float64
    folded: bool = False
    bits: bool = False
    latents: Literal["anywhere", "positive", "far", "near"] = "anywhere"

    def __post_init__(self):
        if self.decoder not in (None, *get_args(Decoder)):
            raise ValueError(
                f"decoder must be one of {', '.join(get_args(Decoder))}, but is {self.decoder!r}."
            )

    def but(self, **changes) -> "_Program":
        return _Program(**vars(self) | changes)

    def draw(self, batch_size: int, generator: torch.Generator) -> dict[str, Tensor]:
        """Draw random inputs: ``params``, ``x``, ``mu`` and ``second``, all two-dimensional."""

        def uniform(columns, low, high):
            size = (batch_size, columns)
            return low + (high - low) * torch.rand(size, generator=generator, dtype=torch.float64)

        P, D = self.num_pixels, self.latent_dim
        x = uniform(P, 0.02, 0.98)
        reach = 1 if self.latents == "near" else 2
        inputs = {
            "params": uniform(P, -4, 4) if self.decoder == "logits" else uniform(P, 0.05, 0.95),
            "x": (x > 0.5).double() if self.bits else x,
            "mu": uniform(D, -reach, reach),
            "second": uniform(D, 0.2 if self.latents == "positive" else -reach, reach),
        }
        if self.latents == "far":
            inputs["mu"] = 8 * inputs["mu"].sign() + inputs["mu"]
        return inputs

    def run(self, inputs: dict[str, Tensor]) -> Tensor:
        """Return the total that the function gives, in whatever shape, as float64.

        Raises ``_Stop`` when it raises, or gives something else than a total.
        """
        given = [inputs[name].to(self.dtype, copy=True) for name in self.takes]
        return total_of(called(self.function, *self.folded_as_taken(given)))

    def folded_as_taken(self, given: list[Tensor]) -> list[Tensor]:
        """Give pixels the axes that the function wants."""
        if not self.folded:
            return given
        side = math.isqrt(self.num_pixels)
        return [pixels.unflatten(1, (1, side, side)) for pixels in given[:2]] + given[2:]


def called(function: Callable, *inputs):
    """Return what the reader's function returns; raise ``_Stop`` for what it raises."""
    try:
        with torch.enable_grad():
            result = function(*inputs)
    except NotImplementedError:
        raise _Stop(_not_written()) from None
    except Exception as error:
        raise _Stop(_raised(error)) from error
    return something(result)


def something(result):
    """Return what a function returned, if it is anything; raise ``_Stop`` otherwise."""
    if result is None or result is ...:
        message = f"It returned {result}: not written yet, or a return is missing."
        raise _Stop(finding("not-written-yet", message))
    return result


def total_of(result) -> Tensor:
    """Return the total of a loss: the first of a tuple, ``loss`` of a dict, or the thing itself."""
    result = chosen(result)
    try:
        return torch.as_tensor(result).detach().to("cpu", torch.float64)
    except (TypeError, ValueError, RuntimeError):
        message = f"Expected a number or a tensor, but got {type(result).__name__}."
        raise _Stop(finding("wrong-shape", message)) from None


def chosen(result):
    """Return the total of what a loss returns, with its graph."""
    if isinstance(result, dict):
        return result.get("loss", next(iter(result.values()), None))
    if isinstance(result, (tuple, list)):
        return result[0] if result else None
    return result


def _not_written() -> Finding:
    return finding("not-written-yet", "Write the part that is marked TODO, then run this again.")


def _raised(error: Exception) -> Finding:
    """Say what the reader's function raised, and on which line of theirs."""
    ours = {Path(__file__).parent, Path(torch.__file__).parent}
    frames = [
        frame
        for frame in traceback.extract_tb(error.__traceback__)
        if not ours & set(Path(frame.filename).parents)
    ]
    where = f", line {frames[-1].lineno} of {Path(frames[-1].filename).name}" if frames else ""
    text = f"{type(error).__name__}{where}: {error}"
    if "between 0 and 1" in str(error):
        return logits_as_probabilities(f" It raised {text}")
    return finding("raised", text)


@contextmanager
def undisturbed(function: Callable):
    """Leave random state, gradients' and training mode and default type as they are found.

    The function is run in training mode if it is a method of a module, and with random numbers
    that are the same at every diagnosis.
    """
    module = getattr(function, "__self__", function)
    module = module if isinstance(module, nn.Module) else None
    modes = {part: part.training for part in module.modules()} if module else {}
    dtype = torch.get_default_dtype()
    with torch.random.fork_rng(devices=[]):
        torch.set_rng_state(torch.Generator().manual_seed(0).get_state())
        try:
            if module:
                nn.Module.train(module)  # a method train of the reader's may do anything
            yield
        finally:
            torch.set_default_dtype(dtype)
            for part, mode in modes.items():
                part.training = mode


# --- from values to an objective --------------------------------------------------------------

REPEATS = 14  # observations of each batch size, for at most five weights
REPEATS_OF_STEP = 9  # each of which takes two runs of a network
WAYS = (
    {},
    {"dtype": torch.float32},
    {"dtype": torch.float32, "folded": True},
    {"dtype": torch.float32, "bits": True},
    {"dtype": torch.float32, "bits": True, "folded": True},
)


def _examine(subject: str, program: _Program) -> Diagnosis:
    """Find out which objective a function computes, and say it."""
    with undisturbed(program.function):
        try:
            ran, objective = _implied_objective(program)
            summary, findings = explain(objective)
            if all(one.note for one in findings):
                findings += _threshold(ran, objective.fits[0]) + _not_finite(ran) + _slopes(ran)
        except _Stop as stop:
            return Diagnosis(subject, "not examined to the end.", (stop.finding,))
    return Diagnosis(subject, summary, tuple(findings))


def _implied_objective(program: _Program) -> tuple[_Program, Objective]:
    """Try the ways in which a function may want its inputs, until its values are explained."""
    tries = _runnable(program)
    if "mu" in program.takes:
        tries += [
            one.but(latents=latents) for latents in ("positive", "far", "near") for one in tries
        ]
    for one in tries:
        observations, shape = _observations(one)
        fits = fit(observations) if observations else None
        if fits:
            sizes = (one.num_pixels, one.latent_dim)
            return one, Objective(fits, one.decoder, program.decoder, *sizes, shape)
    raise _Stop(_unexplained(tries[0]))


def _runnable(program: _Program) -> list[_Program]:
    """Return the program with inputs that it takes; if it wants logits, with probabilities too."""
    decoders = [program.decoder]
    if "params" in program.takes and program.decoder == "logits":
        decoders.append("probabilities")
    found, stops = [], []
    for decoder in decoders:
        for way in WAYS if "params" in program.takes else WAYS[:2]:
            one = program.but(decoder=decoder, **way)
            try:
                one.run(one.draw(3, torch.Generator().manual_seed(0)))
            except _Stop as stop:
                stops.append(stop)
            else:
                found.append(one)
                break
    if not found:
        raise stops[1]  # of float32 and flat images, which is what people run
    return found


def _observations(program: _Program) -> tuple[list[Observation], str]:
    """Run a program on random inputs of two batch sizes; no observations if a value is not finite."""
    generator = torch.Generator().manual_seed(1)
    taken = {program.latent_dim, program.num_pixels}
    sizes = [size for size in (4, 7, 9, 10) if size not in taken][:2]
    observations, shape = [], "number"
    for size in sizes:
        for _ in range(REPEATS):
            inputs = program.draw(size, generator)
            result = program.run(inputs)
            shape = _shape(result, size, program)
            if not result.isfinite().all():
                return [], shape
            observations.append(_observation(float(result.sum()), inputs, program.takes))
    return observations, shape


def _observation(value: float, inputs: dict[str, Tensor], takes: tuple[str, ...]) -> Observation:
    params, x, mu, second = (inputs[name] for name in ("params", "x", "mu", "second"))
    reconstructions = pixel_features(params, x) if "params" in takes else {}
    kls = kl_features(mu, second) if "mu" in takes else {}
    return Observation(value, len(mu), reconstructions, kls)


def _shape(result: Tensor, batch_size: int, program: _Program) -> str:
    """Name the shape of a result; raise ``_Stop`` when it is none that a total may have."""
    coordinates = program.num_pixels if "params" in program.takes else program.latent_dim
    if result.numel() == 1:
        return "number"
    if tuple(result.shape) == (batch_size,):
        return "images"
    whole = {"params", "mu"} <= set(program.takes)
    if not whole and result.shape[0] == batch_size and result.numel() == batch_size * coordinates:
        return "coordinates"
    if tuple(result.shape) == (program.latent_dim,):
        message = (
            f"Summed over the batch: {program.latent_dim} numbers are left, one for each latent variable. "
            "Sum over the last axis, dim=-1, and average over images."
        )
        raise _Stop(finding("kl-over-wrong-axis", message))
    allowed = f"a number or ({batch_size},)" + (
        "" if whole else f" or ({batch_size}, {coordinates})"
    )
    message = (
        f"For {batch_size} images the result has shape {tuple(result.shape)}; expected {allowed}."
    )
    raise _Stop(finding("wrong-shape", message))


def _unexplained(program: _Program) -> Finding:
    """Say how far a program is from the right value, at one point."""
    inputs = program.draw(4, torch.Generator().manual_seed(2))
    value = float(program.run(inputs).sum())
    if not math.isfinite(value):
        message = f"The value is {value} at moderate inputs, where the right one is finite."
        return finding("not-finite", message)
    right = 0.0
    if "mu" in program.takes:
        right += float(kl_standard_normal(inputs["mu"], inputs["second"]).sum())
    if "params" in program.takes:
        right += pixel_features(inputs["params"], inputs["x"])[RIGHT[program.decoder]]
    message = (
        f"On four random images the sum is {value:.5g}, the right one {right:.5g}, "
        "and no mistake that this tool knows explains the difference."
    )
    return finding("unexplained", message)


RIGHT = {
    "logits": "cross-entropy of logits",
    "probabilities": "cross-entropy of probabilities",
    "means": "squared error",
}


def _threshold(program: _Program, fit: Fit) -> list[Finding]:
    """Name a threshold or a clamp: values at the prior, and off it, that the weights do not give."""
    if "mu" not in program.takes:
        return []
    drawn = program.draw(fit.batch_size, torch.Generator().manual_seed(3))
    for logvar in (0.0, -5.0, 5.0):
        inputs = drawn | {"mu": 0 * drawn["mu"], "second": torch.full_like(drawn["second"], logvar)}
        value = float(program.run(inputs).sum())
        expected = fit.value_of(_observation(value, inputs, program.takes))
        if not math.isclose(value, expected, rel_tol=1e-4, abs_tol=1e-4):
            message = (
                f"At mu = 0 and logvar = {logvar:g} the value is {value:.4g}, where the other values let one expect "
                f"{expected:.4g}: a threshold on the KL, such as free bits, or a clamp on its arguments."
            )
            return [finding("free-bits-or-clamp", message, note=True)]
    return []


def _not_finite(program: _Program) -> list[Finding]:
    """Try extreme inputs, at which the right value is finite, in float32."""
    program = program.but(dtype=torch.float32)
    inputs = program.draw(4, torch.Generator().manual_seed(4))
    ends = {"logits": (-1e4, 1e4), "probabilities": (0.0, 1.0), "means": (-1e4, 1e4)}
    extremes = {}
    if "params" in program.takes:
        for end in ends[program.decoder]:
            for bit in (0.0, 1.0):
                pixels = {"params": torch.full_like(inputs["params"], end)}
                pixels["x"] = torch.full_like(inputs["x"], bit)
                extremes[f"params = {end:g}, x = {bit:g}"] = inputs | pixels
    if "mu" in program.takes and program.latents == "anywhere":
        for end in (-60.0, 60.0):
            extremes[f"logvar = {end:g}"] = inputs | {
                "second": torch.full_like(inputs["second"], end)
            }
    bad = [name for name, given in extremes.items() if not program.run(given).isfinite().all()]
    if not bad:
        return []
    message = (
        f"The value is not finite at {'; '.join(bad)}, where the right one is. Take no logarithm of a sigmoid or of "
        "an exponential: work with logits and logvar themselves."
    )
    return [finding("not-finite", message)]


def _slopes(program: _Program) -> list[Finding]:
    """Ask whether the value has a gradient with respect to what the networks give."""
    drawn = program.draw(4, torch.Generator().manual_seed(5))
    leaves = {name: drawn[name].to(program.dtype).requires_grad_() for name in program.takes}
    given = dict(zip(leaves, program.folded_as_taken(list(leaves.values())), strict=True))
    value = chosen(called(program.function, *(given[name].clone() for name in given)))
    slopes = [None] * len(leaves)
    if isinstance(value, Tensor) and value.requires_grad:
        inputs = list(leaves.values())
        slopes = called(lambda: torch.autograd.grad(value.sum(), inputs, allow_unused=True))
    findings = []
    for name, slope in zip(leaves, slopes, strict=True):
        if name != "x" and (slope is None or not slope.any()):
            code = "no-gradient-to-" + ("logvar" if name == "second" else name)
            message = (
                "The value is right and has no gradient: detach, item or no_grad stands in its way."
            )
            findings.append(finding(code, message))
    return findings


# --- a sampler --------------------------------------------------------------------------------

LOGVARS = (-2.0, -1.0, 0.5, 1.5)
SCALES = (
    ("scale-is-variance", math.exp, "exp(logvar), the variance, where exp(logvar / 2) belongs"),
    ("scale-is-logvar", abs, "logvar itself, which may be negative, where exp(logvar / 2) belongs"),
    (
        "scale-is-precision",
        lambda s: math.exp(-s / 2),
        "exp(-logvar / 2), where exp(logvar / 2) belongs",
    ),
    ("exp-twice", lambda s: math.exp(math.exp(s / 2)), "exp of the standard deviation"),
    ("exp-twice", lambda s: math.exp(math.exp(s) / 2), "exp of half the variance"),
)


def _stale_noise() -> Finding:
    message = "The noise is the same at every call. Draw it anew, without setting a seed inside."
    return finding("stale-noise", message)


def _noise(sample: Callable, latent_dim: int) -> list[Finding]:
    """Examine ``(z - mu) / exp(logvar / 2)``, which has to be standard normal noise."""
    mu = torch.full((2000, latent_dim), 0.7)
    first, again = (_drawn(sample, mu, torch.ones_like(mu)) for _ in range(2))
    if first.equal(mu):
        message = "z is mu: there is no noise, and the decoder never sees the width of the cloud."
        return [finding("no-noise", message)]
    eps = first - mu
    if eps.std() < 1e-6 and first.equal(again):
        message = "z is mu plus the same number everywhere: there is no noise in it."
        return [finding("no-noise", message)]
    if first.equal(again):
        return [_stale_noise()]
    for axis, what in ((0, "image"), (1, "latent variable")):
        if eps.shape[axis] > 1 and eps.std(axis).max() < 1e-6:
            message = f"Every {what} gets the same noise. Draw as many numbers as mu has."
            return [finding("same-noise-for-all", message)]
    spreads = [(_drawn(sample, mu, torch.full_like(mu, s)) - mu).std().item() for s in LOGVARS]
    findings = _scale(spreads)
    mean, kurtosis = eps.mean() / eps.std(), ((eps - eps.mean()) / eps.std()).pow(4).mean()
    if abs(mean) > 0.05 or abs(kurtosis - 3) > 0.3:
        message = (
            f"(z - mu) / sigma has the mean {mean:.2f} and the fourth moment {kurtosis:.1f}; standard normal noise has "
            "0 and 3. Is the noise from torch.randn, and is mu added to it?"
        )
        findings.insert(0, finding("noise-not-normal", message))
    return findings


def _drawn(sample: Callable, mu: Tensor, logvar: Tensor) -> Tensor:
    z = called(sample, mu.clone(), logvar.clone())
    if not isinstance(z, Tensor):
        message = f"Expected z as a tensor of PyTorch's, but got {type(z).__name__}."
        raise _Stop(finding("wrong-shape", message))
    if z.shape != mu.shape:
        message = f"For mu of shape {tuple(mu.shape)} z has shape {tuple(z.shape)}."
        raise _Stop(finding("wrong-shape", message))
    return z.detach()


def _scale(spreads: list[float]) -> list[Finding]:
    """Compare the spread of z at each of ``LOGVARS`` with what it may be."""
    factors = [spread / math.exp(s / 2) for spread, s in zip(spreads, LOGVARS, strict=True)]
    if max(factors) < 1.03 * min(factors):
        factor = sum(factors) / len(factors)
        if 0.97 < factor < 1.03:
            return []
        message = f"The noise is {factor:.2f} times as large as it should be."
        return [finding("noise-scale", message)]
    for code, scale, what in SCALES:
        ratios = [spread / scale(s) for spread, s in zip(spreads, LOGVARS, strict=True)]
        if max(ratios) < 1.03 * min(ratios):
            message = (
                f"The noise is multiplied by {what}. If that is what your encoder gives, the KL must "
                "read it so too."
            )
            return [finding(code, message)]
    pairs = ", ".join(f"{spread:.3g} at {s:g}" for spread, s in zip(spreads, LOGVARS, strict=True))
    message = f"The standard deviation of z is not exp(logvar / 2), nor anything that this tool knows: {pairs}."
    return [finding("unexplained", message)]


def _gradients(sample: Callable, latent_dim: int) -> list[Finding]:
    """Ask whether z has a gradient with respect to ``mu`` and ``logvar``."""
    inputs = [torch.full((5, latent_dim), 0.3, requires_grad=True) for _ in range(2)]
    z = called(sample, *(values.clone() for values in inputs))
    gradients = [None, None]
    if z.requires_grad:
        gradients = torch.autograd.grad(z.square().sum(), inputs, allow_unused=True)
    findings = []
    for name, gradient in zip(("mu", "logvar"), gradients, strict=True):
        if gradient is None or not gradient.any():
            message = f"No gradient reaches {name}: z was drawn, and not computed from noise by a formula."
            findings.append(finding(f"no-gradient-to-{name}", message))
    return findings


# --- a whole step -------------------------------------------------------------------------------


NOT_FINITE = (
    "Is a logarithm or a root taken of what may be 0 or negative, such as a variance that a layer returned, "
    "or an exponential of what may be large?"
)


def _watched(
    step: Callable, x: Tensor, seed: int | None = None, shift: float = 0.0, shake: float = 0.0
) -> Recording:
    seen = called(lambda given: record(step, given, seed, shift, shake), x)
    if seen.loss is None and seen.result is None:
        message = "The step returns nothing and calls no backward. Return the loss."
        raise _Stop(finding("wrong-shape", message))
    return seen


def _value(seen: Recording) -> float:
    return float(total_of(seen.loss if seen.result is None else seen.result).sum())


def _noise_of_step(first: Recording, again: Recording) -> list[Finding]:
    """Examine the noise of two runs of a step."""
    if not first.noise:
        if _value(first) != _value(again):
            return []
        message = (
            "The loss is the same at every call: z is mu, or its noise was drawn once and kept. Which of the "
            "two cannot be seen from outside."
        )
        return [finding("no-noise", message)]
    if all(a.equal(b) for a, b in zip(first.noise, again.noise, strict=False)):
        return [_stale_noise()]
    if first.uniform:
        message = "The noise is uniform, from torch.rand. It has to be normal: torch.randn."
        return [finding("noise-not-normal", message)]
    if first.z is None:
        return []
    if max(noise.numel() for noise in first.noise) < first.z.numel():
        message = f"Noise of shape {tuple(first.noise[0].shape)} serves codes of shape {tuple(first.z.shape)}."
        return [finding("same-noise-for-all", message)]
    if not first.attached:
        message = (
            "No gradient reaches the encoder through z: z was drawn, and not computed from noise."
        )
        codes = ("no-gradient-to-mu", "no-gradient-to-logvar")
        return [finding(code, message) for code in codes]
    return []


def _old_gradients(step: Callable, x: Tensor, first: Recording) -> list[Finding]:
    """Examine whether a step with an optimizer gets rid of the gradients of the step before."""
    if first.loss is None or not first.moved:
        return []
    own = [parameter.grad for parameter in first.moved]
    try:
        for parameter in first.moved:
            parameter.grad = torch.ones_like(parameter)
        left = _watched(step, x).gradients
    finally:
        for parameter, gradient in zip(first.moved, own, strict=True):
            parameter.grad = gradient
    if not any(gradient is not None and gradient.any() for gradient in left):
        return []
    message = (
        "Gradients add up: backward and the optimizer's step are called, and nothing clears the gradients "
        "in between. Call optimizer.zero_grad() before backward."
    )
    return [finding("gradients-pile-up", message)]


def _cannot_be_taken_apart(seen: Recording) -> str:
    """Say why a step cannot be followed; nothing, if it can."""
    if not seen.noise:
        return "no noise of PyTorch's is drawn."
    if len(seen.noise) > 1:
        return (
            f"noise is drawn {len(seen.noise)} times in one step, and this tool follows one draw."
        )
    if seen.z is None:
        return "no layer receives what is made of the noise."
    if seen.noise[0].numel() % seen.z.shape[1]:
        return "the noise has another size than the codes."
    return ""


def _out_of_range(pixels: Tensor) -> Finding:
    message = (
        f"The pixels go from {pixels.min():.3g} to {pixels.max():.3g}, and a cross-entropy needs them in [0, 1]: "
        "outside, it falls without end. Divide bytes by 255, and leave out Normalize."
    )
    return finding("pixels-out-of-range", message)


def _objective_of_step(step: Callable, x: Tensor) -> tuple[Objective, Tensor] | tuple[None, None]:
    """Explain the values of a step that is given noise and disturbances of ours.

    Returns the objective, and the pixels that the decoder's output is compared with.
    """
    sizes = _sizes(step, x)
    # Large disturbances show a small KL beside the rounding of a large sum; small ones do not
    # overflow where exp is taken once too often.
    x = _in_double(step, x)
    for shake in (2.0, 0.5):
        observations, squashed = _observations_of_step(step, x, sizes, shake)
        finite = all(math.isfinite(one.value) for one in observations)
        fits = fit(observations) if finite else None
        if finite and (fits is None or fits[0].reconstruction_weight):
            break
    if not finite:
        message = "With other outputs of its layers, no large ones, the loss is infinite or NaN."
        raise _Stop(finding("not-finite", f"{message} {NOT_FINITE}"))
    if not fits or fits[0].reconstruction is None:
        return None, None
    output, target, form = fits[0].reconstruction
    if fits[0].reading == "sigma for log-variance" and _signed(step, x):
        fits = [one._replace(reading="raw sigma for log-variance") for one in fits]
    fits = [one._replace(reconstruction=form) for one in fits]
    decoder = "probabilities" if output in squashed else "logits"
    seen = record(step, x)
    widths = (x[0].numel(), seen.z.shape[1])
    return Objective(fits, decoder, None, *widths, "number"), seen.targets[target]


def _signed(step: Callable, x: Tensor) -> bool:
    """Say whether the number that multiplies the noise may be negative."""
    seen, moved = (_watched(step, x, 0, shift, shake=2.0) for shift in (0.0, 1.0))
    return bool((moved.z < seen.z).any())


def _sizes(step: Callable, x: Tensor) -> list[int]:
    """Return two small sizes of batches, or that of ``x`` if the step insists on it."""
    sizes = [4, 8] if len(x) >= 8 else sorted({max(len(x) // 2, 1), len(x)})
    try:
        for size in sizes:
            _watched(step, x[:size])
    except _Stop:
        return [len(x)]
    return sizes


def _in_double(step: Callable, x: Tensor) -> Tensor:
    """Return ``x`` in float64, where weights are told better, if the step can take that."""
    try:
        _watched(step, x.double(), seed=0, shake=1.0)
    except _Stop:
        return x
    return x.double()


def _observations_of_step(
    step: Callable, x: Tensor, sizes: list[int], shake: float
) -> tuple[list[Observation], set[int]]:
    """Run a step on batches of some sizes; say too which outputs are always in [0, 1]."""
    observations, beyond, seen_at_all = [], set(), set()
    for seed in range(REPEATS_OF_STEP):
        for size in sizes:
            seen, moved = (_watched(step, x[:size], seed, shift, shake) for shift in (0.0, 1.0))
            sigma = moved.z - seen.z
            eps = seen.noise[-1].reshape(-1, sigma.shape[1]).expand_as(sigma)
            kls = kl_features_of_noise(seen.z - sigma * eps, sigma, eps)
            forms = {}
            for i, output in enumerate(seen.outputs):
                seen_at_all.add(i)
                if output.min() < 0 or output.max() > 1:
                    beyond.add(i)
                for j, target in enumerate(seen.targets):
                    found = pixel_features(output, target)
                    forms |= {(i, j, form): value for form, value in found.items()}
            observations.append(Observation(_value(seen), size, forms, kls))
    return observations, seen_at_all - beyond


# --- a model ------------------------------------------------------------------------------------

NO_NATS = 0.01  # a code that costs less in all says nothing of its image


def _outputs(result, x: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """Return ``params``, flat, ``mu`` and ``logvar``; raise ``_Stop`` when they do not fit."""
    if not isinstance(result, (tuple, list)) or not all(isinstance(r, Tensor) for r in result[:3]):
        message = f"Expected (params, mu, logvar), three tensors, but got {type(result).__name__}."
        raise _Stop(finding("wrong-shape", message))
    shapes = ", ".join(str(tuple(r.shape)) for r in result)
    params, mu, logvar = (*result, None, None)[:3]
    pairs = mu is not None and mu.dim() == 2 and mu.shape == logvar.shape and len(mu) == len(x)
    if not pairs or params.numel() != x.numel():
        message = (
            f"For x of shape {tuple(x.shape)} the model returns shapes {shapes}. Expected params with as many "
            "numbers as x, and mu and logvar (B, latent_dim)."
        )
        raise _Stop(finding("wrong-shape", message))
    return params.flatten(1), mu, logvar


def _connections(model: Callable, x: Tensor) -> tuple[list[Finding], str]:
    """Follow noise and gradients through a model."""
    first, again = (called(lambda given: record(model, given), x) for _ in range(2))
    params, mu, logvar = _outputs(something(first.result), x)
    for name, values in (("params", params), ("mu", mu), ("logvar", logvar)):
        if not values.isfinite().all():
            message = f"{name} is infinite or NaN for these images."
            outside = x.min() < 0 or x.max() > 1
            raise _Stop(_out_of_range(x) if outside else finding("not-finite", message))
    if len(x) < 2:
        message = "Give at least two images: one does not show whether the output depends on it."
        raise _Stop(finding("wrong-shape", message))
    nats = kl_standard_normal(mu, logvar).mean().item()
    difference = (params - params[:1]).abs().max().item()
    if difference < 1e-6:
        message = f"The output differs by {difference:.2g} between images: it says nothing of them."
        findings = [finding("same-output-for-all-images", message)]
    else:
        findings = _noise_of_model(first, again, mu)
        weights = [weight for weight in first.parameters if weight.requires_grad]
        gradients = _gradients_of_model(weights, params, mu, logvar) if weights else []
        findings += [one for one in gradients if not findings or "coder" in one.code]
    if abs(nats) < NO_NATS:
        message = (
            f"The KL is {nats:.2g} nats: a fresh network, or after training posterior collapse."
        )
        findings.append(finding("kl-near-zero", message, note=True))
    findings += _ranges(model, x)
    if mu.equal(logvar):
        message = (
            "mu and logvar are the same numbers: one layer, or one half of its output, for both."
        )
        findings.append(finding("heads-are-one-layer", message))
    outputs = total_of(called(lambda given: record(model, given, seed=0), x).result)
    kind = "logits or means"
    if outputs.min() >= 0 and outputs.max() <= 1:
        kind = "probabilities"
        message = "params lie in [0, 1]: probabilities, which the loss must not squash again."
        note = finding("params-are-probabilities", message, note=True)
        findings.append(note)
    latents = f"{mu.shape[1]} latent variables"
    return findings, f"params are {kind}, {latents}, KL {nats:.3g} nats an image."


def _ranges(model: Callable, x: Tensor) -> list[Finding]:
    """Ask whether the outputs of a disturbed model go where they have to."""
    findings = []
    if x.min() < 0 or x.max() > 1:
        findings.append(_out_of_range(x))
    params, mu, logvar = called(lambda given: record(model, given, seed=0), x).result[:3]
    for name, head in (("mu", mu), ("logvar", logvar)):
        if head.min() == 0 and (head == 0).float().mean() > 0.05:
            message = (
                f"{name} is never below 0 and often 0: a ReLU cuts it off. It must be any number."
            )
            findings.append(finding("head-is-rectified", message))
    if -1 <= params.min() < -0.05 and 0.3 < params.max() <= 1:
        message = "params lie in [-1, 1], as tanh makes them: means perhaps, no logits and no probabilities."
        findings.append(finding("params-out-of-range", message, note=True))
    return findings


def _noise_of_model(first: Recording, again: Recording, mu: Tensor) -> list[Finding]:
    """Compare two runs in training mode; ask whether a layer was given mu itself."""
    if not total_of(first.result).equal(total_of(again.result)):
        return []
    if any(
        given.numel() == mu.numel() and given.reshape(mu.shape).equal(mu) for given in first.given
    ):
        message = "In training mode the decoder is given mu itself, without noise."
        return [finding("noise-off-in-training", message)]
    return [_stale_noise()]


def _gradients_of_model(
    weights: list[Tensor], params: Tensor, mu: Tensor, logvar: Tensor
) -> list[Finding]:
    """Ask which weights, and which outputs of the encoder, the reconstruction reaches."""
    of_encoder = set(_reached(mu, weights)) | set(_reached(logvar, weights))
    by_pixels = set(_reached(params, weights))
    findings = []
    if not of_encoder & by_pixels:
        message = (
            "The reconstruction has no gradient with respect to the encoder's weights: z is cut off from mu "
            "and logvar."
        )
        findings.append(finding("no-gradient-to-encoder", message))
    else:
        for name, head in (("mu", mu), ("logvar", logvar)):
            if head.requires_grad and not _reached(params, [head]):
                message = f"No gradient of the reconstruction reaches {name}."
                findings.append(finding(f"no-gradient-to-{name}", message))
    if not by_pixels - of_encoder:
        message = "The reconstruction has no gradient with respect to any weight of the decoder."
        findings.append(finding("no-gradient-to-decoder", message))
    return findings


def _reached(output: Tensor, inputs: list[Tensor]) -> list[int]:
    """Return the places of the inputs with respect to which an output has a gradient."""
    if not output.requires_grad or not inputs:
        return []
    total = output.square().sum()
    gradients = torch.autograd.grad(total, inputs, allow_unused=True, retain_graph=True)
    return [i for i, gradient in enumerate(gradients) if gradient is not None and gradient.any()]
