"""Install what a reader installs, and put each notebook where a reader may: alone in an empty folder.

    python tools/anywhere.py

Builds the source distribution and from it the wheel, installs that in a fresh environment, which
sees the packages of this one and not the checkout, and makes a Jupyter kernel of it, "anywhere".
All of it lies in ``_build/anywhere/``, and each notebook in a folder of its own in
``_build/anywhere/book/``. ``make test`` runs them there.
"""

import json
import os
import shutil
import subprocess
import sys
import venv
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
BOOK = ROOT / "book"
FOLDER = ROOT / "_build" / "anywhere"
KERNEL = "anywhere"
PIP = ["--no-deps", "--no-index", "--quiet", "--disable-pip-version-check"]
WHERE = "import equation_checks, vae_teach; print(equation_checks.__file__, vae_teach.__file__)"


def build_wheel(folder: Path) -> Path:
    """The wheel of the source distribution, which both lie in ``folder`` then."""
    sdist = f"from setuptools import build_meta; build_meta.build_sdist({str(folder)!r})"
    subprocess.run([sys.executable, "-c", sdist], cwd=ROOT, check=True, stdout=subprocess.DEVNULL)
    (source,) = folder.glob("*.tar.gz")
    command = [sys.executable, "-m", "pip", "wheel", *PIP, "--no-build-isolation"]
    subprocess.run([*command, "-w", str(folder), str(source)], check=True)
    (wheel,) = folder.glob("*.whl")
    return wheel


def make_environment(folder: Path, wheel: Path) -> Path:
    """A fresh environment with the wheel, and with the packages of this one; its interpreter."""
    venv.create(folder, symlinks=True)
    python = folder / "bin" / "python"
    command = [sys.executable, "-m", "pip", "--python", str(python), "install", *PIP]
    subprocess.run([*command, str(wheel)], check=True)
    # Folders that a .pth file names come last, and theirs are not read: an editable install is not
    # seen, which is a .pth file itself.
    (packages,) = folder.glob("lib/python*/site-packages")
    ours = [path for path in sys.path if Path(path).name in ("site-packages", "dist-packages")]
    (packages / "packages.pth").write_text("\n".join(ours) + "\n", encoding="utf8")
    return python


def make_kernel(folder: Path, python: Path) -> None:
    """A Jupyter kernel that runs this interpreter, for ``JUPYTER_PATH`` to name ``folder``."""
    spec = {
        "argv": [str(python), "-m", "ipykernel_launcher", "-f", "{connection_file}"],
        "display_name": "Python 3 with the wheel",
        "language": "python",
        "env": {"PYTHONPATH": ""},
    }
    (folder / "kernels" / KERNEL).mkdir(parents=True)
    (folder / "kernels" / KERNEL / "kernel.json").write_text(json.dumps(spec), encoding="utf8")


def main() -> None:
    # Else pip and the kernels would find the checkout by it.
    os.environ.pop("PYTHONPATH", None)
    shutil.rmtree(FOLDER, ignore_errors=True)
    FOLDER.mkdir(parents=True)
    python = make_environment(FOLDER / "venv", build_wheel(FOLDER))
    make_kernel(FOLDER / "jupyter", python)
    for notebook in BOOK.glob("*.ipynb"):
        alone = FOLDER / "book" / notebook.stem
        alone.mkdir(parents=True)
        shutil.copy(notebook, alone)

    command = [python, "-c", WHERE]
    found = subprocess.run(
        command, cwd=FOLDER, check=True, stdout=subprocess.PIPE, text=True
    ).stdout
    if not all(Path(path).is_relative_to(FOLDER / "venv") for path in found.split()):
        sys.exit(f"The wheel's environment imports what it should not see: {found}")


if __name__ == "__main__":
    main()
