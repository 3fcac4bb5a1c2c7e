"""Captions become conds: encoded with every batch while a text encoder learns, else kept.

A cache file's name is a hash of everything that decides its content: the caption, how captions are
read, and what the text encoders make of a probe sentence. So an edited caption or other text encoders
never meet an old file.
"""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lib_lyco.errors import FileError
from lib_lyco.files.save import save_tensors
from lib_lyco.files.tensors import read_tensors
from lib_lyco.models.base import PLAIN_TEXT, BaseModel, Cond, TextStyle
from lib_lyco.train.data.variation import Caption
from lib_lyco.train.transfer import moved
from lib_lyco.train.world import World

_PROBE = "a photo of (two:1.2) cats, [blurry], 1girl"
_EMPTY = Caption("", "")


@dataclass(frozen=True)
class TextEncoding:
    """How the base model reads captions."""

    model: BaseModel
    clip_skip: int = 1
    style: TextStyle = PLAIN_TEXT

    def encode(self, captions: Sequence[Caption]) -> Cond:
        """The conds of captions, on the model's device; differentiable where gradients are enabled."""
        first = [caption.first for caption in captions]
        second = [caption.second for caption in captions]
        other = None if first == second else second
        return self.model.encode_prompts(first, self.clip_skip, self.style, other)

    def fingerprint(self) -> bytes:
        """What tells one encoding from another: its settings, and the text encoders' answer to a probe."""
        digest = hashlib.blake2b(repr((self.clip_skip, self.style)).encode(), digest_size=16)
        with torch.no_grad():
            cond = self.encode([Caption(_PROBE, _PROBE)])
        for tensor in (cond.states, cond.pooled):
            if tensor is not None:
                digest.update(str(tensor.dtype).encode() + tensor.float().cpu().numpy().tobytes())
        return digest.digest()


class Texts:
    """The conds of captions.

    Args:
        encoding: How they are made.
        learning: Whether a text encoder is trained: then nothing is kept, its answers change.
        keep: Whether conds of captions that may come again are kept, in memory on the CPU.
        folder: Where to keep them instead, for later runs too.
    """

    def __init__(
        self, encoding: TextEncoding, *, learning: bool, keep: bool = True, folder: Path | None = None
    ) -> None:
        self._encoding = encoding
        self._learning = learning
        self._keep = keep and not learning
        self._memory: dict[Caption, Cond] = {}
        self._folder = folder
        self._fingerprint = encoding.fingerprint() if folder is not None and self._keep else b""

    @property
    def keeps(self) -> bool:
        """Whether conds of captions that may come again are kept."""
        return self._keep

    def prepare(self, captions: Iterable[Caption], world: World | None = None) -> Iterator[tuple[int, int]]:
        """Encodes captions before they are asked for, if they are kept; yields (done, total) as it goes.

        Args:
            captions: In the same order for all processes.
            world: The processes that share the work.

        Raises:
            FileError: A cache file cannot be written.
        """
        wanted = list(dict.fromkeys(captions)) if self._keep else []
        world = world or World()
        yield from self._read_all(world.share(wanted))
        self._memory = world.gathered(self._memory)
        if self._folder is not None:  # what others have written on machines whose folder is not this one
            folder = self._folder
            yield from self._read_all([one for one in wanted if not self._path(folder, one).is_file()])

    def _read_all(self, captions: Sequence[Caption]) -> Iterator[tuple[int, int]]:
        for done, caption in enumerate(captions, start=1):
            with torch.no_grad():
                self._kept(caption)
            yield done, len(captions)

    def kept(self) -> Texts | None:
        """The same, but conds that may come again are kept in memory; None if they are, or cannot be."""
        return None if self._keep or self._learning else Texts(self._encoding, learning=False)

    def of(self, texts: Sequence[str]) -> Cond:
        """The conds of fixed texts; see `conds`."""
        return self.conds([Caption(text, text) for text in texts])

    def conds(self, captions: Sequence[Caption]) -> Cond:
        """The conds of a batch, on the model's device; with gradients if a text encoder learns."""
        if self._learning:
            return self._encoding.encode(captions)
        with torch.no_grad():
            if not self._keep or not any(caption.lasting for caption in captions):
                return self._encoding.encode(captions)
            conds = [self._kept(caption) for caption in captions]
            longest = max(cond.states.shape[1] for cond in conds)
            if any(cond.states.shape[1] != longest for cond in conds):
                empty = self._kept(_EMPTY).states
                conds = [_lengthened(cond, empty, longest) for cond in conds]
            return _joined(conds, self._encoding.model.device)

    def _kept(self, caption: Caption) -> Cond:
        """The cond of one caption, on the CPU; encoded alone, so that it is the same in any batch."""
        found = self._memory.get(caption) if self._folder is None else self._read(caption)
        if found is None:
            fresh = self._encoding.encode([caption])
            found = Cond(fresh.states.cpu(), None if fresh.pooled is None else fresh.pooled.cpu())
            if not caption.lasting:
                return found
            if self._folder is None:
                self._memory[caption] = found
            else:
                parts = {"states": found.states, "pooled": found.pooled}
                known = {name: tensor for name, tensor in parts.items() if tensor is not None}
                save_tensors(self._path(self._folder, caption), known, {})
        return found

    def _read(self, caption: Caption) -> Cond | None:
        """A cond from the folder; None if it is not there or not whole, so that it is made anew."""
        assert self._folder is not None
        path = self._path(self._folder, caption)
        if not path.is_file():
            return None
        try:
            parts = read_tensors(path)
        except FileError:
            return None
        return Cond(parts["states"], parts.get("pooled")) if "states" in parts else None

    def _path(self, folder: Path, caption: Caption) -> Path:
        digest = hashlib.blake2b(self._fingerprint, digest_size=20)
        digest.update(repr((caption.first, caption.second)).encode())
        return folder / f"{digest.hexdigest()}.safetensors"


def _lengthened(cond: Cond, empty: Tensor, length: int) -> Cond:
    """The cond with the states of empty chunks after its own, as when it is encoded beside a longer one."""
    missing = (length - cond.states.shape[1]) // empty.shape[1]
    return Cond(torch.cat([cond.states, empty.repeat(1, missing, 1)], dim=1), cond.pooled)


def _joined(conds: Sequence[Cond], device: torch.device) -> Cond:
    pooled = [cond.pooled for cond in conds if cond.pooled is not None]
    return Cond(
        states=moved(torch.cat([cond.states for cond in conds]), device),
        pooled=moved(torch.cat(pooled), device) if pooled else None,
    )
