"""Make the recorded runs of the book: train three seeds, evaluate, keep seed 0 with the
range over seeds. The run with a larger beta, which the explorer shows, has one seed.

    python tools/record_runs.py [NAME ...]        all runs: about an hour on one core

Needs the full MNIST. Training happens in ``_runs/``, where an interrupted run is
resumed; what the book reads is written to ``book/runs/<name>/``: weights, settings,
history, metrics and the exact commands.
"""

import json
import os
import platform
import shlex
import shutil
import subprocess
import sys
from pathlib import Path

import torch

from vae_teach.data import load_mnist, prepare_pixels
from vae_teach.evaluation import bernoulli_floor, constant_pixel_log_likelihood
from vae_teach.runs import (
    CHECKPOINT_FILE,
    CONFIG_FILE,
    HISTORY_FILE,
    MODEL_FILE,
    write_atomically,
)

ROOT = Path(__file__).resolve().parents[1]
WORK = ROOT / "_runs"
# How the runs were trained that the chapters quote, before the recipe of today's default.
FIRST_RECIPE = {
    "batch_size": 128,
    "learning_rate": 1e-3,
    "schedule": "linear",
    "start_from_mean": False,
    "centre_pixels": False,
    "decoder_step_factor": 1.0,
}
# The encoder sees the pixels as they are, and both networks take steps of one size.
PLAIN = "--no-centre-pixels --decoder-step-factor 1"
FALLING = f"--learning-rate 0.001 --schedule linear --no-start-from-mean {PLAIN}"
FIRST_OPTIONS = f"--batch-size 128 {FALLING}"
# The two defaults since then: with pixels as they are, and with centred ones.
ONE_CYCLE = "--batch-size 256 --learning-rate 0.005 --schedule one-cycle --start-from-mean"
SECOND_OPTIONS = f"{ONE_CYCLE} {PLAIN}"
THIRD_OPTIONS = f"{ONE_CYCLE} --centre-pixels --decoder-step-factor 3"
RUNS = {
    "dense-20": f"--latent-dim 20 {FIRST_OPTIONS}",
    "dense-2": f"--latent-dim 2 {FIRST_OPTIONS}",
    "centred-20": f"--latent-dim 20 {THIRD_OPTIONS}",
    "dense-2-beta4": f"--latent-dim 2 --beta 4 {FIRST_OPTIONS}",
}
SEEDS = (0, 1, 2)
ONE_SEED = {"dense-2-beta4"}
PIXELS = ("grey", "dynamic")
NUM_IMPORTANCE_SAMPLES = 1000


def vae_teach(*arguments: str) -> str:
    """Run ``python -m vae_teach`` with these arguments, showing what it prints unless
    it prints JSON.
    """
    command = [sys.executable, "-m", "vae_teach", *arguments]
    capture = "--json" in arguments
    return subprocess.run(
        command, cwd=ROOT, check=True, text=True, stdout=subprocess.PIPE if capture else None
    ).stdout


def train_arguments(name: str, seed: int, out: str) -> list[str]:
    """The recorded command, less ``python -m vae_teach``."""
    options = f"--data mnist --pixels grey {RUNS[name]} --hidden 256 --epochs 100"
    return ["train", *shlex.split(options), "--seed", str(seed), "--out", out]


def evaluate_arguments(run: str, pixels: str) -> list[str]:
    options = f"--on mnist --pixels {pixels} --num-importance-samples {NUM_IMPORTANCE_SAMPLES}"
    return ["evaluate", run, *shlex.split(options), "--json"]


def record(name: str) -> None:
    """Train and evaluate the seeds of one run, and write its folder in the book."""
    seeds = SEEDS[:1] if name in ONE_SEED else SEEDS
    results = {}
    for seed in seeds:
        out = WORK / f"{name}-seed{seed}"
        if (out / CHECKPOINT_FILE).exists():
            vae_teach("resume", str(out))
        else:
            vae_teach(*train_arguments(name, seed, str(out)))
        results[seed] = {p: json.loads(vae_teach(*evaluate_arguments(str(out), p))) for p in PIXELS}
        print(
            f"{name}, seed {seed}: "
            + ", ".join(f"{p} ELBO {results[seed][p]['elbo']['value']:.2f}" for p in PIXELS)
        )
    book = ROOT / "book" / "runs" / name
    book.mkdir(parents=True, exist_ok=True)
    for file in (MODEL_FILE, CONFIG_FILE, HISTORY_FILE):
        shutil.copyfile(WORK / f"{name}-seed0" / file, book / file)
    commands = [
        train_arguments(name, 0, f"RUN-{name}"),
        *(evaluate_arguments(f"RUN-{name}", p) for p in PIXELS),
    ]
    text = "".join(
        shlex.join(["python", "-m", "vae_teach", *arguments]) + "\n" for arguments in commands
    )
    write_atomically(book / "command.txt", text.encode())
    metrics = {"test": results[0]}
    if len(seeds) > 1:
        metrics["three_seed_range"] = seed_range(results)
    metrics |= {"seeds": list(seeds), "machine": machine()}
    write_atomically(book / "metrics.json", (json.dumps(metrics, indent=2) + "\n").encode())


def seed_range(results: dict) -> dict:
    """Smallest and largest value over the seeds, for each kind of pixels and each
    measure.
    """
    ranges: dict = {}
    for pixels in PIXELS:
        measures = [key for key, value in results[0][pixels].items() if isinstance(value, dict)]
        for key in measures:
            values = [results[seed][pixels][key]["value"] for seed in SEEDS]
            ranges.setdefault(pixels, {})[key] = [min(values), max(values)]
    return ranges


def machine() -> str:
    threads = os.environ.get("OMP_NUM_THREADS", str(torch.get_num_threads()))
    versions = f"Python {platform.python_version()}, torch {torch.__version__}"
    return f"{platform.machine()} CPU, {threads} thread(s), {versions}"


def record_reference() -> None:
    """What needs no training: constant models and the grey floor, as a scale for the
    loss, and how many pixels are black in every training image.

    On dynamic pixels the constant model's average over draws is its value on grey.
    """
    bytes_of = {split: load_mnist(split).pixels for split in ("train", "test")}
    constant = {
        pixels: -constant_pixel_log_likelihood(
            *(prepare_pixels(bytes_of[split], pixels) for split in ("train", "test"))
        )
        for pixels in ("grey", "fixed", "threshold")
    }
    test = prepare_pixels(bytes_of["test"], "grey")
    black = bytes_of["train"].flatten(1).amax(0) == 0
    reference = {
        "pixels": "grey",
        "num_test_images": len(test),
        "constant_model_neg_log_p": constant["grey"],
        "constant_model_neg_log_p_fixed": constant["fixed"],
        "constant_model_neg_log_p_threshold": constant["threshold"],
        "constant_model_neg_log_p_fitted_on_test": bernoulli_floor(test.mean(0, keepdim=True)),
        "floor": bernoulli_floor(test),
        "num_pixels_black_in_train": int(black.sum()),
        "num_test_images_that_light_one": int(bytes_of["test"].flatten(1)[:, black].any(1).sum()),
    }
    path = ROOT / "book" / "runs" / "reference.json"
    write_atomically(path, (json.dumps(reference, indent=2) + "\n").encode())


if __name__ == "__main__":
    record_reference()
    for run_name in sys.argv[1:] or RUNS:
        record(run_name)
