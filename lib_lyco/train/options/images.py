"""From an image file to a latent: size, bucket, crop, augmentation, cache."""

from __future__ import annotations

from dataclasses import dataclass

from lib_lyco.train.option import option, wrong


@dataclass(frozen=True)
class DatasetImages:
    """What every dataset of a dataset_config may set for itself."""

    resolution: tuple[int, int] = option(
        (512, 512),
        "images",
        "Width and height; their product is the largest area trained.",
        low=16,
        multiple_of=8,
    )
    buckets: bool = option(
        True, "images", "Group images by their shape; off crops all of them to the resolution."
    )
    bucket_min: int = option(
        256, "images", "Smallest side of a bucket, in pixels (not used without upscaling).", low=8
    )
    bucket_max: int = option(
        1024, "images", "Largest side of a bucket, in pixels (not used without upscaling).", low=8
    )
    bucket_step: int = option(64, "images", "Sides of buckets are multiples of this.", low=8, multiple_of=8)
    bucket_upscale: bool = option(
        True, "images", "Enlarge small images to their bucket; off crops them instead."
    )


@dataclass(frozen=True)
class SubsetImages:
    """What every subset of a dataset_config may set for itself."""

    flip: bool = option(False, "images", "Mirror half of the images, drawn anew each time.")
    random_crop: bool = option(
        False, "images", "Crop at a random place instead of the centre; needs latent_cache off."
    )


@dataclass(frozen=True)
class ImageOptions(SubsetImages, DatasetImages):
    """From an image file to a latent: size, bucket, crop, augmentation, cache."""

    background: str = option("white", "images", "Colour behind transparent images: a name, or #rrggbb.")
    latent_cache: str = option(
        "memory",
        "images",
        "Keep encoded images in memory, on disk for later runs too, or not at all.",
        choices=("memory", "disk", "off"),
        free=True,
    )
    cache_folder: str = option(
        "",
        "images",
        "Where latent_cache = disk keeps its files; empty uses a folder inside the output folder.",
        free=True,
    )
    workers: int = option(
        0,
        "images",
        "Threads that prepare images ahead; 0 prepares them when needed.",
        low=0,
        high=64,
        free=True,
    )

    def check_images(self) -> None:
        """Refuses values that contradict each other.

        Raises:
            ConfigError: `where` names the option.
        """
        if self.buckets and self.bucket_upscale:
            shortest, longest = min(self.resolution), max(self.resolution)
            if shortest < self.bucket_min:
                raise wrong(
                    "bucket_min", self.bucket_min, f"at most the resolution's shorter side, {shortest}"
                )
            if longest > self.bucket_max:
                raise wrong(
                    "bucket_max", self.bucket_max, f"at least the resolution's longer side, {longest}"
                )
        if self.random_crop and self.latent_cache != "off":
            raise wrong(
                "latent_cache",
                self.latent_cache,
                "off, because random_crop is on",
                "Switch one of the two off.",
            )
