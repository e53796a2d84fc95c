"""The sliders of the built pages: values equal to the package's, moved by hand and by keyboard."""
# ruff: noqa: F811 (a test takes a fixture under the name by which it was imported)

import pytest
import torch
from helpers import tensor
from test_accessibility import faults_in
from test_accessibility import window as with_axe  # noqa: F401  (a fixture)
from test_browser import HTML, OVERFLOW, planted, visit, window  # noqa: F401  (a fixture)
from torch.distributions import Categorical, MixtureSameFamily, Normal

from vae_teach.divergences import kl_standard_normal
from vae_teach.estimators import pathwise_gradient

pytestmark = pytest.mark.built

KL_PAGE = HTML / "book" / "gaussian_kl.html"
TOTAL = ".kl-slider .total"


@pytest.fixture(scope="module")
def kl_slider(built, window):
    """The page of the KL slider, visited once for the tests that set both of its controls."""
    visit(window, KL_PAGE)
    return window


def slide(window, name, value):
    """As in the middle of a drag, when the browser has said "input" but not yet "change"."""
    window.eval_on_selector(
        f".kl-slider input[name={name}]",
        "(e, value) => { e.value = value; e.dispatchEvent(new Event('input')); }",
        str(value),
    )


def attributes(window, name, selector=".kl-slider .bars rect"):
    return window.eval_on_selector_all(
        selector, "(all, name) => all.map(e => e.getAttribute(name))", name
    )


@pytest.mark.parametrize("mu, sigma", [(0, 1), (1, 1), (0, 0.5), (0, 2), (-2, 0.1), (2, 2)])
def test_kl_slider_computes_what_the_package_does(kl_slider, mu, sigma):
    logvar = 2 * torch.tensor([sigma], dtype=torch.float64).log()
    expected = kl_standard_normal(torch.tensor([mu], dtype=torch.float64), logvar).item()
    shown = kl_slider.evaluate("q => klSlider.compute(...q)", [mu, sigma])
    assert shown["kl"] == pytest.approx(expected, abs=1e-6)
    assert shown["above"] - shown["below"] == pytest.approx(expected, abs=1e-6)
    assert sum(shown["terms"]) == pytest.approx(expected, abs=1e-6)
    assert shown["above"] >= 0 and shown["below"] >= 0


def test_kl_slider_follows_the_hand(built, window):
    visit(window, KL_PAGE)
    assert window.inner_text(TOTAL) == "KL(q to p) = 0.50 nats"
    assert window.inner_text(".kl-slider span.above") == "blue area 0.70"
    assert window.inner_text(".kl-slider span.below") == "orange area 0.20"
    slide(window, "mu", 0)
    assert window.inner_text(TOTAL) == "KL(q to p) = 0.00 nats"
    assert attributes(window, "width") == ["0"] * 4
    slide(window, "sigma", 0.5)
    assert window.inner_text(TOTAL) == "KL(q to p) = 0.32 nats"
    assert window.eval_on_selector_all(
        ".kl-slider .value", "all => all.map(e => e.textContent)"
    ) == ["0.00", "−0.38", "0.69", "0.32"]
    # The second bar reaches to the left of where the third one begins.
    assert attributes(window, "class") == ["raises", "lowers", "raises", "sum"]
    _, second, third, _ = map(float, attributes(window, "x"))
    assert second + float(attributes(window, "width")[1]) == pytest.approx(third)
    assert not window.complaints


def test_kl_slider_is_drawn_to_scale(kl_slider):
    """The shaded polygons, in frames of one nat, are the areas beside their names."""
    for mu, sigma in ((1, 1), (-2, 0.3), (0, 1.5)):
        slide(kl_slider, "mu", mu)
        slide(kl_slider, "sigma", sigma)
        nat = kl_slider.eval_on_selector(
            ".kl-slider .nat", "e => e.width.baseVal.value * e.height.baseVal.value"
        )
        areas = kl_slider.eval_on_selector_all(
            ".kl-slider polygon",
            """all => all.map(({ points: p }) => Math.abs([...p].reduce((sum, a, i) => {
              const b = p[(i + 1) % p.length];
              return sum + (a.x * b.y - b.x * a.y) / 2;
            }, 0)))""",
        )
        shown = kl_slider.evaluate("q => klSlider.compute(...q)", [mu, sigma])
        # The drawing's points have one decimal.
        assert areas[0] / nat == pytest.approx(shown["above"], rel=0.02)
        assert areas[1] / nat == pytest.approx(shown["below"], rel=0.02)


@pytest.mark.parametrize("mu", [-2, 0, 1, 2])
@pytest.mark.parametrize("sigma", [0.1, 0.5, 1, 2])
def test_kl_slider_shows_all_of_each_q(kl_slider, mu, sigma):
    """Nothing visible is cut off, and the frame of one nat lies beside the areas."""
    slide(kl_slider, "mu", mu)
    slide(kl_slider, "sigma", sigma)
    left, right, top, bottom, *ends = kl_slider.evaluate(
        """() => {
          const curve = [...document.querySelector(".kl-slider polyline.q").points];
          const ground = document.querySelector(".kl-slider .axis").y1.baseVal.value;
          const shapes = [...document.querySelectorAll(".kl-slider polygon")]
            .map(e => [...e.points].slice(1, -1));
          const ys = [curve, ...shapes].flat().map(p => p.y);
          return [curve[0].x, curve.at(-1).x, Math.min(...ys), Math.max(...ys),
            ...[curve, ...shapes].flatMap(ps => [ps[0].y - ground, ps.at(-1).y - ground])];
        }"""
    )
    frame = kl_slider.eval_on_selector(
        ".kl-slider .nat", "e => e.x.baseVal.value + e.width.baseVal.value"
    )
    assert frame < left < right <= 600
    assert top >= 0 and bottom <= 270 and max(map(abs, ends)) < 1  # of 600 units across the page


def test_kl_slider_obeys_the_keyboard(built, window):
    visit(window, KL_PAGE)
    window.focus(".kl-slider input[name=mu]")
    window.keyboard.press("ArrowRight")
    assert window.inner_text(TOTAL) == "KL(q to p) = 0.55 nats"
    window.keyboard.press("End")
    assert window.inner_text(TOTAL) == "KL(q to p) = 2.00 nats"
    window.keyboard.press("Tab")
    window.keyboard.press("Home")
    assert window.inner_text(TOTAL) == "KL(q to p) = 3.81 nats"
    assert window.input_value(".kl-slider input[name=sigma]") == "0.1"


def test_the_helper_writes_numbers_for_the_eye(kl_slider):
    texts = kl_slider.evaluate("[-1.5, 0, -0.001, 2.345, -12].map(x => slider.text(x))")
    assert texts == ["−1.50", "0.00", "0.00", "2.35", "−12.00"]
    assert kl_slider.evaluate("[slider.text(-4, 0), slider.text(-0.2, 0)]") == ["−4", "0"]


SLIDERS = {
    "divergences": "peaks_slider.js",
    "elbo": "elbo_slider.js",
    "gaussian_kl": "kl_slider.js",
    "gradient_estimators": "noise_slider.js",
    "latent_space": "/explorer.js",
}


@pytest.mark.parametrize("page", SLIDERS)
def test_sliders_are_loaded_where_they_are_needed(built, page):
    name = SLIDERS[page]
    for path in (HTML / "book").glob("*.html"):
        html = path.read_text(encoding="utf8")
        assert (name in html) == (path.stem == page)
        assert ("/slider.js" in html) == (path.stem in SLIDERS)


# What follows needs no chapter: the slider is put into a page of the book.

WIDGET = """<div class="slider {0}-slider"></div>
<script src="../_static/slider.js"></script><script src="../_static/{0}_slider.js"></script>"""


@pytest.fixture(scope="module")
def peaks(built, window):
    with planted(WIDGET.format("peaks")) as page:
        visit(window, page)
    return window


@pytest.fixture(scope="module")
def noise(built, window):
    with planted(WIDGET.format("noise")) as page:
        visit(window, page)
    return window


def numbers(window, row):
    """The numbers that a row of the slider's table shows."""
    cells = window.eval_on_selector_all(
        f".slider tr.{row} > td", "all => all.map(e => e.textContent)"
    )
    return [float(cell.replace("−", "-")) for cell in cells]


def set_to(window, **values):
    for name, value in values.items():
        window.eval_on_selector(
            f".slider input[name={name}]",
            "(e, value) => { e.value = value; e.dispatchEvent(new Event('input')); }",
            str(value),
        )


def both_divergences(a, mu, sigma):
    """KL(p to q) and KL(q to p) of two peaks at -a and a and a Gaussian, by sums over a grid."""
    peaks = Normal(tensor(-a, a), tensor(0.5))
    p = MixtureSameFamily(Categorical(torch.ones(2, dtype=torch.float64)), peaks)
    q = Normal(mu, sigma)
    z = torch.linspace(-40, 40, 80_001, dtype=torch.float64)
    log_p, log_q = p.log_prob(z), q.log_prob(z)
    step = z[1] - z[0]
    forward = (log_p.exp() * (log_p - log_q)).sum() * step
    reverse = (log_q.exp() * (log_q - log_p)).sum() * step
    return forward, reverse


def smallest(which, a, mu, sigma):
    """The mean, the deviation and the divergence where a search from a beginning ends."""
    mu, log_sigma = tensor(mu).requires_grad_(), tensor(sigma).log().requires_grad_()
    search = torch.optim.LBFGS(
        [mu, log_sigma], max_iter=200, tolerance_change=1e-14, line_search_fn="strong_wolfe"
    )

    def divergence():
        search.zero_grad()
        kl = both_divergences(a, mu, log_sigma.exp())[which]
        kl.backward()
        return kl

    search.step(divergence)
    return mu.item(), log_sigma.exp().item(), divergence().item()


@pytest.mark.parametrize("a", [0, 0.3, 0.5, 0.6, 0.75, 0.8, 0.85, 0.9, 1.5, 3])
def test_peaks_slider_finds_what_a_search_finds(peaks, a):
    found = peaks.evaluate("a => peaksSlider.compute(a)", a)
    mu, sigma, kl = smallest(0, a, 0.1, 1.0)
    assert found["forward"]["mu"] == 0 == pytest.approx(mu, abs=1e-4)
    assert found["forward"]["sigma"] == pytest.approx(sigma, abs=1e-4)
    assert found["forward"]["kl"] == pytest.approx(kl, abs=1e-6)
    kl = min(smallest(1, a, start, width)[2] for start, width in ((a + 0.05, 0.5), (0.0, 1.0)))
    assert found["reverse"]["kl"] == pytest.approx(kl, abs=1e-6)
    assert found["reverse"]["mu"] > -1e-6  # of two peaks that tie, the right one


@pytest.mark.parametrize("a, mu, sigma", [(0, 0, 0.5), (1.5, 0, 1), (3, -3, 0.4), (2, 3, 3.2)])
def test_peaks_slider_computes_both_divergences(peaks, a, mu, sigma):
    shown = peaks.evaluate("q => peaksSlider.divergences(...q)", [a, mu, sigma])
    forward, reverse = both_divergences(a, tensor(mu), tensor(sigma))
    assert shown["forward"] == pytest.approx(forward.item(), abs=1e-6)
    assert shown["reverse"] == pytest.approx(reverse.item(), abs=1e-6)


def test_peaks_slider_follows_the_hand(peaks):
    set_to(peaks, a=0, mu=0, sigma=0.5)
    assert [numbers(peaks, row) for row in ("forward", "reverse", "yours")] == [[0, 0]] * 3
    set_to(peaks, a=3, mu=3)
    wide, narrow, yours = (numbers(peaks, row) for row in ("forward", "reverse", "yours"))
    assert wide[0] < narrow[0] and narrow[1] < wide[1]
    assert yours == narrow == [pytest.approx(narrow[0]), 0.69]  # log 2: half of p is left out
    assert not peaks.complaints


@pytest.mark.parametrize("a", [0, 1, 3])
@pytest.mark.parametrize("mu, sigma", [(0, 0.4), (3, 3.2), (-3, 0.4)])
def test_peaks_slider_shows_its_curves_whole(peaks, a, mu, sigma):
    set_to(peaks, a=a, mu=mu, sigma=sigma)
    tops = peaks.eval_on_selector_all(
        ".peaks-slider polyline, .peaks-slider polygon",
        "all => all.map(e => Math.min(...[...e.points].map(p => p.y)))",
    )
    assert len(tops) == 4 and min(tops) > 0


def test_sliders_with_tables_obey_the_keyboard(peaks):
    set_to(peaks, a=1.5, mu=0, sigma=1)
    before = numbers(peaks, "yours")
    peaks.focus(".slider input[name=mu]")
    peaks.keyboard.press("ArrowRight")
    assert peaks.input_value(".slider input[name=mu]") == "0.05"
    peaks.keyboard.press("End")
    assert numbers(peaks, "yours") != before


@pytest.mark.parametrize("mu, sigma", [(0, 1), (0.5, 0.8), (-1.5, 0.4), (1.5, 1.5)])
@pytest.mark.parametrize("eps", [-2.5, 0, 1])
def test_noise_slider_computes_what_the_package_does(noise, mu, sigma, eps):
    draws = tensor(*noise.evaluate("noiseSlider.DRAWS"), eps)[:, None]
    by_mu, by_logvar = pathwise_gradient(
        lambda z: (z**2).sum(-1), tensor(mu)[None], 2 * tensor(sigma).log()[None], draws
    )
    # The package asks for the log-variance: d(log sigma^2) / d(sigma) = 2 / sigma.
    pairs = torch.cat([by_mu, by_logvar * 2 / sigma], -1)
    shown = noise.evaluate("q => noiseSlider.compute(...q)", [mu, sigma, eps])
    assert shown["z"] == pytest.approx(mu + sigma * eps, abs=1e-12)
    assert shown["one"] == pytest.approx(pairs[-1].tolist(), abs=1e-6)
    assert shown["mean"] == pytest.approx(pairs[:-1].mean(0).tolist(), abs=1e-6)
    free = tensor(mu).requires_grad_(), tensor(sigma).requires_grad_()
    (free[0] ** 2 + free[1] ** 2).backward()
    assert shown["exact"] == pytest.approx([value.grad.item() for value in free], abs=1e-6)


def test_noise_slider_follows_the_hand(noise):
    set_to(noise, mu=0, sigma=1, eps=1)
    assert numbers(noise, "one") == [2, 2] and numbers(noise, "exact") == [0, 2]
    upright = "all => all.every(e => Math.abs(e.x1.baseVal.value - e.x2.baseVal.value) < 1e-9)"
    assert noise.eval_on_selector_all(".noise-slider g line", upright)
    set_to(noise, mu=1, sigma=0.5, eps=-2)
    assert noise.inner_text(".noise-slider .sum") == "z = μ + σ ε = 0.00, and f(z) = z² = 0.00"
    assert numbers(noise, "one") == [0, 0] and numbers(noise, "exact") == [2, 1]
    assert not noise.eval_on_selector_all(".noise-slider g line", upright)
    assert not noise.complaints


@pytest.mark.parametrize("mu, sigma, eps", [(1.5, 1.5, 2.5), (-1.5, 1.5, -2.5), (0, 0.4, 0)])
def test_noise_slider_shows_all_arrows_and_curves(noise, mu, sigma, eps):
    set_to(noise, mu=mu, sigma=sigma, eps=eps)
    xs = noise.eval_on_selector_all(
        ".noise-slider g line", "all => all.flatMap(e => [e.x1.baseVal.value, e.x2.baseVal.value])"
    )
    assert min(xs) > 0 and max(xs) < 600
    ys = noise.eval_on_selector_all(
        ".noise-slider polyline", "all => all.flatMap(e => [...e.points].map(p => p.y))"
    )
    assert min(ys) > 0 and max(ys) < 330  # where the numbers of the axis begin


@pytest.mark.parametrize("name", ["peaks", "noise"])
def test_sliders_fit_a_phone_and_axe_has_no_complaint(built, with_axe, name):
    with planted(WIDGET.format(name)) as page:
        faults = faults_in(with_axe, page)
        with_axe.set_viewport_size({"width": 390, "height": 900})
        assert not faults and not with_axe.evaluate(OVERFLOW)
