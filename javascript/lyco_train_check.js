// What is known of a run before it: the sentence, the problems with their fields, and the buttons that start it.

var lyco = lyco || {};

lyco.TrainCheck = class {
    constructor(form) {
        this.form = form;
        this.problems = [];
        this.list = lyco.make("ul", {class: "lyco-train-problems"});
        const close = lyco.button("✕", lyco.say("Close"), () => this.close(), {class: "lyco-close"});
        const head = lyco.make("header", {}, lyco.make("h3", {}, lyco.say("Check")), close);
        this.root = lyco.make("div", {"class": "lyco-train-check", "role": "region", "aria-label": lyco.say("Check"), "hidden": true}, head, this.list);
    }

    close() {
        this.root.hidden = true;
    }

    /** Asks for all problems and shows them; whether nothing blocks. */
    async run({isShown = true} = {}) {
        const trigger = this.form.views.simple.answers.trigger;
        const told = await lyco.tellTrain("check", {config: this.form.desk.config, trigger});
        this.problems = told.problems;
        this.list.replaceChildren(...told.problems.length ? told.problems.map((one) => this.line(one)) : [
            lyco.make("li", {class: "lyco-train-good"}, lyco.say("Nothing is wrong.")),
        ]);
        const isBlocked = this.blocking().length > 0;
        if (isShown || isBlocked) {
            this.root.hidden = false;
            this.root.scrollIntoView({block: "center"});
        }
        return !isBlocked;
    }

    blocking() {
        return this.problems.filter((one) => one.level === "blocks");
    }

    line(problem) {
        const option = this.form.options.byName.get(problem.field);
        const level = problem.level === "blocks" ? lyco.say("Must be mended") : lyco.say("Advice");
        const jump = option || problem.section !== "form" ? lyco.make(
            "button", {"type": "button", "class": "lyco-link", "data-field": problem.field, "onclick": () => this.jump(problem)},
            problem.section === "dataset" ? lyco.say("Open the dataset") : lyco.say("Go to {option}", {option: lyco.say(option.title)}),
        ) : null;
        const confirm = problem.confirm ? lyco.make(
            "button", {"type": "button", "class": "lyco-link", "data-confirm": problem.confirm, "onclick": () => this.confirm(problem)}, lyco.say("Train all the same"),
        ) : null;
        return lyco.make("li", {class: `lyco-train-${problem.level}`}, lyco.make("strong", {}, level), " ", lyco.sayMade(problem.text), " ", jump, " ", confirm);
    }

    async confirm(problem) {
        this.form.options.set(problem.confirm, true);
        await this.run();
    }

    jump(problem) {
        if (problem.section !== "form" && lyco.trainSections.some((section) => section.id === problem.section)) {
            this.form.desk.open(problem.section, problem.field);
        } else {
            this.form.show(problem.field);
        }
    }
};

/** Below both views, always to be seen. */
lyco.TrainFoot = class {
    constructor(form) {
        this.form = form;
        this.told = 0;
        this.later = lyco.later(300, () => this.plan());
        this.sentence = lyco.make("p", {"class": "lyco-train-sentence", "role": "status"});
        this.count = lyco.make("button", {"type": "button", "class": "lyco-link", "hidden": true, "onclick": () => this.check()});
        this.problem = lyco.make("p", {"class": "lyco-problem", "role": "alert"});
        this.buttons = {
            check: this.button(lyco.say("Check"), () => this.check()),
            rehearse: this.button(lyco.say("Rehearse"), () => this.start("rehearsal"), lyco.say("Makes two steps on the largest pictures, and measures memory and time.")),
            queue: this.button(lyco.say("Add to queue"), () => this.start("train", false)),
            train: this.button(lyco.say("Train"), () => this.start("train"), "", "lyco-train-primary"),
        };
        const buttons = lyco.make("div", {class: "lyco-train-buttons"}, ...Object.values(this.buttons));
        this.root = lyco.make("div", {class: "lyco-train-foot"}, lyco.make("div", {class: "lyco-train-told"}, this.sentence, this.count, this.problem), buttons);
        form.desk.onStatus((status) => this.status(status));
    }

    button(title, act, help = "", kind = "") {
        return lyco.make("button", {"type": "button", "class": kind, "title": help, "onclick": act}, title);
    }

    status(status) {
        const refusal = this.form.desk.problem || status?.can_train || "";
        for (const name of ["rehearse", "queue", "train"]) {
            this.buttons[name].disabled = Boolean(refusal);
        }
        this.refusal = refusal;
        if (refusal || this.problem.dataset.kind === "refusal") {
            this.tellProblem(refusal, "refusal");
        }
    }

    tellProblem(text, kind = "") {
        this.problem.textContent = text ? lyco.sayMade(text) : "";
        this.problem.dataset.kind = text ? kind : "";
    }

    changed() {
        this.later();
    }

    /** First what is known at once, then what takes longer. */
    async plan() {
        this.told += 1;
        const number = this.told;
        for (const quick of [true, false]) {
            let told;
            try {
                told = await lyco.tellTrain("plan", {config: this.form.desk.config, quick});
            } catch (error) {
                this.tellProblem(error.message);
                return;
            }
            if (number !== this.told) {
                return;
            }
            this.tell(told);
            if (!told.parts.length) {
                return;
            }
        }
    }

    tell(told) {
        const errors = told.remarks.filter((one) => one.severity === "error");
        const first = errors[0] ? lyco.sayMade(errors[0].text) : "";
        this.sentence.textContent = told.parts.map(lyco.sayMade).join(lyco.say(", ")) || first;
        this.sentence.classList.toggle("lyco-problem", !told.parts.length && errors.length > 0);
        const count = told.remarks.length;
        this.count.hidden = count === 0;
        this.count.textContent = errors.length ? lyco.say("{count} to mend", {count: errors.length}) : lyco.say("{count} to know", {count});
        this.count.classList.toggle("lyco-problem", errors.length > 0);
    }

    async check() {
        try {
            this.tellProblem("");
            await this.form.check.run();
        } catch (error) {
            this.tellProblem(error.message);
        }
    }

    /** Checks, and queues a run where nothing blocks. */
    async start(kind, isFollowed = true) {
        Object.values(this.buttons).forEach((button) => { button.disabled = true; });
        this.tellProblem("");
        try {
            if (await this.form.check.run({isShown: false})) {
                const run = await lyco.tellTrain("runs", {config: this.form.desk.config, kind});
                this.form.check.close();
                await this.form.desk.refresh();
                this.told += 1;
                if (isFollowed) {
                    this.form.desk.open("run", run.id);
                } else {
                    this.sentence.textContent = lyco.say("{name} is in the queue.", {name: run.name});
                }
            }
        } catch (error) {
            this.tellProblem(error.message);
        } finally {
            Object.values(this.buttons).forEach((button) => { button.disabled = false; });
            this.status(this.form.desk.status);
        }
    }
};
