"""Who may import whom, and other promises about the source as a whole."""

import ast
import os
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).parents[1] / "vae_teach"
MODULES = {path.stem: path for path in sorted(PACKAGE.glob("*.py")) if path.stem[:2] != "__"}

MATHS = {
    "distributions",
    "divergences",
    "likelihoods",
    "estimators",
    "bounds",
    "losses",
    "networks",
    "exact_models",
}
# What each module imports, of ours. Arrows point one way only.
IMPORTS = {
    # maths: tensors in, tensors out
    "distributions": set(),
    "estimators": set(),
    "bounds": set(),
    "losses": set(),
    "networks": set(),
    "divergences": set(),
    "likelihoods": {"distributions", "estimators"},
    "exact_models": {"distributions"},
    # the model
    "model": {"distributions", "divergences", "estimators", "bounds"},
    # machinery
    "data": set(),
    "drawings": {"data"},
    "config": {"data", "drawings", "networks", "likelihoods", "model"},
    "runs": {"config", "model"},
    "evaluation": {"data", "divergences", "estimators", "likelihoods", "model"},
    "training": {"data", "drawings", "config", "runs", "estimators", "likelihoods", "model"},
    "explorer": {"data", "config", "model", "runs"},
    "objective": {"distributions"},
    "findings": {"objective"},
    "interception": set(),
    "diagnosis": {"divergences", "findings", "objective", "interception"},
    "inspection": {"diagnosis"},
    "cli": {
        "data",
        "drawings",
        "config",
        "runs",
        "evaluation",
        "training",
        "explorer",
        "findings",
        "inspection",
        "plotting",
    },
    # islands
    "symbolic": set(),
    "plotting": set(),
    "scalar_autograd": set(),
    "scalar_vae": {"scalar_autograd"},
}
STANDARD = set(sys.stdlib_module_names)
# What the pure modules may import from elsewhere, besides the standard library.
LIBRARIES = dict.fromkeys(MATHS | {"model"}, {"torch"}) | {
    "symbolic": {"sympy"},
    "plotting": {"numpy", "matplotlib"},
    "scalar_autograd": set(),
}


def tree(path):
    return ast.parse(path.read_text(encoding="utf8"))


def imported(path):
    """All modules that a file imports, wherever the import stands: `vae_teach.data`, `torch.nn`."""
    names = set()
    for node in ast.walk(tree(path)):
        if isinstance(node, ast.Import):
            names |= {alias.name for alias in node.names}
        elif isinstance(node, ast.ImportFrom):
            assert node.level == 0, f"{path.name}: write imports in full"
            if node.module == "vae_teach":
                names |= {f"vae_teach.{alias.name}" for alias in node.names}
            else:
                names.add(node.module)
    return names


def ours(path):
    return {name.split(".")[1] for name in imported(path) if name.startswith("vae_teach.")}


def test_the_table_is_the_picture_of_the_imports():
    assert {module: ours(path) for module, path in MODULES.items()} == IMPORTS


@pytest.mark.parametrize("module", sorted(MODULES.keys() & LIBRARIES.keys()))
def test_a_pure_module_uses_only_its_libraries(module):
    outside = {name.split(".")[0] for name in imported(MODULES[module])} - {"vae_teach"} - STANDARD
    assert outside <= LIBRARIES[module]


def test_equation_checks_knows_nothing_of_the_package():
    for path in (PACKAGE.parent / "equation_checks").glob("*.py"):
        assert not any(name.startswith("vae_teach") for name in imported(path)), path.name


def test_the_table_has_no_cycle():
    left = dict(IMPORTS)
    while left:
        free = [name for name, needs in left.items() if not needs & left.keys()]
        assert free, f"these import each other: {sorted(left)}"
        for name in free:
            del left[name]


@pytest.mark.parametrize("module", MODULES)
def test_every_module_has_its_test_file(module):
    assert (Path(__file__).parent / f"test_{module}.py").is_file()


@pytest.mark.parametrize("module", MODULES)
def test_nothing_seeds_or_draws_from_global_randomness(module):
    for node in ast.walk(tree(MODULES[module])):
        if not isinstance(node, ast.Call):
            continue
        call = ast.unparse(node.func)
        assert call not in {"torch.manual_seed", "torch.seed", "torch.cuda.manual_seed"}
        assert not call.startswith("random.")
        assert not call.startswith("np.random.") or call.startswith("np.random.default_rng")
        if call in {
            "torch.randn",
            "torch.rand",
            "torch.bernoulli",
            "torch.randperm",
            "torch.randint",
        }:
            assert "generator" in {keyword.arg for keyword in node.keywords}, ast.unparse(node)


def test_the_global_generator_is_lent_only_to_models_being_built_and_to_readers_functions():
    users = {m for m, path in MODULES.items() if "set_rng_state" in path.read_text(encoding="utf8")}
    assert users == {"config", "diagnosis", "interception"}


def test_training_runs_without_matplotlib(tmp_path):
    """In a fresh interpreter, where importing matplotlib is an error."""
    program = f"""
import sys
sys.modules["matplotlib"] = None
from vae_teach import cli, data
few = data.Digits(*(values[::200] for values in data.embedded_digits()))
data.embedded_digits = lambda: few
cli.main(["train", "--out", {str(tmp_path / "run")!r}, "--data", "sample", "--epochs", "1",
          "--hidden", "4", "--latent-dim", "2"])
cli.main(["evaluate", {str(tmp_path / "run")!r}])
"""
    found = subprocess.run(
        [sys.executable, "-c", program], capture_output=True, text=True, env=dict(os.environ)
    )
    assert found.returncode == 0, found.stderr
    assert "Done." in found.stdout
