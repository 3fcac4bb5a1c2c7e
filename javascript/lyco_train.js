// The training tab: its sections, and the desk that they share.
//
// A section is {id, title, order, build(root, desk)}, put into lyco.trainSections when its file is read. `build` is
// called when the section is opened for the first time; what it gives back may have show(option), which is called
// each time it is opened, with the option that should be looked at or "".

var lyco = lyco || {};

lyco.trainSections = lyco.trainSections || [];

lyco.askTrain = (path, given = {}) => lyco.ask(`train/${path}`, given);
lyco.tellTrain = (path, body = {}) => lyco.tell(`train/${path}`, body);

/** What the sections share: the options, and how the runs stand. */
lyco.Desk = class {
    constructor(frame) {
        this.frame = frame;
        this.config = lyco.recall("train-config", {});
        this.status = null;
        this.problem = "";
        this.listeners = {config: [], status: []};
    }

    /** The base model's name; "" for the one that is loaded. */
    get base() {
        return this.config.base_model ?? "";
    }

    /** Takes the place of all options; those that have their default are left out. */
    setConfig(values) {
        this.config = {...values};
        lyco.remember("train-config", this.config);
        this.listeners.config.forEach((listen) => listen(this.config));
    }

    onConfig(listen) {
        this.listeners.config.push(listen);
    }

    /** Is told of each answer to `runs`; `desk.problem` says why there was none. */
    onStatus(listen) {
        this.listeners.status.push(listen);
        if (this.status || this.problem) {
            listen(this.status);
        }
    }

    open(id, option = "") {
        this.frame.shell.open(id, option);
    }

    /** Asks how the runs stand, now. */
    async refresh() {
        try {
            this.status = await lyco.askTrain("runs");
            this.problem = "";
        } catch (error) {
            this.problem = error.message;
        }
        this.listeners.status.forEach((listen) => listen(this.status));
    }
};

/** The row of sections with the one that is open below it. */
lyco.TrainShell = class {
    constructor(frame) {
        this.frame = frame;
        // gradio gives every element of a text that it takes for prose its own margins and marks
        frame.closest(".prose")?.classList.remove("prose");
        this.desk = new lyco.Desk(frame);
        this.sections = [...lyco.trainSections].sort((one, other) => one.order - other.order);
        this.tabs = lyco.make("div", {
            "role": "tablist", "class": "lyco-train-tabs", "aria-label": lyco.say("Training"),
            "onkeydown": (event) => this.move(event),
        });
        this.places = new Map(this.sections.map((section) => [section.id, this.place(section)]));
        frame.shell = this;
        frame.replaceChildren(this.tabs, ...[...this.places.values()].map((place) => place.panel));
        // whoever never looks at the tab asks the server nothing
        new IntersectionObserver((seen, observer) => {
            if (seen.some((one) => one.isIntersecting)) {
                observer.disconnect();
                this.begin();
            }
        }).observe(this.tabs);
    }

    begin() {
        if (![...this.places.values()].some((place) => place.isBuilt)) {
            const last = lyco.recall("train-section", "");
            this.open(this.places.has(last) ? last : this.sections[0]?.id);
        }
        this.poll();
    }

    place(section) {
        const panel = lyco.make("section", {
            "role": "tabpanel", "id": `lyco_train_${section.id}`, "class": "lyco-train-section",
            "aria-labelledby": `lyco_train_tab_${section.id}`, "hidden": true,
        });
        const tab = lyco.make("button", {
            "type": "button", "role": "tab", "id": `lyco_train_tab_${section.id}`, "aria-controls": panel.id,
            "onclick": () => this.open(section.id),
        }, lyco.say(section.title));
        this.tabs.append(tab);
        return {section, panel, tab, view: null, isBuilt: false};
    }

    open(id, option = "") {
        const place = this.places.get(id);
        if (!place) {
            return;
        }
        for (const one of this.places.values()) {
            one.panel.hidden = one !== place;
            one.tab.setAttribute("aria-selected", one === place);
            one.tab.tabIndex = one === place ? 0 : -1;
        }
        this.reveal(place.tab);
        lyco.remember("train-section", id);
        if (!place.isBuilt) {
            place.isBuilt = true;
            place.view = place.section.build(place.panel, this.desk) ?? null;
        }
        place.view?.show?.(option);
    }

    /** Brings a tab into the row; on a phone not all of them are in it. The page itself stays where it is. */
    reveal(tab) {
        const [row, box] = [this.tabs.getBoundingClientRect(), tab.getBoundingClientRect()];
        const beyond = Math.max(0, box.right - row.right) || Math.min(0, box.left - row.left);
        this.tabs.scrollLeft += beyond && beyond + Math.sign(beyond) * 24;
    }

    /** Arrow keys go from tab to tab, as in every tablist. */
    move(event) {
        const ids = [...this.places.keys()];
        const at = ids.findIndex((id) => this.places.get(id).tab === document.activeElement);
        const to = {
            ArrowRight: (at + 1) % ids.length, ArrowLeft: (at + ids.length - 1) % ids.length, Home: 0, End: ids.length - 1,
        }[event.key];
        if (to !== undefined && at >= 0) {
            event.preventDefault();
            this.open(ids[to]);
            this.places.get(ids[to]).tab.focus();
        }
    }

    /** Asks each second while a run goes on, less often otherwise, and not where nobody looks. */
    async poll() {
        if (!this.frame.isConnected) {
            return;
        }
        if (lyco.isVisible(this.frame)) {
            await this.desk.refresh();
        }
        const isIdle = !this.desk.status?.current && !this.desk.problem;
        const hasRuns = this.desk.status?.queue?.length;
        setTimeout(() => this.poll(), isIdle && !hasRuns ? 5000 : 1000);
    }
};

/** Draws the tab into its frame, once it is there and whenever it is there anew. */
lyco.startTraining = function() {
    const frame = document.getElementById("lyco_train");
    if (frame && !frame.shell) {
        new lyco.TrainShell(frame);
    }
};
