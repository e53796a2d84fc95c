"""How long until a VAE is as good as the textbook loop's after ten epochs?

    python benchmarks/time_to_quality.py               # prints; about four minutes
    python benchmarks/time_to_quality.py --record      # also writes time_to_quality.json
    python benchmarks/time_to_quality.py --ingredients # what each ingredient is worth; --record
                                                       # writes recipe.json

Good means a test -ELBO of at most 107.2 nats: grey pixels, 784-256-20-256-784, ten draws of
noise. The textbook trains on all 60,000 images, ours on 50,000 of them, as it does by default; both
with the same number of threads. The clock runs from the images in memory to the last step.
Building the models and evaluating them do not count.
"""

import argparse
import json
import os
import platform
import time
from dataclasses import replace
from pathlib import Path

os.environ.setdefault("OMP_NUM_THREADS", "1")

import torch
from scalar_vs_torch import processor, significant
from textbook import Textbook
from train_speed import BFLOAT16

from vae_teach.config import TrainConfig
from vae_teach.data import load_mnist, prepare_pixels
from vae_teach.evaluation import evaluate
from vae_teach.runs import Run
from vae_teach.training import set_means, train_epoch

FOLDER = Path(__file__).parents[1] / "book" / "runs"
TARGET, TEXTBOOK_EPOCHS, DRAWS = 107.2, 10, 10
RECIPE = TrainConfig(
    epochs=2,
    batch_size=256,
    learning_rate=0.01,
    schedule="one-cycle",
    start_from_mean=True,
    centre_pixels=True,
    decoder_step_factor=3.0,
    progress=False,
)
# The recipe, and the recipe with one thing changed.
INGREDIENTS = {
    "the whole recipe": RECIPE,
    "start not at the mean image": replace(RECIPE, start_from_mean=False),
    "encoder sees raw pixels": replace(RECIPE, centre_pixels=False),
    "no larger steps in the decoder": replace(RECIPE, decoder_step_factor=1.0),
    "step size falls from the start": replace(RECIPE, schedule="linear"),
    "largest step size 0.001": replace(RECIPE, learning_rate=0.001),
    "128 images a step": replace(RECIPE, batch_size=128),
    "512 images a step": replace(RECIPE, batch_size=512),
    "bfloat16": replace(RECIPE, precision="bfloat16"),
}
SEEDS = 2


class Clock:
    """Seconds that passed, and seconds of the processor, while it was running."""

    def __init__(self):
        self.wall = self.processor = 0.0

    def __enter__(self):
        self._start = time.perf_counter(), time.process_time()

    def __exit__(self, *_):
        self.wall += time.perf_counter() - self._start[0]
        self.processor += time.process_time() - self._start[1]

    def seconds(self):
        return {"wall": significant(self.wall), "processor": significant(self.processor)}


def textbook(digits, test):
    """Train the textbook's way, and look after each epoch how far it is."""
    loop, clock, curve = Textbook(*digits), Clock(), []
    for _ in range(TEXTBOOK_EPOCHS):
        with clock:
            loop.train_epoch()
        curve.append(round(loop.evaluate(test, DRAWS), 2))
    return {"epochs": TEXTBOOK_EPOCHS, "seconds": clock.seconds(), "test_negative_elbo": curve}


def ours(config, images, test):
    """Train with the package's own trainer."""
    run, clock = Run.start(config), Clock()
    with clock:
        set_means(run, images)
        for epoch in range(config.epochs):
            train_epoch(run, images, epoch)
    noise = torch.Generator().manual_seed(0)
    reached = -evaluate(run.model, test, 1, noise, pixels="grey").elbo.value
    return {
        "epochs": config.epochs,
        "seconds": clock.seconds(),
        "test_negative_elbo": round(reached, 2),
    }


def race(digits, images, test):
    """The textbook's ten epochs against the recipe, in float32 and where possible in bfloat16."""
    result = {"target": TARGET, "textbook": textbook(digits, test)}
    missed = []
    precisions = ["float32"]
    if any(torch.cpu.get_capabilities().get(name) for name in BFLOAT16):
        precisions.append("bfloat16")
    for precision in precisions:
        row = result[precision] = ours(replace(RECIPE, precision=precision), images, test)
        if row["test_negative_elbo"] > TARGET:
            missed.append(precision)
        row["times_faster"] = {
            clock: significant(seconds / row["seconds"][clock])
            for clock, seconds in result["textbook"]["seconds"].items()
        }
    return result | {"target_missed_by": missed}


def ablation(images, test):
    """Each ingredient left out, for two seeds: nats, and seconds of the processor."""
    rows = []
    for name, config in INGREDIENTS.items():
        runs = [ours(replace(config, seed=seed), images, test) for seed in range(SEEDS)]
        rows.append(
            {
                "recipe": name,
                "test_negative_elbo": [run["test_negative_elbo"] for run in runs],
                "processor_seconds": [run["seconds"]["processor"] for run in runs],
            }
        )
        print(json.dumps(rows[-1]), flush=True)
    return {"epochs": RECIPE.epochs, "batch_size": RECIPE.batch_size, "seeds": SEEDS, "rows": rows}


def main():
    options = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    options.add_argument("--record", action="store_true", help="also write the result")
    options.add_argument("--ingredients", action="store_true", help="leave out one at a time")
    options.add_argument("--threads", type=int, default=1, help="of each side (default 1)")
    chosen = options.parse_args()
    torch.set_num_threads(chosen.threads)
    first, rest, test = (load_mnist(split) for split in ("validation", "train", "test"))
    digits = [torch.cat(pair) for pair in zip(first, rest, strict=True)]
    images, test = prepare_pixels(rest.pixels, "grey"), prepare_pixels(test.pixels, "grey")
    name = "recipe.json" if chosen.ingredients else "time_to_quality.json"
    flags = " --ingredients" if chosen.ingredients else ""
    flags += f" --threads {chosen.threads}" if chosen.threads > 1 else ""
    result = {
        "command": f"python benchmarks/time_to_quality.py{flags} --record",
        "machine": f"{processor()}, {chosen.threads} of {os.cpu_count()} cores",
        "torch": torch.__version__.split("+")[0],
        "python": platform.python_version(),
        "train_images": {"textbook": len(digits[0]), "ours": len(images)},
        "recipe": RECIPE.as_dict(),
    }
    result |= ablation(images, test) if chosen.ingredients else race(digits, images, test)
    print(json.dumps(result, indent=1))
    if chosen.record:
        (FOLDER / name).write_text(json.dumps(result, indent=1) + "\n", encoding="utf8")
    if result.get("target_missed_by"):
        raise SystemExit(
            f"Not at {TARGET} nats: {', '.join(result['target_missed_by'])}. The times do not compare."
        )


if __name__ == "__main__":
    main()
