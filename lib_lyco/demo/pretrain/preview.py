"""Pictures from the model in training, for looking at and for counting hits.

``python -m lib_lyco.demo.pretrain.preview --folder X --picture out.png`` draws from
the folder's saved state.
"""

import argparse
import logging
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image

from lib_lyco.demo import drawing
from lib_lyco.demo.judge import judge
from lib_lyco.demo.pretrain.autoencoder import SCALE, Vae, build_vae
from lib_lyco.demo.pretrain.denoiser import Denoiser, Trainer, cumulative_alphas
from lib_lyco.demo.pretrain.state import load_state
from lib_lyco.demo.pretrain.tokens import tokenise

log = logging.getLogger(__name__)


@dataclass(frozen=True)
class Sampling:
    """Attributes:
    steps: denoising steps.
    guidance: classifier-free guidance; 1 is none.
    seed: of the first picture; the n-th has ``seed + n``.
    """

    steps: int = 20
    guidance: float = 3.0
    seed: int = 1_000_000


@torch.no_grad()
def sample_latents(model: Denoiser, prompts: list[str], sampling: Sampling) -> torch.Tensor:
    """DDIM without noise from 999 down, one latent per prompt, ``(b, 4, 8, 8)`` at unit variance."""
    tokens = tokenise([*prompts, ""])
    states = model.text(input_ids=tokens).last_hidden_state
    count = len(prompts)
    seeds = [torch.Generator().manual_seed(sampling.seed + i) for i in range(count)]
    x = torch.cat([torch.randn((1, 4, 8, 8), generator=g) for g in seeds])
    both = torch.cat([states[:count], states[count:].expand(count, -1, -1)])
    alphas = torch.cat([torch.ones(1), cumulative_alphas()])
    times = np.linspace(999, 0, sampling.steps + 1).round().astype(int)
    for now, after in zip(times[:-1], times[1:], strict=True):
        v = model.unet(torch.cat([x, x]), torch.tensor(int(now)), both, return_dict=False)[0]
        right, empty = v.chunk(2)
        v = empty + sampling.guidance * (right - empty)
        a, b = alphas[now + 1], alphas[after + 1] if after > 0 else alphas[0]
        clean = a.sqrt() * x - (1 - a).sqrt() * v
        noise = a.sqrt() * v + (1 - a).sqrt() * x
        x = b.sqrt() * clean + (1 - b).sqrt() * noise
    return x


@torch.no_grad()
def decode(vae: Vae, latents: torch.Tensor) -> NDArray[np.uint8]:
    """RGB bytes ``(b, 64, 64, 3)`` of latents ``(b, 4, 8, 8)``."""
    images = torch.cat([vae.decode(part / SCALE).sample for part in latents.split(25)])
    images = ((images.permute(0, 2, 3, 1) + 1) * 127.5).round().clamp(0, 255)
    return images.to(torch.uint8).numpy()


def main() -> int:
    """Samples from the saved average, judges, writes one picture of pictures."""
    parser = argparse.ArgumentParser(description="Looks at the model in training.")
    parser.add_argument("--folder", type=Path, required=True)
    parser.add_argument("--picture", type=Path, required=True)
    parser.add_argument("--count", type=int, default=100)
    parser.add_argument("--guidance", type=float, nargs="+", default=[3.0])
    arguments = parser.parse_args()
    logging.basicConfig(level=logging.INFO, format="%(message)s")
    trainer = Trainer(arguments.folder, 1)
    vae = build_vae().eval()
    vae.load_state_dict(load_state(arguments.folder / "vae.pt")["model"])
    decoder = arguments.folder / "decoder.pt"
    if decoder.exists():
        vae.decoder.load_state_dict(load_state(decoder)["model"])
    rng = np.random.default_rng(77)
    scenes = [drawing.plain_scene(rng) for _ in range(arguments.count)]
    prompts = [drawing.caption(scene, rng) for scene in scenes]
    model = trainer.averaged()
    sheets: list[NDArray[np.uint8]] = []
    for guidance in arguments.guidance:
        pictures = decode(vae, sample_latents(model, prompts, Sampling(guidance=guidance)))
        verdicts = [judge(picture) for picture in pictures]
        pairs = list(zip(scenes, verdicts, strict=True))
        log.info(
            "step %d guidance %.1f: ground %.2f colour %.2f shape %.2f",
            trainer.step,
            guidance,
            np.mean([s.ground == v.ground for s, v in pairs]),
            np.mean([s.colour == v.colour for s, v in pairs]),
            np.mean([s.shape == v.shape for s, v in pairs]),
        )
        wrong = [f"{s.colour} {s.shape} -> {v.colour} {v.shape}" for s, v in pairs if s.shape != v.shape]
        log.info("shapes missed: %s", "; ".join(wrong))
        rows = [
            np.concatenate(list(pictures[i : i + 10]), 1) for i in range(0, len(pictures) // 10 * 10, 10)
        ]
        sheets.append(np.concatenate(rows[:5], 0))
    sheet = np.concatenate(sheets, 0)
    Image.fromarray(sheet).resize((sheet.shape[1] * 3 // 2, sheet.shape[0] * 3 // 2)).save(
        arguments.picture
    )
    for prompt in prompts[:50]:
        log.info("%s", prompt)
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
