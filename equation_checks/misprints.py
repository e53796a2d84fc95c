"""Misprints, one token each: put into a page, to see whether the check of the display fails."""

import asyncio
import random
import re
import shutil
import tempfile
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from pathlib import Path

import nbformat
from nbclient import NotebookClient
from nbclient.exceptions import CellExecutionError

from equation_checks.book import markdown_texts, output_text
from equation_checks.displays import displays_in
from equation_checks.line import read_lines

SWAPPED = {
    "+": "-",
    "-": "+",
    r"\le": r"\ge",
    r"\ge": r"\le",
    r"\log": r"\exp",
    r"\exp": r"\log",
    r"\sin": r"\cos",
    r"\cos": r"\sin",
    r"\sum": r"\prod",
    r"\prod": r"\sum",
}
TOKEN = re.compile(r"\\[A-Za-z]+|\\.|\d+|[A-Za-z]|\S")
GREEK = {
    *(r"\alpha", r"\beta", r"\delta", r"\varepsilon", r"\theta", r"\lambda", r"\Lambda", r"\mu"),
    *(r"\sigma", r"\Sigma", r"\phi", r"\omega", r"\ell"),
}


@dataclass(frozen=True)
class Misprint:
    """A display with one token changed, and whether its check failed."""

    label: str
    was: str
    now: str
    tex: str
    caught: bool = False


def misprints(label: str, tex: str) -> Iterator[Misprint]:
    """Signs, factors, functions and relations turned round, indices and letters taken for others
    of the same display, squares lost, arguments exchanged, fractions turned over.
    """
    tex_tokens = [m for m in TOKEN.finditer(tex) if not _in_words(tex, m.start())]
    for m in tex_tokens:
        before = tex[: m.start()].rstrip()
        for now in _instead(m.group(), before, [t.group() for t in tex_tokens]):
            changed = tex[: m.start()] + now + tex[m.end() :]
            yield Misprint(label, f"{before[-12:]} {m.group()}", now, changed)
    for m in re.finditer(r"\\frac\{([^{}]+)\}\{([^{}]+)\}", tex):
        turned = rf"\frac{{{m[2]}}}{{{m[1]}}}"
        yield Misprint(label, m[0], turned, tex[: m.start()] + turned + tex[m.end() :])
    for m in re.finditer(r"\(([^(),|&]+?)(\\,\s*\\\|\\,|\\mid)([^(),&]+?)(\\right)?\)", tex):
        changed = tex[: m.start()] + f"({m[3]} {m[2]} {m[1]}{m[4] or ''})" + tex[m.end() :]
        yield Misprint(label, m[0], f"({m[3]} {m[2]} {m[1]})", changed)


def _in_words(tex: str, position: int) -> bool:
    return any(
        m.start() <= position < m.end()
        for m in re.finditer(r"\\(text|begin|end|math\w+)\{[^}]*\}", tex)
    )


def _instead(token: str, before: str, all_tokens: Sequence[str]) -> Iterator[str]:
    if token in SWAPPED and not (token in "+-" and before.endswith("^{")):
        yield SWAPPED[token]
    if token.isdigit():
        yield str(int(token) + 1)
    if before.endswith("^") and token == "2":
        yield "1"
    subscript = before.endswith("_") or re.search(r"_\{[^}]*$", before)
    letter = token in GREEK or len(token) == 1 and token.isalpha()
    if letter and (subscript or token in GREEK):
        alike = {t for t in all_tokens if (t in GREEK) == (token in GREEK) and t != token}
        yield from sorted(t + " " for t in alike if t in GREEK or len(t) == 1 and t.isalpha())[:2]


def try_misprints(path: Path, chosen: Sequence[Misprint]) -> list[Misprint]:
    """Run a notebook in a copy of its folder; after the check of a display, change the display in
    the page, run the check again, and see whether it fails.
    """
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name) / path.parent.name
        shutil.copytree(path.parent, folder, symlinks=True)
        for beside in path.resolve().parent.parent.iterdir():  # what a notebook reads as ../
            if beside.name != folder.name:
                (folder.parent / beside.name).symlink_to(beside)
        notebook = nbformat.read(folder / path.name, as_version=4)
        return asyncio.run(_try(notebook, folder / path.name, chosen))


async def _try(
    notebook: nbformat.NotebookNode, path: Path, chosen: Sequence[Misprint]
) -> list[Misprint]:
    client = NotebookClient(
        notebook,
        kernel_name="python3",
        resources={"metadata": {"path": str(path.parent)}},
        # Else each kernel warns that it listens on a local port without encryption.
        extra_arguments=["--log-level=ERROR"],
    )
    stored = path.read_text(encoding="utf8")
    found = []
    waiting = {misprint.label for misprint in chosen}
    async with client.async_setup_kernel():
        for index, cell in enumerate(notebook.cells):
            if cell.cell_type != "code" or not waiting:
                continue
            await client.async_execute_cell(cell, index)
            labels = {line.label for line in read_lines(output_text(cell)) if line.form}
            of_this_cell = [m for m in chosen if m.label in labels]
            if of_this_cell:  # a cell that does not run twice would seem to catch everything
                await client.async_execute_cell(nbformat.from_dict(cell), index)
            for misprint in of_this_cell:
                path.write_text(_with(misprint, stored), encoding="utf8")
                try:
                    await client.async_execute_cell(nbformat.from_dict(cell), index)
                    caught = False
                except CellExecutionError:
                    caught = True
                found.append(replace(misprint, caught=caught))
            waiting -= labels
            path.write_text(stored, encoding="utf8")
    return found


def _with(misprint: Misprint, stored: str) -> str:
    """The notebook's file with the display of a misprint in the place of the right one."""
    notebook = nbformat.reads(stored, as_version=4)
    for cell in notebook.cells:
        for display in displays_in(cell.source) if cell.cell_type == "markdown" else []:
            if display.label == misprint.label:
                if display.tex not in cell.source:
                    raise ValueError(f"{misprint.label} is not found as it is printed.")
                cell.source = cell.source.replace(display.tex, misprint.tex)
    return nbformat.writes(notebook)


def report_misprints(paths: Sequence[Path], sample: int | None, seed: int) -> int:
    """Try misprints in the executed displays of notebooks, and print those that passed."""
    chosen = {path: list(_misprints_of(path)) for path in paths}
    if sample is not None:
        everything = [(path, m) for path in paths for m in chosen[path]]
        drawn = random.Random(seed).sample(everything, sample)
        chosen = {path: [m for p, m in drawn if p == path] for path in paths}
    passed = 0
    for path in paths:
        tried = try_misprints(path, chosen[path]) if chosen[path] else []
        survivors = [m for m in tried if not m.caught]
        passed += len(survivors)
        print(
            f"{path.name}: {len(tried)} misprints, {len(tried) - len(survivors)} caught", flush=True
        )
        for m in survivors:
            print(f"    {m.label}: after '{m.was}' {m.now}\n        {m.tex!r}", flush=True)
    return min(passed, 1)


def _misprints_of(path: Path) -> Iterator[Misprint]:
    for text in markdown_texts(path):
        for display in displays_in(text):
            if display.label.startswith(("eq-", "wrong-")):
                yield from misprints(display.label, display.tex)
