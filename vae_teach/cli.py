"""The command line: ``vae-teach data | train | resume | evaluate | sample | diagnose |
export-explorer``, or ``python -m vae_teach``.
"""

import contextlib
import json
import os
import sys
from pathlib import Path
from typing import Annotated

import torch
import tyro
from torch import distributed

from vae_teach import data, drawings, evaluation, explorer, inspection, training
from vae_teach.config import DataName, TrainConfig
from vae_teach.findings import Decoder
from vae_teach.runs import CHECKPOINT_FILE, load_model

__all__ = ["main"]


def data_command(root: Path | None = None) -> None:
    """Find the full MNIST, download it if need be, verify it, and say where it is.

    Args:
        root: Folder with the four files. Default: $VAE_TEACH_DATA, else the user's cache.
    """
    counts = {
        split: len(data.load_mnist(split, root).labels) for split in ("train", "validation", "test")
    }
    print(f"MNIST in {data.mnist_folder(root)}")
    for split, count in counts.items():
        print(f"  {split:<10} {count:>6,} digits, SHA-256 as expected")
    sample = [len(data.load_mnist_sample(split).labels) for split in ("train", "test")]
    print(f"Embedded sample: {sample[0]:,} train and {sample[1]:,} test digits, no download needed")


def train_command(
    out: Path,
    config: Annotated[TrainConfig, tyro.conf.arg(name="")] = TrainConfig(),  # noqa: B008 (frozen, so safe to share)
    root: Path | None = None,
) -> None:
    """Train a VAE; print one line per epoch and keep a checkpoint after each.

    Args:
        out: Folder for weights, settings and history.
        config: Settings of the run.
        root: Folder with the MNIST files. Default: $VAE_TEACH_DATA, else the user's cache.
    """
    with_processes(out, lambda: training.train(config, out, root))


def resume_command(
    run: tyro.conf.Positional[Path], root: Path | None = None, progress: bool = True
) -> None:
    """Go on with an interrupted run after its last finished epoch.

    Every setting is taken from the run.

    Args:
        run: The run's folder.
        root: Folder with the MNIST files. Default: $VAE_TEACH_DATA, else the user's cache.
        progress: Show a progress bar and one line per epoch.
    """
    with_processes(run, lambda: training.resume(run, root, progress))


def evaluate_command(
    run: tyro.conf.Positional[Path],
    pixels: data.Pixels | None = None,
    on: DataName | None = None,
    num_importance_samples: int = 1000,
    seed: int = 0,
    json: bool = False,
    root: Path | None = None,
) -> None:
    """Evaluate a run on test images: ELBO, its two terms and log p(x).

    Nats per image, with standard errors.

    Args:
        run: The run's folder.
        pixels: What the model sees. Default: as trained. Coins have no log-likelihood on grey pixels.
        on: mnist: the 10,000 official test images. sample: embedded digits the run never saw.
            openmoji: its test drawings. Default: as trained.
        num_importance_samples: K, the draws of z for each image in the log-likelihood.
        seed: Seed of the evaluation's noise.
        json: Print one JSON object instead of a table.
        root: Folder with the MNIST files. Default: $VAE_TEACH_DATA, else the user's cache.
    """
    model, config = load_model(run)
    pixels, on = pixels or config.pixels, on or config.data
    stored, name = test_images(config, on, root)
    generator = torch.Generator().manual_seed(seed)
    images = data.prepare_pixels(stored, pixels, generator)
    result = evaluation.evaluate(
        model, images, num_importance_samples, generator, pixels=pixels, progress=not json
    )
    print_evaluation(result, name, as_json=json)


def test_images(config: TrainConfig, on: str, root: Path | None) -> tuple[torch.Tensor, str]:
    """Return bytes of images that a run with these settings never trained on, and their name.

    Raises ``ValueError`` when it trained on all that ``on`` has, or on images of another size.
    """
    if (on == "openmoji") != (config.data == "openmoji"):
        raise ValueError(
            f"This run was trained on {config.data}, whose images are not of the size of those of {on}."
        )
    if on == "openmoji":
        return drawings.load_openmoji("test").pixels, "OpenMoji test drawings"
    if on == "mnist":
        return data.load_mnist("test", root).pixels, "MNIST test images"
    if config.train_on_all:
        raise ValueError(
            "This run was trained on all 60,000 training images, and the embedded sample is part of them. "
            "Evaluate it on the test images: --on mnist."
        )
    if config.data == "sample":
        return data.load_mnist_sample("test").pixels, "embedded test digits"
    parts = [data.load_mnist_sample(split).pixels for split in ("train", "test")]
    return torch.cat(parts), "embedded digits (all in the validation split)"


def print_evaluation(result: evaluation.Evaluation, name: str, as_json: bool) -> None:
    """Print the evaluation as one JSON object or as a table a person reads."""
    if as_json:
        print(json.dumps({"data": name} | result.as_dict(), indent=2))
        return
    print(
        f"{result.num_images:,} {name}, {result.pixels} pixels, nats per image, standard error over images"
    )
    rows = {"ELBO": result.elbo, "log p(x given z)": result.log_p_x_given_z, "KL": result.kl}
    if result.log_likelihood is not None:
        rows[f"log p(x), K = {result.num_importance_samples}"] = result.log_likelihood
    for label, estimate in rows.items():
        print(f"  {label:<20} {estimate.value:9.2f}  +- {estimate.standard_error:.2f}")
    if result.log_likelihood is None:
        print("  log p(x)             none: coins have none for grey pixels; try --pixels dynamic")
    print(f"  active latents       {result.active_units:9d}")


def sample_command(
    run: tyro.conf.Positional[Path],
    out: Path = Path("samples.png"),
    count: int = 64,
    draw: bool = False,
    seed: int = 0,
) -> None:
    """Draw z from the prior, decode, and write the images as one PNG.

    Args:
        run: The run's folder.
        out: The PNG to write.
        count: How many images.
        draw: Draw the pixels from p(x given z), instead of showing its means.
        seed: Seed of the draw.
    """
    if count < 1:
        raise ValueError(f"--count must be at least 1, but is {count}.")
    from vae_teach.plotting import save_image_grid

    model, _ = load_model(run)
    with torch.no_grad():
        images = model.sample(count, torch.Generator().manual_seed(seed), draw=draw)
    save_image_grid(images, out)
    print(f"Wrote {count} {'draws' if draw else 'decoder means'} at z from the prior to {out}")


def diagnose_command(
    file: tyro.conf.Positional[Path],
    function: str | None = None,
    decoder: Decoder | None = None,
    json: bool = False,
) -> None:
    """Say what is wrong with a VAE in a Python file of yours. The file is imported, and so run.

    Looks for functions called kl..., ...loss..., ...elbo..., reparam... or sample..., and for VAE
    classes that can be made without arguments. Exit code 0: nothing found; 1: something is wrong;
    2: it could not be checked.

    Args:
        file: Your Python file.
        function: Check only the function or class of this name.
        decoder: What your decoder returns: logits or probabilities of bits, or means of Gaussian
            pixels. Default: whichever fits best.
        json: Print one JSON object instead of text.
    """
    # What the file prints is not part of the object.
    with contextlib.redirect_stdout(sys.stderr if json else sys.stdout):
        report = inspection.diagnose_file(file, function, decoder)
    print_report(file, report, as_json=json)
    if not all(diagnosis.ok for diagnosis in report.diagnoses.values()):
        raise SystemExit(1)


def print_report(file: Path, report: inspection.Report, as_json: bool) -> None:
    """Print diagnoses, and what was not checked, as one JSON object or as text."""
    if as_json:
        found = {name: diagnosis.as_dict() for name, diagnosis in report.diagnoses.items()}
        print(json.dumps({"diagnoses": found, "unchecked": report.unchecked}, indent=2))
        return
    print(f"{file} was imported, and its functions were run on random numbers.\n")
    print("\n".join(str(diagnosis) for diagnosis in report.diagnoses.values()))
    for name, reason in report.unchecked.items():
        print(f"? {name}: not checked: {reason}.")


def export_explorer_command(
    runs: tuple[Path, ...] = explorer.RUNS, out: Path = explorer.FOLDER
) -> None:
    """Write trained models and some digits as the files that the book's explorer loads.

    Args:
        runs: Folders of runs: dense networks with two latents and one hidden layer.
        out: Folder for the files. The explorer looks for them beside explorer.js.
    """
    for path in explorer.export(runs, out):
        print(f"Wrote {path}, {path.stat().st_size:,} bytes")


def with_processes(run: Path, work) -> None:
    """Do ``work``, and say what is kept and how to go on when Ctrl-C stops it.

    It then exits with 130, as a shell expects. Started by ``torchrun``, the processes find
    each other first; when one fails, ``torchrun`` ends the others and reports it.
    """
    if "RANK" in os.environ:
        if torch.cuda.is_available():
            torch.cuda.set_device(int(os.environ["LOCAL_RANK"]))
        distributed.init_process_group()
    try:
        work()
    except KeyboardInterrupt:
        if (run / CHECKPOINT_FILE).exists():
            kept = f"The last finished epoch is kept. Go on with: python -m vae_teach resume {run}"
        else:
            kept = "No epoch was finished, so nothing is kept."
        print(f"\nStopped. {kept}", file=sys.stderr)
        raise SystemExit(130) from None
    if training.process_number() == 0:
        print(f"Done. The run is in {run}")
    if distributed.is_initialized():
        distributed.destroy_process_group()


COMMANDS = {
    "data": data_command,
    "train": train_command,
    "resume": resume_command,
    "evaluate": evaluate_command,
    "sample": sample_command,
    "diagnose": diagnose_command,
    "export-explorer": export_explorer_command,
}


def main(arguments: list[str] | None = None) -> None:
    """Run one command; what went wrong is one message on stderr with exit code 2."""
    try:
        tyro.extras.subcommand_cli_from_dict(
            COMMANDS,
            prog="python -m vae_teach",
            description="Train and measure the variational autoencoder of the book.",
            args=arguments,
        )
    except (ValueError, OSError, FloatingPointError, ModuleNotFoundError) as error:
        print(f"vae_teach: {error}", file=sys.stderr)
        raise SystemExit(2) from None
    except KeyboardInterrupt:
        print("\nStopped.", file=sys.stderr)
        raise SystemExit(130) from None
