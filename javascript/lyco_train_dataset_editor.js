// The editor of the section Dataset: the captions of the selected images as chips, and of one as text.

var lyco = lyco || {};

lyco.DatasetEditor = class {
    static MOST = 80;

    constructor(dataset) {
        this.dataset = dataset;
        this.box = lyco.make("aside", {"class": "lyco-train-set-editor", "aria-label": lyco.say("Captions of the selected images")});
        this.said = [];
    }

    get names() {
        return [...this.dataset.grid.selection];
    }

    /** Draws it anew if something in it has changed; a field that is written in keeps focus and text. */
    draw() {
        const images = this.names.map((name) => this.dataset.images.get(name)).filter(Boolean);
        // an image that has changed is another object
        const says = [...images, JSON.stringify(this.dataset.answer?.buckets)];
        if (says.length === this.said.length && says.every((one, place) => one === this.said[place])) {
            return;
        }
        this.said = says;
        const focused = this.box.contains(document.activeElement) ? document.activeElement.dataset.part : null;
        const written = this.written(images);
        this.box.replaceChildren(...images.length ? this.drawImages(images) : this.drawNone());
        for (const [part, text] of written) {
            this.box.querySelector(`[data-part="${part}"]`).value = text;
        }
        if (focused) {
            this.box.querySelector(`[data-part="${focused}"]`)?.focus();
        }
    }

    /** What is written in fields and not sent yet, if the same images are drawn again: tags to add, and a caption that
     *  has not become another one meanwhile. */
    written(images) {
        const names = images.map((image) => image.name).join("\n");
        const isSame = names !== "" && names === this.drawn;
        this.drawn = names;
        const parts = isSame ? [["add", ""], ...images.length === 1 ? [["text", images[0].text]] : []] : [];
        return parts.flatMap(([part, now]) => {
            const field = this.box.querySelector(`[data-part="${part}"]`);
            return field && field.value !== now && (field.dataset.was ?? "") === now ? [[part, field.value]] : [];
        });
    }

    drawNone() {
        const buckets = this.dataset.answer?.buckets ?? [];
        const most = Math.max(1, ...buckets.map((bucket) => bucket.images));
        const row = ({size, images}) => lyco.make("tr", {},
            lyco.make("th", {"scope": "row"}, `${size[0]}×${size[1]}`),
            lyco.make("td", {}, lyco.make("span", {"class": "lyco-train-set-bar", "style": `width: ${100 * images / most}%`})),
            lyco.make("td", {}, String(images)));
        const table = lyco.make("table", {"class": "lyco-train-set-buckets"},
            lyco.make("caption", {}, lyco.say("Buckets")), lyco.make("tbody", {}, ...buckets.map(row)));
        return [
            lyco.make("p", {}, lyco.say("Select images to change their captions: click, or with Ctrl or Shift several. Ctrl+A selects all.")),
            buckets.length ? table : "",
        ];
    }

    drawImages(images) {
        const isOne = images.length === 1;
        const title = isOne ? images[0].name : lyco.say("{count} images", {count: images.length});
        const none = lyco.button("✕", lyco.say("Select none"), () => this.dataset.grid.select([]), {"class": "lyco-train-set-plain"});
        return [
            lyco.make("header", {"class": "lyco-train-set-editor-title"}, lyco.make("h3", {}, title), none),
            ...isOne ? this.drawFacts(images[0]) : [],
            this.drawAdding(),
            this.drawChips(images),
            ...isOne ? [this.drawText(images[0])] : [],
            this.drawActions(images),
        ];
    }

    drawFacts(image) {
        const facts = [];
        if (image.size) {
            facts.push(`${image.size[0]}×${image.size[1]}`);
        }
        if (image.bucket) {
            facts.push(lyco.say("trained at {size}", {size: `${image.bucket[0]}×${image.bucket[1]}`}));
        }
        facts.push(lyco.say("{count} repeats", {count: image.repeats}));
        const picture = lyco.make("button", {
            "type": "button", "class": "lyco-train-set-look", "aria-label": lyco.say("Look at it"), "data-part": "look",
            "onclick": () => this.enlarge(image),
        }, this.dataset.grid.frame(image, "thumbnail", {crops: true}));
        const told = {file: "", folder: lyco.say("It has no caption file; its folder's name or the class tokens are its caption."), none: lyco.say("It has no caption.")};
        return [
            picture,
            lyco.make("p", {"class": "lyco-train-set-facts"}, facts.join(" · ")),
            image.problem ? lyco.make("p", {"class": "lyco-problem"}, lyco.sayMade(image.problem)) : "",
            image.advice ? lyco.make("p", {"class": "lyco-train-set-advice"}, lyco.sayMade(image.advice)) : "",
            told[image.source] && !image.problem ? lyco.make("p", {"class": "lyco-train-set-advice"}, told[image.source]) : "",
        ];
    }

    drawAdding() {
        const known = lyco.make("datalist", {"id": "lyco_train_known_tags"},
            ...(this.dataset.answer?.tags ?? []).slice(0, 500).map(([tag]) => lyco.make("option", {"value": tag})));
        const field = lyco.make("input", {
            "type": "text", "list": known.id, "aria-label": lyco.say("Tags to add, with commas between"), "placeholder": lyco.say("Add tags"),
            "data-part": "add", "onkeydown": (event) => event.key === "Enter" && add("add"),
        });
        const add = async (action) => {
            const tags = lyco.tagsOf(field.value);
            if (tags.length && await this.dataset.edit(this.names, action, {tags})) {
                const now = this.box.querySelector("[data-part=add]");
                now.value = "";
                now.focus();
            }
        };
        const button = (words, action, title) => lyco.make("button", {"type": "button", title, "onclick": () => add(action)}, words);
        return lyco.make("div", {"class": "lyco-train-set-row"}, field, known,
            button(lyco.say("At the end"), "add", lyco.say("Add where it is missing, at the end")),
            button(lyco.say("In front"), "add_front", lyco.say("Add where it is missing, in front")),
            button(lyco.say("As trigger"), "trigger", lyco.say("Put in front of every caption, also where it is already")));
    }

    drawChips(images) {
        const counts = new Map();
        images.forEach((image) => image.tags.forEach((tag) => counts.set(tag, (counts.get(tag) ?? 0) + 1)));
        const tags = [...counts.entries()];
        if (images.length > 1) {
            tags.sort((one, other) => other[1] - one[1] || (one[0] < other[0] ? -1 : 1));
        }
        const list = lyco.make("ul", {"class": "lyco-train-set-chips", "aria-label": lyco.say("Tags of the selected images")},
            ...tags.slice(0, lyco.DatasetEditor.MOST).map(([tag, count]) => this.chip(tag, count, images)));
        if (tags.length > lyco.DatasetEditor.MOST) {
            list.append(lyco.make("li", {}, lyco.say("{count} more", {count: tags.length - lyco.DatasetEditor.MOST})));
        }
        return list;
    }

    chip(tag, count, images) {
        const isAll = count === images.length;
        const name = lyco.make("span", {}, tag, images.length > 1 ? lyco.make("small", {}, String(count)) : "");
        const more = isAll ? null : lyco.button("+", lyco.say("Add {tag} to all selected", {tag}), () => this.dataset.edit(this.names, "add", {"tags": [tag]}));
        const gone = lyco.button("✕", lyco.say("Remove {tag}", {tag}), () => this.dataset.edit(this.names, "remove", {"tags": [tag]}), {"data-part": `remove ${tag}`.replaceAll('"', "")});
        return lyco.make("li", {"class": isAll ? "lyco-train-set-chip" : "lyco-train-set-chip lyco-train-set-some"}, name, more, gone);
    }

    drawText(image) {
        const field = lyco.make("textarea", {"rows": 4, "aria-label": lyco.say("Caption"), "data-part": "text", "spellcheck": "false"});
        field.value = field.dataset.was = image.text;
        const save = () => field.value === image.text || this.dataset.edit([image.name], "caption", {"text": field.value});
        field.addEventListener("change", save);
        field.addEventListener("keydown", (event) => {
            event.stopPropagation();
            if (event.key === "Enter" && (event.ctrlKey || event.metaKey)) {
                save();
            }
        });
        return lyco.make("label", {"class": "lyco-train-set-text"}, lyco.say("Caption"), field);
    }

    drawActions(images) {
        const names = images.map((image) => image.name);
        const button = (words, onclick, title = words) => lyco.make("button", {"type": "button", onclick, title}, words);
        const isOut = images.every((image) => image.excluded);
        return lyco.make("div", {"class": "lyco-train-set-row"},
            button(lyco.say("Remove doubles"), () => this.dataset.edit(names, "dedupe"), lyco.say("Keep each tag once in a caption")),
            button(lyco.say("Sort tags"), () => this.dataset.edit(names, "sort")),
            button(lyco.say("Auto-tag…"), () => lyco.openTagging(this.dataset)),
            images.length === 1 && images[0].size ? button(lyco.say("Draw mask…"), () => lyco.openMaskEditor(this.dataset, images[0])) : "",
            this.dataset.metadata ? "" : button(isOut ? lyco.say("Take back") : lyco.say("Leave out"), () => this.dataset.exclude(names, !isOut),
                lyco.say("Images that are left out are in a folder named excluded, beside the others")));
    }

    /** An image in a window of its own. */
    enlarge(image) {
        const body = lyco.openDialog(image.name,
            lyco.make("div", {"class": "lyco-train-set-large"}, this.dataset.grid.frame(image, "picture", {crops: true, masks: true})),
            lyco.make("p", {"class": "lyco-text"}, image.text));
        body.closest("dialog").classList.add("lyco-train-window");
    }
};

/** The tags in a line of text. */
lyco.tagsOf = (text) => text.split(",").map((tag) => tag.trim()).filter(Boolean);
