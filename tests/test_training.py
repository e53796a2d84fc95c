import csv
import dataclasses
import json
import os
import re
import signal
import subprocess
import sys
from pathlib import Path
from typing import NamedTuple

import pytest
import torch
from oracles import MAX_Z, z_score
from torch.distributions import Normal, kl_divergence
from torch.nn.functional import binary_cross_entropy_with_logits

from vae_teach import data, runs, training
from vae_teach.config import TrainConfig, build_model
from vae_teach.model import VAE

FILES = ["checkpoint.safetensors", "config.json", "history.csv", "model.safetensors"]


def without_seconds(history):
    return [{k: v for k, v in row.items() if k != "seconds"} for row in history]


def same_weights(one, other):
    return all(torch.equal(a, b) for a, b in zip(one.parameters(), other.parameters(), strict=True))


def terms_by_hand(model, x, eps):
    """The ELBO's two terms by torch's own functions, float64 at the end: each ``(B,)``."""
    mu, logvar = model.encoder(x)
    sigma = logvar.exp().sqrt()
    logits = model.decoder(mu + sigma * eps)
    log_p = -binary_cross_entropy_with_logits(logits, x, reduction="none").sum(-1)
    kl = kl_divergence(Normal(mu, sigma), Normal(torch.zeros_like(mu), torch.ones_like(mu))).sum(-1)
    return log_p, kl


def plain_descent(model, rate):
    """SGD in the place of Adam, with one group."""
    group = {"params": list(model.parameters()), "step_factor": 1.0}
    return torch.optim.SGD([group], lr=rate)


# What a step and an epoch do --------------------------------------------------------------------


@pytest.mark.parametrize("weights", [[1] * 8, [3] * 8, [0, 0.5, 1, 1.5, 2, 2, 2, 2]])
def test_an_epoch_is_gradient_descent_on_the_per_image_mean(
    tiny_sample, tiny_config, monkeypatch, weights
):
    """Plain SGD in Adam's place shows the scale of the loss: a sum would step 20 times as far.

    The KL has a weight in each of the eight steps; what is reported stays the ELBO.
    """
    monkeypatch.setattr(runs, "make_optimizer", lambda m, c: plain_descent(m, c.learning_rate))
    warm_up = 0.0 if weights[0] else 0.5
    config = tiny_config(epochs=2, learning_rate=1e-3, beta=weights[-1], warm_up=warm_up)
    run = training.train(config)

    generator = torch.Generator().manual_seed(config.seed)
    model = build_model(config, generator)
    images, validation = training.load_images(config, None)
    steps, history = 8, []
    for epoch in range(2):
        log_p_sum = kl_sum = 0.0
        order = torch.randperm(64, generator=generator)
        for number, start in enumerate(range(0, 64, 20)):
            x = images[order[start : start + 20]]
            eps = torch.randn(len(x), 2, generator=generator)
            log_p, kl = terms_by_hand(model, x, eps)
            model.zero_grad()
            (weights[4 * epoch + number] * kl - log_p).mean().backward()
            rate = 1e-3 * (1 - (4 * epoch + number) / steps)
            with torch.no_grad():
                for parameter in model.parameters():
                    parameter -= rate * parameter.grad
            log_p_sum += log_p.sum().item()
            kl_sum += kl.sum().item()
        with torch.no_grad():
            eps = torch.randn(16, 2, generator=generator)
            log_p, kl = terms_by_hand(model, validation, eps)
        history.append([log_p_sum / 64, kl_sum / 64, log_p.mean().item(), kl.mean().item()])

    for mine, theirs in zip(model.parameters(), run.model.parameters(), strict=True):
        torch.testing.assert_close(theirs, mine, rtol=1e-4, atol=1e-6)
    for row, (log_p, kl, validation_log_p, validation_kl) in zip(run.history, history, strict=True):
        assert row["train_log_p_x_given_z"] == pytest.approx(log_p, rel=1e-5)
        assert row["train_kl"] == pytest.approx(kl, rel=1e-4)
        assert row["train_elbo"] == pytest.approx(log_p - kl, rel=1e-5)
        assert row["validation_log_p_x_given_z"] == pytest.approx(validation_log_p, rel=1e-5)
        assert row["validation_kl"] == pytest.approx(validation_kl, rel=1e-4)
        assert row["validation_elbo"] == pytest.approx(validation_log_p - validation_kl, rel=1e-5)


def test_adam_takes_every_parameter_and_the_rate_falls_linearly_to_zero(
    tiny_sample, tiny_config, monkeypatch
):
    rates, make = [], runs.make_optimizer

    def recording(model, config):
        optimizer = make(model, config)
        assert isinstance(optimizer, torch.optim.Adam)
        held = {id(p) for group in optimizer.param_groups for p in group["params"]}
        assert held == {id(p) for p in model.parameters()}
        optimizer.register_step_pre_hook(lambda o, *_: rates.append(o.param_groups[0]["lr"]))
        return optimizer

    monkeypatch.setattr(runs, "make_optimizer", recording)
    training.train(tiny_config(epochs=3, learning_rate=0.01))
    assert rates == pytest.approx([0.01 * (1 - k / 12) for k in range(12)])


@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_all_but_the_encoder_take_larger_steps(tiny_sample, tiny_config, likelihood):
    """Adam's first step changes a weight by the step size, whatever its gradient."""
    config = tiny_config(learning_rate=0.01, decoder_step_factor=4.0, likelihood=likelihood)
    run = runs.Run.start(config)
    before = {name: weight.detach().clone() for name, weight in run.model.named_parameters()}
    training.train_epoch(run, training.load_images(config, None)[0][:20], 0)
    for name, weight in run.model.named_parameters():
        expected = 0.01 if name.startswith("encoder.") else 0.04
        assert (weight - before[name]).abs().max().item() == pytest.approx(expected, rel=1e-3)


@pytest.mark.parametrize("done, share", [(0, 0), (0.1, 0.5), (0.2, 1), (0.6, 0.5), (0.9, 0.125)])
def test_one_cycle_rises_for_a_fifth_and_falls_for_the_rest(tiny_config, done, share):
    config = tiny_config(schedule="one-cycle", learning_rate=0.02)
    assert training.step_size(config, done) == pytest.approx(0.02 * share)


def test_the_iwae_bound_is_raised_by_its_gradient(tiny_sample, tiny_config, calls, monkeypatch):
    """One step of SGD, and the bound by torch's own densities."""
    monkeypatch.setattr(runs, "make_optimizer", lambda m, c: plain_descent(m, c.learning_rate))
    config = tiny_config(epochs=1, batch_size=64, num_importance_samples=5, learning_rate=1e-3)
    run = training.train(config)

    generator = torch.Generator().manual_seed(config.seed)
    model = build_model(config, generator)
    images, validation = training.load_images(config, None)
    order = torch.randperm(64, generator=generator)

    def bound(x):
        mu, logvar = model.encoder(x)
        q = Normal(mu, logvar.exp().sqrt())
        z = mu + q.scale * torch.randn(5, len(x), 2, generator=generator)
        logits = model.decoder(z)
        log_p = -binary_cross_entropy_with_logits(
            logits, x.expand_as(logits), reduction="none"
        ).sum(-1)
        log_w = log_p + Normal(0.0, 1.0).log_prob(z).sum(-1) - q.log_prob(z).sum(-1)
        return log_w.double().exp().mean(0).log()

    value = bound(images[order]).mean()
    (-value).backward()
    with torch.no_grad():
        for parameter in model.parameters():
            parameter -= 1e-3 * parameter.grad
    for mine, theirs in zip(model.parameters(), run.model.parameters(), strict=True):
        torch.testing.assert_close(theirs, mine, rtol=1e-4, atol=1e-6)
    with torch.no_grad():
        expected = {"train_iwae": value.item(), "validation_iwae": bound(validation).mean().item()}
    (row,) = run.history
    assert {name: row[name] for name in expected} == pytest.approx(expected, rel=1e-5)
    assert row.keys() == {"epoch", "seconds", *expected}


@pytest.mark.parametrize("network, hidden", [("dense", (8,)), ("conv", (4,))])
@pytest.mark.parametrize("likelihood", ["bernoulli", "gaussian"])
def test_the_output_starts_at_the_mean_training_image(
    tiny_sample, tiny_config, network, hidden, likelihood
):
    config = tiny_config(network=network, hidden=hidden, likelihood=likelihood)
    images, _ = training.load_images(config, None)
    model = build_model(config)
    training.start_from_mean(model, images)
    torch.nn.init.zeros_(model.decoder.layers[-1].weight)
    found = model.likelihood.mean(model.decode(torch.randn(1, 2)))[0]
    if network == "dense":
        torch.testing.assert_close(
            found, images.mean(0).clamp(min=1e-3 * (likelihood == "bernoulli"))
        )
    else:
        torch.testing.assert_close(found, images.mean().expand(784))


@pytest.mark.parametrize("network, hidden", [("dense", (8,)), ("conv", (4,))])
def test_the_encoder_sees_pixels_less_the_mean_training_image(
    tiny_sample, tiny_config, tmp_path, network, hidden
):
    config = tiny_config(epochs=1, network=network, hidden=hidden, centre_pixels=True)
    mean = training.load_images(config, None)[0].mean(0)
    kept = training.train(config, tmp_path).model
    read, _ = runs.load_model(tmp_path)
    plain = build_model(tiny_config(network=network, hidden=hidden))
    weights = {name: value for name, value in kept.state_dict().items() if "mean" not in name}
    plain.load_state_dict(weights)
    x = torch.rand(5, 784)
    with torch.no_grad():
        for found in (kept.encode(x), read.encode(x)):
            torch.testing.assert_close(found, plain.encode(x - mean))
        assert not torch.allclose(plain.encode(x)[0], kept.encode(x)[0], atol=1e-3)


def test_a_processor_that_imitates_bfloat16_is_named(tiny_sample, tiny_config, monkeypatch):
    monkeypatch.setattr(torch.cpu, "get_capabilities", lambda: {"avx512_bf16": False})
    with pytest.warns(UserWarning, match="imitates it, many times slower than float32"):
        training.train(tiny_config(precision="bfloat16", epochs=1))
    training.train(tiny_config(epochs=1))


def test_training_raises_the_elbo(tiny_sample, tiny_config):
    history = training.train(tiny_config(epochs=30, learning_rate=0.01)).history
    assert history[-1]["train_elbo"] > history[0]["train_elbo"] + 100
    assert history[-1]["validation_elbo"] > history[0]["validation_elbo"] + 100


class Call(NamedTuple):
    trains: bool
    x: torch.Tensor
    eps: torch.Tensor


@pytest.fixture
def calls(monkeypatch):
    """What training hands to the model's ELBO, call by call."""
    made, elbo = [], VAE.elbo

    def recording(self, x, eps):
        made.append(Call(torch.is_grad_enabled(), x, eps))
        return elbo(self, x, eps)

    monkeypatch.setattr(VAE, "elbo", recording)
    return made


def test_every_epoch_sees_every_image_once_in_another_order(tiny_sample, tiny_config, calls):
    config = tiny_config(epochs=2)
    training.train(config)
    seen = [call.x for call in calls if call.trains]
    assert [len(x) for x in seen] == [20, 20, 20, 4] * 2
    epochs = torch.cat(seen[:4]), torch.cat(seen[4:])
    images, _ = training.load_images(config, None)
    for epoch in epochs:
        assert sorted(map(tuple, epoch.tolist())) == sorted(map(tuple, images.tolist()))
    assert not torch.equal(*epochs)


@pytest.mark.parametrize("pixels", ["grey", "dynamic", "fixed", "threshold"])
def test_only_dynamic_bits_are_drawn_afresh_in_each_epoch(tiny_sample, tiny_config, calls, pixels):
    training.train(tiny_config(epochs=2, batch_size=64, pixels=pixels))
    for training_images in (True, False):
        first, second = (call.x for call in calls if call.trains == training_images)
        rows = [sorted(map(tuple, x.tolist())) for x in (first, second)]
        assert (rows[0] == rows[1]) == (pixels != "dynamic")
        bits = set(first.unique().tolist()) == {0, 1}
        assert bits == (pixels != "grey")


def test_dynamic_bits_are_lit_with_the_grey_value_as_probability(tiny_config, calls, generator):
    grey = torch.linspace(0.1, 0.9, 784).expand(500, 784)
    config = tiny_config(pixels="dynamic")
    run = runs.Run.start(config)
    training.bound_of_batch(run, grey)
    bits = calls[0].x
    assert z_score((bits - grey).mean(1), 0.0) < MAX_Z
    assert z_score(bits[:, 700:].mean(1), grey[0, 700:].double().mean()) < MAX_Z


def test_each_step_draws_its_own_noise_for_each_image(tiny_sample, tiny_config, calls):
    training.train(tiny_config(epochs=4))
    eps = torch.cat([call.eps for call in calls]).double()
    assert eps.shape == (4 * 80, 2)
    assert len(eps.flatten().unique()) == eps.numel()
    assert z_score(eps, 0.0) < MAX_Z and z_score(eps**2, 1.0) < MAX_Z


def test_the_model_is_in_training_mode_for_steps_and_in_evaluation_mode_for_validation(
    tiny_sample, tiny_config, monkeypatch
):
    original, modes = training.bound_of_batch, []

    def records(run, x):
        modes.append((run.model.training, torch.is_grad_enabled()))
        return original(run, x)

    monkeypatch.setattr(training, "bound_of_batch", records)
    training.train(tiny_config(epochs=2))
    assert modes == 2 * (4 * [(True, True)] + [(False, False)])


# Randomness -------------------------------------------------------------------------------------


@pytest.mark.parametrize("pixels", ["grey", "dynamic"])
def test_training_uses_its_own_generator_alone(tiny_sample, tiny_config, pixels):
    trained = []
    for seed in (1, 2):
        torch.manual_seed(seed)
        before = torch.get_rng_state()
        trained.append(training.train(tiny_config(pixels=pixels)))
        assert torch.equal(torch.get_rng_state(), before)
    assert same_weights(trained[0].model, trained[1].model)
    assert without_seconds(trained[0].history) == without_seconds(trained[1].history)
    other = training.train(tiny_config(pixels=pixels, seed=1))
    assert not same_weights(trained[0].model, other.model)


def test_progress_is_shown_or_not_and_changes_nothing(tiny_sample, tiny_config, capsys):
    quiet = training.train(tiny_config())
    assert capsys.readouterr().out == ""
    shown = training.train(tiny_config(progress=True))
    lines = capsys.readouterr().out.splitlines()
    assert same_weights(quiet.model, shown.model)
    assert len(lines) == 3 and lines[0].startswith("epoch 1/3")
    row = shown.history[2]
    for split in ("train", "validation"):
        assert f"{split} elbo {row[f'{split}_elbo']:8.2f}" in lines[2]
        assert f"- {row[f'{split}_kl']:5.2f}" in lines[2]
    assert "nats per image" in lines[2]


@pytest.mark.filterwarnings("ignore:This processor has no bfloat16")
def test_bfloat16_is_a_rougher_route_to_about_the_same_place(tiny_sample, tiny_config):
    exact, rough = (
        training.train(tiny_config(precision=p, epochs=5)) for p in ("float32", "bfloat16")
    )
    assert not same_weights(exact.model, rough.model)
    assert all(p.dtype == torch.float32 for p in rough.model.parameters())
    difference = exact.history[-1]["train_elbo"] - rough.history[-1]["train_elbo"]
    assert abs(difference) < 10


# Interruption and resumption --------------------------------------------------------------------


def interrupt_at(monkeypatch, name, call):
    """Ctrl-C at the given call (counted from 1) of a function of ``training``, or of ``Run.save``."""
    place = runs.Run if name == "save" else training
    function, calls = getattr(place, name), []

    def wrapped(*arguments, **keywords):
        calls.append(name)
        if len(calls) == call:
            raise KeyboardInterrupt
        return function(*arguments, **keywords)

    monkeypatch.setattr(place, name, wrapped)


@pytest.mark.filterwarnings("ignore:This processor has no bfloat16")
@pytest.mark.parametrize("precision", ["float32", "bfloat16"])
@pytest.mark.parametrize("pixels", ["grey", "dynamic"])
@pytest.mark.parametrize("place", [("bound_of_batch", 12), ("validate", 3), ("save", 4)])
def test_an_interrupted_and_resumed_run_equals_an_uninterrupted_one_bit_for_bit(
    tiny_sample, tiny_config, monkeypatch, tmp_path, precision, pixels, place
):
    config = tiny_config(epochs=4, precision=precision, pixels=pixels)
    whole = training.train(config, tmp_path / "whole")
    with monkeypatch.context() as patch:
        interrupt_at(patch, *place)
        with pytest.raises(KeyboardInterrupt):
            training.train(config, tmp_path / "parts")
    kept = len(runs.load_tensors(tmp_path / "parts" / FILES[0])[1]["history"])
    assert 0 < kept < 4
    parts = training.resume(tmp_path / "parts")
    assert same_weights(parts.model, whole.model)
    assert without_seconds(parts.history) == without_seconds(whole.history)
    read = [runs.load_tensors(tmp_path / run / FILES[0]) for run in ("whole", "parts")]
    assert read[0][0].keys() == read[1][0].keys()
    assert all(torch.equal(read[0][0][key], read[1][0][key]) for key in read[0][0])
    for file in ("model.safetensors", "config.json"):
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "parts" / file).read_bytes()


@pytest.mark.parametrize("write", range(1, 5))
def test_a_run_interrupted_between_two_files_of_its_last_epoch_is_made_whole(
    tiny_sample, tiny_config, monkeypatch, tmp_path, write
):
    """Each epoch writes four files; the interruption comes before one of the last four."""
    config = tiny_config(epochs=2)
    training.train(config, tmp_path / "whole")
    original, calls = runs.write_atomically, []

    def stops(path, content):
        calls.append(path)
        if len(calls) == 4 + write:
            raise KeyboardInterrupt
        original(path, content)

    with monkeypatch.context() as patch:
        patch.setattr(runs, "write_atomically", stops)
        with pytest.raises(KeyboardInterrupt):
            training.train(config, tmp_path / "parts")
    training.resume(tmp_path / "parts")
    for file in ("model.safetensors", "config.json"):
        assert (tmp_path / "whole" / file).read_bytes() == (tmp_path / "parts" / file).read_bytes()
    assert sorted(path.name for path in (tmp_path / "parts").iterdir()) == FILES
    assert len((tmp_path / "parts" / "history.csv").read_text().splitlines()) == 3


def test_a_finished_run_is_resumed_without_change(tiny_sample, tiny_config, tmp_path):
    training.train(tiny_config(), tmp_path)
    before = {path.name: path.read_bytes() for path in tmp_path.iterdir()}
    assert len(training.resume(tmp_path).history) == 3
    assert {path.name: path.read_bytes() for path in tmp_path.iterdir()} == before


def test_resuming_takes_every_setting_from_the_run(tiny_sample, tiny_config, monkeypatch, tmp_path):
    config = tiny_config(seed=3, learning_rate=0.02, pixels="fixed", batch_size=7)
    training.train(config, tmp_path)
    seen = []
    monkeypatch.setattr(training, "run_epochs", lambda run, *rest: seen.append(run.config))
    training.resume(tmp_path)
    training.resume(tmp_path, progress=True)
    assert seen == [config, tiny_config(**config.as_dict() | {"hidden": (8,), "progress": True})]


def test_a_real_interrupt_keeps_the_last_epoch_and_the_message_says_how_to_go_on(tmp_path):
    out = tmp_path / "run"
    command = [sys.executable, "-m", "vae_teach", "train", "--data", "sample", "--out", str(out)]
    command += ["--epochs", "1000", "--hidden", "64", "--batch-size", "200", "--latent-dim", "2"]
    buffered = {name: value for name, value in os.environ.items() if name != "PYTHONUNBUFFERED"}
    process = subprocess.Popen(
        command,
        stdout=subprocess.PIPE,
        stderr=subprocess.PIPE,
        text=True,
        env=buffered,
        # A shell starts what it puts into the background deaf to Ctrl-C, and children inherit it.
        preexec_fn=lambda: signal.signal(signal.SIGINT, signal.SIG_DFL),
    )
    try:
        first = process.stdout.readline()
        process.send_signal(signal.SIGINT)
        _, errors = process.communicate(timeout=30)
    finally:
        process.kill()
        process.wait()
    assert first.startswith("epoch    1/1000")
    assert process.returncode == 130
    assert f"python -m vae_teach resume {out}" in errors
    assert "Traceback" not in errors
    assert sorted(path.name for path in out.iterdir()) == FILES
    _, metadata = runs.load_tensors(out / FILES[0])
    kept = len(metadata["history"])
    assert 0 < kept < 40, "the line of an epoch appears when it ends, not when a buffer is full"


def test_a_run_killed_at_any_moment_goes_on_bit_for_bit(tmp_path):
    """SIGKILL at 24 moments, some inside the writing of a file; it prints how many of each."""
    program = [sys.executable, str(Path(__file__).with_name("kill_and_resume.py")), str(tmp_path)]
    found = subprocess.run([*program, "0", "24"], capture_output=True, text=True)
    assert found.returncode == 0, found.stderr
    moments, writes = map(int, re.findall(r"\d+", found.stdout))
    assert moments + writes == 24 and min(moments, writes) >= 5


# Several processes ------------------------------------------------------------------------------


def torchrun(*arguments):
    """Start two processes, as ``torchrun --nproc-per-node 2`` does."""
    command = [sys.executable, "-m", "torch.distributed.run", "--nproc-per-node", "2"]
    return subprocess.run(
        [*command, *map(str, arguments)],
        capture_output=True,
        text=True,
        env=os.environ | {"OMP_NUM_THREADS": "1"},
    )


SMALL = ["--data", "sample", "--pixels", "dynamic", "--hidden", "16", "--latent-dim", "2"]
SMALL += [
    "--epochs",
    "3",
    "--batch-size",
    "63",
]  # two processes share neither 63 nor the last 31 evenly


def test_the_mean_of_the_shares_gradients_is_the_gradient_of_the_batch(
    tiny_sample, tiny_config, monkeypatch
):
    """Adam cannot see the scale of a gradient; plain SGD, one step, 25 images for two."""
    monkeypatch.setattr(runs, "make_optimizer", lambda m, c: plain_descent(m, 1))

    def change(number, count):
        monkeypatch.setattr(training, "process_number", lambda: number)
        monkeypatch.setattr(training, "num_processes", lambda: count)
        run = runs.Run.start(tiny_config(epochs=1, batch_size=25, learning_rate=1e-4))
        before = torch.cat([p.flatten() for p in run.model.parameters()]).detach().clone()
        training.train_epoch(run, training.load_images(run.config, None)[0][:25], 0)
        return torch.cat([p.flatten() for p in run.model.parameters()]).detach() - before

    together = (change(0, 2) + change(1, 2)) / 2
    torch.testing.assert_close(together, change(0, 1), rtol=1e-3, atol=1e-7)


@pytest.mark.parametrize("k", [1, 3])
def test_two_processes_train_as_one(tmp_path, k):
    options = [*SMALL, "--num-importance-samples", k, "--out"]
    found = torchrun("-m", "vae_teach", "train", *options, tmp_path / "two")
    assert found.returncode == 0, found.stderr
    assert found.stdout.count("epoch 1/3") == found.stdout.count("Done.") == 1, "one of them speaks"
    settings = TrainConfig.from_dict(json.loads((tmp_path / "two" / "config.json").read_text()))
    alone = training.train(dataclasses.replace(settings, progress=False))
    together = runs.Run.load(tmp_path / "two")
    for one, two in zip(alone.history, together.history, strict=True):
        for name in one.keys() - {"seconds"}:
            assert one[name] == pytest.approx(two[name], rel=1e-5), name


def test_a_process_that_fails_ends_the_job_with_an_error(tmp_path):
    """The second process fails in its second epoch; the first would wait for it for ever."""
    program = tmp_path / "fails.py"
    program.write_text(f"""
import os
from vae_teach import cli, training
original = training.validate
def validate(run, images):
    if os.environ["RANK"] == "1" and len(run.history) == 1:
        raise OSError("this process has failed")
    return original(run, images)
training.validate = validate
cli.main(["train", *{SMALL}, "--out", {str(tmp_path / "run")!r}])
""")
    found = torchrun(program)
    assert found.returncode != 0
    assert "this process has failed" in found.stderr
    assert len(runs.Run.load(tmp_path / "run").history) == 1


# Stops and refusals -----------------------------------------------------------------------------


def test_a_weighted_sum_that_overflows_stops_the_run(tiny_sample, tiny_config):
    with pytest.raises(FloatingPointError, match="their weighted sum is not finite"):
        training.train(tiny_config(beta=1e39))


@pytest.mark.parametrize("broken", ["log_p_x_given_z", "kl"])
def test_nan_stops_the_run_and_names_epoch_step_and_term(
    tiny_sample, tiny_config, monkeypatch, tmp_path, broken
):
    original, calls = training.bound_of_batch, []

    def breaks(*arguments):
        terms = original(*arguments)
        calls.append(terms)
        if len(calls) != 5 + 3:
            return terms
        spoilt = terms._replace(**{broken: getattr(terms, broken).clone()})
        getattr(spoilt, broken)[1] = float("nan")
        return spoilt._replace(elbo=spoilt.log_p_x_given_z - spoilt.kl)

    monkeypatch.setattr(training, "bound_of_batch", breaks)
    with pytest.raises(FloatingPointError, match=f"epoch 2, step 3: {broken} is not finite"):
        training.train(tiny_config(), tmp_path)
    assert len(runs.load_tensors(tmp_path / FILES[0])[1]["history"]) == 1


def test_weights_that_became_nan_in_the_last_step_are_not_kept(
    tiny_sample, tiny_config, monkeypatch, tmp_path
):
    original, steps = training.train_epoch, []

    def spoils_weights(run, *rest):
        terms = original(run, *rest)
        steps.append(terms)
        if len(steps) == 2:
            torch.nn.init.constant_(run.model.decoder.layers[-1].bias, float("nan"))
        return terms

    monkeypatch.setattr(training, "train_epoch", spoils_weights)
    with pytest.raises(FloatingPointError, match="epoch 2, validation: log_p_x_given_z"):
        training.train(tiny_config(), tmp_path)
    model, _ = runs.load_model(tmp_path)
    assert all(torch.isfinite(p).all() for p in model.parameters())


def test_a_step_too_large_stops_the_run(tiny_sample, tiny_config):
    with pytest.raises(FloatingPointError, match="learning rate"):
        training.train(tiny_config(learning_rate=1e6, epochs=20))


@pytest.mark.parametrize("file", ["model.safetensors", "checkpoint.safetensors"])
def test_an_existing_run_is_never_written_over(tiny_sample, tiny_config, tmp_path, file):
    (tmp_path / file).write_bytes(b"precious")
    with pytest.raises(FileExistsError, match=r"already holds a run.*python -m vae_teach resume"):
        training.train(tiny_config(), tmp_path)
    assert (tmp_path / file).read_bytes() == b"precious"


def test_a_place_that_cannot_be_written_is_reported_before_training(
    tiny_sample, tiny_config, monkeypatch, tmp_path
):
    (tmp_path / "file").write_text("in the way")
    monkeypatch.setattr(training, "train_epoch", lambda *_: pytest.fail("it trained first"))
    with pytest.raises(OSError):
        training.train(tiny_config(), tmp_path / "file")


@pytest.mark.parametrize("device", ["nonsense", "meta2", "cuda:99"])
def test_a_device_that_is_not_here_is_refused_by_name(tiny_sample, tiny_config, device):
    with pytest.raises(ValueError, match=f"'{device}' on this machine"):
        training.train(tiny_config(device=device))


# What is kept -----------------------------------------------------------------------------------


def test_a_run_keeps_four_files_that_agree(tiny_sample, tiny_config, tmp_path):
    config = tiny_config()
    run = training.train(config, tmp_path / "new" / "folder")
    out = tmp_path / "new" / "folder"
    assert sorted(path.name for path in out.iterdir()) == FILES
    model, found = runs.load_model(out)
    assert found == config and same_weights(model, run.model)
    _, metadata = runs.load_tensors(out / FILES[0])
    assert metadata["history"] == run.history
    with open(out / "history.csv", newline="") as file:
        rows = list(csv.DictReader(file))
    assert [int(row["epoch"]) for row in rows] == [1, 2, 3]
    for row, exact in zip(rows, run.history, strict=True):
        assert row.keys() == exact.keys()
        assert row["seconds"] == str(exact["seconds"])
        for name in exact:
            assert float(row[name]) == pytest.approx(exact[name], abs=5.1e-5)


def test_without_a_folder_nothing_is_written(tiny_sample, tiny_config, tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    training.train(tiny_config())
    assert list(tmp_path.iterdir()) == []


# Which images -----------------------------------------------------------------------------------


@pytest.fixture
def fake_mnist(monkeypatch):
    def load(split, root=None):
        value = {"train": 10, "validation": 20}[split]
        size = {"train": 5, "validation": 3}[split]
        pixels = torch.full((size, 28, 28), value, dtype=torch.uint8)
        return data.Digits(pixels, torch.zeros(size, dtype=torch.uint8))

    monkeypatch.setattr(training, "load_mnist", load)


def test_validation_images_are_held_out_unless_all_are_asked_for(tiny_config, fake_mnist):
    images, validation = training.load_images(tiny_config(data="mnist"), None)
    assert images.shape == (5, 784) and validation.shape == (3, 784)
    assert torch.allclose(images, torch.tensor(10 / 255))
    assert torch.allclose(validation, torch.tensor(20 / 255))
    images, validation = training.load_images(tiny_config(data="mnist", train_on_all=True), None)
    assert images.shape == (8, 784) and validation.shape == (3, 784)
    assert int((images > 15 / 255).all(1).sum()) == 3


def test_the_sample_is_validated_on_its_test_split(tiny_sample, tiny_config):
    images, validation = training.load_images(tiny_config(), None)
    for found, split in ((images, "train"), (validation, "test")):
        grey = data.load_mnist_sample(split).pixels.flatten(1) / 255
        assert torch.equal(found, grey)
