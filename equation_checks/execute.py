"""Run notebooks in place: the one way to renew the outputs that a book stores.

Nothing is written that depends on the moment or on the machine, so running twice leaves identical
bytes. A notebook that fails, or that prints to stderr, stays as it was.
"""

import base64
import hashlib
import io
import os
import sys
import tempfile
import time
from collections.abc import Iterable
from pathlib import Path

import nbformat
import numpy as np
from nbclient import NotebookClient
from nbclient.exceptions import CellControlSignal, CellExecutionError, DeadKernelError
from nbformat import NotebookNode
from PIL import Image

KEPT_CELL_METADATA = ("tags", "mystnb")
NOTEBOOK_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python", "pygments_lexer": "ipython3"},
}


class NotebookFailed(Exception):
    """A notebook that cannot be stored; the message names the cell and the reason."""


def execute(notebook: NotebookNode, folder: Path, timeout: int = 600) -> None:
    """Run every cell in a fresh kernel that starts in ``folder``, or raise NotebookFailed."""
    # Stored outputs must not depend on how many cores add up a sum.
    os.environ["OMP_NUM_THREADS"] = "1"
    client = NotebookClient(
        notebook,
        timeout=timeout,
        kernel_name="python3",
        resources={"metadata": {"path": str(folder)}},
        record_timing=False,
        coalesce_streams=True,
        # Else each kernel warns that it listens on a local port without encryption.
        extra_arguments=["--log-level=ERROR"],
    )
    try:
        client.execute()
    except (CellControlSignal, CellExecutionError, DeadKernelError) as error:
        raise NotebookFailed(_describe_failure(notebook, error)) from error
    for number, cell in enumerate(notebook.cells, 1):
        for output in cell.get("outputs", []):
            if output.output_type == "stream" and output.name == "stderr":
                raise NotebookFailed(
                    f"cell {number} printed to stderr, which readers should not see:\n"
                    f"{_indent(cell.source)}\n\n{output.text}"
                )


def _describe_failure(notebook: NotebookNode, error: Exception) -> str:
    for number, cell in enumerate(notebook.cells, 1):
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                where = f"cell {number} failed:\n{_indent(cell.source)}\n\n"
                return where + f"{output.ename}: {output.evalue}"
    ran = [n for n, cell in enumerate(notebook.cells, 1) if cell.get("execution_count")]
    return f"stopped after cell {max(ran, default=0)}: {error}"


def _indent(source: str) -> str:
    return "\n".join("    " + line for line in source.splitlines())


def normalise(notebook: NotebookNode) -> None:
    """Keep what belongs to the book; drop what differs between machines, tools and runs."""
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    notebook.metadata = nbformat.from_dict(NOTEBOOK_METADATA)
    seen: dict[str, int] = {}
    for cell in notebook.cells:
        # From the source, so that a new cell changes no other cell's id.
        digest = hashlib.sha256(f"{cell.cell_type}\n{cell.source}".encode()).hexdigest()[:12]
        seen[digest] = seen.get(digest, 0) + 1
        cell.id = digest if seen[digest] == 1 else f"{digest}-{seen[digest]}"
        cell.metadata = {k: cell.metadata[k] for k in KEPT_CELL_METADATA if k in cell.metadata}
        cell.pop("attachments", None)
        for output in cell.get("outputs", []):
            if "metadata" in output:
                output.metadata = {}


def keep_pictures(notebook: NotebookNode, before: NotebookNode) -> None:
    """Put back the stored pictures that look like the new ones, up to the first changed code.

    Another machine draws the same figure with other bytes. Cells keep their ids as long as they,
    and the cells before them, keep their source.
    """
    for cell, old in zip(_code(notebook), _code(before), strict=False):
        if cell.id != old.get("id"):
            return
        new_pictures, old_pictures = _pictures(cell), _pictures(old)
        if len(new_pictures) == len(old_pictures):
            for new, stored in zip(new_pictures, old_pictures, strict=True):
                if _look_alike(new["image/png"], stored["image/png"]):
                    new["image/png"] = stored["image/png"]


def _look_alike(*pictures: str) -> bool:
    """Of one size, and on average less than half of one of 255 shades apart."""
    decoded = (Image.open(io.BytesIO(base64.b64decode(picture))) for picture in pictures)
    new, old = (np.asarray(picture.convert("RGB"), dtype=float) for picture in decoded)
    return new.shape == old.shape and abs(new - old).mean() < 0.5


def _code(notebook: NotebookNode) -> list[NotebookNode]:
    return [cell for cell in notebook.cells if cell.cell_type == "code"]


def _pictures(cell: NotebookNode) -> list[dict]:
    bundles = [output.get("data", {}) for output in cell.outputs]
    return [bundle for bundle in bundles if "image/png" in bundle]


def run(path: Path) -> NotebookNode:
    """Execute one notebook file and store it with its new outputs."""
    path = Path(path)
    stored = nbformat.reads(path.read_text(encoding="utf8"), as_version=4)
    notebook = nbformat.reads(path.read_text(encoding="utf8"), as_version=4)
    normalise(notebook)
    execute(notebook, path.resolve().parent)
    normalise(notebook)
    keep_pictures(notebook, stored)
    nbformat.validate(notebook)
    content = (nbformat.writes(notebook) + "\n").encode()
    if path.read_bytes() != content:
        write_whole(path, content)
    return notebook


def write_whole(path: Path, content: bytes) -> None:
    """Write a file by way of a temporary one beside it: whole, or not at all."""
    handle, name = tempfile.mkstemp(dir=path.parent, prefix=f".{path.name}.")
    try:
        with os.fdopen(handle, "wb") as file:
            file.write(content)
        os.chmod(name, path.stat().st_mode if path.exists() else 0o644)
        os.replace(name, path)
    except BaseException:
        os.unlink(name)
        raise


def run_all(paths: Iterable[Path]) -> int:
    """Run notebooks one after the other, say how each went, and count the failures."""
    failures = 0
    for path in paths:
        start = time.perf_counter()
        try:
            notebook = run(path)
        except (NotebookFailed, OSError, nbformat.reader.NotJSONError) as error:
            failures += 1
            print(f"{path.name}: {error}\n{path.name} is left as it was.\n", file=sys.stderr)
            continue
        seconds = time.perf_counter() - start
        print(f"{path.name}: {len(_code(notebook))} cells in {seconds:.1f} s", flush=True)
    return failures
