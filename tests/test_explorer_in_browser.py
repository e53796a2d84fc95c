"""The explorer in Chromium: PyTorch's numbers, and every control by mouse, keyboard and touch."""
# ruff: noqa: F811 (a test takes a fixture under the name by which it was imported)

import re
import shutil
from pathlib import Path

import pytest
import torch
from helpers import seeded
from test_accessibility import faults_of
from test_accessibility import window as with_axe  # noqa: F401  (a fixture)
from test_browser import HTML, OVERFLOW, go, turn, window  # noqa: F401  (a fixture)
from torch.distributions import Normal, kl_divergence
from torch.nn.functional import binary_cross_entropy_with_logits

from vae_teach import data, explorer, runs

pytestmark = pytest.mark.built

ROOT = Path(__file__).resolve().parents[1]
PAGE = HTML / "book" / "latent_space.html"
MODELS = {run.name: ROOT / run for run in explorer.RUNS}
PLAIN = "autoencoder-2"
READY = ".explorer .board"
COUNT = 100

NUMBERS = """async ([name, images, noise, plain]) => {
  const model = explorer.open(await explorer.load(name));
  return images.map((x, i) => {
    const q = explorer.encode(model, x);
    const z = plain ? q.mu : q.mu.map((m, j) => m + Math.exp(q.logvar[j] / 2) * noise[i][j]);
    const logits = explorer.decode(model, z);
    return { ...q, kl: explorer.kl(q), fit: explorer.logLikelihood(x, logits),
             means: [...logits.map(explorer.sigmoid)] };
  });
}"""
DECODED = """async ([name, codes]) => {
  const model = explorer.open(await explorer.load(name));
  return codes.map(z => [...explorer.decode(model, z).map(explorer.sigmoid)]);
}"""
# A canvas as the greys of its first 28 rows and columns.
GREYS = """canvas => [...canvas.getContext("2d").getImageData(0, 0, 28, 28).data].filter(
  (_, i) => i % 4 === 0)"""
PICTURE = "canvas => canvas.toDataURL()"
# What stands beside the decoded image, one time after the other.
COLLECT = """() => {
  const at = document.querySelector(".at");
  window.collected = [];
  new MutationObserver(() => collected.push(at.innerText)).observe(at, { childList: true });
}"""
# Mean time of one step of a drag, layout included.
WORK = """([selector, count]) => {
  const element = document.querySelector(selector), box = element.getBoundingClientRect();
  element.setPointerCapture = element.hasPointerCapture = () => true;
  const send = (type, i) => element.dispatchEvent(new PointerEvent(type, {
    clientX: box.left + box.width * (0.3 + 0.4 * Math.sin(i / 9) ** 2),
    clientY: box.top + box.height * (0.2 + 0.6 * i / count), pointerId: 1, bubbles: true }));
  send("pointerdown", 0);
  const start = performance.now();
  for (let i = 1; i <= count; i++) {
    send("pointermove", i);
    document.body.offsetHeight;
  }
  const time = (performance.now() - start) / count;
  element.dispatchEvent(new PointerEvent("lostpointercapture"));
  delete element.setPointerCapture, delete element.hasPointerCapture;
  return time;
}"""


@pytest.fixture
def page(built, window):
    """The chapter, freshly opened, wide and light."""
    window.set_viewport_size({"width": 1280, "height": 900})
    window.emulate_media(color_scheme="light", reduced_motion="reduce")
    go(window, PAGE)
    window.wait_for_selector(READY)
    yield window
    window.emulate_media(reduced_motion="no-preference")
    assert not window.requests and not window.complaints


def model_of(name):
    return runs.load_model(MODELS[name])[0]


def random_digits(count, seed):
    digits = data.load_mnist_sample("test")
    rows = torch.randperm(len(digits.labels), generator=seeded(seed))[:count]
    return data.prepare_pixels(digits.pixels[rows], "grey")


def code(page):
    """z as the page shows it."""
    first, second = page.inner_text(".explorer .at").split("\n")[0].removeprefix("z = ").split(",")
    return [float(text.replace("\u2212", "-")) for text in (first, second)]


def sum_of(page):
    """The numbers of the line with the terms."""
    text = page.inner_text(".explorer .sum").replace("\u2212", "-")
    return [float(number) for number in re.findall(r"-?\d+\.\d", text.replace(" - ", " minus "))]


def picture(page, selector):
    return page.eval_on_selector(f".explorer {selector}", PICTURE)


def middle(page, selector, across=0.5, down=0.5):
    page.locator(f".explorer {selector}").scroll_into_view_if_needed()
    box = page.locator(f".explorer {selector}").bounding_box()
    return box["x"] + across * box["width"], box["y"] + down * box["height"]


def drag(page, selector, *ways):
    """One stroke through points that are given as shares of the element's width and height."""
    page.mouse.move(*middle(page, selector, *ways[0]))
    page.mouse.down()
    for way in ways[1:]:
        page.mouse.move(*middle(page, selector, *way), steps=3)
    page.mouse.up()


# The same numbers --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", MODELS)
def test_the_page_computes_what_pytorch_does(page, record_property, name):
    """The model with its own float32 weights, on 100 digits and noise drawn at random."""
    x, noise = random_digits(COUNT, seed=1), torch.randn(COUNT, 2, generator=seeded(2))
    found = page.evaluate(NUMBERS, [name, x.tolist(), noise.tolist(), name == PLAIN])
    model = model_of(name)
    with torch.no_grad():
        mu, logvar = model.encoder(x)
        sigma = torch.exp(logvar / 2)
        logits = model.decoder(mu if name == PLAIN else mu + sigma * noise)
        fit = -binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)
        kl = kl_divergence(Normal(mu, sigma), Normal(0.0, 1.0)).sum(-1)
    expected = {"mu": mu, "logvar": logvar, "means": logits.sigmoid(), "fit": fit, "kl": kl}
    if name == PLAIN:
        del expected["kl"]  # neither it nor the variance means anything here, and no page shows it
    off = {
        key: (torch.tensor([row[key] for row in found]) - values).abs().max().item()
        for key, values in expected.items()
    }
    record_property("told", f"{name}: " + ", ".join(f"{k} {v:.1e}" for k, v in off.items()))
    assert off["means"] < 1e-3 and off["fit"] < 1e-2
    assert off.get("kl", 0) < 1e-2
    assert off["mu"] < 1e-3 and off["logvar"] < 1e-3


@pytest.mark.parametrize("name", [name for name in MODELS if name != PLAIN])
def test_codes_of_the_prior_become_the_images_that_pytorch_makes_of_them(page, name):
    z = torch.randn(COUNT, 2, generator=seeded(3))
    found = torch.tensor(page.evaluate(DECODED, [name, z.tolist()]))
    with torch.no_grad():
        assert (found - model_of(name).decoder(z).sigmoid()).abs().max() < 1e-3


def test_what_is_painted_is_what_is_computed(page):
    """The digit at first, and its decoded code, as bytes; both ends of the walk as well."""
    model = model_of("dense-2")
    x = torch.tensor(page.eval_on_selector(".seen", GREYS)).float() / 255
    with torch.no_grad():
        means = model.decoder(model.encoder(x)[0]).sigmoid()
        kl = model.encoder(x)
    for canvas in (".decoded", ".walk canvas"):
        painted = torch.tensor(page.eval_on_selector(f".explorer {canvas}", GREYS))
        assert (painted - 255 * means).abs().max() <= 1
    exact = kl_divergence(Normal(kl[0], torch.exp(kl[1] / 2)), Normal(0.0, 1.0)).sum().item()
    assert sum_of(page)[1] == pytest.approx(exact, abs=0.06)


def test_a_drawing_is_scaled_and_centred_as_mnists_digits_are(page):
    strokes = [[[0.1, 0.1], [0.3, 0.1], [0.2, 0.5]]]  # a small 7 in a corner
    x = torch.tensor(page.evaluate("s => [...explorer.likeMnist(s)]", strokes)).reshape(28, 28)
    assert x.min() == 0 and x.max() == 1
    lit = (x > 0).nonzero()
    assert 20 <= (lit.amax(0) - lit.amin(0) + 1).max() <= 22
    steps = torch.arange(28) + 0.5
    centre = [(x.sum(axis) * steps).sum() / x.sum() for axis in (0, 1)]
    # On average that of MNIST's digits is 14.5, by half a pixel off the middle.
    assert centre == pytest.approx([14.5, 14.5], abs=0.3)


# Every control -----------------------------------------------------------------------------------


def test_before_any_click_there_is_a_digit_its_cloud_and_its_image(page):
    # A few of the 1,000 lie outside the frame.
    assert 950 < page.inner_html(".explorer .cloud").count("h0") <= 1000
    assert page.locator(".explorer .names text").all_text_contents() == list("0123456789")
    assert page.locator(".explorer .drawn circle").count() == 4
    assert page.get_by_role("img", name="image x: a 9.").count() == 1
    assert page.get_by_role("img", name="your code, decoded; it lies next to a 9").count() == 1
    fit, kl, elbo = sum_of(page)
    assert elbo == pytest.approx(fit - kl, abs=0.11) and fit < 0 < kl


def test_the_mouse_drags_the_code(page):
    before = picture(page, ".decoded")
    drag(page, ".plane", (0.5, 0.5), (0.5, 0.7), (0.25, 0.2))
    # The prior's first circle lies at the origin, and its radius is 1.
    origin = {
        key: float(page.get_attribute(".explorer .prior circle", key)) for key in ("cx", "cy", "r")
    }
    expected = [(0.25 * 400 - origin["cx"]) / origin["r"], (origin["cy"] - 0.2 * 400) / origin["r"]]
    assert code(page) == pytest.approx(expected, abs=0.02)
    assert picture(page, ".decoded") != before
    assert page.locator(".explorer .hint").is_hidden()
    handle, plane = (
        page.locator(f".explorer .{name}").bounding_box() for name in ("handle", "plane")
    )
    assert handle["x"] + handle["width"] / 2 == pytest.approx(
        plane["x"] + plane["width"] / 4, abs=1.5
    )
    with torch.no_grad():
        means = model_of("dense-2").decoder(torch.tensor(code(page))).sigmoid()
    painted = torch.tensor(page.eval_on_selector(".explorer .decoded", GREYS))
    assert (painted - 255 * means).abs().max() < 5  # z is shown with two digits
    drag(page, ".plane", (0.5, 0.5), (0.9, 0.9), (1.5, 1.5))  # to the edge, and not beyond it
    assert code(page)[0] == pytest.approx((400 - origin["cx"]) / origin["r"], abs=0.02)


def test_arrow_keys_move_the_code(page):
    start, said = code(page), page.inner_text(".explorer .status")
    page.focus(".explorer .handle")
    for key in ("ArrowRight", "ArrowRight", "ArrowUp"):
        page.keyboard.press(key)
    moved = code(page)
    step = (moved[0] - start[0]) / 2
    assert step > 0.05 and moved[1] - start[1] == pytest.approx(step, abs=0.02)
    page.keyboard.press("Shift+ArrowLeft")
    page.keyboard.press("ArrowDown")
    assert code(page) == pytest.approx([moved[0] - 5 * step, start[1]], abs=0.05)
    handle = page.get_by_role("slider", name="code z")
    spoken = handle.get_attribute("aria-valuetext")
    assert re.fullmatch(r".*, .*, next to a \d", spoken)
    assert float(handle.get_attribute("aria-valuenow")) == pytest.approx(code(page)[0])
    assert page.inner_text(".explorer .status") == said  # the slider speaks for itself


def test_a_digit_is_picked_and_then_one_by_another_hand(page):
    shown = []
    for _ in range(6):
        page.get_by_role("button", name="pick a 3").click()
        shown.append(picture(page, ".pad"))
    assert len(set(shown)) == 5 and shown[0] == shown[5]
    assert page.get_by_role("button", name="pick a 3", pressed=True).count() == 1
    page.focus(".explorer .pick button:nth-child(1)")
    page.keyboard.press("Enter")
    assert page.get_by_role("button", name="pick a 0", pressed=True).count() == 1
    assert page.get_by_role("button", pressed=True).count() == 1
    assert page.inner_text(".explorer .status").startswith("a 0: log p(x | z)")
    assert page.get_by_role("img", name="your code, decoded; it lies next to a 0").count() == 1


def test_a_drawing_is_encoded_while_it_is_drawn(page):
    seen = page.locator(".explorer .seen")
    assert seen.is_hidden() and page.locator(".explorer .clear").is_disabled()
    terms = [sum_of(page)]
    page.mouse.move(*middle(page, ".pad", 0.5, 0.1))
    page.mouse.down()
    for across, down in ((0.5, 0.9), (0.3, 0.9), (0.7, 0.9)):
        page.mouse.move(*middle(page, ".pad", across, down))
        terms.append(sum_of(page))
        if len(terms) == 2:  # a stroke from top to bottom is a 1
            one = page.get_by_role("img", name="your code, decoded; it lies next to a 1")
            assert one.count() == 1
    assert len({tuple(numbers) for numbers in terms}) == 4
    assert not page.inner_text(".explorer .status")  # nothing is said until the pen is lifted
    page.mouse.up()
    assert page.inner_text(".explorer .status").startswith("your drawing: log p(x | z)")
    assert seen.is_visible()
    assert page.get_by_role("img", name="image x: your drawing.").count() == 1
    before = picture(page, ".seen")
    drag(page, ".pad", (0.2, 0.5), (0.8, 0.5))
    assert picture(page, ".seen") != before
    page.click(".explorer .clear")
    assert max(page.eval_on_selector(".explorer .seen", GREYS)) == 0
    page.get_by_role("button", name="pick a 4").click()
    assert seen.is_hidden() and page.locator(".explorer .clear").is_disabled()


def test_resample_draws_other_noise_and_leaves_the_rest(page):
    page.focus(".explorer .handle")
    page.keyboard.press("ArrowRight")
    z, (fit, kl, _), draws = code(page), sum_of(page), picture(page, ".draws canvas")
    page.get_by_role("button", name="resample").click()
    assert picture(page, ".draws canvas") != draws
    assert code(page) == z and sum_of(page)[1] == kl and sum_of(page)[0] != fit
    assert sum_of(page)[2] == pytest.approx(sum_of(page)[0] - kl, abs=0.11)


def test_the_same_digit_in_three_models(page):
    views = {}
    for name in MODELS:
        page.check(f".explorer input[value={name}]")
        page.wait_for_function(
            "name => explorerData[name] && document.querySelector('.about').textContent"
            " === explorer.MODELS[name].about",
            arg=name,
        )
        views[name] = {
            "x": picture(page, ".pad"),
            "cloud": page.inner_html(".explorer .cloud"),
            "prior": page.get_attribute(".explorer .prior circle", "r"),
            "way": picture(page, ".walk canvas"),
            "terms": sum_of(page),
        }
        plain = name == PLAIN
        assert ("no KL here" in page.inner_text(".explorer .sum")) == plain
        assert page.locator(".explorer .drawn circle").count() == (1 if plain else 4)
        assert page.locator(".explorer .resample").is_disabled() == plain
        assert (float(page.get_attribute(".explorer .q", "rx")) == 0) == plain
    vae, plain, beta = views.values()
    assert vae["x"] == plain["x"] == beta["x"]
    assert len({view["cloud"] for view in views.values()}) == 3
    assert len({view["way"] for view in views.values()}) == 3
    assert vae["prior"] == beta["prior"] != plain["prior"]  # two clouds that the eye compares
    assert len(plain["terms"]) == 1 and beta["terms"][1] < vae["terms"][1]
    page.focus(f".explorer input[value={list(MODELS)[2]}]")
    page.keyboard.press("ArrowUp")
    page.wait_for_function("document.querySelector('.sum').textContent.includes('no KL here')")


def test_the_walk_goes_from_one_digit_to_the_other(page):
    page.select_option(".explorer [name=from]", "1")
    page.select_option(".explorer [name=to]", "7")
    stages = page.locator(".explorer .walk canvas").get_attribute("aria-label")
    assert stages.startswith("9 stages of the way, decoded; they lie next to 1, ")
    assert stages.endswith("7")
    page.get_by_role("button", name="Walk").click()  # at once for who prefers reduced motion
    end = page.inner_text(".explorer .at")
    assert page.inner_text(".explorer .status") == stages
    page.emulate_media(reduced_motion="no-preference")
    page.evaluate(COLLECT)
    page.focus(".explorer .walk button")
    page.keyboard.press("Enter")
    page.wait_for_function("end => document.querySelector('.at').innerText === end", arg=end)
    assert page.evaluate("new Set(collected).size") > 3
    page.keyboard.press("Enter")
    page.focus(".explorer .handle")
    page.keyboard.press("ArrowRight")  # whoever takes the handle stops the walk
    taken = code(page)
    page.wait_for_timeout(300)
    assert code(page) == taken
    page.select_option(".explorer [name=from]", "x")
    assert "next to 9," in page.get_attribute(".explorer .walk canvas", "aria-label")


def test_touch(built, browser):
    """Taps, and a finger that drags the handle and draws, on a telephone."""
    context = browser.new_context(
        offline=True, has_touch=True, viewport={"width": 390, "height": 844}
    )
    page = context.new_page()
    page.goto(PAGE.as_uri())
    page.wait_for_selector(READY)
    finger = context.new_cdp_session(page)

    def touch(kind, *at):
        points = [dict(zip("xy", at, strict=True))] if at else []
        finger.send("Input.dispatchTouchEvent", {"type": kind, "touchPoints": points})

    def swipe(selector, *ways):
        places = [middle(page, selector, *way) for way in ways]
        top = page.evaluate("scrollY")
        touch("touchStart", *places[0])
        for place in places[1:]:
            touch("touchMove", *place)
        touch("touchEnd")
        assert page.evaluate("scrollY") == top

    page.locator(".explorer .pick button").nth(6).tap()
    assert page.get_by_role("img", name="image x: a 6.").count() == 1
    page.touchscreen.tap(*middle(page, ".plane", 0.75, 0.75))
    first = code(page)
    assert first[0] > 1 and first[1] < -1
    swipe(".handle", (0.5, 0.5), (0.5, -0.5), (-1, -1.5))
    assert code(page)[0] < first[0] - 0.5 and code(page)[1] > first[1] + 0.5
    swipe(".pad", (0.5, 0.1), (0.5, 0.5), (0.5, 0.9))
    assert page.get_by_role("img", name="image x: your drawing.").count() == 1
    page.locator(".explorer .clear").tap()
    page.locator(".explorer .resample").tap()
    page.locator(f".explorer input[value={PLAIN}]").tap()
    page.wait_for_function("document.querySelector('.sum').textContent.includes('no KL here')")
    page.locator(".explorer .walk button").tap()
    assert not page.evaluate(OVERFLOW)
    context.close()


def test_on_a_telephone_the_plane_and_the_decoded_image_are_seen_together(page):
    page.set_viewport_size({"width": 390, "height": 700})
    boxes = [page.locator(f".explorer .{name}").bounding_box() for name in ("decoded", "plane")]
    assert boxes[1]["y"] + boxes[1]["height"] - boxes[0]["y"] < 600
    for name in MODELS:
        page.check(f".explorer input[value={name}]")
        assert not page.evaluate(OVERFLOW)


# When something is amiss -------------------------------------------------------------------------


@pytest.mark.parametrize("missing", ["explorer.js", "explorer/digits.js", "explorer/dense-2.js"])
def test_a_file_that_is_missing_leaves_a_sentence(built, browser, tmp_path, missing):
    folder = tmp_path / "_static"
    shutil.copytree(ROOT / "book" / "_static", folder)
    (folder / missing).unlink()
    page = page_with_the_explorer(browser, tmp_path)
    page.wait_for_function("document.querySelector('.explorer').innerText.includes('_static')")
    sentence = page.inner_text(".explorer")
    assert "missing" in sentence or missing in sentence
    page.context.close()


def test_a_model_that_is_missing_leaves_the_last_one(built, browser, tmp_path):
    shutil.copytree(ROOT / "book" / "_static", tmp_path / "_static")
    (tmp_path / "_static" / "explorer" / f"{PLAIN}.js").unlink()
    page = page_with_the_explorer(browser, tmp_path)
    page.wait_for_selector(READY)
    page.check(f".explorer input[value={PLAIN}]")
    page.wait_for_function("document.querySelector('.about').textContent.includes('could not')")
    assert f"{PLAIN}.js" in page.inner_text(".explorer .about") and len(sum_of(page)) == 3
    page.context.close()


def test_without_scripts_a_sentence_says_what_would_be_here(built, browser, tmp_path):
    page = page_with_the_explorer(browser, tmp_path, java_script_enabled=False)
    assert "if your browser ran JavaScript" in page.inner_text(".explorer")
    page.context.close()


def page_with_the_explorer(browser, folder, **options):
    """A page with what the chapter has of the explorer, and nothing else, beside `folder`'s files."""
    found = re.search(
        r'<div class="slider explorer">.*explorer\.js"></script>', PAGE.read_text(), re.S
    )
    (folder / "book").mkdir()
    path = folder / "book" / "page.html"
    path.write_text(f"<!doctype html><meta charset=utf-8><title>x</title>{found[0]}")
    page = browser.new_context(offline=True, **options).new_page()
    page.goto(path.as_uri())
    return page


def test_axe_has_no_complaint(built, with_axe):
    """In both themes, as it opens and with the controls that the other model disables."""
    go(with_axe, PAGE)
    with_axe.wait_for_selector(READY)
    turn(with_axe, "light")
    assert not faults_of(with_axe, within=".explorer")
    turn(with_axe, "dark")
    with_axe.check(f".explorer input[value={PLAIN}]")
    with_axe.wait_for_selector(".explorer .resample:disabled")
    assert not faults_of(with_axe, within=".explorer")


def test_work_for_each_frame_is_told(page, record_property):
    drags = {"a code dragged": ".explorer .plane", "a drawing": ".explorer .pad"}
    times = {what: page.evaluate(WORK, [selector, 100]) for what, selector in drags.items()}
    record_property("told", ", ".join(f"{what}: {t:.1f} ms a step" for what, t in times.items()))


def test_no_other_page_loads_it(built):
    loading = [
        path.name for path in (HTML / "book").glob("*.html") if "explorer.js" in path.read_text()
    ]
    assert loading == [PAGE.name]
