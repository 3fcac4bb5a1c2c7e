"""Which device a command computes on."""

from __future__ import annotations

import argparse

import torch

from lib_lyco.errors import ConfigError


def add_device_flag(parser: argparse.ArgumentParser) -> None:
    """Adds `--device`."""
    parser.add_argument("--device", default="", help="cpu, cuda, cuda:1, mps; default: the best there is")


def pick_device(wanted: str) -> torch.device:
    """The device named, or the best there is for an empty name.

    Raises:
        ConfigError: There is no such device.
    """
    if not wanted:
        return torch.device("cuda" if torch.cuda.is_available() else "cpu")
    try:
        return torch.empty(0, device=wanted).device
    except (RuntimeError, AssertionError) as error:  # torch without CUDA asserts
        reason = str(error).splitlines()[0]
        raise ConfigError(
            "The device cannot be used.",
            where="--device",
            got=f"{wanted}: {reason}",
            remedy="Name another device, or leave the flag out.",
        ) from error
