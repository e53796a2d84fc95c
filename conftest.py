import os
from collections import Counter
from pathlib import Path

import pytest

from equation_checks.book import Book, comparison_counts, read_notebook
from equation_checks.numbers import PRINTED
from equation_checks.report import share_of_approx

# Before any test imports torch, and inherited by the notebooks' kernels: how many threads add up a
# sum decides its last digits. On a busy machine one thread is also the fastest.
os.environ["OMP_NUM_THREADS"] = "1"

BOOK = Book(Path(__file__).resolve().parent)

NEEDS = {
    "browser": "Chromium",
    "mnist": "the full MNIST",
}


def required():
    """What VAE_TEACH_REQUIRE names: a test that would skip for want of it fails instead."""
    return {name.strip() for name in os.environ.get("VAE_TEACH_REQUIRE", "").split(",")} - {""}


def pytest_configure(config):
    if unknown := required() - set(NEEDS):
        raise pytest.UsageError(
            f"VAE_TEACH_REQUIRE names {', '.join(sorted(unknown))}; it knows {', '.join(NEEDS)}"
        )


@pytest.fixture(scope="session")
def skip_for_want_of():
    """`skip_for_want_of("mnist", "how to get it")`: skip, or fail if VAE_TEACH_REQUIRE says so."""

    def skip(need, how):
        message = f"{NEEDS[need]} is not here. {how}"
        if need in required():
            pytest.fail(f"{message} (A failure, as VAE_TEACH_REQUIRE={need}.)", pytrace=False)
        pytest.skip(message)

    return skip


@pytest.fixture(scope="session")
def built():
    if not (BOOK.html / "index.html").is_file():
        pytest.fail("There is no _build/html/index.html: run make book first", pytrace=False)


def pytest_collectstart(collector):
    # nbval compares every output; what a library says on stderr is no result. (It can be told so
    # only here, in the conftest.py of the root.) A number after ≈ has been held to its band by the
    # cell that printed it, so the text around it is compared.
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += ("stderr",)
        collector.sanitize_patterns[PRINTED.pattern] = "≈ a number in its band"


def pytest_terminal_summary(terminalreporter):
    notebooks = [read_notebook(path) for path in BOOK.notebooks()]
    cells, compared, ignored = comparison_counts(notebooks)
    if not cells:
        return
    results = Counter(
        outcome
        for outcome in ("passed", "failed", "skipped")
        for report in terminalreporter.getreports(outcome)
        if report.when == "call" and ".ipynb::" in report.nodeid
    )
    terminalreporter.write_line(
        f"The book's notebooks: {cells} code cells, {compared} with text output that nbval "
        f"compares, {ignored} ignored ({100 * ignored / cells:.1f} %); "
        f"{100 * share_of_approx(notebooks):.1f} % of the printed numbers are held to a band (≈)."
        + (f" This run: {results['passed']} passed, {results['failed']} failed." if results else "")
    )
