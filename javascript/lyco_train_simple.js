// The simple view: seven questions. The server makes all options of the answers, and says why.

var lyco = lyco || {};

lyco.TrainSimple = class {
    constructor(form) {
        this.form = form;
        const first = {folder: "", subject: "character", trigger: "", base: form.desk.base, quality: "balanced", name: "", prompt: ""};
        this.answers = {...first, ...lyco.recall("train-answers", {})};
        this.later = lyco.later(350, () => this.ask());
        const {subjects, qualities} = form.options.told.simple;
        this.controls = {
            folder: this.text("folder", lyco.say("Image folder"), lyco.say("Any folder with pictures, or with folders of pictures in it.")),
            subject: this.choice("subject", lyco.say("What it is"), subjects),
            trigger: this.text("trigger", lyco.say("Trigger word"), lyco.say("The word that will call it up in a prompt.")),
            base: this.base(),
            quality: this.choice("quality", lyco.say("Quality"), qualities),
            name: this.text("name", lyco.say("Name"), lyco.say("Of the file; empty is the trigger word.")),
            prompt: this.text("prompt", lyco.say("Sample prompt"), lyco.say("Drawn while it trains; empty draws nothing.")),
        };
        const upload = lyco.make("button", {"type": "button", "onclick": () => form.desk.open("dataset")}, lyco.say("Upload or edit pictures…"));
        this.controls.folder.line.append(upload);
        this.problem = lyco.make("p", {"class": "lyco-problem", "role": "alert"});
        this.note = lyco.make("p", {"class": "lyco-train-note", "role": "status"});
        this.changes = lyco.make("p", {class: "lyco-train-note"});
        this.reasons = lyco.make("table", {class: "lyco-table lyco-train-reasons"});
        const why = lyco.make("details", {class: "lyco-train-why"}, lyco.make("summary", {}, lyco.say("What that sets, and why")), this.reasons);
        const fields = lyco.make("div", {class: "lyco-train-questions"}, ...Object.values(this.controls).map((one) => one.element));
        this.root = lyco.make("div", {class: "lyco-train-simple"}, fields, this.problem, this.note, this.changes, why);
    }

    field(name, title, control, help) {
        const line = lyco.make("div", {class: "lyco-train-line"}, control);
        const element = lyco.make(
            "div", {"class": "lyco-train-field", "data-answer": name},
            lyco.make("label", {for: `lyco_train_simple_${name}`}, title), line,
            help ? lyco.make("p", {class: "lyco-train-help"}, help) : null,
        );
        return {element, line, control};
    }

    text(name, title, help) {
        const input = lyco.make("input", {
            "type": "text", "id": `lyco_train_simple_${name}`, "autocomplete": "off", "spellcheck": "false", "value": this.answers[name],
            "oninput": () => this.answer(name, input.value),
        });
        return this.field(name, title, input, help);
    }

    choice(name, title, choices) {
        const buttons = choices.map((one) => {
            const radio = lyco.make("input", {
                "type": "radio", "name": `lyco_train_simple_${name}`, "value": one.id, "checked": this.answers[name] === one.id,
                "onchange": () => this.answer(name, one.id),
            });
            return lyco.make("label", {}, radio, lyco.say(one.title));
        });
        const id = `lyco_train_simple_${name}`;
        const group = lyco.make("div", {"class": "lyco-train-radios", "role": "radiogroup", id, "aria-label": title}, ...buttons);
        return this.field(name, title, group);
    }

    base() {
        const items = this.form.options.told.bases.map((base) => lyco.make(
            "option", {value: base.name}, [lyco.sayMade(base.title), base.family?.toUpperCase()].filter(Boolean).join(" · "),
        ));
        const select = lyco.make("select", {id: "lyco_train_simple_base", onchange: () => this.answer("base", select.value)}, ...items);
        select.value = this.answers.base;
        if (select.selectedIndex < 0) {
            select.selectedIndex = 0;
            this.answers.base = select.value;
        }
        return this.field("base", lyco.say("Base model"), select, lyco.say("The one that is loaded, unless you choose another one."));
    }

    answer(name, value) {
        this.answers[name] = value;
        lyco.remember("train-answers", this.answers);
        this.later();
    }

    /** Makes options of the answers; what was changed in the advanced view stays. */
    async ask() {
        const asked = JSON.stringify(this.answers);
        let told;
        try {
            told = await lyco.tellTrain("simple", this.answers);
        } catch (error) {
            this.problem.textContent = error.message;
            return;
        }
        if (asked !== JSON.stringify(this.answers)) {
            return;
        }
        this.problem.textContent = told.problem ? lyco.sayMade(told.problem) : "";
        this.note.textContent = lyco.sayMade(told.note);
        this.reasons.replaceChildren(...told.reasons.map((one) => this.reason(one)));
        this.form.options.rebase("Simple", told.config);
    }

    reason(one) {
        const option = this.form.options.byName.get(one.option);
        const value = Array.isArray(one.value) ? one.value.join(" × ") : String(one.value);
        return lyco.make(
            "tr", {}, lyco.make("th", {scope: "row"}, lyco.say(option?.title ?? one.option)),
            lyco.make("td", {}, value), lyco.make("td", {}, lyco.sayMade(one.why)),
        );
    }

    changed() {
        const {options} = this.form;
        const own = options.baseline.title === "Simple" ? options.changes() : [];
        const names = own.map((name) => lyco.say(options.byName.get(name).title)).join(", ");
        this.changes.replaceChildren(...own.length ? [
            lyco.say("Changed in the advanced view: {names}.", {names}), " ",
            lyco.make("button", {"type": "button", "class": "lyco-link", "onclick": () => options.put(options.baseline.values)}, lyco.say("Undo these changes")),
        ] : []);
        const folder = options.value("images");
        if (folder && folder !== this.answers.folder && document.activeElement !== this.controls.folder.control) {
            this.answers.folder = folder;
            this.controls.folder.control.value = folder;
            lyco.remember("train-answers", this.answers);
        }
    }

    /** Whether an option is one of the questions, which then has the focus. */
    focus(name) {
        const answer = {images: "folder", base_model: "base", name: "name", sample_prompts: "prompt", caption_prefix: "trigger"}[name];
        this.controls[answer]?.element.scrollIntoView({block: "center"});
        this.controls[answer]?.control.focus({preventScroll: true});
        return Boolean(answer);
    }
};
