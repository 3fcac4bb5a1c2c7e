"""What is trained: the algorithm, its sizes and its layers."""

from __future__ import annotations

from dataclasses import dataclass

from lib_lyco.errors import ConfigError
from lib_lyco.train.option import option, wrong

ALGOS = ("lora", "locon", "loha", "lokr", "ia3", "dylora", "full", "glora", "diag-oft", "boft")


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

    def check_network(self) -> None:
        """Refuses values that contradict each other.

        Raises:
            ConfigError: `where` names the option.
        """
        if self.algo == "dylora":
            for name, rank in (("rank", self.rank), ("conv_rank", self.conv_rank_used)):
                if rank % self.block_size:
                    raise wrong("block_size", self.block_size, f"a divisor of {name}, {rank}")
        if self.factor == 0:
            raise wrong("factor", 0, "-1, or a number from 1")
        only: tuple[tuple[str, bool, tuple[str, ...]], ...] = (
            ("factor", self.factor != -1, ("lokr",)),
            ("decompose_both", self.decompose_both, ("lokr",)),
            ("constraint", self.constraint > 0, ("diag-oft", "boft")),
            ("tucker", self.tucker, ("lora", "locon", "loha", "lokr")),
            ("rs_lora", self.rs_lora, ("lora", "locon", "loha", "lokr", "glora")),
            ("dora", self.dora, ("lora", "locon", "loha", "lokr")),
        )
        for name, is_set, algos in only:
            if is_set and self.algo not in algos:
                raise ConfigError(
                    f"The option {name} has no effect on {self.algo}.",
                    where=name,
                    expected="an algo that uses it: " + ", ".join(algos),
                    remedy=f"Remove {name} or change algo.",
                )
        if self.algo == "ia3" and self.conv_rank:
            raise wrong("conv_rank", self.conv_rank, "nothing: IA3 trains keys, values and MLPs only")

    @property
    def conv_rank_used(self) -> int:
        """`conv_rank` with its default filled in."""
        if self.conv_rank is not None:
            return self.conv_rank
        return 0 if self.algo in ("lora", "ia3") else self.rank
