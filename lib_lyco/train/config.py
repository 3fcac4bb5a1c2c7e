"""`TrainConfig`: the one declaration of every training option.

Form, TOML, command-line flags and documentation derive from it. A config is checked when it is made,
so whoever holds one may rely on it; only `run` reads it, the parts of the machinery take values.
"""

from __future__ import annotations

import dataclasses
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from lib_lyco.errors import ConfigError
from lib_lyco.train.option import checked, declarations, option, unknown, wrong

ALGOS = ("lora", "locon", "loha", "lokr", "ia3", "dylora", "full", "glora", "diag-oft", "boft")
SCHEDULERS = ("constant", "constant_with_warmup", "cosine")
PRECISIONS = ("fp32", "bf16", "fp16")


@dataclass(frozen=True)
class TrainConfig:
    """All options of one training run.

    Raises:
        ConfigError: A value is of the wrong type, out of bounds, or contradicts another; `where`
            names the field.
    """

    # What to train on
    images: str = option(
        "",
        "data",
        "Folder of images: any folder, a folder 10_name, or a parent of such folders.",
        free=True,
    )
    repeats: int = option(
        10,
        "data",
        "How often an epoch shows each image of a folder without a number in front of its name.",
        low=1,
        free=True,
    )
    caption_extension: str = option(
        "",
        "data",
        "Extension of the caption files, like .txt; empty finds .txt and .caption by itself.",
        free=True,
    )
    resolution: tuple[int, int] = option(
        (512, 512),
        "data",
        "Width and height; their product is the largest area trained.",
        low=16,
        multiple_of=8,
    )
    batch_size: int = option(1, "data", "Images per micro-batch, all of one bucket.", low=1)
    buckets: bool = option(
        True, "data", "Group images by their shape; off crops all of them to the resolution."
    )
    bucket_min: int = option(
        256, "data", "Smallest side of a bucket, in pixels (not used without upscaling).", low=8
    )
    bucket_max: int = option(
        1024, "data", "Largest side of a bucket, in pixels (not used without upscaling).", low=8
    )
    bucket_step: int = option(64, "data", "Sides of buckets are multiples of this.", low=8, multiple_of=8)
    bucket_upscale: bool = option(
        True, "data", "Enlarge small images to their bucket; off crops them instead."
    )
    flip: bool = option(False, "data", "Mirror half of the images, drawn anew each time.")
    random_crop: bool = option(
        False, "data", "Crop at a random place instead of the centre; needs latent_cache off."
    )
    background: str = option("white", "data", "Colour behind transparent images: a name, or #rrggbb.")
    latent_cache: str = option(
        "memory",
        "data",
        "Keep encoded images in memory, on disk for later runs too, or not at all.",
        choices=("memory", "disk", "off"),
        free=True,
    )
    cache_folder: str = option(
        "",
        "data",
        "Where latent_cache = disk keeps its files; empty uses a folder inside the output folder.",
        free=True,
    )
    workers: int = option(
        0,
        "data",
        "Threads that prepare images ahead; 0 prepares them when needed.",
        low=0,
        high=64,
        free=True,
    )

    # What is trained
    base_model: str = option("", "network", "Checkpoint file of the base model.", free=True)
    algo: str = option("lora", "network", "The algorithm.", choices=ALGOS)
    rank: int = option(16, "network", "Inner dimension of each layer's adapter.", low=1, high=1024)
    alpha: float = option(
        8.0, "network", "The change is scaled by alpha / rank; 0 means alpha = rank.", low=0
    )
    conv_rank: int | None = option(
        None,
        "network",
        "Rank of 3x3 convolutions, 0 leaves them out; unset is 0 for lora, else the rank.",
        low=0,
        high=1024,
    )
    conv_alpha: float | None = option(
        None, "network", "Alpha of 3x3 convolutions; unset takes alpha.", low=0
    )
    factor: int = option(
        -1, "network", "LoKr: size of the smaller factor; -1 makes both about equal.", low=-1
    )
    decompose_both: bool = option(False, "network", "LoKr: split the smaller factor too.")
    block_size: int = option(4, "network", "DyLoRA: ranks trained together; must divide the rank.", low=1)
    constraint: float = option(
        0.0, "network", "Diag-OFT and BOFT: largest norm of the rotation; 0 is no limit.", low=0
    )
    tucker: bool = option(False, "network", "Split 3x3 convolutions once more (CP or Tucker form).")
    rs_lora: bool = option(False, "network", "Scale by alpha / sqrt(rank) (arXiv 2312.03732).")
    dora: bool = option(
        False, "network", "Train each weight's magnitude apart from its direction (arXiv 2402.09353)."
    )

    # How the loss is made
    clip_skip: int = option(
        1, "objective", "Which text-encoder layer from the last is used.", low=1, high=12
    )
    min_snr_gamma: float = option(
        0.0,
        "objective",
        "Damp low-noise timesteps (arXiv 2303.09556); 5 is usual, 0 is off.",
        low=0,
        high=20,
    )

    # How it is optimised
    epochs: int = option(10, "optimisation", "How often the whole data is seen.", low=1, free=True)
    max_steps: int | None = option(
        None, "optimisation", "Number of steps; overrides epochs.", low=1, free=True
    )
    learning_rate: float = option(
        1e-4, "optimisation", "Learning rate of every component without its own.", low=0
    )
    unet_learning_rate: float | None = option(
        None, "optimisation", "Learning rate of the UNet; 0 leaves it out.", low=0
    )
    te_learning_rate: float | None = option(
        None, "optimisation", "Learning rate of the text encoders; 0 leaves them out.", low=0
    )
    scheduler: str = option(
        "cosine", "optimisation", "How the learning rate changes over the steps.", choices=SCHEDULERS
    )
    warmup_steps: int = option(0, "optimisation", "Steps in which the learning rate rises from 0.", low=0)
    weight_decay: float = option(0.01, "optimisation", "AdamW's weight decay.", low=0)
    max_grad_norm: float = option(
        1.0, "optimisation", "Gradients longer than this are shortened to it; 0 is off.", low=0
    )
    accumulation: int = option(1, "optimisation", "Micro-batches per step.", low=1)
    precision: str = option(
        "fp32", "optimisation", "Compute dtype of the base model and the adapters.", choices=PRECISIONS
    )
    gradient_checkpointing: bool = option(
        False, "optimisation", "Less memory for more time; the result is the same.", free=True
    )
    seed: int = option(
        0, "optimisation", "Decides initial weights, order, noise and timesteps.", low=0, high=2**63 - 1
    )

    # What is written
    output: str = option("output", "saving", "Folder of the files written.", free=True)
    name: str = option("network", "saving", "File name without its extension.", free=True)
    save_every_epochs: int = option(
        0, "saving", "Save after every so many epochs; 0 saves at the end only.", low=0, free=True
    )
    save_every_steps: int = option(
        0, "saving", "Save after every so many steps; 0 is off.", low=0, free=True
    )
    save_precision: str = option(
        "fp16", "saving", "Dtype of the saved tensors.", choices=PRECISIONS, free=True
    )
    comment: str = option("", "saving", "Text kept in the file's metadata.", free=True)
    resume: str = option(
        "",
        "saving",
        "Go on from a state: its file, a folder (the newest of this name), or auto (the output folder's).",
        free=True,
    )
    keep_states: int = option(
        1,
        "saving",
        "Resume states kept, newest first, one written with every save; 0 writes none.",
        low=0,
        free=True,
    )

    def __post_init__(self) -> None:
        for declaration in declarations(type(self)):
            value = checked(declaration, getattr(self, declaration.name))
            object.__setattr__(self, declaration.name, value)
        _check_data(self)
        _check_network(self)
        _check_optimisation(self)

    @property
    def conv_rank_used(self) -> int:
        """`conv_rank` with its default filled in."""
        if self.conv_rank is not None:
            return self.conv_rank
        return 0 if self.algo in ("lora", "ia3") else self.rank

    def replaced(self, **values: Any) -> TrainConfig:
        """A copy with other values, checked as a whole.

        Raises:
            ConfigError: A name is unknown or a value cannot work.
        """
        _refuse_unknown(values)
        return dataclasses.replace(self, **values)


def make_config(values: Mapping[str, Any]) -> TrainConfig:
    """A config from plain values by option name; the rest keeps its default.

    Raises:
        ConfigError: A name is unknown (the nearest known one is told) or a value cannot work.
    """
    _refuse_unknown(values)
    return TrainConfig(**values)


def _refuse_unknown(values: Mapping[str, Any]) -> None:
    known = [declaration.name for declaration in declarations(TrainConfig)]
    for name in values:
        if name not in known:
            raise unknown(name, known)


def _check_data(config: TrainConfig) -> None:
    if config.buckets and config.bucket_upscale:
        shortest, longest = min(config.resolution), max(config.resolution)
        if shortest < config.bucket_min:
            raise wrong(
                "bucket_min", config.bucket_min, f"at most the resolution's shorter side, {shortest}"
            )
        if longest > config.bucket_max:
            raise wrong(
                "bucket_max", config.bucket_max, f"at least the resolution's longer side, {longest}"
            )
    if config.random_crop and config.latent_cache != "off":
        raise wrong(
            "latent_cache",
            config.latent_cache,
            "off, because random_crop is on",
            "Switch one of the two off.",
        )
    if config.caption_extension and not config.caption_extension.startswith("."):
        raise wrong("caption_extension", config.caption_extension, "an extension with its dot, like .txt")


def _check_network(config: TrainConfig) -> None:
    if config.algo == "dylora":
        for name, rank in (("rank", config.rank), ("conv_rank", config.conv_rank_used)):
            if rank % config.block_size:
                raise wrong("block_size", config.block_size, f"a divisor of {name}, {rank}")
    if config.factor == 0:
        raise wrong("factor", 0, "-1, or a number from 1")
    only: tuple[tuple[str, bool, tuple[str, ...]], ...] = (
        ("factor", config.factor != -1, ("lokr",)),
        ("decompose_both", config.decompose_both, ("lokr",)),
        ("constraint", config.constraint > 0, ("diag-oft", "boft")),
        ("tucker", config.tucker, ("lora", "locon", "loha", "lokr")),
        ("rs_lora", config.rs_lora, ("lora", "locon", "loha", "lokr", "glora")),
        ("dora", config.dora, ("lora", "locon", "loha", "lokr")),
    )
    for name, is_set, algos in only:
        if is_set and config.algo not in algos:
            raise ConfigError(
                f"The option {name} has no effect on {config.algo}.",
                where=name,
                expected="an algo that uses it: " + ", ".join(algos),
                remedy=f"Remove {name} or change algo.",
            )
    if config.algo == "ia3" and config.conv_rank:
        raise wrong("conv_rank", config.conv_rank, "nothing: IA3 trains keys, values and MLPs only")


def _check_optimisation(config: TrainConfig) -> None:
    rates = (config.unet_learning_rate, config.te_learning_rate)
    if all((config.learning_rate if rate is None else rate) == 0 for rate in rates):
        raise wrong("learning_rate", 0.0, "more than 0 for the UNet or the text encoders")
    if config.scheduler == "constant" and config.warmup_steps:
        raise wrong(
            "warmup_steps", config.warmup_steps, "0 with scheduler constant", "Use constant_with_warmup."
        )
    if not config.name or any(sign in config.name for sign in '/\\:*?"<>|\0'):
        raise wrong("name", config.name, "a file name without folders")
