"""The labels of `diagnosis_variants` are proved from torch.distributions, without the tool."""

import contextlib
from types import SimpleNamespace

import diagnosis_variants as variants
import pytest
import torch
from diagnosis_variants import EXTRA, RIGHT, UNDECIDABLE, WRONG

ALL = RIGHT + WRONG + UNDECIDABLE + EXTRA
IMAGES, LATENTS = 6, 20
SEEDS = 3, 4
KNOWN = {}
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


def arguments(variant, seed=SEEDS[0], extreme=False):
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
        more = {"sigma": variant.sigma} if variant.decoder == "means" else {}
        quantities["R"] = variants.NLL[variant.decoder](given["params"], given["x"], **more)
    else:
        quantities["R"] = variants.nll_logits(given["params"], given["x"])
    quantities["E"] = (given["params"] - given["x"]) ** 2
    return quantities


def step_and_quantities(variant, seed):
    """The value of a step, and what an `equals` may ask for, under one seed."""
    x = variant.batch(seed=seed)
    program, net = variant.build()
    mu, h = (value.detach() for value in net.posterior(x))
    quantities = {"mu": mu, "h": h, "x": x, "B": len(x), "D": mu.shape[1]}
    torch.manual_seed(11)
    quantities["eps"] = torch.randn(mu.shape)
    torch.manual_seed(11)
    sample = variant.z or (lambda mu, h, eps: mu + (h / 2).exp() * eps)
    quantities["z"] = z = variants.available(quantities, sample)
    quantities["params"] = net.decode(z).detach()
    quantities["R"] = net.nll(z, x).detach().flatten(1)
    quantities["K"] = variants.KL(mu, h)
    torch.manual_seed(11)
    return torch.as_tensor(first(program(x))).detach(), quantities


def first(value):
    if isinstance(value, dict):
        return value["loss"]
    return value[0] if isinstance(value, tuple) else value


def value_and_quantities(variant, seed=SEEDS[0]):
    """Of each variant once: the tests below look at it from several sides."""
    key = variant.name, seed
    if key not in KNOWN:
        KNOWN[key] = find_value_and_quantities(variant, seed)
    return KNOWN[key]


def find_value_and_quantities(variant, seed):
    if variant.entry == "step":
        return step_and_quantities(variant, seed)
    given = arguments(variant, seed)
    quantities = told_of(variant, given)
    if variant.entry == "sampler":
        torch.manual_seed(11)
        quantities["eps"] = torch.randn(IMAGES, LATENTS)
        torch.manual_seed(11)
    program, _ = variant.build()
    return first(program(*(given[name] for name in TAKES[variant.entry]))), quantities


def allowed_values(variant, quantities):
    """What a right function of this entry may return."""
    if variant.entry in ("kl", "reconstruction"):
        terms = quantities["K" if variant.entry == "kl" else "R"]
        return [terms, terms.sum(1), terms.sum(), terms.sum(1).mean()]
    per_image = quantities["R"].sum(1) + quantities["K"].sum(1)
    return [per_image, per_image.sum()]


def is_right(variant, value, quantities):
    return any(
        value.shape == exact.shape and torch.allclose(value, exact, rtol=1e-6, atol=1e-9)
        for exact in allowed_values(variant, quantities)
    )


def is_right_up_to_a_factor(variant):
    """A loss is: one positive factor leads to the negative ELBO at all points."""
    ratios = []
    for seed in SEEDS:
        value, quantities = value_and_quantities(variant, seed)
        per_image, total = allowed_values(variant, quantities)
        if value.shape not in (per_image.shape, total.shape):
            return False
        ratios.append((value / (per_image if value.dim() else total)).flatten())
    ratios = torch.cat(ratios)
    return bool((ratios > 0).all() and (ratios / ratios[0] - 1).abs().max() < 1e-6)


# ---------------------------------------------------------------------------------- the set


def test_there_is_enough_of_everything():
    assert len(RIGHT) >= 35 and len(WRONG) >= 80 and len(UNDECIDABLE) >= 5
    for chosen in (RIGHT, WRONG):
        assert {variant.entry for variant in chosen} == {*TAKES, "step", "model"}
    named = {code for variant in RIGHT + WRONG for code in variant.codes}
    assert named == variants.CODES
    assert sum(len(variant.codes) == 2 for variant in WRONG) >= 5
    names = [variant.name for variant in ALL]
    assert len(names) == len(set(names))


@pytest.mark.parametrize("variant", cases(UNDECIDABLE))
def test_what_cannot_be_told_says_why_and_what_would_be_wrong(variant):
    assert variant.why and variant.never and set(variant.never) <= variants.CODES


def answered(*codes, notes=()):
    findings = [SimpleNamespace(code=code, note=False) for code in codes]
    findings += [SimpleNamespace(code=code, note=True) for code in notes]
    return SimpleNamespace(ok=not codes, findings=tuple(findings))


def test_a_perfect_answer_meets_no_objection_and_others_do():
    for variant in RIGHT:
        assert variant.objection(answered(notes=variant.codes)) is None
        assert variant.objection(answered("beta", notes=variant.codes))
    for variant in WRONG:
        assert variant.objection(answered(*variant.codes)) is None
        assert variant.objection(answered(*reversed(variant.codes))) is None
        assert variant.objection(answered("none-of-them", *variant.codes))
        assert variant.objection(answered(notes=variant.codes))
    for variant in UNDECIDABLE:
        assert variant.objection(answered(*variant.never))
        assert variant.objection(answered()) is None


# ---------------------------------------------------------------------------------- values


@pytest.mark.parametrize("variant", cases(v for v in ALL if v.equals))
def test_the_program_has_the_value_that_its_label_says(variant):
    rtol = 1e-10 if variant.entry in ("loss", "step") else 1e-7  # the KL may be a small part
    for seed in SEEDS:
        value, quantities = value_and_quantities(variant, seed)
        torch.manual_seed(11)
        expected = variants.available(quantities, variant.equals)
        torch.testing.assert_close(value, expected, rtol=rtol, atol=1e-9, check_dtype=False)
    if variant.entry in ("kl", "reconstruction", "loss"):  # in float32, as people run it
        given = arguments(variant, seed)
        torch.set_default_dtype(torch.float32)
        value = first(variant.made_from(*(given[name].float() for name in TAKES[variant.entry])))
        torch.testing.assert_close(value, expected, rtol=1e-4, atol=1e-4, check_dtype=False)


def plain(variant):
    """No note says that the value differs from the exact one."""
    return not {"constant-missing", "free-bits-or-clamp"} & set(variant.codes)


@pytest.mark.parametrize("variant", cases(v for v in RIGHT if v.entry in TAKES and plain(v)))
def test_a_right_function_is_the_exact_value_up_to_its_reduction(variant):
    if variant.entry in ("kl", "reconstruction"):
        assert is_right(variant, *value_and_quantities(variant))
    elif variant.entry == "loss":
        assert is_right_up_to_a_factor(variant)


@pytest.mark.parametrize("variant", cases(v for v in RIGHT if v.entry in TAKES and v.equals))
def test_a_right_function_has_the_gradient_of_what_it_equals(variant):
    given = arguments(variant)
    leaves = [given[name] for name in TAKES[variant.entry] if name != "x"]
    for leaf in leaves:
        leaf.requires_grad_()
    value = first(variant.made_from(*(given[name] for name in TAKES[variant.entry]))).sum()
    exact = variants.available(told_of(variant, given), variant.equals).sum()
    for one, other in zip(
        torch.autograd.grad(value, leaves), torch.autograd.grad(exact, leaves), strict=True
    ):
        torch.testing.assert_close(one, other, rtol=1e-6, atol=1e-9)


@pytest.mark.parametrize("variant", cases(v for v in RIGHT if v.entry == "step"))
def test_a_right_step_is_the_negative_elbo_where_the_noise_is_off(variant, monkeypatch):
    """With all noise 0 the reconstruction is that of mu: steps that draw often are shown so too."""
    for name in ("randn_like", "randn"):
        original = getattr(torch, name)
        monkeypatch.setattr(torch, name, lambda *a, original=original, **k: 0 * original(*a, **k))
    monkeypatch.setattr(variants.Normal, "rsample", lambda self, shape=(): self.mean)
    program, net = variant.build()
    x = variant.batch()
    mu, h = (value.detach() for value in net.posterior(x))
    rec, kl = net.nll(mu, x).sum().detach(), variants.KL(mu, h).sum()
    if variant.name == "StepKlByMonteCarlo":
        kl = variants.log_ratio(mu, h, mu, torch.zeros_like(mu)).sum()
    ratio = torch.as_tensor(first(program(x))).detach().sum() / (rec + kl)
    assert min(abs(ratio * c - 1) for c in (1, len(x), x.numel())) < 1e-9


VALUED = [v for v in WRONG + EXTRA if v.equals and v.entry != "sampler"]
RIGHT_IN_VALUE = {"no-noise", "stale-noise", "same-noise-for-all", "scale-is-variance"}
RIGHT_IN_VALUE |= {"noise-scale", "noise-not-normal", "no-gradient-to-mu", "raised-in-backward"}
RIGHT_IN_VALUE |= {"gradients-pile-up"}


@pytest.mark.parametrize("variant", cases(v for v in VALUED if not RIGHT_IN_VALUE & set(v.codes)))
def test_a_wrong_function_is_off_beyond_its_reduction(variant):
    if variant.entry in ("kl", "reconstruction"):
        assert not is_right(variant, *value_and_quantities(variant))
    else:
        assert not is_right_up_to_a_factor(variant)


def fingerprint(variant):
    """Its shape, and its values at two points: of a loss or a step up to a factor of the whole."""
    values = [value_and_quantities(variant, seed)[0].detach() for seed in SEEDS]
    flat = torch.cat([value.flatten() for value in values])
    if variant.entry in ("loss", "step"):
        flat = torch.stack([value.sum() for value in values])
        flat = flat / flat[0].abs()
    return values[0].shape, flat


def accepted(variant):
    return set(variant.codes + variant.also)


def test_programs_that_nobody_can_tell_apart_have_a_code_in_common():
    """Two labels for one function would ask the impossible of the tool."""
    told = {}
    for variant in (v for v in WRONG + UNDECIDABLE if v.entry != "model"):
        if variant.equals or variant in UNDECIDABLE:
            shape, values = fingerprint(variant)
            key = variant.entry, variant.decoder, variant.positive, shape
            told.setdefault(key, []).append((variant, values))
    same = []
    for group in told.values():
        for i, (one, values) in enumerate(group):
            for other, others in group[i + 1 :]:
                if torch.allclose(values, others, rtol=1e-10, atol=0):
                    same.append((one, other))
    for one, other in same:
        named = [accepted(v) if v in WRONG else variants.CODES - set(v.never) for v in (one, other)]
        assert named[0] & named[1], f"{one.name} and {other.name} are the same function"
    assert len(same) > 10


# ------------------------------------------------------------------- what has no value to show


@pytest.mark.parametrize("variant", cases(v for v in WRONG if "not-finite" in v.codes))
def test_not_finite_is_right_until_it_is_extreme(variant):
    """In float32, as people run it: right at moderate arguments, NaN or infinite at extreme ones."""
    if variant.entry == "loss":
        assert is_right_up_to_a_factor(variant)
    else:
        assert is_right(variant, *value_and_quantities(variant))
    torch.set_default_dtype(torch.float32)
    given = {name: v.float() for name, v in arguments(variant, extreme=True).items()}
    value = variant.made_from(*(given[name] for name in TAKES[variant.entry]))
    assert not value.isfinite().all()
    exact = told_of(variant, {name: v.double() for name, v in given.items()})
    assert exact["K"].isfinite().all() and exact["R"].isfinite().all()


def call(variant):
    program, _ = variant.build()
    if variant.entry in TAKES:
        given = arguments(variant)
        return program(*(given[name] for name in TAKES[variant.entry]))
    return program(variant.batch())


@pytest.mark.parametrize("variant", cases(v for v in WRONG if "raised" in v.codes))
def test_raised_raises(variant):
    with pytest.raises(Exception) as caught:
        call(variant)
    assert not isinstance(caught.value, NotImplementedError)


@pytest.mark.parametrize("variant", cases(v for v in WRONG if "raised" in v.also))
def test_what_may_be_called_raised_raises_for_other_arguments(variant):
    """These have their label's value; a negative one, or one that needs its gradient, they refuse."""
    given = arguments(variant)
    for name in ("h", "params"):
        given[name] = (-given[name]).requires_grad_()
    with pytest.raises((ValueError, RuntimeError)):
        variant.made_from(*(given[name] for name in TAKES[variant.entry]))


@pytest.mark.parametrize("variant", cases(v for v in WRONG if "not-written-yet" in v.codes))
def test_not_written_yet_gives_nothing(variant):
    with contextlib.suppress(NotImplementedError):
        assert call(variant) in (None, ...)


@pytest.mark.parametrize("variant", cases(v for v in WRONG if "wrong-shape" in v.codes))
def test_wrong_shape_is_none_of_the_allowed(variant):
    found = call(variant)
    if variant.entry == "model":
        x, (_, net) = variant.batch(), variant.build()
        right = [net.decode(torch.zeros(len(x), 6)).shape, (len(x), 6), (len(x), 6)]
        assert [tuple(value.shape) for value in found] != [tuple(shape) for shape in right]
        return
    right = {
        "kl": [(), (IMAGES,), (IMAGES, LATENTS)],
        "reconstruction": [(), (IMAGES,), (IMAGES, variants.PIXELS)],
        "sampler": [(IMAGES, LATENTS)],
        "loss": [(), (IMAGES,)],
    }
    assert tuple(found.shape) not in right[variant.entry]


def test_what_raises_only_when_its_gradient_is_asked_for():
    (variant,) = (v for v in EXTRA if v.codes == ("raised-in-backward",))
    given = arguments(variant)
    value = variant.made_from(given["mu"].requires_grad_(), given["h"].requires_grad_())
    with pytest.raises(RuntimeError, match="modified by an inplace operation"):
        value.sum().backward()


def test_without_zero_grad_the_second_gradient_holds_the_first():
    (variant,) = (v for v in EXTRA if v.codes == ("gradients-pile-up",))
    program, net = variant.build()
    torch.manual_seed(1)
    program(variant.batch())
    once = net.to_mu.weight.grad.clone()
    torch.manual_seed(1)
    program(variant.batch())
    torch.testing.assert_close(net.to_mu.weight.grad, 2 * once)


# ---------------------------------------------------------------------------------- samplers


def noise_of(sample, images=IMAGES):
    """What a sampler adds to mu, in units of sigma."""
    mu, h = torch.randn(2, images, LATENTS)
    return (sample(mu, h) - mu) / (h / 2).exp()


def is_normal(noise):
    """Kolmogorov-Smirnov: of 40,000 numbers, at a level of less than one in a million."""
    ordered = noise.flatten().sort().values
    uniform = torch.special.ndtr(ordered)
    ranks = torch.arange(1, len(ordered) + 1) / len(ordered)
    return bool((uniform - ranks).abs().max() * len(ordered) ** 0.5 < 2.8)


def rows_and_columns_differ(noise):
    return bool(noise.std(0).min() > 0.01 and noise.std(1).min() > 0.01)


def gradient_arrives(sample):
    mu, h = torch.randn(2, IMAGES, LATENTS)
    found = []
    for leaf in (mu, h):
        leaf.requires_grad_()
    z = sample(mu, h)
    for leaf in (mu, h):
        gradient = None
        if z.requires_grad:
            (gradient,) = torch.autograd.grad(z.sum(), leaf, retain_graph=True, allow_unused=True)
        found.append(gradient is not None and bool(gradient.abs().sum() > 0))
    return found


def is_fresh(sample):
    torch.manual_seed(1)
    mu, h = torch.randn(2, IMAGES, LATENTS)
    return not torch.equal(sample(mu, h), sample(mu, h))


@pytest.mark.parametrize("variant", cases(v for v in RIGHT if v.entry == "sampler"))
def test_a_right_sampler_is_normal_fresh_and_has_gradients(variant):
    sample = variant.made_from
    assert is_normal(noise_of(sample, 2000)) and is_fresh(sample)
    assert rows_and_columns_differ(noise_of(sample)) and gradient_arrives(sample) == [True, True]


SHOWN_BY_BEHAVIOUR = [
    v for v in WRONG if v.entry == "sampler" and not v.equals and not NO_VALUE & set(v.codes)
]


@pytest.mark.parametrize("variant", cases(SHOWN_BY_BEHAVIOUR))
def test_a_wrong_sampler_fails_in_just_what_its_label_says(variant):
    sample = variant.made_from
    mu_arrives, logvar_arrives = gradient_arrives(sample)
    fails = {
        "no-gradient-to-mu": not mu_arrives,
        "no-gradient-to-logvar": not logvar_arrives,
        "stale-noise": not is_fresh(sample),
        "same-noise-for-all": not rows_and_columns_differ(noise_of(sample)),
    }
    if not fails["same-noise-for-all"]:
        fails["noise-not-normal"] = not is_normal(noise_of(sample, 2000))
    assert {code for code, failed in fails.items() if failed} == set(variant.codes)


# ---------------------------------------------------------------------------------- gradients


def test_a_sample_without_r_leaves_the_encoder_the_gradient_of_the_kl_alone():
    (variant,) = (v for v in WRONG if v.name == "StepSampleWithoutR")
    program, net = variant.build()
    weights = [*net.hidden.parameters(), *net.to_mu.parameters(), *net.to_logvar.parameters()]
    x = variant.batch()
    kl = variants.KL(*net.posterior(x)).sum(1).mean()
    for one, other in zip(
        torch.autograd.grad(program(x), weights), torch.autograd.grad(kl, weights), strict=True
    ):
        torch.testing.assert_close(one, other)


def shown_by_a_model(variant):
    """The codes that a model earns, from its outputs and gradients in its own mode."""
    program, net = variant.build()
    x = variant.batch()
    params, mu, _ = program(x)
    codes = set()
    for code, inside in (("no-gradient-to-encoder", False), ("no-gradient-to-decoder", True)):
        weights = [
            weight
            for name, weight in net.named_parameters()
            if name.startswith(("decoder", "deconv")) == inside and weight.requires_grad
        ]
        gradients = [None]
        if params.requires_grad and weights:
            gradients = torch.autograd.grad(
                params.square().sum(), weights, retain_graph=True, allow_unused=True
            )
        if not any(g is not None and g.abs().sum() > 0 for g in gradients):
            codes.add(code)
    flat = params.flatten(1)
    if (flat - flat[0]).abs().max() < 1e-12:
        codes.add("same-output-for-all-images")
    elif torch.equal(params, program(x)[0]):
        decoded = net.decode(mu).reshape(params.shape)
        codes.add("noise-off-in-training" if decoded.allclose(params) else "stale-noise")
    return codes


BEHAVING = [v for v in RIGHT + WRONG if v.entry == "model" and not NO_VALUE & set(v.codes)]


@pytest.mark.parametrize("variant", cases(BEHAVING))
def test_a_model_shows_what_its_label_says(variant):
    shown = shown_by_a_model(variant)
    if variant in RIGHT:
        params = variant.build()[0](variant.batch())[0]
        between = bool(params.min() >= 0 and params.max() <= 1)
        assert not shown and between == ("params-are-probabilities" in variant.codes)
    else:
        assert set(variant.codes) <= shown <= set(variant.codes + variant.also)


def test_what_cannot_be_told_of_a_model():
    by_name = {variant.name: variant for variant in UNDECIDABLE + EXTRA}
    assert "noise-off-in-training" in shown_by_a_model(by_name["ModelInEvaluationMode"])
    near = by_name["ModelLogitsNearOneHalf"]
    params = near.build()[0](near.batch())[0]
    assert params.min() > 0 and params.max() < 1 and not shown_by_a_model(near)
    for name in ("ModelOneHeadForBoth", "ModelReluOnTheHeads", "ModelTanhAsItsLastLayer"):
        assert not shown_by_a_model(by_name[name])
    _, mu, logvar = by_name["ModelOneHeadForBoth"].build()[0](near.batch())
    assert torch.equal(mu, logvar)
    _, mu, logvar = by_name["ModelReluOnTheHeads"].build()[0](near.batch())
    assert mu.min() == 0 and logvar.min() == 0
    params = by_name["ModelTanhAsItsLastLayer"].build()[0](near.batch())[0]
    assert -1 <= params.min() < 0 < params.max() <= 1
