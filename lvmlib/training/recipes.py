"""What a model, a q and an optimizer are, in plain JSON: to tell runs apart, and to build both again from a file."""

from __future__ import annotations

import functools
import hashlib
import json
import types
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.optim import Optimizer

from lvmlib._checks import call_named, describe
from lvmlib.exact import LinearGaussian
from lvmlib.guide import AmortizedGuide, Guide, MeanFieldGuide
from lvmlib.model import LatentVariableModel
from lvmlib.training.checkpoints import as_path, pack, read
from lvmlib.vae import VAE

__all__ = [
    "differences",
    "fill",
    "fingerprint",
    "fingerprint_of_function",
    "load",
    "named_tensors",
    "owner_of",
    "recipe_of",
    "structure_of",
]

# Layers that their arguments describe wholly, and the attributes under which they keep them.
_LAYERS: dict[type[nn.Module], tuple[str, ...]] = {
    nn.Linear: ("in_features", "out_features"),
    nn.Conv1d: ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups"),
    nn.Conv2d: ("in_channels", "out_channels", "kernel_size", "stride", "padding", "dilation", "groups"),
    nn.ConvTranspose2d: (
        "in_channels", "out_channels", "kernel_size", "stride", "padding", "output_padding", "dilation", "groups",
    ),
    nn.BatchNorm1d: ("num_features", "eps", "momentum", "affine", "track_running_stats"),
    nn.BatchNorm2d: ("num_features", "eps", "momentum", "affine", "track_running_stats"),
    nn.LayerNorm: ("normalized_shape", "eps", "elementwise_affine"),
    nn.Dropout: ("p",),
    nn.Flatten: ("start_dim", "end_dim"),
    nn.Unflatten: ("dim", "unflattened_size"),
    nn.Identity: (),
    nn.ReLU: (),
    nn.Tanh: (),
    nn.Sigmoid: (),
    nn.SiLU: (),
    nn.GELU: ("approximate",),
    nn.ELU: ("alpha",),
    nn.LeakyReLU: ("negative_slope",),
    nn.Softplus: ("beta", "threshold"),
}  # fmt: skip
_HAVE_BIAS = (nn.Linear, nn.Conv1d, nn.Conv2d, nn.ConvTranspose2d)
_LAYERS_BY_NAME = {layer.__name__: layer for layer in _LAYERS}
_COMPILED = "_orig_mod."
# Every step to 1,000, and then steps one percent apart to a million.
_STEPS = (*range(1001), *(int(1000 * 1.01**power) for power in range(1, 695)))
# What changes the speed of an optimizer and not its result.
_ONLY_SPEED = ("params", "foreach", "fused", "capturable", "differentiable")


def load(
    checkpoint: str | Path, *, factory: Callable[[], tuple[LatentVariableModel, Guide]] | None = None
) -> tuple[LatentVariableModel, Guide]:
    """The model and the q of a run of :func:`fit`, as ``fit`` left them: after early stopping, at the best epoch.

    A :class:`VAE` whose networks are ``nn.Sequential`` of common layers, such as :func:`mlp` makes, and a
    :class:`LinearGaussian` are built from the checkpoint alone, with an :class:`AmortizedGuide`, a
    :class:`MeanFieldGuide` or ``model.posterior``. For anything else pass ``factory``, which builds it; the numbers
    then come from the checkpoint. Nothing is unpickled, and no code comes from the file.

    Args:
        checkpoint: A file that ``fit(..., checkpoint=...)`` wrote.
        factory: A function without arguments that returns a new ``(model, q)``.

    Returns:
        ``(model, q)`` on the CPU.

    Raises:
        TypeError: If ``factory`` returns something else.
        ValueError: If the file is no checkpoint of ``fit``, is damaged, cannot be built without ``factory``, or holds
            the numbers of another model.

    Example:
        >>> import tempfile
        >>> from lvmlib import VAE, elbo, fit, mlp
        >>> vae, x = VAE(mlp(4, 4), mlp(2, 4), latent_dim=2), torch.ones(20, 4)
        >>> file = Path(tempfile.mkdtemp()) / "run.safetensors"
        >>> _ = fit(vae, vae.encoder, x, epochs=1, checkpoint=file, progress=False)
        >>> again, q = load(file)
        >>> torch.equal(again.encoder(x).mean, vae.encoder(x).mean)
        True
    """
    path = as_path(checkpoint)
    state = read(path)
    if factory is None:
        recipe = state.rest["recipe"]
        if recipe["model"] is None or recipe["q"] is None:
            unknown = "model" if recipe["model"] is None else "q"
            raise ValueError(
                f"checkpoint is {str(path)!r}, whose {unknown} is {state.rest['names'][unknown]}, which load cannot "
                f"build: expected factory=..., a function without arguments that returns a new (model, q); pass one."
            )
        model = _build_model(recipe["model"])
        q = _build_guide(recipe["q"], model)
    else:
        if not callable(factory):
            raise TypeError(
                f"factory is {describe(factory)}: expected a function without arguments that returns a new (model, q)."
            )
        made = call_named("factory", factory)
        if not isinstance(made, tuple) or len(made) != 2 or not isinstance(made[0], LatentVariableModel):
            raise TypeError(
                f"factory returned an object of type {type(made).__name__}: expected a tuple (model, q); return both."
            )
        model, q = made
    best = {name.removeprefix("best."): value for name, value in state.tensors.items() if name.startswith("best.")}
    saved = {**state.tensors, **best}
    for place, part in (("model", model), ("q", q)):
        dtypes = {v.dtype for key, v in saved.items() if key.startswith(f"{place}.") and v.is_floating_point()}
        owner = owner_of(part)
        if owner is not None and len(dtypes) == 1:
            owner.to(dtypes.pop())
    fill(saved, named_tensors(model, q), path, parts=("model", "q"))
    return model, q


def fill(
    saved: dict[str, Tensor],
    held: dict[str, Tensor],
    path: Path,
    *,
    parts: tuple[str, ...] = ("model", "q", "baseline"),
) -> None:
    """Copy the numbers of a checkpoint into the tensors of a model and a q, in place.

    Raises:
        ValueError: If the names, the shapes or the dtypes are not the same; nothing has then been copied.
    """
    theirs = {name for name in saved if name.partition(".")[0] in parts}
    for name in sorted(theirs ^ held.keys()):
        where = "which the model given lacks" if name in theirs else "which it lacks"
        raise ValueError(
            f"checkpoint is {str(path)!r} and differs in {name}, {where}: expected the model, the q and the baseline "
            f"that it was written with; build them as then, or write to another file."
        )
    for name, value in held.items():
        for what, theirs_is, ours_is in (
            ("shape", tuple(saved[name].shape), tuple(value.shape)),
            ("dtype", saved[name].dtype, value.dtype),
        ):
            if theirs_is != ours_is:
                raise ValueError(
                    f"checkpoint is {str(path)!r}, in which {name} has {what} {theirs_is}: expected {ours_is}, that of "
                    f"the model given; build it as then, or write to another file."
                )
    with torch.no_grad():
        for name, value in held.items():
            value.copy_(saved[name])


def owner_of(part: Any) -> nn.Module | None:
    """The module behind a model, a guide, or a method of one."""
    part = part if isinstance(part, nn.Module) else getattr(part, "__self__", None)
    return part if isinstance(part, nn.Module) else None


def named_tensors(model: Any, q: Any, baseline: Any = None) -> dict[str, Tensor]:
    """What a run may change, each once and by the name that it has in a checkpoint, compiled or not."""
    found: dict[str, Tensor] = {}
    for name, part in (("model", model), ("q", q), ("baseline", baseline)):
        owner = owner_of(part)
        if owner is None or (name == "q" and any(owner is module for module in model.modules())):
            continue
        for key, value in owner.state_dict().items():
            found[f"{name}.{key.replace(_COMPILED, '')}"] = value.detach()
    return found


def fingerprint(maker: Any) -> dict[str, str]:
    """An optimizer or a scheduler that was just made, in words: its class, its numbers and what its functions give."""
    if maker is None:
        return {}
    found = {"class": f"{type(maker).__module__}.{type(maker).__qualname__}"}
    groups = maker.param_groups if isinstance(maker, Optimizer) else [maker.state_dict()]
    for index, group in enumerate(groups):
        for name, value in group.items():
            if name not in _ONLY_SPEED:
                tensors: dict[str, Tensor] = {}
                packed = json.dumps(pack(value, name, tensors))
                shown = packed if isinstance(value, dict) else value.tolist() if isinstance(value, Tensor) else value
                found[name if index == 0 else f"{name} of group {index}"] = str(shown)
    # A state has no plain functions in it.
    for number, function in enumerate(_functions_of(maker)):
        found[f"function {number}"] = fingerprint_of_function(function)
    return found


def _functions_of(scheduler: Any) -> Iterator[Callable[[int], Any]]:
    """The functions that a scheduler, or one within it, was given: of the step, or of where it is in a cycle."""
    yield from getattr(scheduler, "lr_lambdas", ())
    for held in vars(scheduler).values():
        if isinstance(held, types.FunctionType | functools.partial):
            yield held
    for part in getattr(scheduler, "_schedulers", ()):
        yield from _functions_of(part)


def fingerprint_of_function(function: Callable[[int], Any]) -> str:
    """What tells a function of the step from others: some of its numbers, and a hash of those at a thousand steps."""
    values = [_value_at(function, step) for step in _STEPS]
    shown = ", ".join(f"{values[step]} at {step}" for step in (0, 1, 10, 100, 1000))
    return f"{shown}, hash {hashlib.sha256(' '.join(values).encode()).hexdigest()[:16]}"


def _value_at(function: Callable[[int], Any], step: int) -> str:
    try:
        return f"{float(function(step)):.6g}"
    except Exception as error:  # a table may have an end
        return type(error).__name__


def structure_of(model: Any, q: Any) -> dict[str, str]:
    """Every module of the model and of q by name, with its class and its arguments; compiled ones as what they wrap."""
    found = {}
    for name, part in (("model", model), ("q", q)):
        owner = owner_of(part)
        for key, module in () if owner is None else owner.named_modules():
            if not hasattr(module, "_orig_mod"):
                place = f"{name}.{key}".replace("._orig_mod", "").rstrip(".")
                learnt = [key for key, value in module.named_parameters(recurse=False) if value.requires_grad]
                found[place] = f"{type(module).__name__}({module.extra_repr()}), which learns {learnt or 'nothing'}"
    return found


def differences(there: dict[str, Any], here: dict[str, Any]) -> Iterator[tuple[str, Any, Any]]:
    """Where two dicts of JSON differ: the name, and both values."""
    for name in dict.fromkeys([*here, *there]):
        one, two = there.get(name), here.get(name)
        if isinstance(one, dict) and isinstance(two, dict):
            yield from ((f"{name}'s {key}", a, b) for key, a, b in differences(one, two))
        elif one != two:
            yield name, "nothing" if one is None else one, "nothing" if two is None else two


def recipe_of(model: LatentVariableModel, q: Guide) -> dict[str, Any]:
    """How both are built, as JSON; ``None`` for a part that is not made of what is known here."""
    return {"model": _model_recipe(model), "q": _guide_recipe(q, model)}


def _model_recipe(model: LatentVariableModel) -> dict[str, Any] | None:
    if type(model) is VAE:
        likelihood: Any = model._likelihood
        encoder, decoder = _network_recipe(model.encoder.encoder), _network_recipe(likelihood.network)
        if encoder is None or decoder is None:
            return None
        return {
            "type": "VAE",
            "encoder": encoder,
            "decoder": decoder,
            "latent_dim": model.prior.event_shape[0],
            "missing": "marginalize" if model.marginalizes_gaps else "refuse",
        }
    if type(model) is LinearGaussian:
        tensors = {name: list(value.shape) for name, value in model.state_dict().items()}
        return {"type": "LinearGaussian", "shapes": tensors, "learnt": [name for name, _ in model.named_parameters()]}
    return None


def _guide_recipe(q: Guide, model: LatentVariableModel) -> dict[str, Any] | None:
    if isinstance(model, VAE) and q is model.encoder:
        return {"type": "encoder of the model"}
    if isinstance(q, types.MethodType) and q.__self__ is model and q.__name__ == "posterior":
        return {"type": "posterior of the model"}
    if type(q) is AmortizedGuide:
        encoder = _network_recipe(q.encoder)
        options = {"event_dims": q.event_dims, "mark_gaps": q.mark_gaps}
        return None if encoder is None else {"type": "AmortizedGuide", "encoder": encoder, **options}
    if type(q) is MeanFieldGuide:
        *batch, latent_dim = q.loc.shape
        return {"type": "MeanFieldGuide", "latent_dim": latent_dim, "batch_shape": batch}
    return None


def _network_recipe(network: nn.Module) -> dict[str, Any] | None:
    network = getattr(network, "_orig_mod", network)
    if type(network) is nn.Sequential:
        layers = [_network_recipe(layer) for layer in network]
        return None if None in layers else {"type": "Sequential", "layers": layers}
    names = _LAYERS.get(type(network))
    if names is None:
        return None
    options = {name: getattr(network, name) for name in names}
    if isinstance(network, _HAVE_BIAS):
        options["bias"] = network.bias is not None
        if getattr(network, "padding_mode", "zeros") != "zeros":
            return None
    return {"type": type(network).__name__, "options": options}


def _build_model(recipe: dict[str, Any]) -> LatentVariableModel:
    if recipe["type"] == "VAE":
        encoder, decoder = _build_network(recipe["encoder"]), _build_network(recipe["decoder"])
        return VAE(encoder, decoder, recipe["latent_dim"], missing=recipe.get("missing", "refuse"))
    tensors = {name: torch.ones(shape) for name, shape in recipe["shapes"].items()}
    learnt = {name: nn.Parameter(value) if name in recipe["learnt"] else value for name, value in tensors.items()}
    return LinearGaussian(learnt["weight"], learnt["bias"], learnt["noise_variance"])


def _build_guide(recipe: dict[str, Any], model: Any) -> Guide:
    if recipe["type"] == "encoder of the model":
        return model.encoder
    if recipe["type"] == "posterior of the model":
        return model.posterior
    if recipe["type"] == "MeanFieldGuide":
        return MeanFieldGuide(recipe["latent_dim"], tuple(recipe["batch_shape"]))
    options = {"event_dims": recipe.get("event_dims"), "mark_gaps": recipe.get("mark_gaps", False)}
    return AmortizedGuide(_build_network(recipe["encoder"]), **options)


def _build_network(recipe: dict[str, Any]) -> nn.Module:
    if recipe["type"] == "Sequential":
        return nn.Sequential(*map(_build_network, recipe["layers"]))
    options = {name: tuple(v) if isinstance(v, list) else v for name, v in recipe["options"].items()}
    return _LAYERS_BY_NAME[recipe["type"]](**options)
