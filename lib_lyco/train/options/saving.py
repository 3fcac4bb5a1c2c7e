"""What is written, and when."""

from __future__ import annotations

from dataclasses import dataclass

from lib_lyco.train.option import option, wrong
from lib_lyco.train.precision import PRECISIONS


@dataclass(frozen=True)
class SavingOptions:
    """What is written, and when."""

    output: str = option("output", "saving", "Folder of the files written.", free=True)
    name: str = option("network", "saving", "File name without its extension.", free=True)
    overwrite: bool = option(
        False, "saving", "Let a new run replace files of its name that are there already.", free=True
    )
    save_every_n_epochs: int = option(
        0, "saving", "Save after every so many epochs; 0 saves at the end only.", low=0, free=True
    )
    save_every_n_steps: int = option(
        0, "saving", "Save after every so many steps; 0 is off.", low=0, free=True
    )
    save_n_epoch_ratio: int | None = option(
        None,
        "saving",
        "Save at least so many files, evenly over the epochs; overrides save_every_n_epochs.",
        low=1,
        free=True,
    )
    save_last_n_epochs: int | None = option(
        None, "saving", "Keep only so many of the files saved by epochs.", low=1, free=True
    )
    save_last_n_steps: int | None = option(
        None,
        "saving",
        "Keep files saved by steps for so many steps: every 100, keep 300, step 500 removes that of 100.",
        low=1,
        free=True,
    )
    save_precision: str = option(
        "fp16", "saving", "Dtype of the saved tensors.", choices=PRECISIONS, free=True
    )
    resume: str = option(
        "",
        "saving",
        "Go on from a state: its file, a folder (the newest of this name), or auto (the output folder's).",
        free=True,
    )
    keep_states: int = option(
        1,
        "saving",
        "Resume states kept, newest first, one written with every save; 0 writes none.",
        low=0,
        free=True,
    )
    save_state: bool = option(
        False, "saving", "Keep the state of every save, not only the newest keep_states.", free=True
    )
    save_state_on_train_end: bool = option(
        False, "saving", "Write a state at the end, also where keep_states is 0.", free=True
    )
    save_last_n_epochs_state: int | None = option(
        None,
        "saving",
        "With save_state: keep the states of so many saves by epochs; unset is save_last_n_epochs.",
        low=1,
        free=True,
    )
    save_last_n_steps_state: int | None = option(
        None,
        "saving",
        "With save_state: keep states of saves by steps for so many steps; unset is save_last_n_steps.",
        low=1,
        free=True,
    )
    ema_decay: float = option(
        0.0,
        "saving",
        "Average the weights over the steps (EMA): what the old average counts, like 0.999; 0 is off.",
        low=0,
        high=0.999999,
    )
    ema_file: str = option(
        "beside",
        "saving",
        "Write the averaged weights beside the last ones, under the name with -ema, or instead of them.",
        choices=("beside", "instead"),
        free=True,
    )

    def check_saving(self) -> None:
        """Refuses values that contradict each other.

        Raises:
            ConfigError: `where` names the option.
        """
        if not self.name or any(sign in self.name for sign in '/\\:*?"<>|\0'):
            raise wrong("name", self.name, "a file name without folders")
        by_epochs = self.save_every_n_epochs > 0 or self.save_n_epoch_ratio is not None
        pairs = (
            ("save_last_n_epochs", by_epochs, "save_every_n_epochs"),
            ("save_last_n_steps", self.save_every_n_steps > 0, "save_every_n_steps"),
            ("save_last_n_epochs_state", by_epochs and self.save_state, "save_state, save_every_n_epochs"),
            (
                "save_last_n_steps_state",
                self.save_every_n_steps > 0 and self.save_state,
                "save_state, save_every_n_steps",
            ),
        )
        for name, has_effect, needed in pairs:
            if getattr(self, name) is not None and not has_effect:
                raise wrong(name, getattr(self, name), f"nothing without {needed}", f"Set {needed} too.")
        if self.ema_file != "beside" and self.ema_decay == 0:
            raise wrong("ema_file", self.ema_file, "nothing without ema_decay", "Set ema_decay too.")
