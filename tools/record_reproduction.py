"""Stand beside the literature: train its networks, evaluate as it does, print both numbers.

    python tools/record_reproduction.py [NAME ...]     about three hours on one core, evaluation included

Needs the full MNIST. Training happens in ``_runs/``, where an interrupted run is resumed and a
finished evaluation is kept. The book reads ``book/runs/reproduction.json``, in which each row
is renewed when its run is named, and ``book/runs/<name>/``: weights, settings and history of the
first seed.
"""

import json
import shlex
import shutil
import sys
from dataclasses import asdict, dataclass

from record_runs import FALLING, ROOT, SECOND_OPTIONS, WORK, machine, vae_teach

from vae_teach.runs import (
    CHECKPOINT_FILE,
    CONFIG_FILE,
    HISTORY_FILE,
    MODEL_FILE,
    Run,
    write_atomically,
)

BOOK = ROOT / "book" / "runs"
RECORD = BOOK / "reproduction.json"
COMMAND = "python tools/record_reproduction.py"


@dataclass(frozen=True)
class Row:
    """One row of the table: whose number it is, and the settings of the run beside it."""

    name: str
    network: str
    pixels: str
    published: float
    """As printed by the source: log p(x) for bits, the ELBO for greys; nats per image."""
    source: str
    train: str
    seeds: tuple[int, ...]
    num_importance_samples: int = 5000


_PAPER = (
    "--data mnist --train-on-all --pixels dynamic --hidden 200 200 --latent-dim 50 "
    f"--activation tanh --batch-size 100 {FALLING}"
)
_EXAMPLE = (
    f"--data mnist --train-on-all --pixels grey --hidden 400 --latent-dim 20 {SECOND_OPTIONS}"
)
ROWS = {
    "grey-400": Row(
        name="VAE of PyTorch's example",
        network="784-400-20, ReLU",
        pixels="grey",
        published=-106.66,
        source="a user's log, pytorch/examples #1416, epoch 7",
        train=f"{_EXAMPLE} --epochs 7",
        seeds=(0, 1, 2),
        num_importance_samples=1,
    ),
    "iwae-1": Row(
        name="VAE (IWAE, k = 1)",
        network="784-200-200-50, tanh",
        pixels="dynamic",
        published=-86.76,
        source="Burda, Grosse and Salakhutdinov (2016), table 1",
        train=f"{_PAPER} --num-importance-samples 1 --epochs 500",
        seeds=(0,),
    ),
    "iwae-5": Row(
        name="IWAE, k = 5",
        network="784-200-200-50, tanh",
        pixels="dynamic",
        published=-85.54,
        source="Burda, Grosse and Salakhutdinov (2016), table 1",
        train=f"{_PAPER} --num-importance-samples 5 --epochs 200",
        seeds=(0,),
    ),
    "iwae-50": Row(
        name="IWAE, k = 50",
        network="784-200-200-50, tanh",
        pixels="dynamic",
        published=-84.78,
        source="Burda, Grosse and Salakhutdinov (2016), table 1",
        train=f"{_PAPER} --num-importance-samples 50 --epochs 45",
        seeds=(0,),
    ),
}


def train_arguments(key: str, seed: int, out: str) -> list[str]:
    """The recorded command, less ``python -m vae_teach``."""
    return ["train", *shlex.split(ROWS[key].train), "--seed", str(seed), "--out", out]


def evaluate_arguments(key: str, run: str) -> list[str]:
    row = ROWS[key]
    options = (
        f"--on mnist --pixels {row.pixels} --num-importance-samples {row.num_importance_samples}"
    )
    return ["evaluate", run, *shlex.split(options), "--json"]


def measure(key: str, seed: int) -> dict:
    """Train and evaluate one seed, or what is left of that."""
    out = WORK / f"{key}-seed{seed}"
    if (out / CHECKPOINT_FILE).exists():
        vae_teach("resume", str(out))
    else:
        vae_teach(*train_arguments(key, seed, str(out)))
    kept = out / "evaluation.json"
    if not kept.exists():
        found = vae_teach(*evaluate_arguments(key, str(out)))
        write_atomically(kept, found.encode())
    seconds = sum(row["seconds"] for row in Run.load(out).history)
    return json.loads(kept.read_text()) | {"seconds": seconds}


def record(key: str) -> dict:
    """Make one row of the table, and keep the first seed's run in the book."""
    row = ROWS[key]
    results = [measure(key, seed) for seed in row.seeds]
    folder = BOOK / key
    folder.mkdir(parents=True, exist_ok=True)
    work = WORK / f"{key}-seed{row.seeds[0]}"
    for file in (MODEL_FILE, CONFIG_FILE, HISTORY_FILE):
        shutil.copyfile(work / file, folder / file)
    commands = [
        train_arguments(key, row.seeds[0], f"RUN-{key}"),
        evaluate_arguments(key, f"RUN-{key}"),
    ]
    lines = [shlex.join(["python", "-m", "vae_teach", *arguments]) for arguments in commands]
    write_atomically(folder / "command.txt", ("\n".join(lines) + "\n").encode())
    measure_name = "elbo" if row.pixels == "grey" else "log_likelihood"
    values = [result[measure_name]["value"] for result in results]
    first = results[0]
    return {
        "run": key,
        **{k: v for k, v in asdict(row).items() if k not in ("train", "num_importance_samples")},
        "epochs": len(Run.load(work).history),
        "minutes": round(first["seconds"] / 60, 1),
        "K": first["num_importance_samples"],
        "num_images": first["num_images"],
        "elbo": first["elbo"]["value"],
        "elbo_standard_error": first["elbo"]["standard_error"],
        "log_likelihood": first["log_likelihood"],
        "range_over_seeds": [min(values), max(values)],
    }


def main(names: list[str]) -> None:
    rows = json.loads(RECORD.read_text())["rows"] if RECORD.exists() else []
    record_of = {row["run"]: row for row in rows}
    for key in names or list(ROWS):
        record_of[key] = record(key)
        ordered = [record_of[name] for name in ROWS if name in record_of]
        content = {"command": COMMAND, "machine": machine(), "rows": ordered}
        write_atomically(RECORD, (json.dumps(content, indent=2) + "\n").encode())
        found = record_of[key]
        value = (found["log_likelihood"] or {"value": found["elbo"]})["value"]
        print(f"{found['name']}: {value:.2f}, published {found['published']:.2f}")


if __name__ == "__main__":
    main(sys.argv[1:])
