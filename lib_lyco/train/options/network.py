"""What is trained: the algorithm, its sizes and its layers."""

from __future__ import annotations

import re
from dataclasses import dataclass

from lib_lyco.errors import ConfigError
from lib_lyco.train.blocks import BlockWeights
from lib_lyco.train.option import option, wrong

ALGOS = ("lora", "locon", "loha", "lokr", "ia3", "dylora", "tlora", "full", "glora", "diag-oft", "boft")
SINGULAR_VECTORS = ("principal", "last", "middle")
PRESETS = (
    "full",
    "full-lin",
    "attn-mlp",
    "attn-only",
    "unet-only",
    "unet-transformer-only",
    "unet-convblock-only",
    "ia3",
)
"""lycoris' words for sets of layers."""
_LOW_RANK = ("lora", "locon")
_FACTORED = ("lora", "locon", "loha", "lokr")
USED_BY: dict[str, tuple[str, ...]] = {
    # the algorithms on which an option has an effect; options that are not here act on all
    "alpha": (*_FACTORED, "glora", "dylora", "tlora"),
    "factor": ("lokr",),
    "decompose_both": ("lokr",),
    "full_matrix": ("lokr",),
    "unbalanced_factorization": ("lokr",),
    "block_size": ("dylora",),
    "min_rank": ("tlora",),
    "rank_exponent": ("tlora",),
    "sig_type": ("tlora",),
    "use_data_init": ("tlora",),
    "constraint": ("diag-oft", "boft"),
    "rescaled": ("diag-oft", "boft"),
    "tucker": _FACTORED,
    "rs_lora": (*_FACTORED, "glora"),
    "dora": _FACTORED,
    "wd_on_output": _FACTORED,
    "use_scalar": (*_FACTORED, "glora"),
    "train_on_input": ("ia3",),
    "dropout": (*_LOW_RANK, "tlora"),
    "rank_dropout": (*_FACTORED, "tlora", "full", "glora", "diag-oft", "boft"),
    # lycoris' of GLoRA adds the bias twice, those of the rotations turn it
    "bypass_mode": _FACTORED,
}


@dataclass(frozen=True)
class NetworkOptions:
    """What is trained: the algorithm, its sizes and its layers."""

    algo: str = option("lora", "network", "The algorithm.", choices=ALGOS)
    rank: int = option(16, "network", "Inner dimension of each layer's adapter.", low=1, high=1024)
    alpha: float = option(
        8.0, "network", "The change is scaled by alpha / rank; 0 means alpha = rank.", low=0
    )
    conv_rank: int | None = option(
        None,
        "network",
        "Rank of 3x3 convolutions, 0 leaves them out; unset is 0 for lora and tlora without a preset, else "
        "the rank.",
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
    full_matrix: bool = option(False, "network", "LoKr: split neither factor, whatever the rank.")
    unbalanced_factorization: bool = option(
        False, "network", "LoKr: the larger part of the output goes to the first factor."
    )
    block_size: int = option(
        4, "network", "DyLoRA: ranks trained together (unit); must divide the rank.", low=1
    )
    min_rank: int = option(
        1,
        "network",
        "T-LoRA: ranks that learn where there is nothing but noise; where there is none, all do.",
        low=1,
    )
    rank_exponent: float = option(
        1.0,
        "network",
        "T-LoRA: 1 takes ranks away evenly as noise grows, a larger number earlier, a smaller one later.",
        low=0,
        high=100,
    )
    sig_type: str = option(
        "principal",
        "network",
        "T-LoRA: the singular vectors it starts from: of the largest values, the smallest, or between.",
        choices=SINGULAR_VECTORS,
    )
    use_data_init: bool = option(
        True,
        "network",
        "T-LoRA: they are each weight's own; false is a random matrix', with last as in the paper.",
    )
    constraint: float = option(
        0.0, "network", "Diag-OFT and BOFT: largest norm of the rotation; 0 is no limit.", low=0
    )
    rescaled: bool = option(False, "network", "Diag-OFT and BOFT: train a factor for each output too.")
    tucker: bool = option(False, "network", "Split 3x3 convolutions once more (CP or Tucker form).")
    rs_lora: bool = option(False, "network", "Scale by alpha / sqrt(rank) (arXiv 2312.03732).")
    use_scalar: bool = option(
        False, "network", "A trained factor, from 0, in place of a factor matrix that starts at 0."
    )
    dora: bool = option(
        False, "network", "Train each weight's magnitude apart from its direction (arXiv 2402.09353)."
    )
    wd_on_output: bool = option(
        True,
        "network",
        "DoRA: a magnitude for each output; false is one for each input, as the WebUI's own Lora expects.",
    )
    train_norm: bool = option(False, "network", "Train the norms beside the chosen layers too.")
    dropout: float = option(
        0.0, "network", "LoRA: share of the values between down and up that a step drops.", low=0, high=0.99
    )
    rank_dropout: float = option(
        0.0,
        "network",
        "Share of the ranks that each image of a step drops (of the outputs, where an algorithm has no "
        "ranks in its forward pass); what is left is divided by the share that is.",
        low=0,
        high=0.99,
    )
    module_dropout: float = option(
        0.0, "network", "Share of the layers whose change a step leaves out.", low=0, high=0.99
    )
    block_dims: tuple[int, ...] = option(
        (), "network", "Rank of each UNet block, 25 (SDXL 23), 0 leaves it out; empty takes rank.", low=0
    )
    block_alphas: tuple[float, ...] = option(
        (), "network", "Alpha of each UNet block; empty takes alpha.", low=0
    )
    conv_block_dims: tuple[int, ...] = option(
        (), "network", "Rank of each UNet block's 3x3 convolutions; empty takes conv_rank.", low=0
    )
    conv_block_alphas: tuple[float, ...] = option(
        (), "network", "Alpha of each UNet block's 3x3 convolutions; empty takes conv_alpha.", low=0
    )
    down_lr_weight: str = option(
        "",
        "network",
        "Learning rates of the UNet's 12 input blocks (SDXL 9) as multiples: numbers with commas, or sine, "
        "cosine, linear, reverse_linear or zeros, with +number to raise it; a blank is 0, the rest is 1.",
    )
    mid_lr_weight: str = option("", "network", "The same for the middle block (SDXL: its 3 layers).")
    up_lr_weight: str = option("", "network", "The same for the 12 output blocks (SDXL 9).")
    blocks_lr_zero_threshold: float = option(
        0.0, "network", "A block whose learning rate weight is this or less gets no adapters.", low=0
    )
    preset: str = option(
        "",
        "network",
        "Layers by lycoris' preset (" + ", ".join(PRESETS) + ") or a TOML file of one; "
        "empty is kohya's choice, for ia3 its own.",
    )
    include_layers: tuple[str, ...] = option(
        (),
        "network",
        "Only layers in whose name (unet.down_blocks.0... or unet.input_blocks.1...) one of these regular "
        "expressions is found.",
    )
    exclude_layers: tuple[str, ...] = option(
        (), "network", "No layers in whose name one of these regular expressions is found."
    )
    network_weights: str = option(
        "", "network", "A network file whose training goes on; it is not written to.", free=True
    )
    dim_from_weights: bool = option(
        False, "network", "Layers, ranks and alphas are those of network_weights."
    )
    base_weights: tuple[str, ...] = option(
        (),
        "network",
        "Network files that are merged into the base model while this one is trained.",
        free=True,
    )
    base_weights_multiplier: tuple[float, ...] = option(
        (), "network", "The strength of each of base_weights; missing ones are 1."
    )
    layer_math: str = option(
        "own",
        "network",
        "Who computes a layer's passes: own, cheaper forms with equal results, or lycoris.",
        choices=("own", "lycoris"),
        free=True,
    )
    bypass_mode: bool = option(
        False, "network", "With layer_math lycoris: it computes from the input, without the changed weight."
    )

    def check_network(self) -> None:
        """Refuses values that contradict each other, and those without effect.

        Raises:
            ConfigError: `where` names the option.
        """
        if self.algo == "dylora":
            for name, rank in (("rank", self.rank), ("conv_rank", self.conv_rank_used)):
                if rank % self.block_size:
                    raise wrong("block_size", self.block_size, f"a divisor of {name}, {rank}")
        if self.algo == "tlora" and self.min_rank > self.rank:
            raise wrong("min_rank", self.min_rank, f"at most rank, {self.rank}")
        if self.factor == 0:
            raise wrong("factor", 0, "-1, or a number from 1")
        self._refuse_unused()
        self._refuse_lonely()
        for name in ("include_layers", "exclude_layers"):
            for pattern in getattr(self, name):
                try:
                    re.compile(pattern)
                except re.error as error:
                    raise wrong(name, pattern, f"a regular expression ({error})") from error
        block_weights = self.block_weights
        for family in ("sd1", "sdxl"):
            # which family it is shows later; what is wrong for both is wrong now
            try:
                block_weights.by_block(family)
                break
            except ConfigError:
                if family == "sdxl":
                    raise

    def _refuse_unused(self) -> None:
        for name in ("factor", "decompose_both", "full_matrix", "unbalanced_factorization", "block_size"):
            self._demand_used(name)
        for name in ("min_rank", "rank_exponent", "sig_type", "use_data_init"):
            self._demand_used(name)
        for name in ("constraint", "rescaled", "tucker", "rs_lora", "use_scalar", "dora"):
            self._demand_used(name)
        for name in ("wd_on_output", "dropout", "rank_dropout", "bypass_mode"):
            self._demand_used(name)
        if self.algo == "ia3" and self.conv_rank:
            raise wrong("conv_rank", self.conv_rank, "nothing: IA3 trains keys, values and MLPs only")

    def _demand_used(self, name: str) -> None:
        default = type(self).__dataclass_fields__[name].default
        if getattr(self, name) != default and self.algo not in USED_BY[name] and not self._mixes_algos:
            raise unused(name, self.algo)

    @property
    def _mixes_algos(self) -> bool:
        """Whether a preset file may give layers another algorithm, which may use the option."""
        return bool(self.preset) and self.preset not in PRESETS

    def _refuse_lonely(self) -> None:
        drops = self.dropout > 0 or self.rank_dropout > 0
        lonely: tuple[tuple[str, bool, str], ...] = (
            ("wd_on_output", not self.wd_on_output and not self.dora, "dora"),
            ("dropout", self.dropout > 0 and self.dora, "no dora, which has no values between down and up"),
            ("dim_from_weights", self.dim_from_weights and not self.network_weights, "network_weights"),
            (
                "base_weights_multiplier",
                len(self.base_weights_multiplier) > len(self.base_weights),
                "at most one for each of base_weights",
            ),
            (
                "blocks_lr_zero_threshold",
                self.blocks_lr_zero_threshold > 0 and not self.block_weights,
                "down_lr_weight, mid_lr_weight or up_lr_weight",
            ),
            ("bypass_mode", self.bypass_mode and self.layer_math != "lycoris", "layer_math lycoris"),
            ("bypass_mode", self.bypass_mode and self.dora, "no dora, which needs the changed weight"),
            (
                "layer_math",
                self.layer_math == "lycoris" and self.algo in USED_BY["dropout"] and drops,
                "own for dropout and rank_dropout: lycoris draws them from a global generator",
            ),
            (
                "dim_from_weights",
                self.dim_from_weights and bool(self.block_dims or self.conv_block_dims),
                "no block_dims: the file has the ranks",
            ),
        )
        for name, is_lonely, expected in lonely:
            if is_lonely:
                raise wrong(name, getattr(self, name), expected, f"Set that, or remove {name}.")

    @property
    def conv_rank_used(self) -> int:
        """`conv_rank` with its default filled in."""
        if self.conv_rank is not None:
            return self.conv_rank
        left_out = self.algo == "ia3" or (self.algo in ("lora", "tlora") and not self.preset)
        return 0 if left_out else self.rank

    @property
    def block_weights(self) -> BlockWeights:
        """What the learning rates of UNet blocks are multiplied by."""
        return BlockWeights(
            self.down_lr_weight, self.mid_lr_weight, self.up_lr_weight, self.blocks_lr_zero_threshold
        )


def unused(name: str, algo: str) -> ConfigError:
    """The error for an option that means nothing to an algorithm."""
    return ConfigError(
        f"The option {name} has no effect on {algo}.",
        where=name,
        expected="an algo that uses it: " + ", ".join(USED_BY[name]),
        remedy=f"Remove {name} or change algo.",
    )
