// The status card of a run, all of it read from the server: the same after a reload, on another device, after a restart.

var lyco = lyco || {};

lyco.trainSections = lyco.trainSections || [];

lyco.RunCard = class {
    constructor(root, desk) {
        this.root = root;
        this.desk = desk;
        this.chosen = "";
        this.run = null;
        this.asked = "";
        this.plot = new lyco.Plot();
        this.makeParts();
        desk.onStatus(() => this.follow());
    }

    makeParts() {
        this.title = lyco.make("h3");
        this.chooser = lyco.make("p", {"class": "lyco-train-hint"});
        this.phase = lyco.make("p", {"class": "lyco-train-phase", "role": "status"});
        this.problem = lyco.make("p", {"class": "lyco-problem", "role": "alert"});
        this.bar = lyco.make("progress", {"class": "lyco-train-progress", "aria-label": lyco.say("Steps")});
        this.facts = lyco.make("dl", {"class": "lyco-train-facts"});
        this.actions = lyco.make("div", {"class": "lyco-train-actions"});
        this.messages = lyco.make("ol", {"class": "lyco-train-messages", "aria-label": lyco.say("Messages")});
        this.messagesTitle = lyco.make("h4", {}, lyco.say("Messages"));
        this.card = lyco.make("article", {"class": "lyco-train-card", "hidden": true, "aria-label": lyco.say("Run")},
            lyco.make("header", {}, this.title), this.phase, this.problem, this.bar, this.facts, this.actions, this.plot.element,
            this.messagesTitle, this.messages);
        this.empty = lyco.make("p", {"class": "lyco-train-hint"}, lyco.say("There is no run yet."));
        this.unread = lyco.make("p", {"class": "lyco-problem", "role": "alert"});
        this.root.append(this.chooser, this.unread, this.empty, this.card);
    }

    /** Opened for one run, or for the one that goes on. */
    show(id) {
        this.chosen = id;
        this.follow();
    }

    /** The run to look at: the chosen one, else the one at work, else the next, else the last. */
    wanted() {
        const {current, queue, past} = this.desk.status;
        const all = [current, ...queue, ...past].filter(Boolean);
        return all.find((run) => run.id === this.chosen) ?? all[0] ?? null;
    }

    async follow() {
        this.unread.textContent = this.desk.problem;
        if (!this.desk.status || this.isAsking || !lyco.isVisible(this.root)) {
            return;
        }
        const row = this.wanted();
        this.empty.hidden = row !== null;
        this.card.hidden = row === null;
        this.drawChooser(row);
        if (!row || !this.isNews(row)) {
            return;
        }
        this.isAsking = true;
        try {
            await this.read(row.id);
        } catch (error) {
            this.unread.textContent = error.message;
        } finally {
            this.isAsking = false;
        }
    }

    /** Whether there may be something new: a run that nobody works on changes only as a whole. */
    isNews(row) {
        const stamp = JSON.stringify([row, row.id === this.desk.status.current?.id && Date.now()]);
        const isNew = stamp !== this.stamp;
        this.stamp = stamp;
        return isNew;
    }

    async read(id) {
        const run = await lyco.askTrain(lyco.runPath(id));
        if (run.id !== this.run?.id || run.step < this.plot.curves.last || this.plot.curves.steps.length > 4000) {
            this.plot.clear();
        }
        if (run.state !== this.run?.state || run.id !== this.run?.id) {
            this.asked = "";
        }
        this.run = run;
        this.draw();
        const {last, validation} = this.plot.curves;
        if (run.kind === "train" && (run.step > last || run.validation.length > validation.length)) {
            this.plot.add(await lyco.askTrain(lyco.runPath(id, "/losses"), {after: last}), run.validation);
        }
    }

    drawChooser(row) {
        const current = this.desk.status.current;
        const isOther = row && current && row.id !== current.id;
        this.chooser.replaceChildren(...(isOther ? [lyco.wordButton(lyco.say("Show the run in progress"), () => this.show(""), {"class": "lyco-link"})] : []));
    }

    draw() {
        const {run} = this;
        const kind = lyco.kindText(run.kind);
        this.title.replaceChildren(run.name, " ", lyco.stateBadge(run), kind && ` ${kind}`);
        const isWrong = ["failed", "interrupted"].includes(run.state);
        this.phase.textContent = this.asked || (isWrong ? "" : this.phaseText());
        this.problem.textContent = isWrong ? lyco.sayMade(run.message) : "";
        this.bar.hidden = !run.total || run.state === "queued";
        this.bar.max = run.total || 1;
        this.bar.value = run.step;
        this.bar.textContent = `${run.step} / ${run.total}`;
        this.plot.element.hidden = run.kind !== "train" || !run.step;
        this.drawFacts();
        this.drawActions();
        this.drawMessages();
    }

    phaseText() {
        const {run} = this;
        const said = [lyco.sayMade(run.phase || ""), run.phase === "Paused." && !run.message ? "" : lyco.sayMade(run.message || "")];
        if (run.state === "queued") {
            const place = this.desk.status.queue.findIndex((one) => one.id === run.id) + 1;
            said.push(place ? lyco.say("Place {place} in the queue.", {place}) : "");
        }
        if (run.path) {
            said.push(lyco.say("The network is {path}.", {path: run.path}));
        }
        return said.filter(Boolean).join(" ");
    }

    drawFacts() {
        const {run} = this;
        const memory = run.id === this.desk.status.current?.id ? this.desk.status.memory : null;
        const pace = run.seconds_per_step;
        const ofPace = pace && (pace >= 1 ? lyco.say("{seconds} s per step", {seconds: lyco.shortNumber(pace)}) : lyco.say("{steps} steps per s", {steps: lyco.shortNumber(1 / pace)}));
        const facts = [
            [lyco.say("Step"), run.total ? lyco.say("{step} of {total}", run) : null],
            [lyco.say("Epoch"), run.epochs ? lyco.say("{epoch} of {epochs}", run) : null],
            [lyco.say("Time left"), run.eta === null ? null : lyco.timeText(run.eta)],
            [lyco.say("Speed"), ofPace],
            [lyco.say("Memory"), memory && lyco.say("{used} of {total}", {used: lyco.sizeText(memory.used), total: lyco.sizeText(memory.total)})],
            [lyco.say("Loss"), run.loss === null ? null : lyco.shortNumber(run.loss)],
            [lyco.say("Smoothed loss"), run.average_loss === null ? null : lyco.shortNumber(run.average_loss)],
            ...lyco.measuredFacts(run.result ?? {}),
            [lyco.say("Base model"), lyco.sayMade(run.base), true],
        ];
        this.facts.replaceChildren(...facts.filter(([, value]) => value).map(([name, value, isWide = false]) => lyco.make(
            "div", {"data-wide": isWide}, lyco.make("dt", {}, name), lyco.make("dd", {}, value),
        )));
    }

    drawActions() {
        const buttons = lyco.runActions(this.run, this.desk).map(([words, act, attributes = {}]) => lyco.wordButton(words, () => this.attempt(act), {...attributes, "disabled": Boolean(this.asked)}));
        buttons.push(lyco.wordButton(lyco.say("Copy report"), () => this.copyReport()));
        const shown = JSON.stringify([this.run.id, ...buttons.map((button) => [button.textContent, button.disabled])]);
        // a button that is the same stays the same, with the focus on it
        if (shown !== this.shownActions) {
            this.shownActions = shown;
            this.actions.replaceChildren(...buttons);
        }
    }

    async attempt(act) {
        this.unread.textContent = "";
        try {
            this.asked = await act(this.run) || "";
            this.draw();
            this.stamp = "";
            await this.desk.refresh();
        } catch (error) {
            this.unread.textContent = error.message;
        }
    }

    async copyReport() {
        try {
            const {text} = await lyco.askTrain(lyco.runPath(this.run.id, "/report"));
            const isCopied = await lyco.copyText(lyco.say("Report"), text);
            this.unread.textContent = "";
            this.asked = isCopied ? lyco.say("The report is in the clipboard.") : "";
            this.draw();
            this.asked = "";
        } catch (error) {
            this.unread.textContent = error.message;
        }
    }

    drawMessages() {
        this.messagesTitle.hidden = !this.run.messages.length;
        const last = this.run.messages.slice(-50).reverse();
        const shown = `${this.run.id} ${this.run.messages.length} ${last[0]?.time}`;
        if (shown !== this.shownMessages) {
            this.shownMessages = shown;
            this.messages.replaceChildren(...last.map((line) => lyco.make("li", {"data-kind": line.kind},
                lyco.make("time", {}, new Date(line.time * 1000).toLocaleTimeString()), " ", lyco.sayMade(line.text))));
        }
    }
};

/** What a rehearsal has measured, as facts of the card. */
lyco.measuredFacts = function(result) {
    if (!result.steps) {
        return [];
    }
    const whole = lyco.say("{steps} steps, about {time}", {steps: result.steps, time: lyco.timeText(result.seconds)});
    return [
        [lyco.say("The whole run"), whole, true],
        [lyco.say("Memory at most"), result.peak_bytes === null ? null : lyco.sizeText(result.peak_bytes)],
        [lyco.say("Measured on"), lyco.say("{size}, {count} in a step", {size: result.bucket.join(" × "), count: result.batch_size}), true],
        [lyco.say("Needed for lack of memory"), result.changes.map(lyco.sayMade).join(lyco.say(", ")), true],
    ];
};

/** What can be done with a run as it stands: words, what to do, attributes. What it returns is said until it is done. */
lyco.runActions = function(run, desk) {
    const does = (action, told = "") => async ({id}) => {
        await lyco.tellTrain(lyco.runPath(id, "/do"), {action});
        return told;
    };
    const discards = (words, text) => [words, ({id, name}) => lyco.askFirst(lyco.say("Discard {name}?", {name}), text, words, async () => {
        await lyco.tellTrain(lyco.runPath(id, "/do"), {action: "discard"});
        await desk.refresh();
    }), {"class": "lyco-train-danger"}];
    const stop = [lyco.say("Stop and save"), does("stop", lyco.say("It stops after this step, and saves."))];
    const everything = lyco.say("It ends at once. The networks, states and sample pictures that it wrote are removed.");
    const discard = discards(lyco.say("Discard"), everything);
    const isLive = run.id === desk.status.current?.id;
    if (run.kind === "train" && isLive && run.state !== "paused") {
        return [
            stop,
            [lyco.say("Pause and free memory"), does("pause", lyco.say("It pauses after this step."))],
            ...(run.config?.sample_prompts ? [[lyco.say("Sample now"), does("sample")]] : []),
            [lyco.say("Save now"), does("save")],
            discard,
        ];
    }
    if (isLive && run.state !== "paused") {
        return [[lyco.say("Stop"), does("stop", lyco.say("It stops after this step."))]];
    }
    if (run.state === "queued") {
        return [[lyco.say("Take out of the queue"), does("stop")]];
    }
    if (run.state === "paused") {
        return [[lyco.say("Resume"), does("resume")], stop, discard];
    }
    const removed = lyco.say("The run is removed with the networks, states and sample pictures that it wrote.");
    const removal = discards(lyco.say("Remove"), run.kind === "train" ? removed : lyco.say("What is kept of it is removed."));
    if (run.kind !== "train") {
        return [removal];
    }
    const files = [[lyco.say("Find the best epoch"), () => desk.open("best", run.id)], [lyco.say("Settings into the form"), () => lyco.takeSettings(run, desk)]];
    const goOn = [lyco.say("Go on"), does("again")];
    return run.state === "finished" ? [...files, removal] : [goOn, ...(run.step ? files : files.slice(1)), removal];
};

/** Puts a run's options that are not the default into the form. */
lyco.takeSettings = async function(run, desk) {
    const {config, changed} = run.config ? run : await lyco.askTrain(lyco.runPath(run.id));
    desk.setConfig(Object.fromEntries(changed.map((name) => [name, config[name]])));
    desk.open("advanced");
};

lyco.trainSections.push({id: "run", title: "Run", order: 60, build: (root, desk) => new lyco.RunCard(root, desk)});
