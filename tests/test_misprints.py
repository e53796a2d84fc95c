"""Misprints are put into a page, and the check of the display must fail at each."""

import dataclasses

import nbformat
import pytest
from nbclient.exceptions import CellExecutionError

from equation_checks.misprints import (
    Misprint,
    _with,
    misprints,
    report_misprints,
    try_misprints,
)

DISPLAY = r"""\begin{aligned}
\mathrm{KL}(q \,\|\, p) &= \frac{\mu_q^2}{2} - \log \sigma_q \\
&\le \frac{1}{N} \sum_{j=1}^{D} e^{-a_j} - b_k
\end{aligned}"""


def test_each_kind_of_token_is_changed():
    changed = {m.tex for m in misprints("eq-a", DISPLAY)}
    for was, now in [
        (r"\frac{\mu_q^2}", r"\frac{\mu_q^3}"),
        (r"\frac{\mu_q^2}", r"\frac{\mu_q^1}"),
        (r"\frac{\mu_q^2}", r"\frac{\sigma_q^2}"),
        (r"{2} -", r"{2} +"),
        (r"{2} - \log", r"{3} - \log"),
        (r"\log", r"\exp"),
        (r"\le", r"\ge"),
        (r"\sum", r"\prod"),
        (r"j=1", r"j=2"),
        (r"e^{-a_j} - b", r"e^{-a_j} + b"),
        (r"(q \,\|\, p)", r"(p \,\|\, q)"),
        (r"\frac{1}{N}", r"\frac{N}{1}"),
    ]:
        assert "".join(DISPLAY.replace(was, now).split()) in {"".join(c.split()) for c in changed}
    assert DISPLAY not in changed
    assert len(changed) == 25
    assert all(r"\begin{aligned}" in c and r"\mathrm{KL}" in c for c in changed)


def test_functions_in_an_exponent_and_arguments_in_large_parentheses_are_changed():
    (swapped,) = misprints("eq-a", r"p\left(x \mid z\right)")
    assert swapped.tex.replace(" ", "") == r"p\left(z\midx\right)"
    assert [m.tex for m in misprints("eq-a", r"e^{\log b}")] == [r"e^{\exp b}"]


def test_a_sample_is_drawn_from_all_notebooks_together(notebook, monkeypatch, capsys):
    other = notebook.with_name("other.ipynb")
    other.write_bytes(notebook.read_bytes())
    monkeypatch.setattr(
        "equation_checks.misprints.try_misprints",
        lambda path, chosen: [dataclasses.replace(m, caught=True) for m in chosen],
    )
    assert report_misprints([notebook, other], sample=3, seed=0) == 0
    counts = [int(line.split()[1]) for line in capsys.readouterr().out.splitlines()]
    assert sum(counts) == 3 and min(counts) > 0


def test_a_display_that_cannot_be_replaced_is_an_error():
    quoted = nbformat.v4.new_markdown_cell("> $$\n> a\n> = b\n> $$ (eq-a)")
    stored = nbformat.writes(nbformat.v4.new_notebook(cells=[quoted]))
    with pytest.raises(ValueError, match="eq-a is not found as it is printed"):
        _with(Misprint("eq-a", "", "", "a = c"), stored)


@pytest.fixture()
def notebook(tmp_path):
    """Two displays: the check of the first sees everything, that of the second sees no sign."""
    cells = [
        nbformat.v4.new_code_cell(
            "from pathlib import Path\nfrom equation_checks import checks\n"
            "before = Path('../beside/one.txt').read_text()\n"
            "checks.exact('eq-a', {'l': 1.0, 'r': 1.0}, over='nothing is read', tolerance=1e-9)"
        ),
        nbformat.v4.new_markdown_cell("$$\na - b = c\n$$ (eq-a)\n\n$$\na + b = d\n$$ (eq-b)"),
        nbformat.v4.new_code_cell(
            "p = checks.points(a=(-2, 2), b=(-2, 2))\n"
            "checks.displayed('eq-a', checks.world({**p, 'c': p['a'] - p['b']}), over='50 points')"
        ),
        nbformat.v4.new_code_cell(
            "checks.displayed('eq-b', checks.world({'a': 0.0, 'b': 0.0, 'd': 0.0}), over='0')"
        ),
        nbformat.v4.new_code_cell("raise ValueError('after the last display nothing is run')"),
    ]
    path = tmp_path / "book" / "chapter.ipynb"
    path.parent.mkdir()
    (tmp_path / "beside").mkdir()
    (tmp_path / "beside" / "one.txt").write_text("1")
    nbformat.write(nbformat.v4.new_notebook(cells=cells), path)
    return path


def test_a_misprint_that_no_check_sees_is_reported_and_the_page_stays(notebook, capsys):
    stored = notebook.read_bytes()
    assert report_misprints([notebook], sample=None, seed=0) == 1
    out = capsys.readouterr().out
    assert "chapter.ipynb: 2 misprints, 1 caught" in out
    assert "eq-b: after 'a +' -" in out and "'a - b = d'" in out
    assert notebook.read_bytes() == stored

    chosen = [Misprint("eq-a", "", "", "a - b = c - b"), Misprint("eq-a", "", "", "a = b + c")]
    assert [m.caught for m in try_misprints(notebook, chosen)] == [True, False]


def test_a_cell_that_does_not_run_twice_is_no_proof(notebook):
    stored = nbformat.read(notebook, as_version=4)
    stored.cells[2].source += "\ndel before"
    nbformat.write(stored, notebook)
    with pytest.raises(CellExecutionError, match="before"):
        try_misprints(notebook, [Misprint("eq-a", "", "", "a - b = c - b")])
