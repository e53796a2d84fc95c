"""The last chapter's worksheet waits for its reader in the right places, and nothing else in it fails."""

import ast
from pathlib import Path

import matplotlib
import nbformat
import torch

from equation_checks.book import SOLUTION, TODO, Book, output_text, read_notebook
from equation_checks.worksheets import tagged, worksheet_of
from vae_teach.diagnosis import Diagnosis
from vae_teach.inspection import diagnose_file

matplotlib.use("Agg")
import matplotlib.pyplot as plt

PATH = Book(Path(__file__).resolve().parents[2]).folder / "your_own_vae.ipynb"
SHEET = [
    cell
    for cell in worksheet_of(nbformat.read(PATH, as_version=4)).cells
    if cell.cell_type == "code"
]
FIRST = next(number for number, cell in enumerate(SHEET) if tagged(cell, TODO))


def run(cell, names):
    """Run a cell in this process, and return the value of its last line."""
    body = ast.parse(cell.source).body
    last = body.pop() if isinstance(body[-1], ast.Expr) else None
    exec(compile(ast.Module(body, []), "cell", "exec"), names)
    return last and eval(compile(ast.Expression(last.value), "cell", "eval"), names)


def assigned(cell):
    """The names that a cell would have given a value."""
    nodes = ast.walk(ast.parse(cell.source))
    return {n.id for n in nodes if isinstance(n, ast.Name) and isinstance(n.ctx, ast.Store)}


def test_what_is_not_written_yet_is_named_and_nothing_else_fails():
    """A cell of the empty worksheet runs, or needs what is not written, or what such a cell lacks."""
    names, lacking, needed, codes = {}, set(), [], []
    with plt.rc_context(), torch.random.fork_rng():
        for number, cell in enumerate(SHEET):
            try:
                result = run(cell, names)
            except NotImplementedError:
                needed.append(cell.source)
                lacking |= assigned(cell)
            except NameError as error:
                assert error.name in lacking, cell.source
                lacking |= assigned(cell)
            except ValueError as error:  # the loop is judged with the networks of another step
                assert "empty parameter list" in str(error), cell.source
                codes.append("not-written-yet")
            else:
                if number > FIRST and isinstance(result, Diagnosis):
                    codes += [finding.code for finding in result.findings]
        plt.close("all")
    assert codes == 10 * ["not-written-yet"]
    # The training, the samples, the graded models and the codes of the last exercise.
    assert len(needed) == 4, needed


def test_every_solution_is_right_by_the_judge_that_follows_it():
    judges = [cell.id for cell in SHEET[FIRST:] if ".diagnose_" in cell.source]
    stored = {
        cell["id"]: output_text(cell) for cell in read_notebook(PATH)["cells"] if "outputs" in cell
    }
    assert len(judges) == 10
    assert [stored[judge][0] for judge in judges] == 10 * ["✓"]


IMPORTS = "import torch\nfrom torch import nn\nfrom torch.nn import functional as F\n"


def test_the_solutions_in_a_file_of_their_own_are_found_and_right(tmp_path):
    """As the chapter promises: vae-teach diagnose finds the steps, by the names that it gives them."""
    solutions = [
        cell["source"]
        for cell in read_notebook(PATH)["cells"]
        if SOLUTION in cell["metadata"].get("tags", []) and "hide-cell" in cell["metadata"]["tags"]
    ]
    assert len(solutions) == 8
    file = tmp_path / "my_vae.py"
    file.write_text(IMPORTS + "\n\n".join(solutions), encoding="utf8")
    report = diagnose_file(file)
    found = {"reconstruction_loss", "kl", "reparameterize", "VAE", "loss"}
    assert (set(report.diagnoses), report.unchecked) == (found, {})
    assert all(diagnosis.ok for diagnosis in report.diagnoses.values())
