"""Saving and loading tensors with their settings, as ``safetensors`` files.

They are never pickles, never half-written, and never read when they have changed: each
carries a SHA-256 digest of what it holds.
"""

import hashlib
import json
import os
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor

from vae_teach.config import TrainConfig, build_model
from vae_teach.model import VAE

MODEL_FILE = "model.safetensors"
CONFIG_FILE = "config.json"


def save(path: str | Path, tensors: dict[str, Tensor], metadata: dict) -> None:
    """Write tensors, a JSON-able ``metadata`` and a digest of both to one file, atomically.

    The file is written beside its place and renamed when whole: a crash, Ctrl-C or a full
    disk leaves the old file as it was. Metadata and digest are one JSON string under one
    key, so equal content gives equal bytes. Raises ``OSError`` when it cannot be written.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    stored = metadata | {"sha256": _digest(tensors, metadata)}
    payload = safetensors.torch.save(tensors, {"vae_teach": json.dumps(stored, sort_keys=True)})
    write_atomically(path, payload)


def load(path: str | Path) -> tuple[dict[str, Tensor], dict]:
    """Read what ``save`` wrote: ``(tensors, metadata)``.

    Raises ``FileNotFoundError`` when there is no file, and ``ValueError`` when it is no
    checkpoint, has no digest, or does not hold what its digest says.
    """
    path = Path(path)
    if not path.is_file():
        raise FileNotFoundError(
            f"There is no checkpoint {path}. A run's folder is made by: python -m vae_teach train --out DIR"
        )
    try:
        with safetensors.safe_open(path, "pt") as file:
            tensors = {name: file.get_tensor(name) for name in file.keys()}  # noqa: SIM118 (the handle is no dict)
            metadata = json.loads(file.metadata()["vae_teach"])
    except (safetensors.SafetensorError, KeyError, TypeError, json.JSONDecodeError) as error:
        raise ValueError(
            f"{path} is not a checkpoint of vae_teach, or is damaged ({error})."
        ) from error
    expected = metadata.pop("sha256", None)
    if expected is None:
        raise ValueError(
            f"{path} has no SHA-256 digest, so nobody can tell whether it is as it was written. "
            "Train the run again (its command.txt or config.json says how); vae_teach then writes one."
        )
    if _digest(tensors, metadata) != expected:
        raise ValueError(
            f"{path} is damaged: its weights or settings are not those that were written (their SHA-256 differs). "
            "Fetch the file again (git checkout, or your copy), or train the run again."
        )
    return tensors, metadata


def _digest(tensors: dict[str, Tensor], metadata: dict) -> str:
    """Return the SHA-256 of the metadata, and of each tensor's name, type, shape and bytes."""
    digest = hashlib.sha256(json.dumps(metadata, sort_keys=True).encode())
    for name, tensor in sorted(tensors.items()):
        digest.update(f"{name} {tensor.dtype} {list(tensor.shape)}".encode())
        digest.update(tensor.reshape(-1).view(torch.uint8).numpy())
    return digest.hexdigest()


def load_run(folder: str | Path) -> tuple[VAE, TrainConfig]:
    """Load the trained model of a run's folder, on the CPU, and its settings."""
    tensors, metadata = load(Path(folder) / MODEL_FILE)
    config = TrainConfig.from_dict(metadata["config"])
    model = build_model(config)
    model.load_state_dict(tensors)
    return model.eval(), config


def write_atomically(path: str | Path, content: bytes) -> None:
    """Write ``content`` so that ``path`` holds either its old bytes or all of the new ones."""
    path = Path(path)
    partial = path.with_name(path.name + ".partial")
    try:
        with open(partial, "wb") as file:
            file.write(content)
            file.flush()
            os.fsync(file.fileno())
        os.replace(partial, path)
    finally:
        partial.unlink(missing_ok=True)


def optimizer_tensors(optimizer: torch.optim.Optimizer) -> dict[str, Tensor]:
    """Return the optimiser's state as a flat dict of tensors.

    They are named ``optimizer.<parameter index>.<name>``.
    """
    state = optimizer.state_dict()["state"]
    return {
        f"optimizer.{index}.{name}": value
        for index, values in state.items()
        for name, value in values.items()
    }


def restore_optimizer(optimizer: torch.optim.Optimizer, tensors: dict[str, Tensor]) -> None:
    """Put back what ``optimizer_tensors`` took."""
    state: dict[int, dict[str, Tensor]] = {}
    for key, value in tensors.items():
        if key.startswith("optimizer."):
            _, index, name = key.split(".")
            state.setdefault(int(index), {})[name] = value
    optimizer.load_state_dict(optimizer.state_dict() | {"state": state})
