"""The picker's page among the WebUI's extra networks, in the place of the builtin's.

To the WebUI and to other extensions it is what the builtin's was: the page `lora` with its editor, its
previews, and the routes for one card, a thumbnail, a cover and the metadata. But its HTML is a frame that
never changes, whatever the number of files; the page's script fills it with the cards in view.

What the frame has, and why (facts of the WebUI's `extraNetworks.js` and `ui_extra_networks.py`, 1.10):

- `{tab}_lora_cards`, which other extensions look into;
- `{tab}_lora_extra_search`: the WebUI sets up its own pages only once there is a search field for each
  page. It leaves a page alone that lacks `_extra_sort_dir` and `_extra_refresh`, and so it leaves ours;
- the search of any page hides each `div` of class `card` in all pages that does not match: a tile must be
  another element (`article.card`);
- the same text each time: what the script has put in stays there when the WebUI "refreshes" its pages.

After the editor has saved notes or a preview, the window gets the event `lyco-card-changed` with the
card's name as its `detail`.
"""

from __future__ import annotations
