"""The files around the book agree with each other."""

import os
import re
import shlex
import subprocess
import sys
import tomllib
from pathlib import Path

import anywhere
import nbformat
import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
README = (ROOT / "README.md").read_text(encoding="utf8")
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf8")
LOCK = (ROOT / "requirements.txt").read_text(encoding="utf8").splitlines()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))

TARGETS = set(re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[0].split()) - {
    "html",
    "anywhere",
}


def make(folder, *arguments):
    """Run make as from a shell, also when these tests were started by make."""
    outer = {"MAKEFLAGS", "MAKELEVEL", "MAKEOVERRIDES", "MFLAGS", "PYTHON"}
    env = {name: value for name, value in os.environ.items() if name not in outer}
    return subprocess.run(["make", *arguments], cwd=folder, env=env, capture_output=True, text=True)


def copy_makefile(folder):
    for name in ("Makefile", "requirements.txt", "pyproject.toml"):
        (folder / name).write_bytes((ROOT / name).read_bytes())


def canonical(name):
    return re.sub(r"[-_.]+", "-", name).lower()


def locked():
    pins = [Requirement(line) for line in LOCK[:-1]]
    return {canonical(pin.name): next(iter(pin.specifier)).version for pin in pins}


def test_lock_is_exact_and_ends_with_the_package():
    assert LOCK[-1] == "-e ."
    for line in LOCK[:-1]:
        assert re.fullmatch(r"[A-Za-z0-9._-]+==[0-9][\w.]*", line), (
            f"{line!r} is no plain pin: no path, no address, no local version such as +cpu"
        )


@pytest.mark.parametrize(
    "requirement",
    PROJECT["dependencies"]
    + PROJECT["optional-dependencies"]["book"]
    + PROJECT["optional-dependencies"]["dev"],
)
def test_lock_satisfies_the_range(requirement):
    requirement = Requirement(requirement)
    assert requirement.specifier.contains(locked()[canonical(requirement.name)])


def test_make_targets_exist():
    for target in TARGETS:
        assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE), target


def test_help_lists_every_target():
    shown = make(ROOT, "help").stdout
    assert set(re.findall(r"^make (\w+) ", shown, re.MULTILINE)) == TARGETS


def test_chapter_runs_a_notebook_and_the_rules_that_it_must_follow():
    """The command that the Makefile gives collects both, and nothing of another notebook."""
    shown = make(ROOT, "-n", "-o", ".venv/.installed", "chapter", "NB=book/elbo.ipynb").stdout
    command = shlex.split(shown.splitlines()[-1])
    collected = subprocess.run(
        [sys.executable, *command[1:], "--collect-only", "-q"],
        cwd=ROOT,
        capture_output=True,
        text=True,
    )
    tests = [line for line in collected.stdout.splitlines() if "::" in line]
    cells = [test for test in tests if test.startswith("book/elbo.ipynb::")]
    rules = [test for test in tests if "[elbo-" in test]
    assert len(cells) > 10 and len(rules) > 10
    assert len(cells) + len(rules) == len(tests)


def store(path, *cells):
    """A notebook from the sources of its cells and what each is said to have printed."""
    notebook = nbformat.v4.new_notebook()
    for count, (source, said) in enumerate(cells, 1):
        outputs = [nbformat.v4.new_output("stream", text=said)] if said else []
        cell = nbformat.v4.new_code_cell(source, execution_count=count, outputs=outputs)
        notebook.cells.append(cell)
    nbformat.write(notebook, path)


def test_make_test_compares_every_cell_although_it_runs_in_two_processes(tmp_path):
    """The flags of `make test`, on two notebooks and a test. A cell needs those before it."""
    later = [("x += 1; print(x)", f"{x}\n") for x in range(2, 8)]
    store(tmp_path / "right.ipynb", ("x = 1", ""), *later)
    store(tmp_path / "wrong.ipynb", ("x = 1", ""), *later, ("print(x)", "8\n"))
    (tmp_path / "test_warning.py").write_text(
        "import warnings\n\n\ndef test_warning():\n    warnings.warn('!')\n"
    )
    shown = make(ROOT, "-n", "-o", ".venv/.installed", "test").stdout
    command = shlex.split(next(line for line in shown.splitlines() if "--nbval" in line))
    assert command[-3:] == ["tests/book/test_reading_layer.py", "_build/anywhere/book", "tests"]
    anywhere.make_kernel(tmp_path / "jupyter", sys.executable)
    flags = [*command[1:-3], "-q", "-p", "no:cacheprovider", "-c", str(ROOT / "pyproject.toml")]
    found = subprocess.run(
        [sys.executable, *flags, str(tmp_path)],
        cwd=ROOT,
        env=os.environ | {"JUPYTER_PATH": str(tmp_path / "jupyter")},
        capture_output=True,
        text=True,
    ).stdout
    assert re.search(r"^2 failed, 14 passed", found, re.MULTILINE), found
    assert re.search(r"FAILED .*wrong\.ipynb::Cell 7", found)
    assert re.search(r"FAILED .*test_warning", found)


@pytest.mark.parametrize("path", WORKFLOWS, ids=lambda path: path.name)
def test_workflow_calls_existing_targets(path):
    workflow = yaml.safe_load(path.read_text(encoding="utf8"))
    # YAML 1.1 reads the key "on" as true.
    assert {"name", True, "jobs"} <= set(workflow)
    steps = [step for job in workflow["jobs"].values() for step in job["steps"]]
    commands = "\n".join(step.get("run", "") for step in steps)
    called = set(re.findall(r"\bmake (?:[A-Z]\w*=\S+ )*([a-z]+)", commands))
    assert called, "the workflow calls no make target"
    assert called <= TARGETS


def test_links_are_checked_apart_from_the_tests():
    """Other people's pages may be away; tests never ask the network."""
    shown = {
        target: make(ROOT, "-n", "-o", ".venv/.installed", target).stdout
        for target in ("links", "test")
    }
    assert "--builder linkcheck" in shown["links"]
    assert "linkcheck" not in shown["test"]
    workflow = yaml.safe_load((ROOT / ".github/workflows/links.yml").read_text(encoding="utf8"))
    assert set(workflow[True]) == {"schedule", "workflow_dispatch"}


def test_citation_names_the_book_its_authors_and_the_version():
    citation = yaml.safe_load((ROOT / "CITATION.cff").read_text(encoding="utf8"))
    config = yaml.safe_load((ROOT / "_config.yml").read_text(encoding="utf8"))
    assert {"cff-version", "message", "title", "authors"} <= set(
        citation
    )  # what the format requires
    assert citation["title"] == config["title"]
    assert [author["name"] for author in citation["authors"]] == [config["author"]]
    assert citation["version"] == PROJECT["version"]


def test_workflows_test_every_supported_python():
    matrix = yaml.safe_load((ROOT / ".github/workflows/test.yml").read_text(encoding="utf8"))
    versions = matrix["jobs"]["test"]["strategy"]["matrix"]["python"]
    assert versions == ["3.11", "3.12", "3.13"]
    assert PROJECT["requires-python"] == ">=" + versions[0]


@pytest.mark.parametrize(
    "python, said",
    [
        ("no-such-python", "There is no 'no-such-python' here"),
        ("{folder}/old", "needs Python 3.11 or newer"),
        ("{folder}/bare", "sudo apt install python3-venv"),
    ],
)
def test_make_says_what_is_missing(tmp_path, python, said):
    """A copy of the Makefile, run with an interpreter that is absent, too old, or without venv."""
    copy_makefile(tmp_path)
    # Each answers as such an interpreter does to the questions that the Makefile asks.
    for name, answers in {
        "old": '--version) echo Python 3.9.2;; *) case "$2" in *version_info*) exit 1;; esac',
        "bare": 'x) ;; *) case "$2" in *ensurepip*) exit 1;; esac',
    }.items():
        script = tmp_path / name
        script.write_text(f'#!/bin/sh\ncase "$1" in {answers};; esac\n')
        script.chmod(0o755)
    made = make(tmp_path, f"PYTHON={python.format(folder=tmp_path)}", "book")
    assert made.returncode != 0
    assert said in made.stdout
    assert not (tmp_path / ".venv").exists()


@pytest.mark.parametrize(
    "recorded, arguments, renewed",
    [
        ("python3.12 in {folder}", [], False),
        ("python3.12 in {folder}", ["PYTHON=python3.12"], False),
        ("python3.12 in {folder}", ["PYTHON=python3.13"], True),
        ("python3.12 in {folder}/before", [], True),
        (None, [], True),
    ],
)
def test_make_installs_when_the_interpreter_or_the_folder_changed(
    tmp_path, recorded, arguments, renewed
):
    copy_makefile(tmp_path)
    if recorded:
        (tmp_path / ".venv").mkdir()
        (tmp_path / ".venv" / ".installed").write_text(recorded.format(folder=tmp_path))
    shown = make(tmp_path, "-n", *arguments, "check").stdout
    assert "ruff check" in shown and ("pip install" in shown) == renewed


def test_the_ten_lines_of_the_readme_run():
    (program,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    assert len([line for line in program.splitlines() if line and "import" not in line]) <= 10
    names = {}
    exec(program, names)  # the README's own code
    assert names["loss"].item() > 0
    assert all(p.grad is not None for p in names["vae"].parameters())
