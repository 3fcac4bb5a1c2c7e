"""A network file, read and understood."""

from __future__ import annotations

import os
from pathlib import Path

from lib_lyco.errors import NetworkFormatError
from lib_lyco.files.tensors import read_content
from lib_lyco.naming.detect import detect_family
from lib_lyco.network.decode import decode_network
from lib_lyco.network.network import Network


def load_network(path: str | os.PathLike[str]) -> Network:
    """Reads a network file once and decodes it; its tensors stay on the CPU, in the file's dtypes.

    Raises:
        FileError: The file cannot be read.
        UnsafeFileError: It asks for code to be run.
        NetworkFormatError: It can be read, but nothing in it is a network for a known base model.
    """
    place = Path(path)
    content = read_content(place)
    network = decode_network(content.tensors, content.metadata, place.stem, content.content_id)
    if network.adapters or network.embeddings:
        return network
    shapes = {key: tuple(tensor.shape) for key, tensor in content.tensors.items()}
    detection = detect_family(shapes, content.metadata)
    reasons = dict.fromkeys(unknown.reason for unknown in network.unknown)
    raise NetworkFormatError(
        f"The network was made for {detection.other}"
        if detection.other
        else "Nothing in the file is a network for a known base model",
        where=str(place),
        got=f"{len(content.tensors)} tensors; {'; '.join(list(reasons)[:3]) or 'nothing else'}",
        expected="adapters for Stable Diffusion 1, 2, XL or 3",
        remedy=detection.evidence,
    )
