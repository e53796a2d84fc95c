"""The executor: the same bytes twice, no half-written file, pictures that stay."""

import io

import nbformat
import pytest
from PIL import Image

from equation_checks.book import code_cells, output_text, read_notebook
from equation_checks.execute import run, run_all, write_whole
from equation_checks.rules import NOTEBOOK_RULES


def code(source, **metadata):
    return {
        "cell_type": "code",
        "source": source,
        "execution_count": None,
        "metadata": metadata,
        "outputs": [],
    }


def store(path, *sources):
    cells = [{"cell_type": "markdown", "source": "# T", "metadata": {"editable": True}}]
    cells += [code(source, collapsed=False, tags=["hide-cell"]) for source in sources]
    notebook = {"nbformat": 4, "nbformat_minor": 4, "metadata": {"x": 1}, "cells": cells}
    path.write_text(nbformat.writes(nbformat.from_dict(notebook)))


def test_executor_is_repeatable_and_obeys_the_rules(tmp_path):
    path = tmp_path / "a.ipynb"
    sources = (
        "import os\nprint(os.environ['OMP_NUM_THREADS'])",
        "open('here', 'w').close()",
        "1 + 1",
        "1 + 1",
    )
    store(path, *sources)
    run(path)
    first = path.read_bytes()
    run(path)
    assert path.read_bytes() == first
    assert (tmp_path / "here").exists(), "a notebook runs in its own folder"
    notebook = read_notebook(path)
    assert [rule.__name__ for rule in NOTEBOOK_RULES if rule(notebook)] == []
    assert [output_text(c) for c in code_cells(notebook)] == [
        "1\n",
        "",
        "2",
        "2",
    ]
    assert len({cell["id"] for cell in notebook["cells"]}) == 5


@pytest.mark.parametrize(
    "source, said",
    [
        ("1 / 0", "ZeroDivisionError"),
        ("import sys\nprint('careful', file=sys.stderr)", "careful"),
    ],
)
def test_executor_leaves_a_failing_notebook_alone(tmp_path, capsys, source, said):
    path = tmp_path / "a.ipynb"
    store(path, "x = 1", source)
    before = path.read_bytes()
    assert run_all([path]) == 1
    assert path.read_bytes() == before
    assert list(tmp_path.iterdir()) == [path]
    message = capsys.readouterr().err
    assert "cell 3" in message and said in message and source.splitlines()[0] in message


def stored_pictures(path):
    return [
        output["data"]["image/png"].strip()
        for cell in code_cells(read_notebook(path))
        for output in cell["outputs"]
        if "image/png" in output.get("data", {})
    ]


def square(*shade):
    picture = io.BytesIO()
    Image.new("RGB", (40, 40), shade).save(picture, "PNG")
    return picture.getvalue()


def test_a_picture_changes_with_the_code_up_to_it_or_with_its_looks(tmp_path):
    """Another machine draws other bytes: here a file whose content changes plays that part."""
    path = tmp_path / "a.ipynb"
    (tmp_path / "bytes").write_bytes(square(200, 0, 0))
    draw = (
        "from IPython.display import Image, display\n"
        "display(Image(data=open('bytes', 'rb').read(), format='png'))"
    )
    store(path, draw, "x = 1", draw)
    run(path)
    first = stored_pictures(path)
    assert len(first) == 2 and first[0] == first[1]

    (tmp_path / "bytes").write_bytes(square(201, 0, 0))
    run(path)
    assert stored_pictures(path) == first

    notebook = nbformat.read(path, as_version=4)
    notebook.cells[2].source = "x = 2"
    nbformat.write(notebook, path)
    run(path)
    kept, drawn_anew = stored_pictures(path)
    assert kept == first[0] and drawn_anew != first[1]

    (tmp_path / "bytes").write_bytes(square(0, 0, 200))  # of a colour that the package changed
    run(path)
    assert len({*stored_pictures(path), first[0], drawn_anew}) == 3


def test_a_write_that_fails_leaves_nothing_behind(tmp_path, monkeypatch):
    path = tmp_path / "a.txt"
    path.write_bytes(b"old")
    monkeypatch.setattr("os.replace", lambda *_: (_ for _ in ()).throw(OSError("disk full")))
    with pytest.raises(OSError, match="disk full"):
        write_whole(path, b"new")
    assert [p.name for p in tmp_path.iterdir()] == ["a.txt"] and path.read_bytes() == b"old"
