"""A network file, read and understood."""

from __future__ import annotations

import os
from pathlib import Path

from lib_lyco.errors import NetworkFormatError
from lib_lyco.files.tensors import begin_content
from lib_lyco.naming.foreign import EMBEDDING_HOME, is_embedding
from lib_lyco.network.decode import decode_pending, outline_network
from lib_lyco.network.network import Network


def load_network(path: str | os.PathLike[str]) -> Network:
    """Reads a network file once and decodes it; its tensors stay on the CPU, in the file's dtypes.

    Raises:
        FileError: The file cannot be read.
        UnsafeFileError: It asks for code to be run.
        NetworkFormatError: It can be read, but nothing in it is a network for a known base model.
    """
    place = Path(path)
    pending = begin_content(place)
    outline = outline_network(pending.shapes, pending.metadata)
    network = decode_pending(outline, pending, place.stem)
    if network.adapters or network.embeddings:
        return network
    if is_embedding(pending.shapes):
        raise NetworkFormatError(
            "The file is a textual-inversion embedding, no network", where=str(place), remedy=EMBEDDING_HOME
        )
    detection = outline.detection
    reasons = dict.fromkeys(unknown.reason for unknown in network.unknown)
    raise NetworkFormatError(
        f"The network was made for {detection.other}"
        if detection.other
        else "Nothing in the file is a network for a known base model",
        where=str(place),
        got=f"{len(pending.shapes)} tensors; {'; '.join(list(reasons)[:3]) or 'nothing else'}",
        expected="adapters for Stable Diffusion 1, 2, XL or 3",
        remedy=detection.evidence,
    )
