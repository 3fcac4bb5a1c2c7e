"""Optimisers by name: torch's, those of optional packages, and any class that is one.

The names are those of sd-scripts (`train_util.get_optimizer`). A package that is missing is an error
that says what to install; in place of the 8-bit and paged optimisers of bitsandbytes, the same
algorithm in full precision is taken, and that is told.
"""

from __future__ import annotations

import ast
import importlib
import inspect
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from difflib import get_close_matches
from typing import Any

import torch
from torch.optim import Optimizer

from lib_lyco.errors import ConfigError, MissingPackageError


@dataclass(frozen=True)
class Recipe:
    """Where an optimiser comes from, and what is particular about it."""

    module: str
    name: str
    """Of the class."""
    package: str = ""
    """What pip installs."""
    implied: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Arguments that the name stands for."""
    usual: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Arguments that have this value unless they are given."""
    instead: str = ""
    """The name that is taken where the package is missing."""
    one_rate: bool = False
    """Finds its step size itself and allows one learning rate, of about 1, for all groups."""
    schedule_free: bool = False
    """Averages its weights in place of a falling learning rate (arXiv 2405.15682)."""


_MOMENTUM = {"momentum": 0.9}
_NESTEROV = {"nesterov": True}


def _of_bitsandbytes(name: str, instead: str, **values: Any) -> Recipe:
    return Recipe("bitsandbytes.optim", name, "bitsandbytes", instead=instead, **values)


def _of_dadaptation(name: str, module: str = "dadaptation") -> Recipe:
    return Recipe(module, name, "dadaptation", one_rate=True)


def _schedule_free(name: str) -> Recipe:
    return Recipe("schedulefree", name, "schedulefree", schedule_free=True)


_RECIPES: Mapping[str, Recipe] = {
    "AdamW": Recipe("torch.optim", "AdamW"),
    "AdamW8bit": _of_bitsandbytes("AdamW8bit", "AdamW"),
    "PagedAdamW": _of_bitsandbytes("PagedAdamW", "AdamW"),
    "PagedAdamW8bit": _of_bitsandbytes("PagedAdamW8bit", "AdamW"),
    "PagedAdamW32bit": _of_bitsandbytes("PagedAdamW32bit", "AdamW"),
    "Lion": Recipe("lion_pytorch", "Lion", "lion-pytorch"),
    "Lion8bit": _of_bitsandbytes("Lion8bit", "Lion"),
    "PagedLion8bit": _of_bitsandbytes("PagedLion8bit", "Lion"),
    "AdEMAMix8bit": _of_bitsandbytes("AdEMAMix8bit", ""),
    "PagedAdEMAMix8bit": _of_bitsandbytes("PagedAdEMAMix8bit", ""),
    "SGDNesterov": Recipe("torch.optim", "SGD", implied=_NESTEROV, usual=_MOMENTUM),
    "SGDNesterov8bit": _of_bitsandbytes("SGD8bit", "SGDNesterov", implied=_NESTEROV, usual=_MOMENTUM),
    "AdaFactor": Recipe("transformers.optimization", "Adafactor", "transformers"),
    "DAdaptation": _of_dadaptation("DAdaptAdamPreprint", "dadaptation.experimental"),
    "DAdaptAdamPreprint": _of_dadaptation("DAdaptAdamPreprint", "dadaptation.experimental"),
    "DAdaptAdaGrad": _of_dadaptation("DAdaptAdaGrad"),
    "DAdaptAdam": _of_dadaptation("DAdaptAdam"),
    "DAdaptAdan": _of_dadaptation("DAdaptAdan"),
    "DAdaptAdanIP": _of_dadaptation("DAdaptAdanIP", "dadaptation.experimental"),
    "DAdaptLion": _of_dadaptation("DAdaptLion"),
    "DAdaptSGD": _of_dadaptation("DAdaptSGD"),
    "Prodigy": Recipe("prodigyopt", "Prodigy", "prodigyopt", one_rate=True),
    "AdamWScheduleFree": _schedule_free("AdamWScheduleFree"),
    "RAdamScheduleFree": _schedule_free("RAdamScheduleFree"),
    "SGDScheduleFree": _schedule_free("SGDScheduleFree"),
    "CAME": Recipe("came_pytorch", "CAME", "came-pytorch"),
}
OPTIMISERS = tuple(_RECIPES)
_BROAD = frozenset(("torch", "transformers"))
"""Packages with much else in them."""
_BY_LOWER = {name.lower(): recipe for name, recipe in _RECIPES.items()}


def find_recipe(name: str) -> Recipe:
    """The optimiser of a name, in any case: one of `OPTIMISERS`, of torch.optim, or a class by its dotted
    name.

    Raises:
        ConfigError: There is none; the nearest name is told.
    """
    if name.lower() in _BY_LOWER:
        return _BY_LOWER[name.lower()]
    module, dot, attribute = name.rpartition(".")
    if dot:
        return Recipe(module, attribute, module.split(".")[0])
    of_torch = {
        key.lower(): key
        for key, value in vars(torch.optim).items()
        if isinstance(value, type) and issubclass(value, Optimizer) and value is not Optimizer
    }
    if name.lower() in of_torch:
        return Recipe("torch.optim", of_torch[name.lower()])
    known = {one.lower(): one for one in (*of_torch.values(), *OPTIMISERS)}
    near = get_close_matches(name.lower(), known, n=1)
    raise ConfigError(
        f"There is no optimiser {name}.",
        where="optimizer_type",
        expected=f"did you mean {known[near[0]]}?" if near else ", ".join(OPTIMISERS),
        remedy="Correct it; a class of a package is named with its module, like came_pytorch.CAME.",
    )


def is_from_known_package(name: str) -> bool:
    """Whether an optimiser is of torch.optim, or of a package that `OPTIMISERS` has one of; to look for any
    other is to run whatever code its name names.

    Raises:
        ConfigError: There is no optimiser of this name.
    """
    module = find_recipe(name).module
    modules = {recipe.module for recipe in _RECIPES.values()}
    packages = {one.split(".")[0] for one in modules} - _BROAD
    return module in modules or module.split(".")[0] in packages


def parse_arguments(texts: Sequence[str]) -> dict[str, Any]:
    """Arguments from texts `name=value`, in which a value is a Python literal.

    Raises:
        ConfigError: A text is no such pair, or names one twice.
    """
    values: dict[str, Any] = {}
    for text in texts:
        name, sign, literal = (part.strip() for part in text.partition("="))
        try:
            if not sign or not name.isidentifier() or name in values:
                raise ValueError
            values[name] = ast.literal_eval(literal)
        except (ValueError, SyntaxError) as error:
            raise ConfigError(
                "An argument of the optimiser cannot be read.",
                where="optimizer_args",
                got=repr(text),
                expected="each name once as name=value, with True, None, a number, 'text' or (0.9, 0.99)",
            ) from error
    return values


@dataclass(frozen=True)
class OptimiserChoice:
    """An optimiser and its arguments."""

    name: str = "AdamW"
    arguments: Mapping[str, Any] = field(default_factory=dict[str, Any])
    """Beside the learning rates."""


@dataclass(frozen=True)
class Built:
    """An optimiser, ready."""

    optimiser: Any
    """A `torch.optim.Optimizer`; what the optional ones add has no types."""
    sets_rates: bool = True
    """Whether the groups' rates are set from outside; False for Adafactor's relative steps."""
    notes: tuple[str, ...] = ()
    """What the user should know."""


def build_optimiser(
    choice: OptimiserChoice, groups: Sequence[dict[str, Any]], device: torch.device
) -> Built:
    """Makes an optimiser over groups of `params` and `lr`.

    Raises:
        ConfigError: The optimiser or one of its arguments does not exist, or cannot have its value.
        MissingPackageError: Its package cannot be imported, and nothing can be taken instead.
    """
    recipe = find_recipe(choice.name)
    notes: list[str] = []
    try:
        made = _class(recipe)
    except MissingPackageError as error:
        if not recipe.instead:
            raise
        notes.append(f"{choice.name}: {error.got}. Taken instead: {recipe.instead}, in full precision.")
        recipe = find_recipe(recipe.instead)
        made = _class(recipe)
    arguments = {**recipe.usual, **choice.arguments, **recipe.implied}
    known = _known_arguments(made)
    _check_arguments(choice, recipe, known)
    if device.type == "cuda" and _can_fuse(recipe, known) and not arguments.keys() & {"fused", "foreach"}:
        arguments["fused"] = True  # one kernel for a whole group
    relative = "relative_step" in known and bool(arguments.get("relative_step", True))
    rate = None if relative else max(group["lr"] for group in groups)
    plain = [{"params": group["params"]} if relative else group for group in groups]
    try:
        optimiser = made(plain, lr=rate, **arguments)
    except (TypeError, ValueError, AssertionError, RuntimeError) as error:
        raise ConfigError(
            f"The optimiser {choice.name} refuses its arguments.",
            where="optimizer_args",
            got=f"{error or 'an assertion failed'}; {arguments}",
        ) from error
    if recipe.schedule_free:
        optimiser.train()
    return Built(optimiser, not relative, tuple(notes))


def _can_fuse(recipe: Recipe, known: Mapping[str, inspect.Parameter]) -> bool:
    """Whether this torch has the optimiser in one kernel for CUDA; Adagrad's is for the CPU only."""
    return recipe.module == "torch.optim" and recipe.name in ("Adam", "AdamW", "SGD") and "fused" in known


def _class(recipe: Recipe) -> Any:
    try:
        return getattr(importlib.import_module(recipe.module), recipe.name)
    # a package may be there for another torch or CUDA: bitsandbytes raises what its loader meets
    except (ImportError, AttributeError, OSError, RuntimeError) as error:
        raise MissingPackageError(
            "The optimiser cannot be imported.",
            where="optimizer_type",
            got=str(error),
            expected=f"{recipe.module}.{recipe.name}",
            remedy=f"pip install {recipe.package}" if recipe.package else "Choose another one.",
        ) from error


def _known_arguments(made: Any) -> Mapping[str, inspect.Parameter]:
    return inspect.signature(made).parameters


def _check_arguments(
    choice: OptimiserChoice, recipe: Recipe, known: Mapping[str, inspect.Parameter]
) -> None:
    """Refuses arguments that the class does not have, or that its name or another option decides."""
    takes_any = any(one.kind is inspect.Parameter.VAR_KEYWORD for one in known.values())
    for name in choice.arguments:
        if name in ("lr", "params"):
            expected = "learning_rate, unet_learning_rate, te_learning_rate"
        elif name in recipe.implied:
            expected = f"nothing: {choice.name} is {name}={recipe.implied[name]}"
        elif name in known or takes_any:
            continue
        else:
            near = get_close_matches(name, known, n=1)
            others = [one for one in known if one not in ("params", "lr")]
            expected = f"did you mean {near[0]}?" if near else "one of " + ", ".join(others)
        raise ConfigError(
            f"The optimiser {choice.name} does not take the argument {name}.",
            where="optimizer_args",
            got=f"{name}={choice.arguments[name]!r}",
            expected=expected,
        )
