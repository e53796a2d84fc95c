"""Kill a run again and again, resume it each time, and compare it with one that was left alone.

    python tests/kill_and_resume.py FOLDER SEED KILLS

A program of its own: its children are forked, which takes a process without threads. Prints how
many kills fell at a random moment, and how many inside the writing of a file.
"""

import os
import random
import signal
import sys
import time
from pathlib import Path

from vae_teach import data, runs, training
from vae_teach.config import TrainConfig

few = data.Digits(*(values[::63] for values in data.embedded_digits()))
data.embedded_digits = lambda: few
CONFIG = TrainConfig(
    data="sample",
    pixels="dynamic",
    latent_dim=2,
    hidden=(8,),
    epochs=40,
    batch_size=20,
    progress=False,
)


def start_or_resume(out: Path) -> None:
    if (out / runs.CHECKPOINT_FILE).exists():
        training.resume(out)
    else:
        training.train(CONFIG, out)


def die_in_write(chance: random.Random) -> None:
    """Let this process kill itself in one of its next writes: before it, half-way, or when whole."""
    point, countdown = chance.choice(["open", "fsync", "replace"]), chance.randrange(1, 24)
    module = runs if point == "open" else runs.os
    original = open if point == "open" else getattr(os, point)

    def lethal(*arguments):
        nonlocal countdown
        countdown -= 1
        if not countdown:
            os.kill(os.getpid(), signal.SIGKILL)
        return original(*arguments)

    setattr(module, point, lethal)


def child(out: Path, chance: random.Random, in_write: bool) -> bool:
    """Work on a run in another process; say whether it was killed."""
    delay = chance.uniform(0, 0.3)
    pid = os.fork()
    if pid == 0:
        if in_write:
            die_in_write(chance)
        start_or_resume(out)
        os._exit(0)
    if not in_write:
        time.sleep(delay)
        os.kill(pid, signal.SIGKILL)
    _, status = os.waitpid(pid, 0)
    if os.WIFEXITED(status) and os.WEXITSTATUS(status):
        sys.exit(f"resuming {out} failed")
    return os.WIFSIGNALED(status)


def main(folder: str, seed: str, kills: str) -> None:
    chance, killed = random.Random(int(seed)), {False: 0, True: 0}
    out = Path(folder) / "killed-0"
    while sum(killed.values()) < int(kills):
        in_write = chance.random() < 0.5
        if child(out, chance, in_write):
            killed[in_write] += 1
        else:  # it was through: begin another
            out = Path(folder) / f"killed-{sum(killed.values())}"
    whole = Path(folder) / "whole"
    for run in [whole, *Path(folder).glob("killed-*")]:
        start_or_resume(run)
    for run in Path(folder).glob("killed-*"):
        for file in (runs.MODEL_FILE, runs.CONFIG_FILE):
            if (run / file).read_bytes() != (whole / file).read_bytes():
                sys.exit(f"{run / file} is another than that of the run left alone")
    print(f"{killed[False]} kills at random moments, {killed[True]} inside a write")


if __name__ == "__main__":
    main(*sys.argv[1:])
