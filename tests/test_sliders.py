"""The sliders of the built pages: values equal to the package's, moved by hand and by keyboard."""
# ruff: noqa: F811 (a test takes a fixture under the name by which it was imported)

import pytest
import torch
from test_browser import HTML, visit, window  # noqa: F401  (a fixture)

from vae_teach.divergences import kl_standard_normal

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


@pytest.mark.parametrize("page", ["elbo", "gaussian_kl"])
def test_sliders_are_loaded_where_they_are_needed(built, page):
    name = {"elbo": "elbo_slider.js", "gaussian_kl": "kl_slider.js"}[page]
    for path in (HTML / "book").glob("*.html"):
        html = path.read_text(encoding="utf8")
        assert (name in html) == (path.stem == page)
        assert ("/slider.js" in html) == (path.stem in ("elbo", "gaussian_kl"))
