// The tags of a folder with how often they are: to show images by, to rename and to remove everywhere.

var lyco = lyco || {};

lyco.DatasetTags = class {
    static MOST = 300;

    constructor(dataset) {
        this.dataset = dataset;
        this.search = lyco.make("input", {
            "type": "search", "aria-label": lyco.say("Search tags"), "placeholder": lyco.say("Search tags"),
            "oninput": lyco.later(120, () => this.draw()),
        });
        this.list = lyco.make("div", {"class": "lyco-train-set-tags", "role": "group", "aria-label": lyco.say("Tags")});
        this.actions = lyco.make("div", {"class": "lyco-train-set-row"});
        this.box = lyco.make("details", {"class": "lyco-train-set-cloud", "open": window.innerWidth > 900},
            lyco.make("summary", {}, lyco.say("Tags")), this.search, this.actions, this.list);
    }

    draw() {
        const {answer, wantedTags} = this.dataset;
        const text = this.search.value.trim().toLowerCase();
        const all = answer?.tags ?? [];
        const known = new Set(all.map(([tag]) => tag));
        wantedTags.forEach((tag) => known.has(tag) || wantedTags.delete(tag));
        const found = all.filter(([tag]) => wantedTags.has(tag) || tag.toLowerCase().includes(text));
        const shown = found.slice(0, lyco.DatasetTags.MOST);
        const says = JSON.stringify([shown, [...wantedTags], found.length]);
        if (says === this.said) {
            return;
        }
        this.said = says;
        const focused = document.activeElement?.closest?.(".lyco-train-set-tag")?.dataset.tag;
        this.list.replaceChildren(...shown.map(([tag, count]) => this.button(tag, count)));
        if (found.length > lyco.DatasetTags.MOST) {
            this.list.append(lyco.make("p", {}, lyco.say("{count} more: search for them.", {count: found.length - lyco.DatasetTags.MOST})));
        }
        if (focused !== undefined) {
            [...this.list.querySelectorAll(".lyco-train-set-tag")].find((one) => one.dataset.tag === focused)?.focus();
        }
        this.drawActions();
    }

    button(tag, count) {
        return lyco.make("button", {
            "type": "button", "class": "lyco-train-set-tag", "data-tag": tag, "aria-pressed": this.dataset.wantedTags.has(tag),
            "onclick": () => this.toggle(tag),
        }, tag, lyco.make("small", {}, String(count)));
    }

    toggle(tag) {
        const {wantedTags} = this.dataset;
        if (!wantedTags.delete(tag)) {
            wantedTags.add(tag);
        }
        this.dataset.filter();
    }

    /** What may be done with the images that have the chosen tags. */
    drawActions() {
        const tags = [...this.dataset.wantedTags];
        const names = () => this.dataset.shown.map((image) => image.name);
        const button = (words, onclick) => lyco.make("button", {"type": "button", onclick}, words);
        this.actions.hidden = !tags.length;
        this.actions.replaceChildren(
            button(lyco.say("Select these images"), () => this.dataset.grid.select(names())),
            ...tags.length === 1 ? [button(lyco.say("Rename…"), () => lyco.openRenaming(this.dataset, tags[0]))] : [],
            button(lyco.say("Remove from all"), () => this.dataset.edit(names(), "remove", {tags})),
            button(lyco.say("Show all"), () => {
                this.dataset.wantedTags.clear();
                this.dataset.filter();
            }),
        );
    }
};
