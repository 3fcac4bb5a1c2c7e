"""Where a run's numbers are kept."""

from __future__ import annotations

from dataclasses import dataclass

from lib_lyco.train.option import option, wrong


@dataclass(frozen=True)
class LoggingOptions:
    """Where a run's numbers are kept."""

    logging_dir: str = option(
        "",
        "logging",
        "Folder of logs, in which each run has one named by its start in UTC; empty is logs in the output "
        "folder. Our own log, steps.jsonl, is always written.",
        free=True,
    )
    log_prefix: str = option(
        "", "logging", "In front of that name; empty is the name of the network.", free=True
    )
    log_with: str = option(
        "none",
        "logging",
        "Log with another program too.",
        choices=("none", "tensorboard", "wandb", "all"),
        free=True,
    )
    log_tracker_name: str = option("network_train", "logging", "Project at Weights & Biases.", free=True)
    log_tracker_config: str = option(
        "", "logging", "TOML file with a table [wandb] of arguments for wandb.init.", free=True
    )
    wandb_run_name: str = option(
        "", "logging", "Name of the run at Weights & Biases; empty is the name of the network.", free=True
    )
    wandb_key_file: str = option(
        "", "logging", "File with the key for Weights & Biases; else WANDB_API_KEY or its login.", free=True
    )

    def check_logging(self) -> None:
        """Refuses values that have no effect.

        Raises:
            ConfigError: `where` names the option.
        """
        if self.log_with in ("wandb", "all"):
            return
        for name in ("log_tracker_config", "wandb_run_name", "wandb_key_file"):
            if getattr(self, name):
                raise wrong(name, getattr(self, name), "nothing without log_with wandb or all")
