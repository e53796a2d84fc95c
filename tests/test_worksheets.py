"""What a worksheet leaves out, what it keeps, and where readers find it."""

import nbformat
import pytest
from bs4 import BeautifulSoup
from sphinx.application import Sphinx
from sphinx.util.docutils import docutils_namespace

from equation_checks.__main__ import main
from equation_checks.plain import plain
from equation_checks.worksheets import worksheet_of, write_worksheets

EXERCISE = """Before.

```{exercise}
:label: ex-one

What is $1 + 1$?
```"""
SOLUTION = """````{solution-start} ex-one
:class: dropdown
````

It is two."""
NEXT = """````{solution-end}
````

```{exercise}
:label: ex-two

And now?
```"""


def markdown(source):
    return nbformat.v4.new_markdown_cell(source)


def code(source, *tags):
    cell = nbformat.v4.new_code_cell(source, metadata={"tags": list(tags)} if tags else {})
    cell.outputs, cell.execution_count = [nbformat.v4.new_output("stream", text="2\n")], 7
    return cell


def chapter(*cells):
    return nbformat.v4.new_notebook(cells=[markdown("# Sums\n\n## Exercises"), *cells])


@pytest.fixture
def sums():
    return chapter(
        code("known = 1"),
        code("checks.proved()", "check"),
        markdown(EXERCISE),
        code("yours = None", "todo"),
        markdown(SOLUTION),
        code("yours = 2", "solution"),
        code("judge(yours)"),
        markdown(NEXT),
    )


def sources(notebook):
    return [cell.source for cell in notebook.cells]


def test_solutions_and_proofs_are_left_out_in_words_and_in_code(sums):
    assert sources(worksheet_of(sums)) == [
        "# Sums\n\n## Exercises",
        "known = 1",
        EXERCISE,
        "yours = None",
        "judge(yours)",
        NEXT.removeprefix("````{solution-end}\n````\n\n"),
    ]


def test_a_solution_may_begin_and_end_in_one_cell(sums):
    sums.cells[-1].source = f"{EXERCISE}\n\n{SOLUTION}\n\n{NEXT}\n\nAfter."
    sums.cells[5:6] = []
    last = worksheet_of(sums).cells[-1].source
    assert "It is two" not in last and "solution" not in last
    assert last.startswith("Before.") and last.endswith("After.") and "And now?" in last


def test_nothing_of_a_run_is_left(sums):
    cells = [cell for cell in worksheet_of(sums).cells if cell.cell_type == "code"]
    assert all(cell.outputs == [] and cell.execution_count is None for cell in cells)


def test_the_notebook_itself_stays_as_it_was(sums):
    before = nbformat.writes(sums)
    worksheet_of(sums)
    assert nbformat.writes(sums) == before


def test_a_notebook_that_leaves_nothing_to_its_readers_has_no_worksheet():
    assert worksheet_of(chapter(code("x = 1"), code("y = 2", "solution"))) is None


def test_the_command_writes_those_that_have_one(sums, tmp_path, monkeypatch, capsys):
    (tmp_path / "_toc.yml").write_text("root: sums\nchapters:\n- file: plain\n")
    nbformat.write(sums, tmp_path / "sums.ipynb")
    nbformat.write(chapter(code("x = 1")), tmp_path / "plain.ipynb")
    monkeypatch.chdir(tmp_path)
    assert main(["worksheets"]) == 0
    assert capsys.readouterr().out == "_build/worksheets/sums.ipynb\n"
    (file,) = (tmp_path / "_build" / "worksheets").iterdir()
    stored = nbformat.read(file, as_version=4)
    nbformat.validate(stored)
    assert sources(stored) == [plain(text, {}) for text in sources(worksheet_of(sums))]


def test_the_page_offers_the_worksheet_where_the_exercises_begin(sums, tmp_path):
    source = tmp_path / "source"
    (source / "part").mkdir(parents=True)
    (source / "conf.py").write_text(
        'extensions = ["myst_nb", "sphinx.ext.mathjax", "sphinx_exercise", '
        '"equation_checks.worksheets"]\n'
        'source_suffix = {".md": "myst-nb", ".ipynb": "myst-nb"}\n'
        'myst_enable_extensions = ["dollarmath"]\nnb_execution_mode = "off"\n'
    )
    (source / "index.md").write_text("# Book\n\n```{toctree}\npart/sums\npart/plain\n```\n")
    del sums.cells[-1:]
    sums.cells.append(markdown("````{solution-end}\n````"))
    nbformat.write(sums, source / "part" / "sums.ipynb")
    nbformat.write(chapter(code("x = 1")), source / "part" / "plain.ipynb")
    out = tmp_path / "html"
    with docutils_namespace(), (tmp_path / "warnings").open("w+") as warnings:
        app = Sphinx(
            source, source, out, tmp_path / "trees", "html",
            status=None, warning=warnings, freshenv=True,
        )  # fmt: skip
        app.build()
    page = out / "part" / "sums.html"
    section = BeautifulSoup(page.read_text(encoding="utf8"), "html.parser").find(id="exercises")
    link = section.find("h2").find_next_sibling("p").find("a")
    written = (page.parent / link["href"]).resolve()
    assert written == out / "worksheets" / "sums.ipynb" and written.is_file()
    assert [file.name for file in written.parent.iterdir()] == ["sums.ipynb"]
    assert "worksheet" not in (out / "part" / "plain.html").read_text(encoding="utf8")


def test_writing_twice_writes_the_same_bytes(sums, tmp_path):
    nbformat.write(sums, tmp_path / "sums.ipynb")
    (file,) = write_worksheets([tmp_path / "sums.ipynb"], tmp_path / "out")
    first = file.read_bytes()
    write_worksheets([tmp_path / "sums.ipynb"], tmp_path / "out")
    assert file.read_bytes() == first
