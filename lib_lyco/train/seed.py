"""Generators derived from what they are for, so that no draw depends on another.

A sample's noise is a function of the run's seed, the epoch, the image and its repeat: it stays the
same with any number of workers, any batch size, and after a resume.
"""

from __future__ import annotations

import hashlib

import torch


def derived_seed(*parts: int | str) -> int:
    """A 63-bit seed that is a function of `parts`, equal on every platform and Python."""
    text = "\0".join(f"{type(part).__name__}:{part}" for part in parts)
    return int.from_bytes(hashlib.blake2b(text.encode(), digest_size=8).digest(), "big") >> 1


def derived_generator(*parts: int | str) -> torch.Generator:
    """A CPU generator for one purpose, named by `parts`."""
    return torch.Generator().manual_seed(derived_seed(*parts))
