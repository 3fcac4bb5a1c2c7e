"""``python -m lib_lyco.demo.pretrain --folder X [--minutes N]``: train, or continue where it stopped."""

import argparse
import logging
import time
from pathlib import Path

from lib_lyco.demo.pretrain.autoencoder import SCALE, Vae, encode_all, train_vae
from lib_lyco.demo.pretrain.data import PHOTOGRAPHS, Pictures, training_pictures
from lib_lyco.demo.pretrain.denoiser import Examples, Trainer, train_denoiser
from lib_lyco.demo.pretrain.refine import refine_decoder
from lib_lyco.demo.pretrain.state import load_state, save_state
from lib_lyco.demo.pretrain.tokens import tokenise
from lib_lyco.demo.weights import checkpoint_weights, facts, write_checkpoint

STEPS = 5_500


def examples_of(pictures: Pictures, vae: Vae, folder: Path) -> Examples:
    """Latents and tokens of the training set, from the folder if they were made before."""
    file = folder / "examples.pt"
    if not file.exists():
        latents = encode_all(vae, pictures.pixels) * SCALE
        save_state(file, {"latents": latents, "tokens": tokenise([*pictures.captions, ""])})
    state = load_state(file)
    return Examples(state["latents"], state["tokens"])


def main() -> int:
    """Runs the stages in order; 0 when all are finished, 3 when time ran out first."""
    parser = argparse.ArgumentParser(description="Trains the embedded model from nothing, in pieces.")
    parser.add_argument("--folder", type=Path, required=True, help="where pictures and states are kept")
    parser.add_argument(
        "--minutes", type=float, default=1e6, help="stop after this long and keep everything"
    )
    parser.add_argument("--steps", type=int, default=STEPS, help="length of the denoiser's stage")
    parser.add_argument(
        "--out", type=Path, default=None, help="the checkpoint file; default: in the folder"
    )
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(asctime)s %(message)s")
    folder: Path = arguments.folder
    folder.mkdir(parents=True, exist_ok=True)
    deadline = time.monotonic() + 60 * arguments.minutes
    pictures = training_pictures(folder)
    vae = train_vae(pictures, PHOTOGRAPHS, folder, deadline)
    if vae is None:
        return 3
    examples = examples_of(pictures, vae, folder)
    if not refine_decoder(vae, pictures, PHOTOGRAPHS, folder, deadline):
        return 3
    out: Path = arguments.out or folder / "embedded.safetensors"

    def export(trainer: Trainer) -> None:
        model = trainer.averaged()
        weights = checkpoint_weights(model.unet.state_dict(), model.text.state_dict(), vae.state_dict())
        write_checkpoint(out, weights, facts(8, 4, trainer.step))

    trainer = Trainer(folder, arguments.steps)
    return 0 if train_denoiser(trainer, examples, deadline, export) else 3


if __name__ == "__main__":
    raise SystemExit(main())
