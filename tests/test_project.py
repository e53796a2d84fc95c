"""The files around the book agree with each other."""

import re
import subprocess
import tomllib
from pathlib import Path

import pytest
import yaml
from packaging.requirements import Requirement

ROOT = Path(__file__).resolve().parent.parent
MAKEFILE = (ROOT / "Makefile").read_text(encoding="utf8")
LOCK = (ROOT / "requirements.txt").read_text(encoding="utf8").splitlines()
PROJECT = tomllib.loads((ROOT / "pyproject.toml").read_text(encoding="utf8"))["project"]
WORKFLOWS = sorted((ROOT / ".github" / "workflows").glob("*.yml"))

TARGETS = set(re.findall(r"^\.PHONY: (.*)$", MAKEFILE, re.MULTILINE)[0].split()) - {"FORCE", "html"}


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
    PROJECT["dependencies"] + [r for e in PROJECT["optional-dependencies"].values() for r in e],
)
def test_lock_satisfies_the_range(requirement):
    requirement = Requirement(requirement)
    assert requirement.specifier.contains(locked()[canonical(requirement.name)])


def test_make_targets_exist():
    for target in TARGETS:
        assert re.search(rf"^{target}:", MAKEFILE, re.MULTILINE), target


def test_help_lists_every_target():
    shown = subprocess.run(["make", "help"], cwd=ROOT, capture_output=True, text=True, check=True)
    assert set(re.findall(r"^make (\w+) ", shown.stdout, re.MULTILINE)) == TARGETS


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
    for name in ("Makefile", "requirements.txt", "pyproject.toml"):
        (tmp_path / name).write_bytes((ROOT / name).read_bytes())
    # Each answers as such an interpreter does to the questions that the Makefile asks.
    for name, answers in {
        "old": '--version) echo Python 3.9.2;; *) case "$2" in *version_info*) exit 1;; esac',
        "bare": 'x) ;; *) case "$2" in *ensurepip*) exit 1;; esac',
    }.items():
        script = tmp_path / name
        script.write_text(f'#!/bin/sh\ncase "$1" in {answers};; esac\n')
        script.chmod(0o755)
    made = subprocess.run(
        ["make", f"PYTHON={python.format(folder=tmp_path)}", "book"],
        cwd=tmp_path,
        capture_output=True,
        text=True,
    )
    assert made.returncode != 0
    assert said in made.stdout
    assert not (tmp_path / ".venv").exists()
