"""The labels of `diagnosis_variants` are proved from torch.distributions, without the tool."""

import diagnosis_variants as variants
import pytest
import torch
from diagnosis_variants import EXTRA, RIGHT, UNDECIDABLE, WRONG

ALL = RIGHT + WRONG + UNDECIDABLE + EXTRA
IMAGES, LATENTS = 6, 20
NO_VALUE = {"raised", "not-written-yet", "wrong-shape"}


def cases(chosen):
    return [pytest.param(variant, id=variant.name) for variant in chosen]


@pytest.fixture(autouse=True)
def exact_and_as_it_was():
    """Float64 throughout, and the global state of torch restored."""
    torch.set_default_dtype(torch.float64)
    with torch.random.fork_rng():
        torch.manual_seed(7)
        yield
    torch.set_default_dtype(torch.float32)


def arguments(variant, seed=3, extreme=False):
    """The arguments of a function of this entry, by name."""
    generator = torch.Generator().manual_seed(seed)
    mu, h = torch.randn(2, IMAGES, LATENTS, generator=generator)
    x = (torch.rand(IMAGES, variants.PIXELS, generator=generator) < 0.4).double()
    params = torch.randn(x.shape, generator=generator)
    if variant.decoder == "probabilities":
        params = torch.sigmoid(2 * params)
    if variant.positive:
        h = h.abs() + 0.1
        params = params.sigmoid()
    if extreme:
        h = torch.full_like(h, 60.0)
        params = x if variant.decoder == "probabilities" else (2 * x - 1) * 1e4
    return {"mu": mu, "h": h, "params": params, "x": x}


TAKES = {
    "kl": ("mu", "h"),
    "sampler": ("mu", "h"),
    "reconstruction": ("params", "x"),
    "loss": ("params", "x", "mu", "h"),
}


def told_of(variant, given):
    """What an `equals` may ask for, of a function's arguments."""
    quantities = dict(given, B=IMAGES, P=variants.PIXELS, D=LATENTS)
    quantities["K"] = variants.KL(given["mu"], given["h"])
    if variant.decoder == "probabilities" or not variant.positive:
        quantities["R"] = variants.NLL[variant.decoder](given["params"], given["x"])
    else:
        quantities["R"] = variants.nll_logits(given["params"], given["x"])
    quantities["E"] = (given["params"] - given["x"]) ** 2
    return quantities


def step_and_quantities(variant):
    """The value of a step, and what an `equals` may ask for, under one seed."""
    x = variant.batch()
    program, net = variant.build()
    mu, h = (value.detach() for value in net.posterior(x))
    torch.manual_seed(11)
    eps = torch.randn(mu.shape)
    sample = variant.z or (lambda mu, h, eps: mu + (h / 2).exp() * eps)
    z = variants.available({"mu": mu, "h": h, "eps": eps}, sample)
    quantities = {"mu": mu, "h": h, "z": z, "eps": eps, "x": x, "B": len(x), "D": mu.shape[1]}
    quantities["R"] = net.nll(z, x).detach().flatten(1)
    quantities["K"] = variants.KL(mu, h)
    torch.manual_seed(11)
    return first(program(x)).detach(), quantities


def first(value):
    if isinstance(value, dict):
        return value["loss"]
    return value[0] if isinstance(value, tuple) else value


def value_and_quantities(variant, seed=3):
    if variant.entry == "step":
        return step_and_quantities(variant)
    given = arguments(variant, seed)
    quantities = told_of(variant, given)
    if variant.entry == "sampler":
        torch.manual_seed(11)
        quantities["eps"] = torch.randn(IMAGES, LATENTS)
        torch.manual_seed(11)
    program, _ = variant.build()
    return first(program(*(given[name] for name in TAKES[variant.entry]))), quantities


def allowed_shapes(entry):
    whole = {"kl": (LATENTS,), "reconstruction": (variants.PIXELS,)}.get(entry)
    shapes = [(), (IMAGES,)] + ([(IMAGES, *whole)] if whole else [])
    return [(IMAGES, LATENTS)] if entry == "sampler" else shapes


def allowed_values(variant, quantities):
    """What a right program of this entry may return, up to a positive factor of the whole."""
    R, K = quantities["R"], quantities["K"]
    if variant.entry == "kl":
        return [K, K.sum(1), K.sum(), K.sum(1).mean()]
    if variant.entry == "reconstruction":
        return [R, R.sum(1), R.sum(), R.sum(1).mean()]
    return [
        c * value for value in (R.sum(1) + K.sum(1), R.sum() + K.sum()) for c in (1, 1 / len(R))
    ]


def close(a, b):
    return a.shape == b.shape and torch.allclose(a, b, rtol=1e-6, atol=1e-9)


# ---------------------------------------------------------------------------- values


@pytest.mark.parametrize("variant", cases(v for v in ALL if v.equals))
def test_the_program_has_the_value_that_its_label_says(variant):
    for seed in (3, 4):
        value, quantities = value_and_quantities(variant, seed)
        expected = variants.available(quantities, variant.equals)
        torch.testing.assert_close(value, expected, rtol=1e-6, atol=1e-9, check_dtype=False)


def is_proportional(pairs):
    """One positive factor leads from the one to the other, at all points."""
    ratios = torch.cat([(value / exact).flatten() for value, exact in pairs])
    return bool((ratios > 0).all()) and bool((ratios / ratios[0] - 1).abs().max() < 1e-6)
