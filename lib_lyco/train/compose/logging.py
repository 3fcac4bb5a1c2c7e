"""Where a run's numbers are kept."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import toml

from lib_lyco.errors import ConfigError
from lib_lyco.train.config import TrainConfig
from lib_lyco.train.log import JsonLines, Log, TensorBoard, WeightsAndBiases, run_folder


def make_logs(config: TrainConfig, started_at: float, first_step: int) -> list[Log]:
    """The logs of a run.

    Args:
        config: What to do.
        started_at: When the run was first started; seconds since 1970.
        first_step: How many steps are done before it begins.

    Raises:
        ConfigError: A file named cannot be read.
        MissingPackageError: A package that is asked for is not installed.
    """
    root = Path(config.logging_dir) if config.logging_dir else Path(config.output) / "logs"
    folder = run_folder(root, config.log_prefix or f"{config.name}-", started_at)
    logs: list[Log] = [JsonLines(folder / "steps.jsonl", first_step)]
    if config.log_with in ("tensorboard", "all"):
        logs.append(TensorBoard(folder, first_step))
    if config.log_with in ("wandb", "all"):
        key = _text("wandb_key_file", config.wandb_key_file).strip()
        logs.append(WeightsAndBiases(folder, _wandb_settings(config), key))
    return logs


def _wandb_settings(config: TrainConfig) -> dict[str, Any]:
    named = {"project": config.log_tracker_name, "name": config.wandb_run_name or config.name}
    try:
        given: Any = toml.loads(_text("log_tracker_config", config.log_tracker_config)).get("wandb", {})
    except toml.TomlDecodeError as error:
        raise ConfigError(
            "A file cannot be read.", where="log_tracker_config", got=str(error), expected="TOML"
        ) from error
    return {**named, **given}


def _text(option: str, path: str) -> str:
    try:
        return Path(path).read_text(encoding="utf-8-sig") if path else ""
    except (OSError, UnicodeDecodeError) as error:
        raise ConfigError("A file cannot be read.", where=option, got=str(error)) from error
