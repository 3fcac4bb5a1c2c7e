"""Captions, and what the text encoders make of them."""

from __future__ import annotations

from dataclasses import dataclass

from lib_lyco.train.option import option, wrong


@dataclass(frozen=True)
class SubsetCaptions:
    """What every subset of a dataset_config may set for itself."""

    caption_extension: str = option(
        "",
        "captions",
        "Extension of the caption files, like .txt; empty finds .txt and .caption by itself.",
        free=True,
    )
    shuffle_caption: bool = option(
        False, "captions", "Shuffle the tags of a caption anew each time; no use for sentences."
    )
    caption_separator: str = option(",", "captions", "What stands between the tags of a caption.")
    keep_tokens: int = option(
        0, "captions", "Tags at the start that are neither shuffled, dropped nor held back.", low=0
    )
    keep_tokens_separator: str = option(
        "",
        "captions",
        "Tags before this text, and after a second one, are kept instead: a, b ||| c, d ||| e.",
    )
    secondary_separator: str = option(
        "",
        "captions",
        "Stands for the separator between tags that stay together; replaced after shuffling.",
    )
    enable_wildcard: bool = option(
        False,
        "captions",
        "Take a random line of the caption file, and one of {a|b|c} at random; {{ and }} are braces.",
    )
    caption_prefix: str = option("", "captions", "Text in front of every caption.")
    caption_suffix: str = option("", "captions", "Text at the end of every caption.")
    caption_dropout_rate: float = option(
        0.0, "captions", "Share of showings without a caption.", low=0, high=1
    )
    caption_dropout_every_n_epochs: int = option(
        0, "captions", "Every so many epochs go without captions; 0 is never.", low=0
    )
    caption_tag_dropout_rate: float = option(
        0.0, "captions", "Share of tags left out, drawn for each tag.", low=0, high=1
    )
    tag_dropout_keep: tuple[str, ...] = option(
        (),
        "captions",
        "Tags that caption_tag_dropout_rate never leaves out, wherever they stand; * is any text.",
    )
    caption_dropout_rate_te1: float = option(
        0.0, "captions", "SDXL: share of showings in which text encoder 1 reads no caption.", low=0, high=1
    )
    caption_dropout_rate_te2: float = option(
        0.0, "captions", "SDXL: share of showings in which text encoder 2 reads no caption.", low=0, high=1
    )
    token_warmup_min: int = option(
        1, "captions", "Tags shown at the first step, where token_warmup_step is set.", low=0
    )
    token_warmup_step: float = option(
        0.0,
        "captions",
        "Step from which on all tags are shown, more and more before; below 1 a share of all steps.",
        low=0,
    )

    def check_subset_captions(self) -> None:
        """Refuses values that contradict each other.

        Raises:
            ConfigError: `where` names the option.
        """
        if self.caption_extension and not self.caption_extension.startswith("."):
            raise wrong("caption_extension", self.caption_extension, "an extension with its dot, like .txt")
        if not self.caption_separator:
            raise wrong("caption_separator", self.caption_separator, "a text, like a comma")
        if self.tag_dropout_keep and not self.caption_tag_dropout_rate:
            raise wrong(
                "tag_dropout_keep", self.tag_dropout_keep, "nothing without caption_tag_dropout_rate"
            )
        if self.token_warmup_min != 1 and not self.token_warmup_step:
            raise wrong("token_warmup_min", self.token_warmup_min, "1 where token_warmup_step is not set")


@dataclass(frozen=True)
class CaptionOptions(SubsetCaptions):
    """Captions, and what the text encoders make of them."""

    clip_skip: int = option(
        1,
        "captions",
        "Which text-encoder layer from the last is used: 1 is right for most base models, 2 for the "
        "NovelAI family; SDXL has none.",
        low=1,
        high=12,
    )
    max_token_length: int = option(
        225,
        "captions",
        "Tokens of a caption that are read; the rest is cut off. More than 75 is the default, unlike "
        "elsewhere, since it costs nothing where a caption is shorter.",
        low=75,
        high=225,
        multiple_of=75,
    )
    long_captions: str = option(
        "webui",
        "captions",
        "How more than 75 tokens are read. webui: in chunks that end at a comma, as prompts will be; "
        "kohya: as sd-scripts does, always as long as max_token_length.",
        choices=("webui", "kohya"),
    )
    weighted_captions: str = option(
        "off",
        "captions",
        "Whether (a), [a] and (a:1.3) weigh words. webui: as the WebUI's emphasis Original; kohya: as "
        "sd-scripts, which is the WebUI's No norm.",
        choices=("off", "webui", "kohya"),
    )
    text_cache: str = option(
        "memory",
        "captions",
        "Keep encoded captions in memory, on disk for later runs too, or not at all. Captions that are "
        "shuffled or otherwise vary, and all while a text encoder is trained, are encoded each time.",
        choices=("memory", "disk", "off"),
        free=True,
    )

    allow_untagged: bool = option(
        False,
        "captions",
        "Train though images lack captions: some of a folder that has others, or all where neither a "
        "folder's name nor class_tokens has words for them.",
        free=True,
    )

    def check_captions(self) -> None:
        """Refuses values that contradict each other.

        Raises:
            ConfigError: `where` names the option.
        """
        self.check_subset_captions()
