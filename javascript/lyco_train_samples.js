// The pictures of a run: prompts across, epochs and steps down, with and without the network side by side.

var lyco = lyco || {};

lyco.trainSections = lyco.trainSections || [];

lyco.SampleGrid = class {
    constructor(root, desk) {
        this.root = root;
        this.desk = desk;
        this.chosen = "";
        this.run = null;
        this.choice = lyco.make("select", {"aria-label": lyco.say("Run"), "onchange": () => this.show(this.choice.value)});
        this.both = lyco.make("input", {"type": "checkbox", "checked": lyco.recall("train-both", true), "onchange": () => this.compareAll()});
        this.now = lyco.wordButton(lyco.say("Sample now"), () => this.sampleNow(), {"hidden": true});
        this.problem = lyco.make("p", {"class": "lyco-problem", "role": "alert"});
        this.hint = lyco.make("p", {"class": "lyco-train-hint"});
        this.grid = lyco.make("div", {"class": "lyco-train-scroll", "tabindex": "0", "role": "region", "aria-label": lyco.say("Samples")});
        root.append(lyco.make("div", {"class": "lyco-train-actions"}, this.choice, this.now,
            lyco.make("label", {}, this.both, " ", lyco.say("Beside them without the network"))), this.problem, this.hint, this.grid);
        desk.onStatus(() => this.follow());
    }

    show(id) {
        this.chosen = id || this.chosen;
        this.stamp = "";
        this.follow();
    }

    async follow() {
        const {status} = this.desk;
        if (!status || this.isAsking || !lyco.isVisible(this.root)) {
            return;
        }
        const runs = [status.current, ...status.past].filter((run) => run?.kind === "train");
        lyco.fillRuns(this.choice, runs);
        const row = runs.find((run) => run.id === this.chosen) ?? runs[0];
        this.hint.textContent = row ? "" : lyco.say("There is no run yet.");
        const stamp = JSON.stringify([row?.id, row?.state, row?.step]);
        if (!row || stamp === this.stamp) {
            return;
        }
        this.stamp = stamp;
        this.choice.value = row.id;
        this.isAsking = true;
        try {
            this.run = await lyco.askTrain(lyco.runPath(row.id));
            this.draw();
        } catch (error) {
            this.problem.textContent = error.message;
        } finally {
            this.isAsking = false;
        }
    }

    compareAll() {
        lyco.remember("train-both", this.both.checked);
        this.shown = "";
        this.draw();
    }

    async sampleNow() {
        this.problem.textContent = "";
        try {
            await lyco.tellTrain(lyco.runPath(this.run.id, "/do"), {action: "sample"});
            this.hint.textContent = lyco.say("They are drawn after this step.");
        } catch (error) {
            this.problem.textContent = error.message;
        }
    }

    draw() {
        const {run} = this;
        const isLive = run.id === this.desk.status.current?.id;
        this.now.hidden = !(isLive && run.config.sample_prompts && ["preparing", "training"].includes(run.state));
        const shown = JSON.stringify([run.id, run.samples.length, this.both.checked]);
        if (shown === this.shown) {
            return;
        }
        this.shown = shown;
        this.cells = lyco.sampleCells(run.samples);
        if (!run.samples.length) {
            const none = run.config.sample_prompts ? lyco.say("No picture has been drawn yet.") : lyco.say("This run has no sample prompts.");
            this.grid.replaceChildren(lyco.make("p", {"class": "lyco-train-hint"}, none));
            return;
        }
        const prompts = this.cells.prompts.map((prompt) => lyco.make("th", {"scope": "col", "title": prompt}, lyco.make("span", {}, prompt)));
        const rows = this.cells.rows.map((row) => lyco.make("tr", {}, lyco.make("th", {"scope": "row"}, row.title),
            ...row.pairs.map((pair) => lyco.make("td", {}, this.drawPair(pair, row)))));
        this.grid.replaceChildren(lyco.make("table", {"class": "lyco-train-samples"},
            lyco.make("thead", {}, lyco.make("tr", {}, lyco.make("td"), ...prompts)), lyco.make("tbody", {}, ...rows)));
    }

    drawPair(pair, row) {
        const pictures = this.both.checked ? [pair?.with, pair?.without] : [pair?.with ?? pair?.without];
        const found = pictures.filter(Boolean).map((sample) => {
            const words = sample.with_network ? lyco.say("{when}: {prompt}", {when: row.title, prompt: sample.prompt})
                : lyco.say("{when}, without the network: {prompt}", {when: row.title, prompt: sample.prompt});
            return lyco.make("button", {"type": "button", "class": "lyco-train-picture", "title": words, "data-without": !sample.with_network, "onclick": () => this.enlarge(pair, row, sample)},
                lyco.make("img", {"src": lyco.samplePicture(this.run.id, sample.name), "alt": words, "loading": "lazy"}));
        });
        return lyco.make("div", {"class": "lyco-train-twins"}, ...found);
    }

    /** One picture, large, beside the same without the network; arrow keys go through the epochs. */
    enlarge(pair, row, sample) {
        const prompt = this.cells.prompts[row.pairs.indexOf(pair)];
        const body = lyco.openDialog(prompt || lyco.say("Sample"));
        const column = row.pairs.indexOf(pair);
        const all = this.cells.rows.filter((one) => one.pairs[column]);
        const draw = (at) => {
            const shown = all[at].pairs[column];
            const pictures = [shown.with, shown.without].filter(Boolean);
            const figures = pictures.map((one) => lyco.make("figure", {}, lyco.make("img", {"src": lyco.samplePicture(this.run.id, one.name), "alt": one.prompt}),
                lyco.make("figcaption", {}, one.with_network ? lyco.say("with the network") : lyco.say("without the network"))));
            const steps = lyco.make("div", {"class": "lyco-train-actions"},
                lyco.button("←", lyco.say("Before"), () => draw(at - 1), {"disabled": at === 0}),
                lyco.make("strong", {}, all[at].title),
                lyco.button("→", lyco.say("Next"), () => draw(at + 1), {"disabled": at === all.length - 1}),
                ...lyco.sendButtons((pictures.find((one) => one.with_network === sample.with_network) ?? pictures[0]).info, body));
            body.replaceChildren(lyco.make("div", {"class": "lyco-train-large"}, ...figures), steps, lyco.make("pre", {"class": "lyco-train-info"}, pictures[0].info));
            body.onkeydown = (event) => {
                const to = {ArrowLeft: at - 1, ArrowRight: at + 1}[event.key];
                if (all[to]) {
                    event.preventDefault();
                    draw(to);
                    body.querySelector("button:not(:disabled)")?.focus();
                }
            };
            steps.querySelector("button:not(:disabled)")?.focus();
        };
        draw(all.indexOf(row));
    }
};

/** Puts runs into a select, and keeps what is chosen. */
lyco.fillRuns = function(select, runs) {
    const shown = JSON.stringify(runs.map((run) => [run.id, run.state]));
    if (select.dataset.shown !== shown) {
        const value = select.value;
        select.dataset.shown = shown;
        select.replaceChildren(...runs.map((run) => lyco.make("option", {"value": run.id}, `${run.name} · ${lyco.stateText(run.state)} · ${lyco.momentText(run.started ?? run.created)}`)));
        select.value = runs.some((run) => run.id === value) ? value : runs[0]?.id ?? "";
    }
    select.hidden = !runs.length;
};

/** Samples as rows by time, columns by prompt; of two of one kind in a cell the newer one. */
lyco.sampleCells = function(samples) {
    const columns = new Map();
    const rows = new Map();
    for (const sample of samples) {
        // the trainer's names: {network}_{e and epoch, or step}_{number of the prompt}_{date}_{seed}
        const [, epoch, place] = sample.name.match(/_(e?)(?:\d{6,})_(\d{2,})_\d{14}/) ?? ["", "", ""];
        const column = place || sample.prompt;
        columns.has(column) || columns.set(column, {at: columns.size, prompt: sample.prompt});
        const number = epoch && sample.name.match(/_e(\d{6,})_/)?.[1];
        const title = number ? lyco.say("epoch {epoch}, step {step}", {epoch: Number(number), step: sample.step}) : lyco.say("step {step}", {step: sample.step});
        rows.has(title) || rows.set(title, {title, step: sample.step, pairs: []});
        const pair = rows.get(title).pairs[columns.get(column).at] ??= {};
        pair[sample.with_network ? "with" : "without"] = sample;
    }
    const sorted = [...rows.values()].sort((one, other) => one.step - other.step);
    sorted.forEach((row) => (row.pairs = Array.from({length: columns.size}, (_, at) => row.pairs[at])));
    return {prompts: [...columns.values()].map((column) => column.prompt), rows: sorted};
};

/** What can be done with a picture's infotext; to txt2img only where there is one. */
lyco.sendButtons = function(info, body) {
    const paste = document.querySelector("#txt2img_prompt textarea") && document.getElementById("paste");
    const close = () => body.closest("dialog").close();
    return [
        ...(paste && info ? [lyco.wordButton(lyco.say("Send to txt2img"), () => {
            close();
            lyco.sendToTxt2img(info);
        })] : []),
        ...(info ? [lyco.wordButton(lyco.say("Copy parameters"), () => lyco.copyText(lyco.say("Parameters"), info))] : []),
    ];
};

/** As a user does it: the infotext into the prompt, then the host's own button that reads it. */
lyco.sendToTxt2img = function(info) {
    const prompt = document.querySelector("#txt2img_prompt textarea");
    prompt.value = info;
    updateInput(prompt);
    switch_to_txt2img();
    // gradio takes the field's new value up in its next turn
    setTimeout(() => document.getElementById("paste").click(), 100);
};

lyco.trainSections.push({id: "samples", title: "Samples", order: 80, build: (root, desk) => new lyco.SampleGrid(root, desk)});
