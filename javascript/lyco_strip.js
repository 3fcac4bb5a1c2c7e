// The strip below a prompt, the tab's own or that of hires fix: one row for each of its tags. It edits the
// prompt's text, and follows it.
//
// Mute adds `lbw=NONE` to a tag: all its blocks have weight 0, in both passes and at every step, while its
// strengths and its schedule stay as they are written; nothing is computed for it. Block and element weights
// that stood there are remembered by the browser; unmuting puts them back, or else takes `lbw` out.

var lyco = lyco || {};

lyco.MUTED = "NONE";

lyco.isMuted = (tag) => tag.muted || tag.options.lbw === lyco.MUTED;

lyco.Strip = class {
    /** row: what it is put into, below the prompt; some layouts move it, and the strip goes with it. */
    constructor(prompt, row) {
        this.prompt = prompt;
        this.rows = [];
        this.presets = [];
        this.applied = new Map();
        this.list = lyco.make("div", {"class": "lyco-rows", "role": "list", "aria-label": lyco.say("Networks in the prompt")});
        this.xray = lyco.make("button", {type: "button", class: "lyco-link", onclick: () => this.showXray()}, lyco.say("X-ray of all"));
        this.problem = lyco.make("p", {class: "lyco-problem", role: "status"});
        this.box = lyco.make("div", {class: "lyco-strip", id: `${prompt.id}_lyco_strip`, hidden: true}, this.list, this.xray, this.problem);
        row.append(this.box);
        prompt.follow(() => this.draw());
        this.followDrawing();
        this.loadPresets();
        this.loadApplied();
    }

    draw() {
        const {tags, problem} = this.prompt;
        this.box.hidden = !tags.length && !problem;
        this.problem.textContent = problem;
        tags.forEach((tag, at) => {
            if (this.rows[at]?.name !== tag.name) {
                const row = new lyco.Row(this, at, tag.name);
                this.rows[at] ? this.rows[at].box.replaceWith(row.box) : this.list.append(row.box);
                this.rows[at] = row;
            }
            this.rows[at].show(tag, this.applied.get(tag.text));
        });
        this.rows.splice(tags.length).forEach((row) => row.box.remove());
        this.xray.hidden = !this.known().length;
    }

    /** The tags whose networks act. */
    known() {
        return this.prompt.tags.filter((tag) => tag.card_id !== null && !lyco.isMuted(tag));
    }

    showXray() {
        lyco.showXray(this.known().map((tag) => ({id: tag.card_id, te: tag.te, unet: lyco.mostStrength(tag)})));
    }

    async loadPresets() {
        try {
            const {blocks} = await lyco.ask("presets");
            this.presets = blocks.map(({name}) => name);
            this.rows.forEach((row) => row.fillPresets());
        } catch (error) {
            this.problem.textContent = error.message;
        }
        this.draw();
    }

    /** What the last picture was drawn with. */
    async loadApplied() {
        try {
            const {rows, hires_rows} = await lyco.ask("applied");
            this.applied = new Map((this.prompt.main ? hires_rows : rows).map((row) => [row.tag, row]));
            this.draw();
        } catch (error) {
            this.prompt.report(error);
        }
    }

    /** The WebUI hides its Interrupt button when a picture is done. */
    followDrawing() {
        const button = gradioApp().querySelector(`#${this.prompt.tab}_interrupt`);
        let was = false;
        const look = () => {
            const is = button.style.display === "block";
            if (was && !is) {
                this.loadApplied();
            }
            was = is;
        };
        new MutationObserver(look).observe(button, {attributes: true, attributeFilter: ["style"]});
    }
};

/** One tag's row. */
lyco.Row = class {
    constructor(strip, at, name) {
        Object.assign(this, {strip, at, name});
        this.tag = null;
        this.pending = 0;
        this.te = this.strength("TE", lyco.say("Text encoder"), (text) => this.set({te: text, ...this.follow()}));
        this.unet = this.strength("UNet", "UNet", (text) => this.set(this.isLinked() ? {te: text, unet: null} : {unet: text}));
        this.link = lyco.button("=", lyco.say("One strength for both"), () => this.toggleLink(), {class: "lyco-link-button"});
        this.preset = lyco.make("select", {"class": "lyco-preset", "aria-label": lyco.say("Blocks of {name}", {name}), "onchange": () => this.setPreset()});
        this.schedule = lyco.make("input", {
            "type": "text",
            "class": "lyco-schedule",
            "placeholder": lyco.say("by step: 0@0,1@0.5"),
            "aria-label": lyco.say("UNet strength by step of {name}", {name}),
            "onchange": () => this.setSchedule(),
        });
        this.spark = lyco.make("span", {class: "lyco-spark"});
        this.mute = lyco.button(lyco.say("mute"), lyco.say("Mute: the tag stays, with lbw=NONE"), () => this.toggleMute(), {class: "lyco-mute"});
        const remove = lyco.button("✕", lyco.say("Remove from the prompt"), () => this.edit({remove: true}), {class: "lyco-remove"});
        this.state = lyco.make("span", {class: "lyco-state", role: "status"});
        this.box = lyco.make(
            "div",
            {"class": "lyco-row", "role": "listitem", "aria-label": name},
            lyco.make("span", {class: "lyco-row-name", title: name}, name),
            this.mute,
            this.te.box,
            this.link,
            this.unet.box,
            this.preset,
            lyco.make("span", {class: "lyco-schedule-box"}, this.schedule, this.spark),
            this.state,
            remove,
        );
    }

    /** A slider and its number. */
    strength(short, words, onchange) {
        const label = lyco.say("{what} strength of {name}", {what: words, name: this.name});
        const slider = lyco.make("input", {"type": "range", "min": -1, "max": 2, "step": 0.01, "aria-label": label});
        const number = lyco.make("input", {"type": "number", "step": 0.05, "aria-label": label});
        slider.addEventListener("input", () => (number.value = slider.value));
        slider.addEventListener("change", () => onchange(slider.value));
        number.addEventListener("change", () => number.value && onchange(number.value));
        const box = lyco.make("span", {class: "lyco-strength"}, lyco.make("small", {title: words}, short), slider, number);
        return {box, slider, number};
    }

    show(tag, applied) {
        this.tag = tag;
        const isScheduled = tag.schedule !== null;
        const isMuted = this.isMuted();
        this.showStrength(this.te, tag.te, false);
        this.showStrength(this.unet, tag.unet, isScheduled);
        this.link.textContent = this.isLinked() ? "=" : "≠";
        this.link.setAttribute("aria-pressed", this.isLinked());
        this.box.classList.toggle("lyco-muted", isMuted);
        this.mute.setAttribute("aria-pressed", isMuted);
        this.fillPresets();
        if (document.activeElement !== this.schedule) {
            this.schedule.value = isScheduled ? tag.options.unet ?? tag.options.te : "";
        }
        this.spark.replaceChildren(...[isScheduled ? lyco.drawSpark(tag.schedule) : null, this.windowText()].filter(Boolean));
        this.showState(applied, isMuted);
    }

    showStrength({slider, number}, value, isScheduled) {
        slider.min = Math.min(-1, value);
        slider.max = Math.max(2, value);
        slider.disabled = number.disabled = isScheduled;
        if (this.pending > 1) {
            return; // the user is ahead of the text
        }
        slider.value = value;
        if (document.activeElement !== number) {
            number.value = Number(value.toFixed(4));
        }
    }

    showState(applied, isMuted) {
        const {tag} = this;
        const told = tag.problem?.replace(`${tag.text}: `, "") ?? applied?.problem;
        const problem = tag.card_id === null && !tag.problem ? lyco.say("There is no network of this name.") : lyco.sayMade(told);
        const done = applied?.total && !isMuted ? lyco.say("applied {applied} of {total}", applied) : "";
        this.state.textContent = [isMuted ? lyco.say("muted") : done, problem].filter(Boolean).join(": ");
        this.state.title = this.state.textContent;
        this.state.classList.toggle("lyco-problem", Boolean(problem));
    }

    windowText() {
        if (this.tag.window === null) {
            return null;
        }
        const [first, last] = this.tag.window;
        return lyco.say(last === null ? "from step {first}" : "steps {first} to {last}", {first, last});
    }

    fillPresets() {
        const value = this.tag?.options.lbw ?? "";
        const names = [...new Set(["", ...this.strip.presets, value])];
        const says = names.join("\n");
        if (this.preset.dataset.says !== says) {
            this.preset.dataset.says = says;
            this.preset.replaceChildren(...names.map((name) => lyco.make("option", {value: name}, name || lyco.say("all blocks"))));
        }
        this.preset.value = value;
    }

    async edit(change) {
        this.pending += 1;
        await this.strip.prompt.edit(this.at, this.name, change);
        this.pending -= 1;
    }

    set(options) {
        return this.edit({set: options});
    }

    /** Whether one number is for both: the tag says none for the UNet alone. */
    isLinked() {
        return this.tag.options.unet === undefined;
    }

    /** What becomes of the UNet's strength when the text encoder's changes: a schedule stays. */
    follow() {
        return this.isLinked() && this.tag.schedule === null ? {unet: null} : {};
    }

    toggleLink() {
        return this.set(this.isLinked() ? {unet: this.tag.options.te ?? "1"} : {unet: null});
    }

    setPreset() {
        return this.set({lbw: this.preset.value || null});
    }

    setSchedule() {
        const text = this.schedule.value.trim();
        const constant = this.isLinked() ? {te: String(this.tag.te), unet: null} : {unet: null};
        return this.set(text ? {unet: text} : constant);
    }

    isMuted() {
        return lyco.isMuted(this.tag);
    }

    toggleMute() {
        const {options, muted} = this.tag;
        const key = `muted/${this.name}`;
        if (!this.isMuted()) {
            const kept = {lbw: options.lbw ?? null, lbwe: options.lbwe ?? null};
            lyco.remember(key, kept);
            return this.set({...(kept.lbwe ? {lbwe: null} : {}), lbw: lyco.MUTED});
        }
        const back = options.lbw === lyco.MUTED ? lyco.recall(key, {lbw: null}) : {};
        // both strengths were written as 0
        const strength = muted ? {te: String(lyco.option("extra_networks_default_multiplier", 1)), unet: null} : {};
        return this.set({...back, ...strength});
    }
};

/** The UNet's strength, of one that changes by step the one that is farthest from 0. */
lyco.mostStrength = function(tag) {
    const values = (tag.schedule ?? []).map(([, value]) => value);
    return values.reduce((most, value) => Math.abs(value) > Math.abs(most) ? value : most, tag.unet);
};

/** A strength over the steps, as small as a word. `points`: [position, value], in fractions or in steps. */
lyco.drawSpark = function(points) {
    const [width, height] = [64, 18];
    const end = Math.max(1, ...points.map(([place]) => place));
    const values = points.map(([, value]) => value);
    const [low, high] = [Math.min(0, ...values), Math.max(1, ...values)];
    const spots = [[0, values[0]], ...points, [end, values[values.length - 1]]].map(([place, value]) => {
        const x = 1 + place / end * (width - 2);
        const y = 1 + (high - value) / (high - low) * (height - 2);
        return `${x.toFixed(1)},${y.toFixed(1)}`;
    });
    const make = (tag, attributes) => {
        const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
        Object.entries(attributes).forEach(([name, value]) => element.setAttribute(name, value));
        return element;
    };
    const svg = make("svg", {"viewBox": `0 0 ${width} ${height}`, width, height, "role": "img", "aria-label": lyco.say("strength by step")});
    svg.append(make("polyline", {"points": spots.join(" "), "fill": "none", "stroke": "currentColor", "stroke-width": 1.5}));
    return svg;
};
