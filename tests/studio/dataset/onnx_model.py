"""A tiny tagger in the form of the WD14 models: how blue, green and red a picture is."""

from __future__ import annotations

import csv
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest


def put_tags(path: Path, rows: Sequence[tuple[str, str]]) -> None:
    """A list of tags as the models come with."""
    with path.open("w", encoding="utf-8", newline="") as file:
        writer = csv.writer(file)
        writer.writerow(("tag_id", "name", "category", "count"))
        writer.writerows((number, name, category, 1) for number, (name, category) in enumerate(rows))


def put_model(folder: Path) -> None:
    """The model and its list of tags: the mean over the picture of each channel, as a share of 255."""
    onnx: Any = pytest.importorskip("onnx")
    helper, kind = onnx.helper, onnx.TensorProto.FLOAT
    nodes = [
        helper.make_node("ReduceMean", ["x"], ["mean"], axes=[1, 2], keepdims=0),
        helper.make_node("Div", ["mean", "most"], ["y"]),
    ]
    graph = helper.make_graph(
        nodes,
        "tagger",
        [helper.make_tensor_value_info("x", kind, ["n", 64, 64, 3])],
        [helper.make_tensor_value_info("y", kind, ["n", 3])],
        [helper.make_tensor("most", kind, [1], [255.0])],
    )
    model = helper.make_model(graph, opset_imports=[helper.make_opsetid("", 13)], ir_version=8)
    folder.mkdir(parents=True, exist_ok=True)
    onnx.save(model, str(folder / "model.onnx"))
    put_tags(folder / "selected_tags.csv", [("blue_thing", "0"), ("green", "4"), ("red", "9")])
