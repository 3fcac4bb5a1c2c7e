// The best epoch: a run's files at several strengths, by their loss and by their pictures; one is kept.

var lyco = lyco || {};

lyco.trainSections = lyco.trainSections || [];

lyco.BestFile = class {
    constructor(root, desk) {
        this.root = root;
        this.desk = desk;
        this.chosen = "";
        this.choice = lyco.make("select", {"aria-label": lyco.say("Run"), "onchange": () => this.show(this.choice.value)});
        this.problem = lyco.make("p", {"class": "lyco-problem", "role": "alert"});
        this.hint = lyco.make("p", {"class": "lyco-train-hint"});
        this.strengths = lyco.make("input", {"type": "text", "inputmode": "decimal", "autocomplete": "off"});
        this.prompts = lyco.make("textarea", {"rows": "3", "placeholder": lyco.say("One prompt a line; empty takes the run's own, else captions.")});
        this.start = lyco.wordButton(lyco.say("Compare the files"), () => this.compare(), {"class": "lyco-train-primary"});
        this.form = lyco.make("div", {"class": "lyco-train-wish", "hidden": true},
            lyco.make("label", {}, lyco.say("Strengths"), this.strengths),
            lyco.make("label", {}, lyco.say("Prompts"), this.prompts),
            this.start);
        this.phase = lyco.make("p", {"class": "lyco-train-phase", "role": "status"});
        this.bar = lyco.make("progress", {"class": "lyco-train-progress", "hidden": true, "aria-label": lyco.say("Comparison")});
        this.stop = lyco.wordButton(lyco.say("Stop"), () => this.stopJob(), {"hidden": true});
        this.grid = lyco.make("div", {"class": "lyco-train-scroll", "tabindex": "0", "role": "region", "aria-label": lyco.say("Files and strengths")});
        root.append(lyco.make("div", {"class": "lyco-train-actions"}, this.choice), this.problem, this.hint, this.form, this.phase, this.bar, this.stop, this.grid);
        desk.onStatus(() => this.follow());
    }

    show(id) {
        this.chosen = id || this.chosen;
        this.isFresh = true;
        this.stamp = "";
        this.follow();
    }

    async follow() {
        const {status} = this.desk;
        if (!status || this.isAsking || !lyco.isVisible(this.root)) {
            return;
        }
        const runs = status.past.filter((run) => run.kind === "train" && run.step > 0);
        lyco.fillRuns(this.choice, runs);
        const row = runs.find((run) => run.id === this.chosen) ?? runs[0];
        if (!row) {
            this.hint.textContent = lyco.say("When a run is over its files can be compared here.");
            return;
        }
        const stamp = JSON.stringify([row.id, status.revision, status.current?.kind === "best" && Date.now()]);
        if (stamp !== this.stamp) {
            this.stamp = stamp;
            this.choice.value = row.id;
            await this.read(row.id);
        }
    }

    async read(id) {
        this.isAsking = true;
        try {
            const found = await lyco.askTrain(lyco.bestPath(id));
            const isOther = this.found?.run.id !== found.run.id || this.isFresh;
            this.isFresh = false;
            this.found = found;
            if (isOther) {
                this.strengths.value = found.strengths.join(", ");
                this.prompts.value = found.prompts;
            }
            this.draw();
        } catch (error) {
            this.problem.textContent = error.message;
        } finally {
            this.isAsking = false;
        }
    }

    get isBusy() {
        return ["queued", "preparing", "training", "paused"].includes(this.found?.job?.state);
    }

    draw() {
        const {files, job, verdict} = this.found;
        this.form.hidden = this.isBusy || !files.length || Boolean(verdict?.kept);
        this.hint.textContent = files.length ? lyco.say("Files of this run: {count}.", {count: files.length}) : lyco.say("None of this run's files is there any more.");
        this.phase.textContent = this.isBusy ? this.progress(job) : job?.state === "failed" ? "" : this.told(verdict);
        this.problem.textContent = job && ["failed", "interrupted"].includes(job.state) ? lyco.sayMade(job.message) : (verdict?.problems ?? []).map(lyco.sayMade).join(" ");
        this.bar.hidden = !this.isBusy || !job.total;
        this.bar.max = job?.total || 1;
        this.bar.value = job?.step ?? 0;
        this.stop.hidden = !this.isBusy;
        this.drawGrid(verdict);
    }

    /** How far it is, and how long it will take. */
    progress(job) {
        const left = job.eta === null ? "" : lyco.say("Time left: {time}.", {time: lyco.timeText(job.eta)});
        return [lyco.stateText(job.state), [lyco.sayMade(job.phase), left].filter(Boolean).join(" ")].filter(Boolean).join(lyco.say(": "));
    }

    /** What the comparison says. */
    told(verdict) {
        if (!verdict) {
            return "";
        }
        if (verdict.kept) {
            return lyco.say("{file} was kept as the run's network.", {file: verdict.kept});
        }
        const images = verdict.held_out ? lyco.say("The loss is that on images which were not trained on ({count}).", {count: verdict.images})
            : lyco.say("No images were held out: the loss is that on some of the training images ({count}), which also falls when they are learnt by heart.", {count: verdict.images});
        const best = verdict.best ? lyco.say("{file} at {strength} has the lowest loss.", {file: verdict.best[0], strength: verdict.best[1]}) : "";
        return [best, images].filter(Boolean).join(" ");
    }

    drawGrid(verdict) {
        const shown = JSON.stringify([verdict, this.isBusy, this.found.files]);
        if (shown === this.shown) {
            return;
        }
        this.shown = shown;
        if (!verdict) {
            this.grid.replaceChildren();
            return;
        }
        const head = [lyco.make("td"), ...verdict.strengths.map((strength) => lyco.make("th", {"scope": "col"}, lyco.say("strength {strength}", {strength})))];
        const rows = verdict.rows.map((row) => lyco.make("tr", {"class": row.name ? "" : "lyco-train-base"},
            lyco.make("th", {"scope": "row"}, row.name || lyco.say("Without a network"),
                row.name ? lyco.make("small", {}, lyco.say("epoch {epoch}, step {step}", {epoch: row.epoch, step: row.step})) : null),
            ...row.cells.map((cell) => this.drawCell(verdict, row, cell))));
        this.grid.replaceChildren(lyco.make("table", {"class": "lyco-train-samples"}, lyco.make("thead", {}, lyco.make("tr", {}, ...head)), lyco.make("tbody", {}, ...rows)));
    }

    drawCell(verdict, row, cell) {
        const isBest = verdict.best?.[0] === row.name && verdict.best?.[1] === cell.strength;
        const pictures = cell.pictures.map((name, at) => name && this.drawPicture(verdict, row, cell, name, at)).filter(Boolean);
        const isThere = this.found.files.some((file) => file.name === row.name);
        const keep = row.name && isThere && !this.isBusy && !verdict.kept
            ? lyco.wordButton(lyco.say("Keep this one"), () => this.askToKeep(row, cell), {"aria-label": lyco.say("Keep {file} at {strength}", {file: row.name, strength: cell.strength})}) : null;
        const loss = cell.loss === null ? null : lyco.make("p", {"class": "lyco-train-loss"}, lyco.say("loss {loss}", {loss: lyco.shortNumber(cell.loss)}), isBest ? ` · ${lyco.say("lowest")}` : null);
        return lyco.make("td", {"class": isBest ? "lyco-train-lowest" : "", "colspan": row.name ? null : verdict.strengths.length}, loss, lyco.make("div", {"class": "lyco-train-twins"}, ...pictures), keep);
    }

    drawPicture(verdict, row, cell, name, at) {
        const words = lyco.say("{when}: {prompt}", {when: `${row.name || lyco.say("Without a network")} ${cell.strength}`, prompt: verdict.prompts[at]});
        const source = `./lyco/train/${lyco.bestPath(this.found.run.id, "/picture")}?name=${encodeURIComponent(name)}`;
        const large = () => lyco.openDialog(words, lyco.make("div", {"class": "lyco-train-large"}, lyco.make("figure", {}, lyco.make("img", {"src": source, "alt": words}))));
        return lyco.make("button", {"type": "button", "class": "lyco-train-picture", "title": words, "onclick": large}, lyco.make("img", {"src": source, "alt": words, "loading": "lazy"}));
    }

    async attempt(act) {
        this.problem.textContent = "";
        try {
            await act();
            this.stamp = "";
            await this.desk.refresh();
            await this.read(this.found.run.id);
        } catch (error) {
            this.problem.textContent = error.message;
        }
    }

    compare() {
        const strengths = this.strengths.value.split(/[\s,;]+/).filter(Boolean).map(Number);
        return this.attempt(() => lyco.tellTrain(lyco.bestPath(this.found.run.id), {strengths, prompts: this.prompts.value}));
    }

    stopJob() {
        return this.attempt(() => lyco.tellTrain(lyco.runPath(this.found.job.id, "/do"), {action: "stop"}));
    }

    askToKeep(row, cell) {
        const {files, states} = this.found;
        const going = files.find((file) => file.name === row.name).going;
        const told = (list) => lyco.say("{names} ({size})", {
            names: list.map((file) => file.name).join(", "), size: lyco.sizeText(list.reduce((sum, file) => sum + file.bytes, 0)),
        });
        const box = lyco.make("input", {"type": "checkbox", "checked": true});
        const content = [
            lyco.say("{file} becomes the run's network, with {strength} as its preferred weight.", {file: row.name, strength: cell.strength}), " ",
            going.length ? lyco.say("These files of the run are removed: {files}.", {files: told(going)}) : lyco.say("There is no other file to remove."),
            ...(states.length ? [lyco.make("br"), lyco.make("label", {"class": "lyco-train-also"}, box, " ", lyco.say("Remove its resume states, too: {files}.", {files: told(states)}))] : []),
        ];
        lyco.askFirst(lyco.say("Keep {file}?", {file: row.name}), content, going.length ? lyco.say("Keep it, remove the others") : lyco.say("Keep it"),
            () => this.attempt(() => this.keep(row, cell, states.length > 0 && box.checked)));
    }

    async keep(row, cell, states) {
        const {problems} = await lyco.tellTrain(lyco.bestPath(this.found.run.id, "/keep"), {file: row.name, strength: cell.strength, states});
        if (problems.length) {
            throw new Error(problems.map(lyco.sayMade).join(" "));
        }
    }
};

lyco.bestPath = (id, what = "") => `best/${encodeURIComponent(id)}${what}`;

lyco.trainSections.push({id: "best", title: "Best epoch", order: 90, build: (root, desk) => new lyco.BestFile(root, desk)});
