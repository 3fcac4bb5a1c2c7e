"""Where the embedded model lies, and how it is meant to be sampled."""

from pathlib import Path

SIZE = 64
STEPS = 20
GUIDANCE = 3.0
SAMPLER = "DDIM"


def checkpoint() -> Path:
    """The embedded model's safetensors file.

    Raises:
        FileNotFoundError: the installation lacks the file.
    """
    path = Path(__file__).parent / "embedded.safetensors"
    if not path.is_file():
        raise FileNotFoundError(
            f"embedded model {path} is missing; reinstall, or train it: see MODEL_CARD.md"
        )
    return path


def config() -> Path:
    """The .yaml of the embedded model, as in ldm."""
    return Path(__file__).with_name("embedded.yaml")
