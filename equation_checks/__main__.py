"""python -m equation_checks: run the notebooks of the book in this folder, make its index."""

import argparse
import sys
from pathlib import Path

from equation_checks.book import Book


def main(arguments: list[str] | None = None) -> int:
    parser = argparse.ArgumentParser(prog="python -m equation_checks", description=__doc__)
    commands = parser.add_subparsers(dest="command", required=True)
    run = commands.add_parser("run", help="run notebooks in place and store their outputs")
    run.add_argument("notebook", nargs="*", type=Path, help="default: all of the book")
    index = commands.add_parser("index", help="write the page of the equation index")
    index.add_argument("package", type=Path, help="the folder whose docstrings name equations")
    sheet = commands.add_parser("sheet", help="write the formula sheet, from its list")
    sheet.add_argument("package", type=Path, help="the folder whose docstrings name equations")
    commands.add_parser("built", help="fail unless every page of _toc.yml has been built")
    commands.add_parser("report", help="words, displays, figures and checks of each chapter")
    tried = commands.add_parser("misprints", help="put misprints into displays; do checks fail?")
    tried.add_argument("notebook", nargs="*", type=Path, help="default: all of the book")
    tried.add_argument("--sample", type=int, help="so many at random, not all")
    tried.add_argument("--seed", type=int, default=0)
    accept = commands.add_parser("accept", help="renew the digest of a transcribed display")
    accept.add_argument("label")
    commands.add_parser("worksheets", help="write the notebooks without their solutions")
    options = parser.parse_args(arguments)
    book = Book(Path.cwd())

    if options.command == "run":
        from equation_checks.execute import run_all

        return min(run_all(options.notebook or book.notebooks()), 1)
    if options.command == "index":
        from equation_checks.index import PAGE, index_of

        page = book.folder / f"{PAGE}.md"
        page.write_text(index_of(book, options.package), encoding="utf8")
    if options.command == "sheet":
        from equation_checks.sheet import PAGE, sheet_of

        page = book.folder / f"{PAGE}.md"
        page.write_text(sheet_of(book, options.package), encoding="utf8")
    if options.command == "built":
        missing = [p for p in ["index", *book.pages()] if not (book.html / f"{p}.html").is_file()]
        for page in missing:
            print(f"The build left no {book.html / page}.html", file=sys.stderr)
        return min(len(missing), 1)
    if options.command == "misprints":
        from equation_checks.misprints import report_misprints

        return report_misprints(options.notebook or book.notebooks(), options.sample, options.seed)
    if options.command == "accept":
        from equation_checks.accept import accept as accept_display

        return accept_display(book, options.label)
    if options.command == "worksheets":
        from equation_checks.worksheets import worksheets

        return worksheets(book)
    if options.command == "report":
        from equation_checks.report import report

        print(report(book))
    return 0


if __name__ == "__main__":
    sys.exit(main())
