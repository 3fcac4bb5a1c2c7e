"""What is this file? Answered from its header, for a file of any size."""

from __future__ import annotations

import os
from collections import Counter
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from pathlib import Path

import torch
from torch import Tensor

from lib_lyco.algos.adapter import Adapter
from lib_lyco.errors import FileError
from lib_lyco.files.dtype import torch_dtype
from lib_lyco.files.hashes import stated_hash
from lib_lyco.files.header import Header, read_header
from lib_lyco.files.metadata import Value, read_metadata_values
from lib_lyco.files.tensors import read_tensors
from lib_lyco.naming.blocks import block_names, block_of
from lib_lyco.naming.detect import Detection, detect_family
from lib_lyco.naming.table import layer_table
from lib_lyco.network.check import num_not_finite
from lib_lyco.network.decode import decode_network
from lib_lyco.network.network import Network
from lib_lyco.tools.report import FileReport, Finding

_NUM_TAGS = 10
_TRAINING_KEYS = (
    *("ss_output_name", "modelspec.title", "modelspec.author", "modelspec.license"),
    *("ss_sd_model_name", "ss_base_model_version", "ss_network_module", "ss_network_args"),
    *("ss_training_started_at", "ss_training_finished_at", "ss_steps", "ss_epoch", "ss_num_train_images"),
    *("ss_resolution", "ss_learning_rate", "ss_unet_lr", "ss_text_encoder_lr", "ss_optimizer"),
    *("ss_lr_scheduler", "ss_clip_skip", "ss_seed", "ss_mixed_precision", "ss_training_comment"),
)
"""What a report repeats from the metadata."""


@dataclass(frozen=True)
class _Outline:
    """A file's tensors, those with one element with their value, the rest on the meta device."""

    tensors: Mapping[str, Tensor]
    metadata: Mapping[str, str]
    num_bytes: int


def inspect(path: str | os.PathLike[str], deep: bool = False) -> FileReport:
    """Describes a network file.

    Args:
        path: A safetensors file, whose tensors are then left alone but for single numbers such as
            alpha; or one made by torch.save, which has to be read whole.
        deep: Also read every value and look for NaN and infinity.

    Raises:
        FileError: The file cannot be read.
        UnsafeFileError: It asks for code to be run.
    """
    place = Path(path)
    outline = _outline(place)
    shapes = {key: tuple(tensor.shape) for key, tensor in outline.tensors.items()}
    detection = detect_family(shapes, outline.metadata)
    network = decode_network(outline.tensors, outline.metadata, place.stem, content_id="")
    values = read_metadata_values(outline.metadata)
    adapters = network.adapters.values()
    return FileReport(
        path=str(place),
        num_bytes=outline.num_bytes,
        num_tensors=len(outline.tensors),
        dtypes=_counted(str(tensor.dtype).removeprefix("torch.") for tensor in outline.tensors.values()),
        family=detection.family,
        other=detection.other,
        evidence=detection.evidence,
        algos=_counted(adapter.algo for adapter in adapters),
        ranks=_counted("none" if adapter.rank is None else str(adapter.rank) for adapter in adapters),
        alphas=_counted(_alpha(adapter) for adapter in adapters),
        components=_counted(layer.component for layer in network.adapters),
        blocks=_blocks(network, detection),
        embeddings=tuple(network.embeddings),
        trigger_words=_trigger_words(values),
        training={key: values[key] for key in _TRAINING_KEYS if values.get(key) is not None},
        stated_hash=stated_hash(outline.metadata),
        unmatched=_unmatched(network, detection),
        unknown=tuple(Finding(unknown.key, unknown.reason) for unknown in network.unknown),
        not_finite=_not_finite(place) if deep else None,
    )


def _outline(path: Path) -> _Outline:
    """Raises FileError as `inspect`."""
    try:
        header = read_header(path)
    except FileError:
        # No safetensors file: then it is one of torch.save's, or the same error again.
        tensors = read_tensors(path)
        outlined = {
            key: tensor if tensor.numel() == 1 else tensor.to("meta") for key, tensor in tensors.items()
        }
        return _Outline(outlined, {}, path.stat().st_size)
    numbers = read_tensors(path, [key for key, info in header.tensors.items() if info.shape in ((), (1,))])
    outlined = {key: numbers[key] if key in numbers else _empty(header, key) for key in header.tensors}
    return _Outline(outlined, header.metadata, header.data_start + header.data_size)


def _empty(header: Header, key: str) -> Tensor:
    """A tensor of the shape that the header says, without memory."""
    info = header.tensors[key]
    return torch.empty(info.shape, dtype=torch_dtype(info.dtype) or torch.float32, device="meta")


def _counted(items: Iterable[str]) -> dict[str, int]:
    return dict(Counter(items).most_common())


def _alpha(adapter: Adapter) -> str:
    alpha = adapter.tensors().get("alpha")
    return "missing" if alpha is None else f"{float(alpha.item()):g}"


def _blocks(network: Network, detection: Detection) -> dict[str, int]:
    family = detection.family
    if family is None:
        return {}
    counts = Counter(block_of(layer, family) for layer in network.adapters)
    return {block: counts[block] for block in block_names(family) if counts[block]}


def _unmatched(network: Network, detection: Detection) -> tuple[Finding, ...]:
    if detection.family is None:
        return ()
    table = layer_table(detection.family)
    misfits = {layer: adapter.misfit(table.shape(layer)) for layer, adapter in network.adapters.items()}
    return tuple(Finding(str(layer), reason) for layer, reason in misfits.items() if reason)


def _trigger_words(values: Mapping[str, Value]) -> tuple[str, ...]:
    phrase = values.get("modelspec.trigger_phrase")
    words = [phrase] if isinstance(phrase, str) and phrase else []
    frequency: Counter[str] = Counter()
    folders = values.get("ss_tag_frequency")
    for tags in folders.values() if isinstance(folders, dict) else ():
        for tag, count in tags.items() if isinstance(tags, dict) else ():
            if isinstance(count, int) and tag.strip():
                frequency[tag.strip()] += count
    words += [tag for tag, _ in frequency.most_common(_NUM_TAGS)]
    return tuple(dict.fromkeys(words))


def _not_finite(path: Path) -> tuple[Finding, ...]:
    counts = {key: (num_not_finite(tensor), tensor.numel()) for key, tensor in read_tensors(path).items()}
    return tuple(Finding(key, f"{bad} of {numel} values") for key, (bad, numel) in counts.items() if bad)
