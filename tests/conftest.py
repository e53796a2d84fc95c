import os
import shutil
from pathlib import Path

import pytest
import torch
from playwright.sync_api import sync_playwright

from vae_teach import data, training
from vae_teach.config import TrainConfig

CHROMIUM_NAMES = ("chromium", "chromium-browser", "google-chrome", "google-chrome-stable")
CHROMIUM_FLAGS = [
    "--headless",
    "--no-sandbox",
    "--disable-gpu",
    "--disable-quic",
    "--no-first-run",
    "--disable-background-networking",
    "--disable-component-update",
    "--disable-sync",
]


def pytest_configure(config):
    config.addinivalue_line("markers", "full_mnist: reads the full MNIST and takes some seconds")


def pytest_terminal_summary(terminalreporter):
    # Here and not in a test: what a test prints in another process is lost.
    modules = list((Path(__file__).parents[1] / "vae_teach").glob("[!_]*.py"))
    lines = sum(len(path.read_text(encoding="utf8").splitlines()) for path in modules)
    terminalreporter.write_line(f"vae_teach: {len(modules)} modules, {lines} lines")
    # Told and never asserted: no test looks at a clock, and a page's length is its budget's business.
    for report in terminalreporter.getreports("passed"):
        found = dict(report.user_properties)
        if report.when == "call" and found.get("first formula"):
            milliseconds = found["first formula"]
            terminalreporter.write_line(f"{report.nodeid}: first formula at {milliseconds:.0f} ms")
        if report.when == "call" and found.get("screens"):
            terminalreporter.write_line(f"{report.nodeid}: {found['screens']:.1f} screens")
        if report.when == "call" and found.get("told"):
            terminalreporter.write_line(f"{report.nodeid}: {found['told']}")


@pytest.fixture(autouse=True)
def no_downloads(monkeypatch, tmp_path_factory):
    """No test reaches the network: without files there are no mirrors, and the cache is empty."""
    monkeypatch.setattr(data, "MIRRORS", ())
    empty = tmp_path_factory.getbasetemp() / "empty-cache"
    monkeypatch.setattr(data, "cache_folder", lambda: empty)


@pytest.fixture
def full_mnist(skip_for_want_of):
    """The folder with the full MNIST. Without it a test is skipped, or fails where required."""
    folder = os.environ.get("VAE_TEACH_DATA")
    if not folder:
        skip_for_want_of("mnist", "Set VAE_TEACH_DATA to the folder with the four files.")
    return folder


@pytest.fixture(scope="session")
def real_digits():
    """80 of the embedded digits, of all classes."""
    return data.Digits(*(values[::63] for values in data.embedded_digits()))


@pytest.fixture
def tiny_sample(monkeypatch, real_digits):
    """For one test the embedded sample has 64 training digits and 16 test digits."""
    monkeypatch.setattr(data, "embedded_digits", lambda: real_digits)


TINY = {
    "data": "sample",
    "latent_dim": 2,
    "hidden": (8,),
    "epochs": 3,
    "batch_size": 20,
    "learning_rate": 1e-3,
    "schedule": "linear",
    "start_from_mean": False,
    "centre_pixels": False,
    "decoder_step_factor": 1.0,
    "progress": False,
}


@pytest.fixture
def tiny_config():
    """Settings of a run that takes milliseconds, with changes by keyword."""
    return lambda **changes: TrainConfig(**TINY | changes)


@pytest.fixture(scope="session")
def tiny_run(tmp_path_factory, real_digits):
    """The folder of a finished tiny run. Tests read it and leave it as it is."""
    out = tmp_path_factory.mktemp("runs") / "tiny"
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(data, "embedded_digits", lambda: real_digits)
        training.train(TrainConfig(**TINY), out)
    return out


@pytest.fixture
def generator():
    return torch.Generator().manual_seed(0)


@pytest.fixture(scope="module")
def browser(skip_for_want_of):
    executable = next(filter(None, map(shutil.which, CHROMIUM_NAMES)), None)
    if executable is None:
        skip_for_want_of(
            "browser",
            "On Debian, install it with: sudo apt install chromium. On Ubuntu and elsewhere, "
            "Google Chrome on the PATH does as well.",
        )
    with sync_playwright() as playwright:
        browser = playwright.chromium.launch(executable_path=executable, args=CHROMIUM_FLAGS)
        yield browser
        browser.close()
