"""Fail unless the build left an HTML file for every page of _toc.yml."""

import sys

from book_files import HTML, toc_pages

missing = [page for page in ["index", *toc_pages()] if not (HTML / f"{page}.html").is_file()]
for page in missing:
    print(f"The build left no {HTML / page}.html", file=sys.stderr)
sys.exit(bool(missing))
