import os
from collections import Counter

import pytest
from book_files import HTML, comparison_counts, notebooks, read_notebook

# Before any test imports torch, and inherited by the notebooks' kernels: how many threads add up a
# sum decides its last digits. On a busy machine one thread is also the fastest.
os.environ["OMP_NUM_THREADS"] = "1"

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
    if not (HTML / "index.html").is_file():
        pytest.fail("There is no _build/html/index.html: run make book first", pytrace=False)


def pytest_collectstart(collector):
    # nbval compares every output; what a library says on stderr is no result. (It can be told so
    # only here, in the conftest.py of the root.)
    if hasattr(collector, "skip_compare"):
        collector.skip_compare += ("stderr",)


def pytest_terminal_summary(terminalreporter):
    cells, compared, ignored = comparison_counts(read_notebook(path) for path in notebooks())
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
        f"compares, {ignored} ignored ({100 * ignored / cells:.1f} %)."
        + (f" This run: {results['passed']} passed, {results['failed']} failed." if results else "")
    )
