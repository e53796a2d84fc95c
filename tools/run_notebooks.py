"""Run notebooks in place: python tools/run_notebooks.py [book/first_vae.ipynb ...]

The one way to renew the outputs that the repository stores. It writes nothing that depends on the
moment or on the machine, so running it twice leaves identical bytes. A notebook that fails, or that
prints to stderr, stays as it was.
"""

import argparse
import hashlib
import os
import sys
import time
from pathlib import Path

import nbformat
from book_files import notebooks
from nbclient import NotebookClient
from nbclient.exceptions import CellControlSignal, CellExecutionError, DeadKernelError

from vae_teach.checkpoint import write_atomically

KEPT_CELL_METADATA = ("tags", "mystnb")
NOTEBOOK_METADATA = {
    "kernelspec": {"display_name": "Python 3", "language": "python", "name": "python3"},
    "language_info": {"name": "python", "pygments_lexer": "ipython3"},
}


class NotebookFailed(Exception):
    """A notebook that cannot be stored; the message names the cell and the reason."""


def execute(notebook, folder, timeout=600):
    """Run every cell in a fresh kernel that starts in `folder`, or raise NotebookFailed."""
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
        raise NotebookFailed(describe_failure(notebook, error)) from error
    for number, cell in enumerate(notebook.cells, 1):
        for output in cell.get("outputs", []):
            if output.output_type == "stream" and output.name == "stderr":
                raise NotebookFailed(
                    f"cell {number} printed to stderr, which readers should not see:\n"
                    f"{indent(cell.source)}\n\n{output.text}"
                )


def describe_failure(notebook, error):
    for number, cell in enumerate(notebook.cells, 1):
        for output in cell.get("outputs", []):
            if output.output_type == "error":
                where = f"cell {number} failed:\n{indent(cell.source)}\n\n"
                return where + f"{output.ename}: {output.evalue}"
    ran = [n for n, cell in enumerate(notebook.cells, 1) if cell.get("execution_count")]
    return f"stopped after cell {max(ran, default=0)}: {error}"


def indent(source):
    return "\n".join("    " + line for line in source.splitlines())


def normalise(notebook):
    """Keep what belongs to the book; drop what differs between machines, tools and runs."""
    notebook.nbformat, notebook.nbformat_minor = 4, 5
    notebook.metadata = nbformat.from_dict(NOTEBOOK_METADATA)
    seen = {}
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


def run(path):
    """Execute one notebook file and store it with its new outputs."""
    path = Path(path)
    notebook = nbformat.reads(path.read_text(encoding="utf8"), as_version=4)
    normalise(notebook)
    execute(notebook, path.resolve().parent)
    normalise(notebook)
    nbformat.validate(notebook)
    content = (nbformat.writes(notebook) + "\n").encode()
    if path.read_bytes() != content:
        write_atomically(path, content)
    return notebook


def main(arguments=None):
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("notebook", nargs="*", type=Path, help="default: all of book/")
    paths = parser.parse_args(arguments).notebook or notebooks()
    failures = 0
    for path in paths:
        start = time.perf_counter()
        try:
            notebook = run(path)
        except (NotebookFailed, OSError, nbformat.reader.NotJSONError) as error:
            failures += 1
            print(f"{path.name}: {error}\n{path.name} is left as it was.\n", file=sys.stderr)
            continue
        cells = sum(cell.cell_type == "code" for cell in notebook.cells)
        print(f"{path.name}: {cells} cells in {time.perf_counter() - start:.1f} s", flush=True)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
