"""Watch a training step from inside: its noise, its z, and what the decoder makes of it.

A step hides encoder, noise and decoder, and its loss alone tells little. PyTorch lets a mode
see every call of a tensor function. This one disturbs what each layer returns, so that a
fresh network gives clouds and pixels of all kinds; gives the step noise of ours; and keeps
the tensors that the loss may be made of.
"""

from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field

import torch
from torch import Tensor, nn
from torch.nn.modules.module import register_module_forward_pre_hook
from torch.optim.optimizer import (
    register_optimizer_step_post_hook,
    register_optimizer_step_pre_hook,
)
from torch.overrides import TorchFunctionMode

__all__ = ["Recording", "record"]

LAYERS = {"linear", "addmm", "matmul", "__matmul__", "mm", "bmm", "einsum"}
LAYERS |= {f"conv{kind}{n}d" for kind in ("", "_transpose") for n in (1, 2, 3)}
NORMAL = {"randn", "randn_like", "normal", "normal_"}
UNIFORM = {"rand", "rand_like", "uniform_"}
COINS = {"bernoulli", "bernoulli_"}


@dataclass
class Recording:
    """What one run of a step showed.

    ``noise`` is what the step drew for its latent variables, ``uniform`` says whether some of
    it was; ``given`` is what each layer received, ``z`` what the first one of the decoder did,
    ``attached`` whether that has a gradient. ``targets`` are the images and what was made of
    them alone, ``outputs`` all tensors after z of as many numbers, ``parameters`` those of the
    modules that ran. ``loss`` is what ``backward`` was called on, ``result`` what the step
    returned. ``moved`` are the parameters that an optimizer was to move, and ``gradients`` those
    that they still had at the end: old ones, since ``backward`` makes no new ones.
    """

    noise: list[Tensor] = field(default_factory=list)
    uniform: bool = False
    z: Tensor | None = None
    given: list[Tensor] = field(default_factory=list)
    attached: bool = False
    targets: list[Tensor] = field(default_factory=list)
    outputs: list[Tensor] = field(default_factory=list)
    parameters: list[Tensor] = field(default_factory=list)
    loss: Tensor | None = None
    result: object = None
    moved: list[Tensor] = field(default_factory=list)
    gradients: list[Tensor | None] = field(default_factory=list)


def record(
    step: Callable, x: Tensor, seed: int | None = None, shift: float = 0.0, shake: float = 1.0
) -> Recording:
    """Run ``step(x)`` once and return what it showed; nothing is learnt, and no buffer changes.

    Shapes: ``x (B, ...)``; modules run in its type. With a ``seed`` all random numbers of the
    step are ours, ``shift`` is added to its noise, so that z moves by the standard deviations,
    and normal numbers of the size of ``shake`` are added to what each layer returns.
    """
    watch = _Watch(x, seed, shift, shake)
    if seed is not None:
        torch.set_rng_state(torch.Generator().manual_seed(seed).get_state())
    seen = watch.seen
    with _lent(x.dtype, seen.parameters), _idle_optimizers(seen.moved), watch:
        seen.result = step(x)
        seen.gradients = [parameter.grad for parameter in seen.moved]
    return seen


@contextmanager
def _lent(dtype: torch.dtype, parameters: list[Tensor]) -> Iterator[None]:
    """Let modules run on copies of their weights and buffers, in the given type.

    A module gets its own back, with their gradients, at the end. All ``parameters`` are noted.
    """
    kept = {}

    def lend(module, inputs):
        for tensor in [*module.parameters(recurse=False), *module.buffers(recurse=False)]:
            if id(tensor) not in kept:
                data, grad = tensor.data, tensor.grad
                kept[id(tensor)] = (tensor, data, grad)
                if isinstance(tensor, nn.Parameter):
                    parameters.append(tensor)
                own = dtype if tensor.is_floating_point() else tensor.dtype
                tensor.grad = None
                tensor.data = data.to(own, copy=True)
                tensor.grad = None if grad is None else grad.to(own, copy=True)

    hook = register_module_forward_pre_hook(lend)
    try:
        yield
    finally:
        hook.remove()
        for tensor, data, grad in kept.values():
            tensor.grad = None
            tensor.data = data
            tensor.grad = grad


@contextmanager
def _idle_optimizers(moved: list[Tensor]) -> Iterator[None]:
    """Hide all gradients from optimizers, which then move nothing; note what they were to move."""
    hidden = {}

    def hide(optimizer, *_):
        for parameter in [p for group in optimizer.param_groups for p in group["params"]]:
            if parameter.requires_grad and not any(parameter is other for other in moved):
                moved.append(parameter)
            hidden[parameter], parameter.grad = parameter.grad, None

    def show(*_):
        for parameter, gradient in hidden.items():
            parameter.grad = gradient
        hidden.clear()

    hooks = register_optimizer_step_pre_hook(hide), register_optimizer_step_post_hook(show)
    try:
        yield
    finally:
        show()  # after a step of an optimizer that failed
        for hook in hooks:
            hook.remove()


class _Watch(TorchFunctionMode):
    """Fills a ``Recording`` while a step runs."""

    def __init__(self, x: Tensor, seed: int | None, shift: float, shake: float):
        super().__init__()
        self.x, self.shift, self.shake = x, shift, shake
        self.generator = None if seed is None else torch.Generator().manual_seed(seed)
        self.seen = Recording(targets=[_flat(x, x)])
        # What is made without a layer of the images, of them and others, and of the noise; and
        # by whatever of z. By memory; the tensors are kept, so that none is used twice. What is
        # made of noise knows its parent too.
        self.of_images = {_key(x): x}
        self.of_loss: dict[int, Tensor] = {}
        self.of_noise: dict[int, tuple[Tensor, Tensor | None]] = {}
        self.of_z: dict[int, Tensor] = {}

    def __torch_function__(self, function, types, args=(), kwargs=None):
        kwargs = kwargs or {}
        name = getattr(function, "__name__", "")
        if name == "backward":
            self.seen.loss = args[0].detach()
            return None
        result = function(*args, **kwargs)
        if not isinstance(result, Tensor):
            return result
        if name in COINS and self.generator is not None and isinstance(args[0], Tensor):
            result = (self._uniform(result) < args[0]).to(result.dtype)
        fresh_weights = bool(args) and isinstance(args[0], nn.Parameter)
        if name in NORMAL | UNIFORM and result.numel() != self.x.numel() and not fresh_weights:
            return self._noise(name, result, args)
        inputs = [a for a in _flattened([*args, *kwargs.values()]) if isinstance(a, Tensor)]
        from_noise = [a for a in inputs if _key(a) in self.of_noise]
        if name in LAYERS:
            self.seen.given.append(inputs[0].detach())
            if from_noise and self.seen.z is None:
                self._found_z(from_noise[0])
            if self.generator is not None:
                result = result + self.shake * self._normal(result)
        elif inputs and all(_key(a) in self.of_images for a in inputs):
            self.of_images[_key(result)] = result
            self._keep(self.seen.targets, result)
            return result
        elif any(_key(a) in self.of_images or _key(a) in self.of_loss for a in inputs):
            self.of_loss[_key(result)] = result
            return result
        elif from_noise and self.seen.z is None:
            self.of_noise.setdefault(_key(result), (result, from_noise[0]))
        if (
            any(_key(a) in self.of_z or _key(a) in self.of_noise for a in inputs)
            and self.seen.z is not None
        ):
            self.of_z[_key(result)] = result
            self._keep(self.seen.outputs, result)
        return result

    def _noise(self, name: str, result: Tensor, args: tuple) -> Tensor:
        """Note a draw of noise; with a seed, replace it by ours."""
        self.seen.uniform |= name in UNIFORM
        mean, std = 0.0, 1.0
        if name == "normal" and any(isinstance(a, Tensor) for a in args[:2]):
            mean, std = args[:2]
        with torch.no_grad():
            if self.generator is not None:
                draw = self._uniform if name in UNIFORM else self._normal
                result.copy_(mean + std * (draw(result) + self.shift))
            self.seen.noise.append((result.detach() - mean) / std)
        self.of_noise[_key(result)] = (result, None)
        return result

    def _found_z(self, tensor: Tensor) -> None:
        """Follow what a layer was given back to a tensor of the noise's size: that is z."""
        noise = self.seen.noise[-1]
        size = max(noise.numel(), len(self.x) * (noise.shape[-1] if noise.dim() else 1))
        parent = self.of_noise[_key(tensor)][1]
        while tensor.numel() > size and parent is not None and parent.numel() >= size:
            tensor, parent = parent, self.of_noise[_key(parent)][1]
        self.seen.z = tensor.detach().clone().reshape(len(self.x), -1)
        self.seen.attached = tensor.requires_grad

    def _keep(self, where: list[Tensor], result: Tensor) -> None:
        if result.numel() != self.x.numel():
            return
        flat = _flat(result.to(self.x.dtype), self.x)
        if len(where) < 40 and not any(flat.equal(other) for other in where):
            where.append(flat)

    def _normal(self, like: Tensor) -> Tensor:
        return torch.randn(like.shape, generator=self.generator).to(like)

    def _uniform(self, like: Tensor) -> Tensor:
        return torch.rand(like.shape, generator=self.generator).to(like)


def _key(tensor: Tensor) -> int:
    """Name the memory of a tensor, which views of it share."""
    return tensor.untyped_storage().data_ptr()


def _flat(tensor: Tensor, x: Tensor) -> Tensor:
    return tensor.detach().clone().reshape(len(x), -1)


def _flattened(entries) -> Iterator:
    for entry in entries:
        if isinstance(entry, (list, tuple)):
            yield from _flattened(entry)
        else:
            yield entry
