"""From an image file to a latent: size, bucket, crop, augmentation, cache."""

from __future__ import annotations

from dataclasses import dataclass

from lib_lyco.errors import ConfigError
from lib_lyco.train.option import option, wrong
from lib_lyco.train.precision import PRECISIONS


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
    face_crop_aug_range: tuple[float, float] | None = option(
        None,
        "images",
        "Crop around the face that a file name like photo_cx_cy_w_h.png tells of: side of the picture over "
        "side of the face, from and to, like 2,4; needs latent_cache off.",
        low=1,
    )
    color_aug: str = option(
        "off",
        "images",
        "Change hue or brightness of a third of the images a little, drawn anew each time; kohya: as "
        "sd-scripts, which makes highlights white at times. Needs latent_cache off.",
        choices=("off", "corrected", "kohya"),
    )
    resize_interpolation: str = option(
        "auto",
        "images",
        "How images are resized; auto averages areas when shrinking and takes lanczos when enlarging.",
        choices=("auto", "area", "lanczos", "bicubic", "bilinear", "nearest"),
    )
    alpha_mask: bool = option(
        False, "images", "Transparent parts of an image count less in the loss, or not at all."
    )
    mask_folder: str = option(
        "",
        "images",
        "Folder with a mask for each image, of the same name: white counts, black does not.",
        free=True,
    )

    def check_subset_images(self) -> None:
        """Refuses values that contradict each other.

        Raises:
            ConfigError: `where` names the option.
        """
        sizes = self.face_crop_aug_range
        if sizes is not None and sizes[0] > sizes[1]:
            raise wrong("face_crop_aug_range", sizes, "the smaller number first")
        if self.alpha_mask and self.mask_folder:
            raise wrong("mask_folder", self.mask_folder, "empty, because alpha_mask is on")

    @property
    def fresh_by(self) -> str:
        """The option that makes an image another one each time, so that its latents cannot be kept."""
        reasons = {
            "random_crop": self.random_crop,
            "color_aug": self.color_aug != "off",
            "face_crop_aug_range": self.face_crop_aug_range is not None,
        }
        return next((name for name, is_on in reasons.items() if is_on), "")


@dataclass(frozen=True)
class ImageOptions(SubsetImages, DatasetImages):
    """From an image file to a latent: size, bucket, crop, augmentation, cache."""

    background: str = option("white", "images", "Colour behind transparent images: a name, or #rrggbb.")
    crop_conditioning: str = option(
        "true",
        "images",
        "SDXL: the corner of the crop that it is told. true: the real one; kohya: the one that sd-scripts "
        "tells, which is that of a picture fitted into the bucket.",
        choices=("true", "kohya"),
    )
    vae: str = option(
        "",
        "images",
        "File of the autoencoder (VAE) that encodes images; empty takes the one in the base model.",
        free=True,
    )
    vae_precision: str = option(
        "fp32",
        "images",
        "Compute dtype of the autoencoder. In half precision it may give NaN (SDXL's does in fp16): an "
        "image of which it does is encoded again in fp32.",
        choices=PRECISIONS,
    )
    vae_batch_size: int = option(
        0, "images", "Images that the autoencoder encodes at a time; 0 takes batch_size.", low=0
    )
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
        "Where latent_cache and text_cache = disk keep their files; empty uses folders inside the output "
        "folder.",
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
            shortest, longest, step = min(self.resolution), max(self.resolution), self.bucket_step
            if shortest < self.bucket_min - self.bucket_min % step:
                raise wrong(
                    "bucket_min", self.bucket_min, f"at most the resolution's shorter side, {shortest}"
                )
            if longest > self.bucket_max + -self.bucket_max % step:
                raise wrong(
                    "bucket_max", self.bucket_max, f"at least the resolution's longer side, {longest}"
                )
        self.check_subset_images()
        if self.fresh_by and self.latent_cache != "off":
            raise not_kept(self.fresh_by, self.latent_cache)


def not_kept(reason: str, latent_cache: str) -> ConfigError:
    """The error for latents that are to be kept though images are new each time."""
    return wrong("latent_cache", latent_cache, f"off, because {reason} is on", "Switch one of the two off.")
