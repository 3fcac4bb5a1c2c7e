// The thumbnails of the section Dataset: as many in the page as are in view, and which of them are selected.

var lyco = lyco || {};

/** A list whose cards are all in memory: nothing has to be waited for. */
lyco.ImageList = class extends lyco.List {
    cardAt(place) {
        return this.ask()[place];
    }

    async reload() {
        this.total = this.ask().length;
        this.render();
    }

    async loadMissing() {}
};

lyco.DatasetGrid = class {
    constructor(dataset) {
        Object.assign(this, {dataset, selection: new Set(), anchor: null, crops: false, masks: false});
        this.box = lyco.make("div", {
            "class": "lyco-train-set-grid", "role": "list", "aria-label": lyco.say("Images"),
            "onclick": (event) => event.target === this.room() && this.select([]),
        });
        this.box.addEventListener("keydown", (event) => this.onKey(event));
        this.list = new lyco.ImageList(this.box, () => this.dataset.shown, (image) => this.tile(image), lyco.imageTileSize);
    }

    room() {
        return this.list.room;
    }

    turn(name, isOn) {
        this[name] = isOn;
        this.list.tiles.forEach((tile) => tile.remove());
        this.list.tiles.clear();
        this.list.render();
    }

    /** Forgets selected images that are not there any more. */
    forget() {
        this.selection = new Set([...this.selection].filter((name) => this.dataset.images.has(name)));
    }

    tile(image) {
        const bucket = image.bucket ? `${image.bucket[0]}×${image.bucket[1]}` : "";
        const told = [image.name, lyco.sayMade(image.problem || image.advice), image.excluded ? lyco.say("Left out") : "", image.tags.join(", ")];
        const toggle = lyco.make("button", {
            "type": "button", "class": "lyco-toggle", "aria-label": told.filter(Boolean).join(". "), "aria-pressed": "false",
            "title": told.filter(Boolean).join("\n"), "onclick": (event) => this.onClick(event, image.name),
            "ondblclick": () => this.dataset.editor.enlarge(image),
        });
        const badge = (kind, text) => text ? lyco.make("span", {"class": `lyco-badge lyco-train-set-badge-${kind}`}, text) : null;
        const tick = lyco.make("button", {
            "type": "button", "class": "lyco-train-set-tick", "aria-hidden": "true", "tabindex": "-1",
            "onclick": () => this.toggle(image.name),
        }, "✓");
        const tile = lyco.make("article", {"class": "lyco-tile lyco-train-set-tile", "role": "listitem", "data-name": image.name},
            lyco.make("div", {"class": "lyco-train-set-picture"}, this.frame(image, "thumbnail")),
            toggle, tick,
            lyco.make("div", {"class": "lyco-badges"},
                badge("problem", image.problem ? "!" : ""), badge("advice", !image.problem && image.advice ? "!" : ""),
                badge("out", image.excluded ? lyco.say("Left out") : ""), badge("bucket", this.crops ? bucket : "")),
            lyco.make("p", {"class": "lyco-train-set-caption"}, image.tags.join(", ") || lyco.say("no caption")));
        tile.classList.toggle("lyco-train-set-bare", !lyco.hasCaption(image));
        tile.classList.toggle("lyco-train-set-out", image.excluded);
        this.mark(tile);
        return tile;
    }

    /** The picture of an image, with its crop and its mask over it if they are shown. */
    frame(image, what, more = {}) {
        const {crops, masks} = {...this, ...more};
        const picture = image.size && !image.problem.startsWith("An image cannot be read");
        if (!picture) {
            return lyco.make("span", {"class": "lyco-train-set-broken"}, lyco.say("no picture"));
        }
        const frame = lyco.make("div", {"class": "lyco-train-set-frame", "style": `--ratio: ${image.size[0] / image.size[1]}`},
            lyco.make("img", {"src": this.dataset.link(what, image), "alt": "", "loading": "lazy", "decoding": "async", "draggable": "false"}));
        if (masks && image.mask) {
            frame.append(lyco.make("img", {"class": "lyco-train-set-mask", "alt": "", "src": this.dataset.maskLink("overlay", image)}));
        }
        if (crops && image.bucket) {
            const share = (length, whole) => `${100 * length / whole}%`;
            const style = [
                `left: ${share(image.corner[0], image.resized[0])}`, `top: ${share(image.corner[1], image.resized[1])}`,
                `width: ${share(image.bucket[0], image.resized[0])}`, `height: ${share(image.bucket[1], image.resized[1])}`,
            ].join("; ");
            frame.append(lyco.make("div", {"class": "lyco-train-set-crop", style}));
        }
        return frame;
    }

    mark(tile) {
        const isSelected = this.selection.has(tile.dataset.name);
        tile.classList.toggle("lyco-train-set-selected", isSelected);
        tile.querySelector(".lyco-toggle").setAttribute("aria-pressed", isSelected);
    }

    /** Selects these images and no others. */
    select(names) {
        this.selection = new Set(names);
        this.after();
    }

    toggle(name) {
        if (!this.selection.delete(name)) {
            this.selection.add(name);
        }
        this.anchor = name;
        this.after();
    }

    after() {
        this.list.tiles.forEach((tile) => this.mark(tile));
        this.dataset.afterSelection();
    }

    /** As in a window of files: one alone, with Ctrl one more or less, with Shift all between. */
    onClick(event, name) {
        if (event.shiftKey && this.anchor) {
            this.selectTo(name, event.ctrlKey || event.metaKey);
        } else if (event.ctrlKey || event.metaKey) {
            this.toggle(name);
        } else {
            this.anchor = name;
            this.select([name]);
        }
    }

    selectTo(name, isMore) {
        const names = this.dataset.shown.map((image) => image.name);
        const [one, other] = [names.indexOf(this.anchor), names.indexOf(name)];
        if (one < 0) {
            this.anchor = name;
            this.select([name]);
            return;
        }
        const between = names.slice(Math.min(one, other), Math.max(one, other) + 1);
        this.select(isMore ? [...this.selection, ...between] : between);
    }

    /** Space adds, Ctrl+A selects all, Escape none, Shift with an arrow all up to there, Delete leaves out. */
    onKey(event) {
        const name = event.target.closest(".lyco-tile")?.dataset.name;
        const isCommand = event.ctrlKey || event.metaKey;
        if (isCommand && event.key.toLowerCase() === "a") {
            this.select(this.dataset.shown.map((image) => image.name));
        } else if (event.key === " " && name) {
            this.toggle(name);
        } else if (event.key === "Escape") {
            this.select([]);
        } else if (event.key === "Delete" && this.selection.size) {
            this.dataset.exclude([...this.selection], true);
        } else if (event.shiftKey && event.key.startsWith("Arrow")) {
            this.anchor ??= name;
            setTimeout(() => this.selectTo(this.dataset.shown[this.list.current]?.name, false));
            return;
        } else {
            return;
        }
        event.preventDefault();
    }
};

/** At least so large is a tile; on a phone two are beside each other. */
lyco.imageTileSize = (width) => width < 420 ? {width: 130, height: 180, gap: 8} : {width: 150, height: 205, gap: 8};
