import errno
import json

import pytest
import safetensors.torch
import torch

from vae_teach import runs
from vae_teach.config import TrainConfig, build_model


def files(folder):
    return sorted(path.name for path in folder.iterdir())


def test_tensors_and_metadata_come_back_as_they_were(tmp_path):
    path = tmp_path / "a.safetensors"
    tensors = {
        "weights": torch.randn(3, 4),
        "double": torch.randn(2, dtype=torch.float64),
        "state": torch.Generator().get_state(),
        "step": torch.tensor(7.0),
        "strided": torch.arange(12.0).reshape(3, 4).T,
    }
    metadata = {"config": {"hidden": [8]}, "history": [{"epoch": 1, "elbo": -0.1 - 1e-17}]}
    runs.save_tensors(path, tensors, metadata)
    loaded, found = runs.load_tensors(path)
    assert found == metadata
    assert loaded.keys() == tensors.keys()
    for name, value in tensors.items():
        assert torch.equal(loaded[name], value) and loaded[name].dtype == value.dtype
    assert files(tmp_path) == ["a.safetensors"]


def test_equal_content_gives_equal_bytes(tmp_path):
    tensors = {"b": torch.ones(2), "a": torch.zeros(3)}
    runs.save_tensors(tmp_path / "1", tensors, {"x": 1, "y": 2})
    runs.save_tensors(tmp_path / "2", dict(reversed(tensors.items())), {"y": 2, "x": 1})
    assert (tmp_path / "1").read_bytes() == (tmp_path / "2").read_bytes()


class FullDisk:
    """A file that takes ten bytes and then has no space left."""

    def __init__(self, *arguments):
        self.file = open(*arguments)  # noqa: SIM115 (closed in __exit__)

    def __enter__(self):
        return self

    def __exit__(self, *exception):
        self.file.close()

    def write(self, content):
        self.file.write(content[:10])
        raise OSError(errno.ENOSPC, "No space left on device")


def full_disk(monkeypatch):
    monkeypatch.setattr(runs, "open", FullDisk, raising=False)


def no_sync(monkeypatch):
    def fail(*arguments):
        raise OSError(errno.ENOSPC, "No space left on device")

    monkeypatch.setattr(runs.os, "fsync", fail)


def interrupted(monkeypatch):
    def stop(*arguments):
        raise KeyboardInterrupt

    monkeypatch.setattr(runs.os, "replace", stop)


@pytest.mark.parametrize("failure", [full_disk, no_sync, interrupted])
@pytest.mark.parametrize("old", [None, b"the old content"])
def test_a_failed_write_leaves_the_old_file_and_nothing_else(tmp_path, monkeypatch, failure, old):
    path = tmp_path / "a.safetensors"
    if old is not None:
        path.write_bytes(old)
    with monkeypatch.context() as patch:
        failure(patch)
        with pytest.raises((OSError, KeyboardInterrupt)):
            runs.write_atomically(path, b"the new content, longer than ten bytes")
    assert files(tmp_path) == ([] if old is None else ["a.safetensors"])
    assert old is None or path.read_bytes() == old
    runs.write_atomically(path, b"new")
    assert path.read_bytes() == b"new" and files(tmp_path) == ["a.safetensors"]


def test_a_missing_checkpoint_is_named_with_the_command_that_makes_one(tmp_path):
    with pytest.raises(FileNotFoundError, match=r"nowhere.*python -m vae_teach train"):
        runs.load_tensors(tmp_path / "nowhere" / "model.safetensors")


def saved(path):
    runs.save_tensors(path, {"a": torch.arange(1000.0)}, {"config": {}})
    return path.read_bytes()


@pytest.mark.parametrize(
    "damage",
    [
        lambda whole: b"",
        lambda whole: b"not a checkpoint",
        lambda whole: whole[:100],
        lambda whole: whole[:-1],
        lambda whole: b"\xff" * 16 + whole[16:],
        lambda whole: whole.replace(b"vae_teach", b"something"),
    ],
    ids=["empty", "text", "header cut", "data cut", "header overwritten", "of another program"],
)
def test_a_damaged_checkpoint_is_refused_by_name(tmp_path, damage):
    path = tmp_path / "model.safetensors"
    path.write_bytes(damage(saved(path)))
    with pytest.raises(ValueError, match=r"model\.safetensors is not a checkpoint of vae_teach"):
        runs.load_tensors(path)


def test_a_run_cannot_go_on_from_weights_alone(tiny_run, tmp_path):
    (tmp_path / "checkpoint.safetensors").write_bytes((tiny_run / "model.safetensors").read_bytes())
    with pytest.raises(ValueError, match=r"checkpoint\.safetensors holds weights only"):
        runs.Run.load(tmp_path)


def test_no_flipped_bit_gets_through(tmp_path):
    """Each bit of a file is flipped: it is refused, or (in the form of a number) means the same."""
    path = tmp_path / "model.safetensors"
    tensors, metadata = {"a": torch.tensor([1.5, -2.0])}, {"config": {"rate": 1e-07}}
    runs.save_tensors(path, tensors, metadata)
    whole, accepted = path.read_bytes(), []
    for bit in range(8 * len(whole)):
        flipped = bytearray(whole)
        flipped[bit // 8] ^= 1 << bit % 8
        path.write_bytes(flipped)
        try:
            found, settings = runs.load_tensors(path)
        except ValueError:
            continue
        accepted.append(chr(flipped[bit // 8]))
        assert found.keys() == {"a"} and torch.equal(found["a"], tensors["a"])
        assert settings == metadata
    assert accepted == ["E"], "1E-07"


def test_a_flipped_bit_in_the_weights_is_refused_with_the_remedy(tmp_path):
    path = tmp_path / "model.safetensors"
    whole = saved(path)
    path.write_bytes(whole[:-1] + bytes([whole[-1] ^ 1]))
    with pytest.raises(ValueError, match=r"model\.safetensors is damaged.* Fetch .* or train"):
        runs.load_tensors(path)


def test_a_file_without_a_digest_is_refused_with_the_remedy(tmp_path):
    path = tmp_path / "model.safetensors"
    tensors, metadata = {"a": torch.ones(2)}, json.dumps({"config": {}})
    path.write_bytes(safetensors.torch.save(tensors, {"vae_teach": metadata}))
    with pytest.raises(ValueError, match=r"model\.safetensors has no SHA-256 digest.* Train"):
        runs.load_tensors(path)


def test_a_run_comes_back_as_its_model_and_its_settings(tmp_path):
    config = TrainConfig(latent_dim=2, hidden=(8,), seed=4)
    model = build_model(config)
    metadata = {"config": json.loads(json.dumps(config.as_dict()))}
    runs.save_tensors(tmp_path / runs.MODEL_FILE, model.state_dict(), metadata)
    loaded, found = runs.load_model(tmp_path)
    x, eps = torch.rand(3, 784), torch.randn(3, 2)
    assert found == config and not loaded.training
    assert torch.equal(loaded.elbo(x, eps).elbo, model.elbo(x, eps).elbo)


def step(model, optimizer, seed):
    x = torch.rand(8, 784, generator=torch.Generator().manual_seed(seed))
    optimizer.zero_grad()
    model.decode(model.encode(x)[0]).square().mean().backward()
    optimizer.step()


def test_a_restored_optimiser_goes_on_as_the_old_one_would(tmp_path):
    models = [build_model(TrainConfig(latent_dim=2, hidden=(8,))) for _ in range(2)]
    first, second = (torch.optim.Adam(model.parameters(), fused=True) for model in models)
    step(models[0], first, 0)
    tensors = runs.optimizer_tensors(first)
    assert len(tensors) == 3 * len(list(models[0].parameters())), (
        "two moments and a step count each"
    )
    runs.save_tensors(tmp_path / "a", tensors, {})
    models[1].load_state_dict(models[0].state_dict())
    runs.restore_optimizer(second, runs.load_tensors(tmp_path / "a")[0])
    for model, optimizer in zip(models, (first, second), strict=True):
        step(model, optimizer, 1)
    for old, new in zip(models[0].parameters(), models[1].parameters(), strict=True):
        assert torch.equal(old, new)


def test_records_are_found_by_name_in_any_folder(tmp_path, monkeypatch):
    monkeypatch.chdir(tmp_path)
    assert files(runs.recorded("dense-20")) == [
        "command.txt",
        "config.json",
        "history.csv",
        "metrics.json",
        "model.safetensors",
    ]
    assert "seeds" in json.loads(runs.recorded("recipe.json").read_text(encoding="utf8"))
    with pytest.raises(
        FileNotFoundError, match="no record 'dense-3' .*autoencoder-2, .*dense-20, "
    ):
        runs.recorded("dense-3")
