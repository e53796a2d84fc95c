"""A training run as one object, and the files in which it is kept.

They are ``safetensors``, never pickles, never half-written, and never read when they have
changed: each carries a SHA-256 digest of what it holds.
"""

import csv
import hashlib
import io
import json
import os
from dataclasses import dataclass
from pathlib import Path

import safetensors
import safetensors.torch
import torch
from torch import Tensor, distributed
from torch.nn.parallel import DistributedDataParallel

from vae_teach.config import TrainConfig, build_model
from vae_teach.model import VAE, ELBOTerms, IWAETerms, Objective

__all__ = ["Run", "load_model", "recorded", "write_atomically"]

MODEL_FILE = "model.safetensors"
CONFIG_FILE = "config.json"
HISTORY_FILE = "history.csv"
CHECKPOINT_FILE = "checkpoint.safetensors"


@dataclass
class Run:
    """A training run: its settings, and all that a finished epoch leaves behind.

    ``history`` has one dict for each finished epoch: nats per image on train and validation.
    ``generator`` draws all randomness of the run. ``objective`` is what a step raises; with
    more than one process it averages the gradients over them.
    """

    config: TrainConfig
    model: VAE
    optimizer: torch.optim.Optimizer
    generator: torch.Generator
    history: list[dict]

    def __post_init__(self):
        self.objective = Objective(self.model)
        if distributed.is_initialized():
            # Each process sets the mean image itself.
            self.objective = DistributedDataParallel(self.objective, broadcast_buffers=False)

    @classmethod
    def start(cls, config: TrainConfig) -> "Run":
        """Begin a run with fresh weights, drawn from the configured seed."""
        generator = torch.Generator().manual_seed(config.seed)
        model = build_model(config, generator).to(config.torch_device())
        return cls(config, model, make_optimizer(model, config), generator, [])

    @classmethod
    def load(cls, folder: str | Path, progress: bool | None = None) -> "Run":
        """Read the run that ``save`` wrote, as it stood after its last finished epoch.

        ``progress`` overrides only whether progress is shown. Raises ``FileNotFoundError``
        or ``ValueError``, as ``load_tensors`` does.
        """
        path = Path(folder) / CHECKPOINT_FILE
        tensors, metadata = load_tensors(path)
        if "history" not in metadata:
            raise ValueError(
                f"{path} holds weights only: the optimiser's state and the history are missing, and training "
                f"cannot go on from it. What train --out DIR keeps as {CHECKPOINT_FILE} has them."
            )
        settings = metadata["config"] | ({} if progress is None else {"progress": progress})
        run = cls.start(TrainConfig.from_dict(settings))
        weights = {
            name.removeprefix("model."): value
            for name, value in tensors.items()
            if name.startswith("model.")
        }
        run.model.load_state_dict(weights)
        restore_optimizer(run.optimizer, tensors)
        run.generator.set_state(tensors["generator"])
        run.history = metadata["history"]
        return run

    def save(self, folder: str | Path) -> None:
        """Write the run to ``folder``: the checkpoint first, which holds all that ``load`` needs.

        Weights, settings and history follow in files of their own, for readers. Killed in
        between, the run is whole, and the next ``save`` brings the readers' files up to date.
        """
        folder, settings, weights = Path(folder), self.config.as_dict(), self.model.state_dict()
        state = {f"model.{name}": value for name, value in weights.items()}
        state |= optimizer_tensors(self.optimizer) | {"generator": self.generator.get_state()}
        save_tensors(folder / CHECKPOINT_FILE, state, {"config": settings, "history": self.history})
        save_tensors(folder / MODEL_FILE, weights, {"config": settings, "epoch": len(self.history)})
        write_atomically(folder / CONFIG_FILE, (json.dumps(settings, indent=2) + "\n").encode())
        write_atomically(folder / HISTORY_FILE, history_csv(self.history).encode())


def recorded(name: str) -> Path:
    """Return where a record lies that came with the package: a run's folder, or a file.

    ``"dense-20"``, say, or ``"dense-20/metrics.json"``, or ``"reference.json"``. Raises
    ``FileNotFoundError``, which lists the records, when there is none of that name.
    """
    folder = Path(__file__).parent / "recorded"
    if not folder.is_dir():
        # A checkout, where they lie as pyproject.toml says.
        folder = Path(__file__).parents[1] / "book" / "runs"
    path = folder / name
    if not path.exists():
        names = ", ".join(sorted(found.name for found in folder.iterdir()))
        raise FileNotFoundError(f"There is no record '{name}' in {folder}. There are: {names}.")
    return path


def load_model(folder: str | Path) -> tuple[VAE, TrainConfig]:
    """Load the trained model of a run's folder, on the CPU, and its settings."""
    tensors, metadata = load_tensors(Path(folder) / MODEL_FILE)
    config = TrainConfig.from_dict(metadata["config"])
    model = build_model(config)
    model.load_state_dict(tensors)
    return model.eval(), config


def make_optimizer(model: VAE, config: TrainConfig) -> torch.optim.Optimizer:
    """Return Adam over all parameters: the encoder's, and with steps of their own the others'.

    Each group's ``step_factor`` says how many times the encoder's its steps are.
    """
    others = [*model.decoder.parameters(), *model.likelihood.parameters()]
    groups = [
        {"params": list(model.encoder.parameters()), "step_factor": 1.0},
        {"params": others, "step_factor": config.decoder_step_factor},
    ]
    return torch.optim.Adam(groups, lr=config.learning_rate, fused=True)


def save_tensors(path: str | Path, tensors: dict[str, Tensor], metadata: dict) -> None:
    """Write tensors, a JSON-able ``metadata`` and a digest of both to one file, atomically.

    The file is written beside its place and renamed when whole: a crash, Ctrl-C or a full
    disk leaves the old file as it was. Metadata and digest are one JSON string under one
    key, so equal content gives equal bytes. Raises ``OSError`` when it cannot be written.
    """
    tensors = {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}
    stored = metadata | {"sha256": _digest(tensors, metadata)}
    payload = safetensors.torch.save(tensors, {"vae_teach": json.dumps(stored, sort_keys=True)})
    write_atomically(path, payload)


def load_tensors(path: str | Path) -> tuple[dict[str, Tensor], dict]:
    """Read what ``save_tensors`` wrote: ``(tensors, metadata)``.

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


def history_csv(history: list[dict]) -> str:
    """Return the history as CSV text: one row per epoch, nats per image with four decimals."""
    terms = [
        name for name in (*ELBOTerms._fields, *IWAETerms._fields) if f"train_{name}" in history[0]
    ]
    values = [f"{split}_{name}" for split in ("train", "validation") for name in terms]
    text = io.StringIO()
    writer = csv.DictWriter(text, ["epoch", *values, "seconds"], lineterminator="\n")
    writer.writeheader()
    for row in history:
        writer.writerow(
            {
                k: f"{v:.4f}" if isinstance(v, float) and k != "seconds" else v
                for k, v in row.items()
            }
        )
    return text.getvalue()
