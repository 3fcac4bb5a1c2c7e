"""Installs what training lacks. The WebUI runs this file in a process of its own at every start.

Applying needs none of it. Nothing that the WebUI pins is touched: packages go in without their own
requirements, and a version that somebody else installed stays, unless this torch cannot import it.
Without a network, or with any other trouble, one line says so and the start goes on.
"""

from __future__ import annotations

import os
import sys
from importlib.util import find_spec

LYCORIS = (((2, 7), "4.1.3"), ((0, 0), "4.0.0"))
"""From this torch on -> the newest lycoris-lora that imports there; 4.1 needs what 2.6 lacks."""

PATIENCE_S = 300
"""How long one installation may take before the start goes on without it."""


def wanted(torch: str | None, lycoris: str | None, *, has_lycoris: bool, has_toml: bool) -> list[str]:
    """What to hand to pip.

    Args:
        torch: Its version; None where there is none: then nothing could train anyway.
        lycoris: The version of lycoris-lora; None where it is not known.
        has_lycoris: Whether `lycoris` is there to be imported.
        has_toml: The same of `toml`, which lycoris imports.
    """
    missing: list[str] = []
    if torch is not None:
        newest = next(version for since, version in LYCORIS if _numbers(torch) >= since)
        too_new = lycoris is not None and _numbers(lycoris) > _numbers(newest)
        if not has_lycoris or (too_new and newest != LYCORIS[0][1]):
            missing.append(f"lycoris-lora=={newest}")
    if not has_toml:
        missing.append("toml")
    return missing


def torch_version(folder: str | None) -> str | None:
    """torch's version from the text of its package: importing it would take seconds."""
    if folder is None:
        return None
    try:
        with open(os.path.join(folder, "version.py"), encoding="utf-8") as file:
            said = next((line for line in file if line.startswith("__version__")), "")
    except OSError:
        return None
    return said.partition("=")[2].strip().strip("'\"") or None


def lycoris_version(folder: str | None) -> str | None:
    """lycoris-lora's version from the folder beside the package: `importlib.metadata` takes 40 ms."""
    if folder is None:
        return None
    prefix, suffix = "lycoris_lora-", ".dist-info"
    names = [name for name in os.listdir(os.path.dirname(folder)) if name.startswith(prefix)]
    versions = [name[len(prefix) : -len(suffix)] for name in names if name.endswith(suffix)]
    return versions[0] if versions else None


def install(requirement: str) -> str:
    """Installs one package; returns the line that says how it went."""
    import subprocess

    command = [sys.executable, "-m", "pip", "install", "--no-deps", "--prefer-binary"]
    command += ["--disable-pip-version-check", "--no-input", "--retries", "1", "--timeout", "15"]
    index = os.environ.get("INDEX_URL", "")
    command += ["--index-url", index, requirement] if index else [requirement]
    try:
        run = subprocess.run(
            command, capture_output=True, text=True, errors="replace", timeout=PATIENCE_S, check=False
        )
    except (OSError, subprocess.SubprocessError) as error:
        return _failed(requirement, str(error))
    if run.returncode:
        return _failed(requirement, (run.stderr.strip() or run.stdout.strip()).rpartition("\n")[2])
    return f"lyco: installed {requirement}"


def main() -> None:
    """Installs what is missing and says so; silent where nothing is."""
    torch, lycoris = _folder("torch"), _folder("lycoris")
    missing = wanted(
        torch_version(torch),
        lycoris_version(lycoris),
        has_lycoris=lycoris is not None,
        has_toml=find_spec("toml") is not None,
    )
    for requirement in missing:
        sys.stdout.write(f"{install(requirement)}\n")


def _folder(package: str) -> str | None:
    spec = find_spec(package)
    return os.path.dirname(spec.origin) if spec is not None and spec.origin else None


def _numbers(version: str) -> tuple[int, ...]:
    """The leading numbers of a version: `2.1.2+cu121` is (2, 1, 2)."""
    numbers: list[int] = []
    for part in version.partition("+")[0].split("."):
        digits = part[: len(part) - len(part.lstrip("0123456789"))]
        if not digits:
            break
        numbers.append(int(digits))
    return tuple(numbers)


def _failed(requirement: str, reason: str) -> str:
    return (
        f"lyco: {requirement} could not be installed ({reason}). Networks work without it; to train, run:"
        f" {sys.executable} -m pip install --no-deps {requirement}"
    )


if __name__ == "__main__":
    main()
