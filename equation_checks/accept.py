"""Accept a transcribed display: a person compares it with its check, and its digest is renewed."""

import json
import re

from equation_checks.book import Book
from equation_checks.checks import digest_of
from equation_checks.displays import find_display
from equation_checks.execute import write_whole


def accept(book: Book, label: str) -> int:
    """Show display and code of a transcribed equation, ask, and write the digest into the call."""
    tex = find_display(label, book.folder)
    call = re.compile(rf'(transcribed\(\s*"{re.escape(label)}",\s*")([0-9a-f]*)(")')
    for path in book.notebooks():
        notebook = json.loads(path.read_text(encoding="utf8"))
        sources = ["".join(cell["source"]) for cell in notebook["cells"]]
        calls = [i for i, source in enumerate(sources) if call.search(source)]
        if not calls:
            continue
        print(f"{path.name} displays {label} as\n\n{tex}\n\nand its checks are\n")
        for source in sources:
            if f'"{label}"' in source:
                print(source, end="\n\n")
        if input("Do display and checks say the same? [y/N] ").strip().lower() != "y":
            print("Nothing is changed.")
            return 1
        cell = notebook["cells"][calls[0]]
        cell["source"] = call.sub(rf"\g<1>{digest_of(tex)}\g<3>", sources[calls[0]])
        write_whole(path, (json.dumps(notebook, indent=1, ensure_ascii=False) + "\n").encode())
        print(f"Accepted: {digest_of(tex)}. Now run {path.name} again.")
        return 0
    print(f'No notebook calls checks.transcribed("{label}", ...).')
    return 1
