"""Find the parts of a VAE in a Python file, and diagnose each."""

import importlib.util
import inspect
import re
import sys
from collections.abc import Callable, Iterator
from dataclasses import replace
from pathlib import Path
from types import ModuleType
from typing import NamedTuple, get_args

import torch
from torch import nn

from vae_teach.diagnosis import (
    Decoder,
    Diagnosis,
    chosen,
    diagnose_kl,
    diagnose_loss,
    diagnose_model,
    diagnose_reconstruction,
    diagnose_sampler,
)

__all__ = ["Report", "diagnose_file"]

IMAGE = re.compile(r"x|data|inputs?|targets?|images?|imgs?|batch|original|real|y_true")
OUTPUT = re.compile(r".*(recon|hat|out|pred|logit|decoded|params|mean).*")
MEAN = re.compile(r".*(mu|mean|loc).*")
SPREAD = re.compile(r".*(var|sigma|std|scale|lv).*")
SHAPES = ((16, 784), (16, 1, 28, 28), (16, 3, 32, 32), (16, 3, 64, 64))


class Report(NamedTuple):
    """What was found in a file: diagnoses by name, and what could not be checked, with the reason."""

    diagnoses: dict[str, Diagnosis]
    unchecked: dict[str, str]


def diagnose_file(path: Path, name: str | None = None, decoder: Decoder | None = None) -> Report:
    """Import a Python file, which runs it, and diagnose what looks like a part of a VAE.

    Those are functions with ``kl``, ``loss``, ``elbo`` or ``recon`` in their names or that
    begin with ``reparam`` or ``sample``, and modules whose class has an ``encode`` or ``reparam...`` method
    or ``VAE`` in its name. ``name`` picks one. Without ``decoder`` each is tried, and the
    first that the loss is right for is taken, or else the one with the fewest findings.

    Raises ``ValueError`` when the file cannot be imported, or has no such name or part.
    """
    module = _imported(path)
    parts = dict(_parts(module))
    if name is not None:
        if not callable(getattr(module, name, None)):
            raise ValueError(f"{path} has no function or class {name!r}.")
        parts = {key: part for key, part in parts.items() if key.split(".")[0] == name} or {
            name: getattr(module, name)
        }
    diagnoses, unchecked = {}, {}
    for key, part in parts.items():
        found = _diagnosed(key, part, decoder)
        if isinstance(found, str):
            unchecked[key] = found
        else:
            diagnoses[key] = found
    if not diagnoses:
        reasons = "".join(f"\n  {key}: {reason}" for key, reason in unchecked.items())
        raise ValueError(
            f"{path} has nothing that can be checked: no function with kl, loss, elbo, recon, reparam or sample in "
            f"its name, and no VAE that can be made without arguments.{reasons}"
        )
    return Report(diagnoses, unchecked)


def _imported(path: Path) -> ModuleType:
    """Run a file as a module, its own folder importable."""
    if not path.is_file():
        raise ValueError(f"There is no file {path}.")
    spec = importlib.util.spec_from_file_location(path.stem, path)
    if spec is None:
        raise ValueError(f"{path} is no Python file: its name must end in .py.")
    module = importlib.util.module_from_spec(spec)
    search, arguments = list(sys.path), sys.argv
    sys.path.insert(0, str(path.resolve().parent))
    sys.argv = [str(path)]
    # Where classes look for their module, data classes for one.
    before, sys.modules[spec.name] = sys.modules.get(spec.name), module
    try:
        spec.loader.exec_module(module)
    except (Exception, SystemExit) as error:
        raise ValueError(
            f"{path} could not be imported: {type(error).__name__}: {error}. If it trains when it is imported, put "
            'that under if __name__ == "__main__":.'
        ) from error
    finally:
        sys.path[:], sys.argv = search, arguments
        del sys.modules[spec.name]
        if before is not None:
            sys.modules[spec.name] = before
    return module


def _parts(module: ModuleType) -> Iterator[tuple[str, Callable]]:
    """Yield the functions and classes of a file that look like parts of a VAE, by name."""
    for name, part in vars(module).items():
        if getattr(part, "__module__", None) != module.__name__:
            continue
        if inspect.isfunction(part) and _kind(name, part):
            yield name, part
        elif inspect.isclass(part) and issubclass(part, nn.Module) and _is_vae(part):
            yield name, part
            for method, function in inspect.getmembers(part, inspect.isfunction):
                if _kind(method, function):
                    yield f"{name}.{method}", part


def _is_vae(part: type) -> bool:
    methods = [name for name in dir(part) if name == "encode" or name.startswith("reparam")]
    return bool(methods) or "vae" in part.__name__.lower()


def _names(function: Callable) -> list[str]:
    """Return the names of the arguments that a function must be given."""
    parameters = inspect.signature(function).parameters.values()
    names = [
        p.name for p in parameters if p.default is p.empty and p.kind <= p.POSITIONAL_OR_KEYWORD
    ]
    return [name for name in names if name != "self"]


def _kind(name: str, function: Callable) -> str | None:
    """Say which part of a VAE a function is, by its name and how much it takes."""
    name, names = name.lower(), [one.lower() for one in _names(function)]
    takes = len(names)
    if name.startswith("reparam"):
        return "sampler" if takes == 2 else None
    if name.startswith("sample"):
        return "sampler" if takes == 2 and any(map(SPREAD.fullmatch, names)) else None
    if ("loss" in name or "elbo" in name) and takes == 4:
        return "loss"
    if "kl" in name:
        return "kl" if takes == 2 else None
    return "reconstruction" if ("loss" in name or "recon" in name) and takes == 2 else None


def _diagnosed(name: str, part: Callable, decoder: Decoder | None) -> Diagnosis | str:
    """Diagnose a part; a string says why that cannot be done."""
    owner, _, method = name.partition(".")
    if not inspect.isclass(part):
        return _diagnosed_function(name, part, _kind(name, part), decoder)
    try:
        model, reason = part(), ""
    except Exception as error:
        # A method that needs nothing of its object can be run all the same.
        model = part.__new__(part)
        reason = f"it cannot be made without arguments ({type(error).__name__}: {error})"
    if not method:
        return reason or _diagnosed_model(model)
    bound = getattr(model, method)
    found = _diagnosed_function(name, bound, _kind(method, bound), decoder)
    return reason if reason and "raised" in [one.code for one in found.findings] else found


def _diagnosed_function(
    name: str, function: Callable, kind: str | None, decoder: Decoder | None
) -> Diagnosis | str:
    """Diagnose a function in the reading of it that is the least wrong."""
    if kind is None:
        return "its name and arguments do not say what it is"
    readings = _in_our_order(function)
    if kind == "kl":
        found = [diagnose_kl(one) for one in readings]
    elif kind == "sampler":
        found = [diagnose_sampler(one) for one in readings]
    else:
        diagnose = diagnose_loss if kind == "loss" else diagnose_reconstruction
        decoders = (decoder,) if decoder else get_args(Decoder)
        found = [
            replace(diagnosis, subject=f'{name}, decoder="{one}"')
            for reading in readings
            for one in decoders
            for diagnosis in [diagnose(reading, one)]
        ]
    best = min(found, key=lambda found: sum(not one.note for one in found.findings))
    return best if "decoder" in best.subject else replace(best, subject=name)


def _diagnosed_model(model: nn.Module) -> Diagnosis | str:
    for shape in SHAPES:
        x = torch.rand(shape, generator=torch.Generator().manual_seed(0))
        try:
            model(x)
        except Exception:  # of the wrong shape, most likely
            continue
        found = replace(diagnose_model(model, x), subject=type(model).__name__)
        wrong_shape = [one.message for one in found.findings if one.code == "wrong-shape"]
        return wrong_shape[0].rstrip(".") if wrong_shape else found
    return f"it takes no images of the shapes {', '.join(map(str, SHAPES))}"


def _in_our_order(function: Callable) -> list[Callable]:
    """Give a function its arguments in its own order, as far as their names tell it.

    What has ``elbo`` in its name may be a bound to be raised: its negative is the second reading.
    """
    names = [name.lower() for name in _names(function)]
    order = list(range(len(names)))
    if IMAGE.fullmatch(names[0]) and OUTPUT.fullmatch(names[1]):
        order[:2] = [1, 0]
    if SPREAD.fullmatch(names[-2]) and MEAN.fullmatch(names[-1]):
        order[-2:] = reversed(order[-2:])

    def loss(*arguments):
        return function(*(arguments[place] for place in order))

    def negative(*arguments):
        return -chosen(loss(*arguments))

    return [loss, negative] if "elbo" in function.__name__.lower() else [loss]
