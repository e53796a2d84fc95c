import nbformat
import pytest

from equation_checks.book import Book
from equation_checks.plain import plain, titles_in
from equation_checks.worksheets import worksheet_of

TITLES = {"elbo": "The bound", "sec-gap": "What is lost"}


@pytest.mark.parametrize(
    ("markdown", "expected"),
    [
        ("See {doc}`elbo` and {ref}`sec-gap`.", "See “The bound” and “What is lost”."),
        ("By {ref}`the gap <sec-gap>` {eq}`eq-kl`.", "By the gap [eq-kl]."),
        ("As {cite:t}`kingma2014` drew in {numref}`fig-x`.", "As kingma2014 drew in the figure."),
        ("(sec-gap)=\n## What is lost", "## What is lost"),
        ("$$\na = b\n$$ (eq-kl)\n\nSo.", "$$\na = b\n$$\n\nSo."),
        ("One.\n\n```{quiz} Two?\n- [x] Yes.\n```", "One."),
        ("One.\n\n## Check\n\n```{quiz} Two?\n- [x] Yes.\n```\n\n## Next", "One.\n\n## Next"),
        (
            "```{admonition} Predict first\n:class: tip\n\nHow *many*?\n\nWhy?\n```",
            "> **Predict first**\n>\n> How *many*?\n>\n> Why?",
        ),
        ("```{exercise}\n:label: ex-one\n\nWhat is {doc}`elbo`?\n```", None),
        ("```python\nx = '{doc}'\n```", "```python\nx = '{doc}'\n```"),
    ],
)
def test_markdown_says_the_same_without_roles_and_directives(markdown, expected):
    expected = expected or "> **Exercise**\n>\n> What is “The bound”?"
    assert plain(markdown, TITLES) == expected


def test_titles_are_those_of_pages_and_labelled_sections(tmp_path):
    page = tmp_path / "elbo.md"
    page.write_text("# The bound\n\nWords.\n\n(sec-gap)=\n## What is lost\n\n## Else\n")
    assert titles_in([page]) == TITLES


def test_no_worksheet_of_the_book_shows_markup(request):
    book = Book(request.config.rootpath)
    titles = titles_in([*book.notebooks(), *book.markdown_pages()])
    for path in book.notebooks():
        sheet = worksheet_of(nbformat.read(path, as_version=4))
        for cell in sheet.cells if sheet else ():
            if cell.cell_type == "markdown":
                text = plain(cell.source, titles)
                assert "```{" not in text and "}`" not in text, text
