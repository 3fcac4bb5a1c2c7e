"""The picker's routes: JSON for the page, which draws only what is in view.

Addresses are relative to the page's (`./lyco/cards`), since the WebUI may live below another path. An
example of every answer is in `tests/browser/samples`. An error is `{"detail": a sentence}`: 400 what was
sent cannot be used, 401 nobody is logged in, 403 sent by another site, 404 there is no such card.
A POST carries a JSON object. Files are named by the `id` of their card and by nothing else.

| route | asks | answers |
| --- | --- | --- |
| GET `cards` | `text folder sort desc offset limit show_hidden starred` | `total`, `hidden` (reason -> count), `problems` (sentences about folders), `base`, `revision`, `tag_kind`, `cards` |
| GET `cards/revision` | | `revision`, `base`, `tag_kind`; another revision: ask for the cards again |
| GET `cards/{id}` | | a card with `metadata` (name -> value), `tags` ([tag, count], most first) and `details` ([label, text]) |
| GET `folders` | | `folders`: trees of `name`, `path` (for `folder=`), `count` (with all below), `children` |
| POST `cards/{id}/star` | `starred` | `card`, `revision` |
| POST `cards/{id}/used` | | `card`, `revision`; to be sent when a card's tag goes into a prompt |
| POST `cards/{id}/notes` | any of `description sd_version activation_text preferred_weight negative_text notes` | `card`, `revision` |
| POST `cards/{id}/preview` | `image` (data URL: becomes the preview) or `name` (of `previews`: comes first) | `card`, `revision` |
| POST `refresh` | | `revision`, `num_files`, `num_read`, `num_gone`, `problems`: folders and changed files were read anew |
| GET `applied` | | `serial` (grows with each activation), `model`, `hires`, `rows`, `problems`: what the last one did |
| GET `presets` | | `blocks` and `elements` (`name`, `weights`: block -> weight, or null where the tag's `x=` decides), `order` (the base model's blocks), `problems` |
| GET `xray` | `ids` and, in their order, `te`, `unet`: separated by commas | `family`, `networks`, `together`, `overlaps`, `findings`, `svg` |
| POST `parse` | `prompt` | `tags` |
| POST `edit` | `prompt`, `at` (place in `tags`), `text` (the tag's, as a check) and `set` (option -> text) and/or `name`, or `remove` | `prompt`, `tags` |

`sort` is one of name, path, created, modified, trained, used, most_used, starred; flags are 0 or 1. Without
`show_hidden` the builtin's option `lora_show_all` decides.

A card: `id`; `name` (unique: the tile's `data-name`, which the WebUI's editor and metadata routes take);
`tag_name` (to be put into a tag; null where no tag can hold it); `stem`, `alias`, `folder`, `path_below`,
`size` (bytes), `created`, `modified`, `trained`, `last_used` (seconds since 1970, null for never), `algo`,
`rank`, `family`, `families`, `family_title`, `evidence` (how the base model is known), `fits` (the base model
in use), `hash`, `problem` (null, or why it is of no use), `embeddings`, `previews` ([`name`, `url`], the chosen
one first), `trigger_sets` ([`name`, `words`]), `insert_words` (to be put into the prompt with the tag),
`description`, `sd_version`, `activation_text`, `preferred_weight` (0: the WebUI's default), `negative_text`,
`notes`, `starred`, `used_count`. Times and counts may be null or 0.

`base`: `family`, `title`, `checkpoint` of the base model in use; null where it is unknown or none is loaded.

`tag_kind`: the word for tags to insert, `lora` or, where that is the builtin's, `lyco`.

A tag of `parse`: `start`, `end` (in UTF-16 units, as JavaScript counts; end excluded), `text`, `kind`, `name`,
`card_id` (null: no such network), `te`, `unet` (numbers, at the first step), `muted` (both are 0),
`options` (option -> text, as written), `schedule` (points [position, value] of the UNet's strength, null where it is
the same all along), `window` ([first step, last step or null] or null), `problem` (null, or why it asks for
nothing).

A row of `applied`: `tag` (its text), `name`, `card_id`, `te`, `unet`, `applied` of `total` layers, `problem`.
"""  # noqa: E501  a table
