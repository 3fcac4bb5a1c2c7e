"""Pictures drawn while the network is trained."""

from __future__ import annotations

from dataclasses import dataclass

from lib_lyco.train.option import option, wrong


@dataclass(frozen=True)
class PreviewOptions:
    """Pictures drawn while the network is trained."""

    sample_prompts: str = option(
        "",
        "previews",
        "File of prompts in kohya's syntax (.txt, .toml, .json); it may be edited while the run goes.",
        free=True,
    )
    sample_every_n_steps: int = option(
        0, "previews", "Draw the sample prompts after every so many steps; 0 is off.", low=0, free=True
    )
    sample_every_n_epochs: int = option(
        0,
        "previews",
        "Draw them after every so many epochs; overrides sample_every_n_steps.",
        low=0,
        free=True,
    )
    sample_at_first: bool = option(False, "previews", "Draw them before the first step too.", free=True)
    sample_sampler: str = option(
        "Euler a", "previews", "Sampler, by its name in the WebUI or kohya's (euler_a).", free=True
    )
    sample_without_network: bool = option(
        False, "previews", "Draw each picture without the network too, to compare.", free=True
    )

    def check_previews(self) -> None:
        """Refuses values that contradict each other.

        Raises:
            ConfigError: `where` names the option.
        """
        if self.sample_prompts:
            return
        for name in ("sample_every_n_steps", "sample_every_n_epochs", "sample_at_first"):
            if getattr(self, name):
                raise wrong(name, getattr(self, name), "nothing without sample_prompts", "Name a file.")
