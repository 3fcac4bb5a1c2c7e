"""dataset_config: tables of TOML or JSON, as sd-scripts reads them, become datasets and subsets."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
import toml

from lib_lyco.errors import ConfigError, DataError
from lib_lyco.train.compose.data import plan_run
from lib_lyco.train.compose.datasets import make_datasets
from lib_lyco.train.compose.held_out import held_out
from lib_lyco.train.config import TrainConfig, make_config
from lib_lyco.train.data.record import Subset
from tests.train.test_folder import write_image


@pytest.fixture
def images(tmp_path: Path) -> Path:
    for folder, names in (("cats", "abc"), ("dogs", "d"), ("reg", "ef")):
        for name in names:
            write_image(tmp_path / folder / f"{name}.png", (64, 64))
    return tmp_path


def configured(images: Path, tables: dict[str, Any], **options: Any) -> TrainConfig:
    """A config with these tables as dataset_config; `image_dir` and the like are names in `images`."""
    for dataset in tables.get("datasets", []):
        for subset in dataset.get("subsets", []):
            for key in ("image_dir", "metadata_file", "conditioning_data_dir"):
                if key in subset:
                    subset[key] = str(images / subset[key])
    path = images / "dataset.toml"
    path.write_text(toml.dumps(tables), encoding="utf-8")
    return make_config({"dataset_config": str(path), "bucket_min": 64, **options})


def subsets(config: TrainConfig) -> list[Subset]:
    datasets, _ = make_datasets(config)
    return [subset for dataset in datasets for subset in dataset.subsets]


def test_toml_and_json_say_the_same(images: Path) -> None:
    tables = {
        "general": {"shuffle_caption": True, "keep_tokens": 2},
        "datasets": [{"resolution": 128, "subsets": [{"image_dir": "cats", "num_repeats": 3}]}],
    }
    config = configured(images, tables)
    (images / "dataset.JSON").write_text(json.dumps(tables), encoding="utf-8")
    other = make_config({"dataset_config": str(images / "dataset.JSON"), "bucket_min": 64})
    assert make_datasets(config)[0] == make_datasets(other)[0]
    (subset,) = subsets(config)
    options = subset.options
    assert (options.shuffle_caption, options.keep_tokens, options.repeats) == (True, 2, 3)


@pytest.mark.parametrize(
    ("places", "expected"),
    [
        ((), "run"),
        (("general",), "general"),
        (("general", "dataset"), "dataset"),
        (("general", "dataset", "subset"), "subset"),
        (("subset",), "subset"),
    ],
)
def test_subset_comes_before_dataset_before_general_before_option(
    images: Path, places: tuple[str, ...], expected: str
) -> None:
    tables: dict[str, Any] = {"general": {}, "datasets": [{"subsets": [{"image_dir": "cats"}]}]}
    where = {
        "general": tables["general"],
        "dataset": tables["datasets"][0],
        "subset": tables["datasets"][0]["subsets"][0],
    }
    for place in places:
        where[place]["caption_prefix"] = place
    (subset,) = subsets(configured(images, tables, caption_prefix="run"))
    assert subset.options.caption_prefix == expected


def test_every_subset_has_its_own_options(images: Path) -> None:
    tables = {
        "datasets": [
            {
                "subsets": [
                    {"image_dir": "cats", "flip_aug": True, "class_tokens": "cat", "loss_weight": 0.5},
                    {"image_dir": "dogs", "color_aug": True, "caption_dropout_rate": 0.25},
                ]
            }
        ]
    }
    cats, dogs = subsets(configured(images, tables, latent_cache="off"))
    assert (cats.options.flip, dogs.options.flip) == (True, False)
    assert (cats.options.color_aug, dogs.options.color_aug) == ("off", "kohya")
    assert (cats.options.loss_weight, dogs.options.loss_weight) == (0.5, 1.0)
    assert (cats.options.caption_dropout_rate, dogs.options.caption_dropout_rate) == (0.0, 0.25)
    assert [record.caption for record in (*cats.records, *dogs.records)] == ["cat"] * 3 + [""]
    assert all(record.subset is cats.options for record in cats.records)


def test_datasets_have_their_own_sizes_and_batches(images: Path) -> None:
    tables = {
        "general": {"enable_bucket": True, "bucket_no_upscale": True},
        "datasets": [
            {"resolution": [128, 64], "batch_size": 3, "subsets": [{"image_dir": "cats"}]},
            {
                "resolution": 64,
                "enable_bucket": False,
                "subsets": [{"image_dir": "cats"}, {"image_dir": "dogs", "num_repeats": 2}],
            },
            {
                "bucket_no_upscale": False,
                "min_bucket_reso": 128,
                "max_bucket_reso": 128,
                "bucket_reso_steps": 32,
                "subsets": [{"image_dir": "dogs"}],
            },
        ],
    }
    config = configured(images, tables, resolution=(128, 128), bucket_min=64, bucket_max=256)
    datasets, _ = make_datasets(config)
    assert [dataset.batch_size for dataset in datasets] == [3, 1, 1]
    first, second, third = (dataset.bucketing for dataset in datasets)
    assert (first.resolution, first.enabled, first.upscale) == ((128, 64), True, False)
    assert (second.resolution, second.enabled) == ((64, 64), False)
    assert (third.resolution, third.upscale) == ((128, 128), True)
    assert (third.smallest, third.largest, third.step) == (128, 128, 32)
    # 3 in one batch; 3 + 2 of 2 images one by one; 1 image
    plan = plan_run(config.replaced(epochs=1))
    assert [count.num_batches for count in plan.datasets] == [1, 5, 1]
    assert plan.total_steps == 7
    assert [
        (place.bucket, count) for place, count in zip(plan.placements, plan.order.repeats, strict=True)
    ] == [
        *([((64, 64), 1)] * 3),
        *([((64, 64), 1)] * 3),
        ((64, 64), 2),
        ((128, 128), 1),
    ]


def test_regularisation_and_metadata_may_stand_in_one_dataset(images: Path) -> None:
    (images / "meta.json").write_text('{"d": {"caption": "a dog", "tags": "brown"}}', encoding="utf-8")
    tables = {
        "datasets": [
            {
                "subsets": [
                    {"image_dir": "dogs", "metadata_file": "meta.json", "num_repeats": 4},
                    {"image_dir": "reg", "is_reg": True, "class_tokens": "dog", "loss_weight": 0.5},
                ]
            }
        ]
    }
    config = configured(images, tables, prior_loss_weight=0.5, reg_prior_prediction=True)
    plan = plan_run(config)
    assert [record.caption for record in plan.records] == ["a dog,brown", "dog", "dog"]
    assert list(plan.order.repeats) == [4, 2, 2]
    assert [record.subset.loss_weight for record in plan.records] == [1.0, 0.25, 0.25]
    assert [record.subset.prior_prediction for record in plan.records] == [False, True, True]


def test_preserved_subsets_of_sd_scripts_are_prior_prediction(images: Path) -> None:
    attributes = {"custom_attributes": {"diff_output_preservation": True}}
    tables = {"datasets": [{"subsets": [{"image_dir": "cats"}, {"image_dir": "dogs", **attributes}]}]}
    config = configured(images, tables)
    assert [subset.options.prior_prediction for subset in subsets(config)] == [False, True]
    assert plan_run(config).order.repeats == [1, 1, 1, 1], "it is no regularisation: nothing is doubled"


def test_datasets_hold_out_their_own_share(images: Path) -> None:
    tables = {
        "datasets": [
            {"validation_split": 0.34, "validation_seed": 3, "subsets": [{"image_dir": "cats"}]},
            {"subsets": [{"image_dir": "dogs"}, {"image_dir": "reg", "is_reg": True}]},
        ]
    }
    config = configured(images, tables)
    everything, _ = make_datasets(config)
    trained = [record.path.name for record in plan_run(config).records]
    held = [
        record.path.name for one in held_out(everything) for sub in one.subsets for record in sub.records
    ]
    assert len(held) == 1
    assert held[0] in ("a.png", "b.png", "c.png")
    assert sorted(trained + held) == ["a.png", "b.png", "c.png", "d.png", "e.png"]
    # one regularisation image suffices for the one dog


def test_folder_names_say_nothing_in_a_dataset_config(images: Path) -> None:
    write_image(images / "10_cat" / "a.png")
    config = configured(images, {"datasets": [{"subsets": [{"image_dir": "10_cat"}]}]})
    assert list(plan_run(config).order.repeats) == [1]
    assert plan_run(config).records[0].caption == ""
    many = configured(images, {"datasets": [{"subsets": [{"image_dir": "10_cat"}]}]}, repeats=5)
    assert list(plan_run(many).order.repeats) == [5]


def test_a_folder_named_twice_is_told(images: Path) -> None:
    tables = {"datasets": [{"subsets": [{"image_dir": "dogs"}, {"image_dir": "dogs"}]}]}
    plan = plan_run(configured(images, tables))
    assert len(plan.records) == 2
    assert any("two subsets" in note for note in plan.notes)


CATS: dict[str, Any] = {"image_dir": "cats"}


def one(**keys: Any) -> dict[str, Any]:
    """Tables with one subset that has these keys."""
    return {"datasets": [{"subsets": [CATS | keys]}]}


@pytest.mark.parametrize(
    ("tables", "place", "told"),
    [
        (one(nun_repeats=2), "[[subsets]] 1: nun_repeats", "num_repeats"),
        ({"general": {"shufle_caption": True}}, "[general]: shufle_caption", "shuffle_caption"),
        (one(batch_size=2), "[[subsets]] 1: batch_size", "[[datasets]]"),
        ({"datasets": [{"is_reg": True, "subsets": [CATS]}]}, "[[datasets]] 1: is_reg", "subsets"),
        ({"general": {"image_dir": "x"}}, "[general]: image_dir", "subsets"),
        ({"dataset": []}, "dataset", "datasets"),
        (
            {"datasets": [{"subsets": [CATS, CATS | {"keep_tokens": "x"}]}]},
            "[[subsets]] 2: keep_tokens",
            "number",
        ),
        ({"datasets": [{"resolution": 7, "subsets": [CATS]}]}, "[[datasets]] 1: resolution", "at least"),
        (
            {"general": {"min_bucket_reso": 1024}, "datasets": [{"subsets": [CATS]}]},
            "[general]: min_bucket_reso",
            "512",
        ),
        (
            {"datasets": [{"bucket_no_upscale": "no", "subsets": [CATS]}]},
            "1: bucket_no_upscale",
            "true or false",
        ),
        (one(is_reg=1), "[[subsets]] 1: is_reg", "true or false"),
        ({"datasets": [{"network_multiplier": 0.5, "subsets": [CATS]}]}, "network_multiplier", "1.0"),
        (one(cache_info=True), "cache_info", "Remove"),
        (one(custom_attributes={"x": 1}), "custom_attributes", "diff_output"),
        (one(flip=True, flip_aug=True), "flip_aug", "twice"),
        ({"datasets": [{"subsets": [{"num_repeats": 2}]}]}, "[[subsets]] 1", "image_dir"),
        ({"datasets": [{"batch_size": 2}]}, "[[datasets]] 1", "subsets"),
        ({"general": {}}, "dataset.toml", "[[datasets]]"),
        (one(random_crop=True), "[[subsets]] 1", "random_crop is on"),
    ],
)
def test_what_is_wrong_is_told_with_file_table_and_key(
    images: Path, tables: dict[str, Any], place: str, told: str
) -> None:
    tables = json.loads(json.dumps(tables))
    config = configured(images, tables)
    with pytest.raises(ConfigError) as caught:
        plan_run(config)
    assert str(images / "dataset.toml") in caught.value.where
    assert place in caught.value.where
    assert told in str(caught.value)


def test_a_file_that_is_none_is_an_error(tmp_path: Path) -> None:
    for name, text in (("a.toml", "[[datasets"), ("a.json", "{"), ("b.json", "[1]")):
        (tmp_path / name).write_text(text, encoding="utf-8")
        with pytest.raises(ConfigError, match=name):
            plan_run(make_config({"dataset_config": str(tmp_path / name)}))
    with pytest.raises(ConfigError, match="cannot be read"):
        plan_run(make_config({"dataset_config": str(tmp_path / "gone.toml")}))


def test_an_empty_folder_is_an_error_not_a_warning(images: Path) -> None:
    (images / "empty").mkdir()
    with pytest.raises(DataError, match="empty"):
        plan_run(configured(images, {"datasets": [{"subsets": [CATS, {"image_dir": "empty"}]}]}))


@pytest.mark.parametrize("name", ["images", "metadata_file", "reg_images"])
def test_folders_beside_a_dataset_config_are_an_error(name: str) -> None:
    with pytest.raises(ConfigError) as caught:
        make_config({"dataset_config": "x.toml", name: "y"})
    assert caught.value.where == name
