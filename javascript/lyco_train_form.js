// Settings: what to train and how, in a simple and an advanced view, and what starts it.

var lyco = lyco || {};

lyco.trainSections = lyco.trainSections || [];

/** Whether two values of an option are the same; lists by what is in them. */
lyco.sameValue = (one, other) => JSON.stringify(one ?? null) === JSON.stringify(other ?? null);

/** All options of the form: what is declared, what they are set to, and what they are compared with. */
lyco.TrainOptions = class {
    constructor(desk, told) {
        this.desk = desk;
        this.told = told;
        this.byName = new Map(told.groups.flatMap((group) => group.options.map((option) => [option.name, {...option, group}])));
        this.baseline = lyco.recall("train-baseline", {title: "", values: {}});
        // what is left unsaid is as this program has it
        this.byName.get("output").default = told.output;
        this.byName.get("base_model").suggestions = told.bases.map((base) => base.name).filter(Boolean);
    }

    value(name, values = this.desk.config) {
        return name in values ? values[name] : this.byName.get(name)?.default;
    }

    put(values) {
        const kept = Object.entries(values).filter(([name, value]) => !lyco.sameValue(value, this.byName.get(name)?.default));
        this.desk.setConfig(Object.fromEntries(kept));
    }

    set(name, value) {
        this.put({...this.desk.config, [name]: value});
    }

    /** Whether an option is not as the preset, or else the default, has it. */
    differs(name) {
        return !lyco.sameValue(this.value(name), this.value(name, this.baseline.values));
    }

    reset(name) {
        this.set(name, this.value(name, this.baseline.values));
    }

    changes() {
        return [...this.byName.keys()].filter((name) => this.differs(name));
    }

    /** Other values to compare with; what the user has changed stays changed. */
    rebase(title, values) {
        const own = Object.fromEntries(this.changes().map((name) => [name, this.value(name)]));
        this.setBaseline(title, values);
        this.put({...values, ...own});
    }

    /** A preset in place of everything but what is the user's own: folders, names and texts. */
    load(title, values) {
        const own = this.told.personal.filter((name) => name in this.desk.config).map((name) => [name, this.desk.config[name]]);
        const all = {...Object.fromEntries(own), ...values};
        this.setBaseline(title, all);
        this.put(all);
    }

    setBaseline(title, values) {
        this.baseline = {title, values};
        lyco.remember("train-baseline", this.baseline);
    }

    /** Whether an option has an effect with what is set; one that is set is shown all the same. */
    matters(option) {
        if (option.uses && !option.uses.includes(this.value("algo"))) {
            return this.differs(option.name);
        }
        if (!option.needs) {
            return true;
        }
        const value = this.value(option.needs.option);
        const is = option.needs.values.length ? option.needs.values.includes(value) : Boolean(Array.isArray(value) ? value.length : value);
        return is || this.differs(option.name);
    }

    base() {
        return this.told.bases.find((base) => base.name === this.desk.base);
    }

    family() {
        const named = this.value("base_family");
        return named === "auto" ? this.base()?.family ?? "sd1" : named;
    }
};

/** The section: a switch between the views, the open view, and the foot that starts runs. */
lyco.TrainForm = class {
    constructor(root, desk) {
        this.root = root;
        this.desk = desk;
        root.replaceChildren(lyco.make("p", {"role": "status"}, lyco.say("Loading…")));
        this.ready = this.load();
    }

    async load() {
        try {
            this.options = new lyco.TrainOptions(this.desk, await lyco.askTrain("options"));
        } catch (error) {
            const again = lyco.make("button", {"type": "button", "onclick": () => { this.ready = this.load(); }}, lyco.say("Try again"));
            this.root.replaceChildren(lyco.make("p", {"class": "lyco-problem", "role": "alert"}, error.message), again);
            return;
        }
        this.views = {simple: new lyco.TrainSimple(this), advanced: new lyco.TrainAdvanced(this)};
        this.check = new lyco.TrainCheck(this);
        this.foot = new lyco.TrainFoot(this);
        this.root.replaceChildren(this.head(), this.views.simple.root, this.views.advanced.root, this.check.root, this.foot.root);
        this.choose(lyco.recall("train-view", "simple"));
        this.desk.onConfig(() => this.changed());
        this.changed();
    }

    head() {
        this.modes = Object.entries({simple: lyco.say("Simple"), advanced: lyco.say("Advanced")}).map(([id, title]) => lyco.make(
            "button", {"type": "button", "data-view": id, "onclick": () => this.choose(id)}, title,
        ));
        const tools = [
            [lyco.say("Presets…"), () => lyco.openPresets(this)],
            [lyco.say("Paste…"), () => lyco.openImport(this)],
            [lyco.say("Export…"), () => lyco.openExport(this)],
        ].map(([title, act]) => lyco.make("button", {"type": "button", "onclick": act}, title));
        return lyco.make(
            "div", {class: "lyco-train-head"},
            lyco.make("div", {"class": "lyco-train-modes", "role": "group", "aria-label": lyco.say("View")}, ...this.modes),
            lyco.make("div", {class: "lyco-train-tools"}, ...tools),
        );
    }

    choose(id) {
        lyco.remember("train-view", id);
        for (const [name, view] of Object.entries(this.views)) {
            view.root.hidden = name !== id;
        }
        this.modes.forEach((mode) => mode.setAttribute("aria-pressed", mode.dataset.view === id));
    }

    changed() {
        this.views.simple.changed();
        this.views.advanced.changed();
        this.foot.changed();
    }

    /** Opens the field of an option, wherever it is. */
    async show(name) {
        await this.ready;
        if (!name || !this.options) {
            return;
        }
        const isSimple = !this.views.simple.root.hidden && this.views.simple.focus(name);
        if (!isSimple) {
            this.choose("advanced");
            this.views.advanced.focus(name);
        }
    }
};

lyco.trainSections.push({id: "form", title: "Settings", order: 10, build: (root, desk) => new lyco.TrainForm(root, desk)});
