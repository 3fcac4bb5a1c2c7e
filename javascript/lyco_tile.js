// One card as a tile.

var lyco = lyco || {};

/** The tile of a card. `pane` says what its buttons do. */
lyco.drawTile = function(card, pane) {
    const problem = lyco.sayMade(card.problem);
    const toggle = lyco.make("button", {
        "type": "button",
        "class": "lyco-toggle",
        "aria-label": problem ? `${card.name}. ${problem}` : card.name,
        "aria-pressed": "false",
        "title": lyco.tileTitle(card),
        "onclick": () => pane.prompt.toggle(card),
    });
    const [picture, several] = lyco.drawPictures(card, pane);
    const tile = lyco.make(
        "article",
        {"class": "card lyco-tile", "data-name": card.name, "data-id": card.id, "role": "listitem"},
        picture,
        toggle,
        lyco.drawBadges(card),
        lyco.drawButtons(card, pane),
        lyco.make(
            "div",
            {class: "actions"},
            several,
            lyco.make("span", {class: "name"}, card.name),
            problem ? lyco.make("span", {class: "lyco-problem"}, problem) : null,
            pane.showsDescription && card.description ? lyco.make("span", {class: "description"}, card.description) : null,
            lyco.drawChips(card, pane),
        ),
    );
    tile.classList.toggle("lyco-broken", Boolean(card.problem));
    tile.classList.toggle("lyco-misfit", !card.fits);
    tile.card = card;
    lyco.markTile(tile, pane.prompt);
    return tile;
};

/** Shows whether the card's network is in the prompt. */
lyco.markTile = function(tile, prompt) {
    const held = prompt.holds(tile.card);
    tile.classList.toggle("lyco-held", held);
    tile.querySelector(".lyco-toggle").setAttribute("aria-pressed", held);
};

lyco.tileTitle = function(card) {
    const misfit = card.fits ? "" : lyco.say("For another base model: {name}", {name: card.family_title});
    return [`${card.folder}/${card.stem}`, lyco.sayMade(card.evidence), misfit].filter(Boolean).join("\n");
};

lyco.drawBadges = function(card) {
    const badge = (name, text, title) => text ? lyco.make("span", {class: `lyco-badge lyco-badge-${name}`, title}, text) : null;
    return lyco.make(
        "div",
        {class: "lyco-badges"},
        badge("family", card.family ? card.family.toUpperCase() : card.family_title, lyco.sayMade(card.evidence)),
        badge("algo", card.algo, lyco.say("Algorithm")),
        badge("rank", card.rank ? lyco.say("rank {number}", {number: card.rank}) : "", null),
        badge("embeddings", card.embeddings ? lyco.say("+ embeddings") : "", lyco.say("The file holds embeddings, too")),
        badge("size", lyco.sizeText(card.size), null),
    );
};

lyco.drawButtons = function(card, pane) {
    const star = card.starred ? lyco.say("Take the star off") : lyco.say("Star");
    return lyco.make(
        "div",
        {class: "button-row lyco-buttons"},
        lyco.button("❐", lyco.say("Copy path to clipboard"), () => pane.copyPath(card)),
        lyco.button("ⓘ", lyco.say("Details, tags and previews"), () => lyco.showDetails(card, pane)),
        lyco.button("▥", lyco.say("X-ray"), () => lyco.showXray([{id: card.id, te: 1, unet: 1}])),
        lyco.button("✎", lyco.say("Edit metadata"), (event) => extraNetworksEditUserMetadata(event, pane.tab, "lora")),
        lyco.button(card.starred ? "★" : "☆", star, () => pane.star(card), {"class": "lyco-star", "aria-pressed": `${card.starred}`}),
    );
};

/** The preview, or the one that was turned to last, and what turns where there are several. */
lyco.drawPictures = function(card, pane) {
    if (card.problem || !card.previews.length) {
        return [null, null];
    }
    const picture = lyco.make("img", {class: "preview", alt: "", loading: "lazy", decoding: "async", draggable: "false"});
    const count = lyco.make("span", {class: "lyco-count"});
    const turn = (steps) => {
        const place = ((pane.turned.get(card.id) ?? 0) + steps + card.previews.length) % card.previews.length;
        pane.turned.set(card.id, place);
        picture.src = card.previews[place].url;
        count.textContent = `${place + 1} / ${card.previews.length}`;
    };
    turn(0);
    picture.addEventListener("error", () => picture.remove());
    const several = lyco.make(
        "div",
        {class: "lyco-carousel"},
        lyco.button("‹", lyco.say("Previous picture"), () => turn(-1)),
        count,
        lyco.button("›", lyco.say("Next picture"), () => turn(1)),
    );
    return [picture, card.previews.length > 1 ? several : null];
};

/** A chip for each set of trigger words. */
lyco.drawChips = function(card, pane) {
    if (!card.trigger_sets.length) {
        return null;
    }
    const chips = card.trigger_sets.map((one) => lyco.make(
        "button",
        {
            type: "button",
            class: "lyco-chip",
            title: lyco.say("Put into the prompt: {words}", {words: one.words.join(", ")}),
            onclick: () => pane.prompt.toggleWords(card, one.words),
        },
        one.name || one.words.join(", "),
    ));
    return lyco.make("div", {"class": "lyco-chips", "role": "group", "aria-label": lyco.say("Trigger words")}, ...chips);
};
