"""Make the two convolutional runs of the book: train one seed each, and evaluate.

    python tools/record_colour.py conv-64          the digits, about 5 minutes on one core
    python tools/record_colour.py openmoji-32      the drawings, about 10 minutes on one core

The digits need the full MNIST, the drawings the packages of the extra ``colour``. Training
happens in ``_runs/``, where an interrupted run is resumed; what the book reads is written to
``book/runs/<name>/``. With the drawings there are also ``codes.safetensors``, the mean and the
covariance of the codes of all training drawings, and ``sheet.png`` with some of the drawings,
so that the chapter needs no package.
"""

import json
import shlex
import shutil
import sys
from pathlib import Path

import torch
from record_runs import PLAIN, ROOT, WORK, machine, vae_teach

from vae_teach.data import Split, prepare_pixels
from vae_teach.drawings import Drawings, load_openmoji, save_sheet, split_of
from vae_teach.evaluation import evaluate
from vae_teach.runs import (
    CHECKPOINT_FILE,
    CONFIG_FILE,
    HISTORY_FILE,
    MODEL_FILE,
    load_model,
    save_tensors,
    write_atomically,
)

RECIPE = (
    f"--network conv --schedule one-cycle --start-from-mean {PLAIN} --precision bfloat16 --seed 0"
)
RUNS = {
    "conv-64": f"--data mnist --pixels grey {RECIPE} --hidden 32 64 --latent-dim 64 "
    "--likelihood bernoulli --epochs 8 --batch-size 128 --learning-rate 0.002",
    "openmoji-32": f"--data openmoji --pixels grey {RECIPE} --hidden 32 64 128 --latent-dim 32 "
    "--likelihood gaussian --epochs 100 --batch-size 64 --learning-rate 0.003",
}
EVALUATIONS = {
    "conv-64": "--pixels grey --json",
    "openmoji-32": "--pixels grey --num-importance-samples 100 --json",
}
CODES_FILE = "codes.safetensors"
# What the chapter shows: drawings of the training split, then some that the run never saw.
SHEET = """
1F600 1F603 1F60A 1F60E 1F610 1F62D 1F621 1F620 1F631 1F634 1F614 1F436 1F431 1F42F 1F43B 1F43C
1F98A 1F437 1F438 1F435 1F42E 1F34E 1F34B 1F34A 1F34F 1F352 1F353 1F349 1F350 1F33B 1F339 1F337
1F334 1F697 1F695 1F68C 1F691 1F41F 1F420 1F426 1F427 1F986 1F41D 1F98B 1F319 2B50 2600 1F30D
1F3C0 1F382 1F354 1F369 2764 1F49A 1F499 1F49B 1F3E0 26F5 1F388 1F384 1F451 1F3A9 1F1EE-1F1F9
1F1E9-1F1EA 1F1EF-1F1F5 1F44D 1F44B 1F44B-1F3FE 1F469-1F3FD-200D-1F680 1F468-1F3FF-200D-1F33E
1F60D 1F622 1F608 1F641 1F63D 1F430 1F439 1F407 1F333 1F338 1F351 1F355 1F95A 1F96D 1F42C 1F40D
1F987 1F916 1F680 1F682 1F6F8 26BD 2665 1F3B8 1F30E 1F9F8
"""


def record(name: str) -> None:
    """Train and evaluate one run, and write its folder in the book."""
    out = WORK / name
    if (out / CHECKPOINT_FILE).exists():
        vae_teach("resume", str(out))
    else:
        vae_teach("train", *shlex.split(RUNS[name]), "--out", str(out))
    options = shlex.split(EVALUATIONS[name])
    result = json.loads(vae_teach("evaluate", str(out), *options))
    metrics = {"test": {"grey": result}, "seeds": [0], "machine": machine()}
    book = ROOT / "book" / "runs" / name
    book.mkdir(parents=True, exist_ok=True)
    for file in (MODEL_FILE, CONFIG_FILE, HISTORY_FILE):
        shutil.copyfile(out / file, book / file)
    if name == "openmoji-32":
        metrics |= record_drawings(book)
    write_atomically(book / "metrics.json", (json.dumps(metrics, indent=2) + "\n").encode())
    lines = (f"train {RUNS[name]} --out RUN-{name}", f"evaluate RUN-{name} {EVALUATIONS[name]}")
    text = "".join(f"python -m vae_teach {line}\n" for line in lines)
    write_atomically(book / "command.txt", text.encode())


@torch.no_grad()
def record_drawings(book: Path) -> dict:
    """Write the sheet and the moments of the codes; return what else the chapter quotes.

    Beside the evaluation on the training drawings: the learned standard deviation, and the
    root of the mean squared error of a pixel, z drawn from q(z given x), on each split.
    """
    model, _ = load_model(book)
    splits = {split: load_openmoji(split) for split in ("train", "validation", "test")}
    save_sheet(some_of(splits), book / "sheet.png")
    images = {split: prepare_pixels(found.pixels, "grey") for split, found in splits.items()}
    generator = torch.Generator().manual_seed(0)
    on_train = evaluate(model, images["train"], 1, generator, pixels="grey").as_dict()
    mu, logvar = model.encode(images["train"])
    covariance = mu.T.cov(correction=0) + logvar.exp().mean(0).diag()
    save_tensors(book / CODES_FILE, {"mean": mu.mean(0), "covariance": covariance}, {})
    return {
        "train": on_train,
        "num_drawings": {split: len(found.codes) for split, found in splits.items()},
        "scale": model.likelihood.scale.item(),
        "root_mean_squared_error": {
            split: root_mean_squared_error(model, x, generator) for split, x in images.items()
        },
    }


def root_mean_squared_error(model, images, generator) -> float:
    """Return the root of the mean squared error of a pixel, with one draw of z for each image."""
    mu, logvar = model.encode(images)
    z = mu + (logvar / 2).exp() * torch.randn(mu.shape, generator=generator)
    return (images - model.decode(z)).square().mean().sqrt().item()


def some_of(splits: dict[Split, Drawings]) -> Drawings:
    """Return the drawings of the sheet, in its order."""
    codes = tuple(SHEET.split())
    rows = [(splits[split_of(code)], code) for code in codes]
    pixels = [drawings.pixels[drawings.codes.index(code)] for drawings, code in rows]
    return Drawings(torch.stack(pixels), codes)


if __name__ == "__main__":
    for run_name in sys.argv[1:] or RUNS:
        record(run_name)
