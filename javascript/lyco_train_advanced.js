// The advanced view: every option in its group, with a search, and only what has an effect.

var lyco = lyco || {};

lyco.TrainAdvanced = class {
    constructor(form) {
        this.form = form;
        this.search = lyco.make("input", {
            "type": "search", "placeholder": lyco.say("Search options"), "aria-label": lyco.say("Search options"), "oninput": () => this.filter(),
        });
        this.onlyChanged = lyco.make("input", {"type": "checkbox", "onchange": () => this.filter()});
        this.count = lyco.make("span", {"class": "lyco-train-count", "role": "status"});
        const only = lyco.make("label", {class: "lyco-train-only"}, this.onlyChanged, lyco.say("Only what is changed"));
        this.none = lyco.make("p", {hidden: true}, lyco.say("No option is found."));
        this.groups = form.options.told.groups.map((group) => this.group(group));
        const bar = lyco.make("div", {class: "lyco-train-search"}, this.search, only, this.count);
        this.root = lyco.make("div", {class: "lyco-train-advanced"}, bar, this.none, ...this.groups.map((group) => group.element));
    }

    group(group) {
        const fields = group.options.map(({name}) => new lyco.TrainField(this.form, this.form.options.byName.get(name)));
        const mark = lyco.make("span", {class: "lyco-train-mark"});
        const blocks = group.title === "Blocks" ? new lyco.TrainBlocks(this.form) : null;
        const grid = lyco.make("div", {class: "lyco-train-grid"}, ...fields.map((field) => field.element));
        const isOpen = lyco.recall("train-open-groups", ["Model", "Folders", "Network", "Training"]).includes(group.title);
        const element = lyco.make(
            "details", {"class": "lyco-train-group", "open": isOpen, "ontoggle": () => this.remember()},
            lyco.make("summary", {}, lyco.say(group.title), mark), blocks?.root, grid,
        );
        return {group, fields, mark, blocks, element, isFiltered: false};
    }

    remember() {
        if (!this.isSearching()) {
            lyco.remember("train-open-groups", this.groups.filter((one) => one.element.open).map((one) => one.group.title));
        }
    }

    isSearching() {
        return Boolean(this.search.value.trim()) || this.onlyChanged.checked;
    }

    changed() {
        for (const group of this.groups) {
            group.fields.forEach((field) => field.changed());
            group.blocks?.changed();
            const changes = group.fields.filter((field) => this.form.options.differs(field.option.name)).length;
            group.mark.textContent = changes ? lyco.say("{count} changed", {count: changes}) : "";
        }
        const {title} = this.form.options.baseline;
        const count = this.form.options.changes().length;
        this.count.textContent = title ? lyco.say("{count} changed from {preset}", {count, preset: lyco.say(title)})
            : lyco.say("{count} changed from the defaults", {count});
        this.filter();
    }

    filter() {
        const words = this.search.value.trim().toLowerCase().split(/\s+/).filter(Boolean);
        let shown = 0;
        for (const group of this.groups) {
            let isAny = false;
            for (const field of group.fields) {
                const isFound = words.every((word) => field.words.includes(word));
                const isWanted = !this.onlyChanged.checked || this.form.options.differs(field.option.name);
                field.element.hidden = !(isFound && isWanted && (words.length > 0 || this.form.options.matters(field.option)));
                isAny ||= !field.element.hidden;
            }
            group.element.hidden = !isAny;
            shown += isAny ? 1 : 0;
            if (this.isSearching() && isAny) {
                group.element.open = true;
                group.isFiltered = true;
            } else if (group.isFiltered && !this.isSearching()) {
                group.element.open = lyco.recall("train-open-groups", ["Model", "Folders", "Network", "Training"]).includes(group.group.title);
                group.isFiltered = false;
            }
        }
        this.none.hidden = shown > 0;
    }

    focus(name) {
        const group = this.groups.find((one) => one.fields.some((field) => field.option.name === name));
        if (group) {
            this.search.value = "";
            this.onlyChanged.checked = false;
            this.filter();
            group.element.hidden = false;
            group.element.open = true;
            const field = group.fields.find((one) => one.option.name === name);
            field.element.hidden = false;
            field.focus();
        }
    }
};
