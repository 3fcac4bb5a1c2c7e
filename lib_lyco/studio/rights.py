"""Who may train, and in which folders, where the page can be reached from elsewhere.

Whoever reaches the page of a program that only listens to its own machine is its user, and may name any
folder. Else runs read and write only below the folders that the user has named when starting the program,
and only a user who has logged in may train, or one at the machine itself.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, cast

from lib_lyco.errors import ConfigError, UnsafeFileError
from lib_lyco.train.compose.data import plan_run
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.data.dataset_config import read_dataset_config
from lib_lyco.train.optimisers import is_from_known_package
from lib_lyco.train.options.network import PRESETS
from lib_lyco.train.state import AUTO
from lib_lyco.web.route import Answer, Ask, Content, Route

PATHS = (
    "base_model",
    "vae",
    "images",
    "reg_images",
    "metadata_file",
    "dataset_config",
    "mask_folder",
    "validation_images",
    "cache_folder",
    "preset",
    "network_weights",
    "base_weights",
    "sample_prompts",
    "output",
    "resume",
    "logging_dir",
    "log_tracker_config",
    "wandb_key_file",
)
"""Options that name files or folders."""
_NO_PATHS = {"preset": frozenset(PRESETS), "resume": frozenset((AUTO,))}
"""Words of such options that are none."""


@dataclass(frozen=True)
class Rights:
    """What requests may do.

    Args:
        roots: The folders that may be read and written, with all below them; None where only this machine
            can reach the page, and everything may.
        login: Whether the page is seen only by who has logged in.
        trusts_machine: Whether a request from this machine is one of its user's; not where a tunnel
            (`--share`) ends here.
    """

    roots: tuple[Path, ...] | None = None
    login: bool = False
    trusts_machine: bool = True

    def refusal(self, is_local: bool) -> str:
        """Why a request may not train; or "".

        Args:
            is_local: Whether it comes from this machine.
        """
        if self.roots is None or self.login or (is_local and self.trusts_machine):
            return ""
        return (
            "This page can be reached from elsewhere. To train, start the program with a login "
            "(--gradio-auth), or open the page on the machine itself."
        )

    def demand_path(self, path: str | Path, option: str = "") -> Path:
        """The path, with links followed; relative ones are below the working folder.

        Raises:
            UnsafeFileError: It leads out of the folders that may be used.
        """
        found = Path(path).expanduser().resolve()
        if self.roots is None or any(found.is_relative_to(root.resolve()) for root in self.roots):
            return found
        raise UnsafeFileError(
            "This folder may not be used from a page that can be reached from elsewhere",
            where=option,
            got=str(path),
            expected=f"a path below {', '.join(str(root) for root in self.roots)}",
            remedy="Name it with --lyco-train-dir when starting the program.",
        )

    def demand_paths(self, config: TrainConfig, bases: Iterable[str] = ()) -> None:
        """Demands that a run reads and writes only where it may.

        Args:
            config: The run's options.
            bases: Names of base models that are offered, wherever they lie.

        Raises:
            UnsafeFileError: It would not, or its optimiser is any code of this machine's.
            ConfigError: Its images or its optimiser cannot be found.
        """
        if self.roots is None:
            return
        if not is_from_known_package(config.optimizer_type):
            raise UnsafeFileError(
                "This optimiser may not be used from a page that can be reached from elsewhere",
                where="optimizer_type",
                got=config.optimizer_type,
                expected="one of the list, of torch.optim, or of a package that the list names",
            )
        offered = set(bases)
        self._demand({name: getattr(config, name) for name in PATHS}, offered)
        if config.dataset_config:
            for table in read_dataset_config(Path(config.dataset_config)):
                for part in (table, *table.subsets):
                    self._demand(part.values, offered)
        for record in plan_run(config).records:
            self.demand_path(record.path, "images")

    def _demand(self, values: Mapping[str, Any], offered: Iterable[str]) -> None:
        for name in PATHS:
            value = values.get(name, "")
            for path in cast("Sequence[str]", value if isinstance(value, list | tuple) else (value,)):
                if path and path not in _NO_PATHS.get(name, ()) and path not in offered:
                    self.demand_path(path, name)


def guarded(routes: Sequence[Route], rights: Rights) -> list[Route]:
    """The routes, where whoever may not train may look, and do nothing."""
    return [
        replace(route, answer=_guard(route.answer, rights)) if route.method == "POST" else route
        for route in routes
    ]


def _guard(answer: Answer, rights: Rights) -> Answer:
    def guarded_answer(ask: Ask) -> Mapping[str, Any] | Content:
        refusal = rights.refusal(ask.is_local)
        if refusal:
            raise ConfigError(refusal)
        return answer(ask)

    return guarded_answer
