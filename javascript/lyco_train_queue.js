// What waits, in an order that can be changed, and what has been: runs with their settings and differences.

var lyco = lyco || {};

lyco.trainSections = lyco.trainSections || [];

lyco.RunList = class {
    constructor(root, desk) {
        this.root = root;
        this.desk = desk;
        this.chosen = new Set();
        this.problem = lyco.make("p", {"class": "lyco-problem", "role": "alert"});
        this.queue = lyco.make("ol", {"class": "lyco-train-queue", "aria-label": lyco.say("Queue")});
        this.noQueue = lyco.make("p", {"class": "lyco-train-hint"}, lyco.say("Nothing waits."));
        this.past = lyco.make("ul", {"class": "lyco-train-past", "aria-label": lyco.say("Runs so far")});
        this.noPast = lyco.make("p", {"class": "lyco-train-hint"}, lyco.say("There is no past run."));
        this.compare = lyco.wordButton(lyco.say("Differences between two"), () => this.attempt(() => this.drawDifference()), {"disabled": true});
        this.difference = lyco.make("div", {"class": "lyco-train-difference", "aria-live": "polite"});
        root.append(this.problem,
            lyco.make("h3", {}, lyco.say("Queue")), this.noQueue, this.queue,
            lyco.make("h3", {}, lyco.say("Runs so far")), lyco.make("div", {"class": "lyco-train-actions"}, this.compare), this.difference, this.noPast, this.past);
        desk.onStatus(() => this.draw());
    }

    show() {
        this.draw();
    }

    /** Draws what has changed; what is being dragged stays in the hand. */
    draw() {
        const status = this.desk.status;
        if (!status || !lyco.isVisible(this.root) || this.held) {
            return;
        }
        const shown = JSON.stringify([status.current, status.queue, status.past, [...this.chosen]].map((part) => lyco.withoutPace(part)));
        if (shown === this.shown) {
            return;
        }
        this.shown = shown;
        const focus = document.activeElement?.dataset?.key;
        this.queue.replaceChildren(...status.queue.map((run, place) => this.drawQueued(run, place, status.queue.length)));
        const rows = [status.current, ...status.past].filter(Boolean);
        this.past.replaceChildren(...rows.map((run) => this.drawPast(run)));
        this.noQueue.hidden = status.queue.length > 0;
        this.noPast.hidden = rows.length > 0;
        this.root.querySelector(`[data-key="${CSS.escape(focus ?? "")}"]`)?.focus();
    }

    drawQueued(run, place, count) {
        const key = (what) => ({"data-key": `${run.id} ${what}`});
        const item = lyco.make("li", {
            "draggable": "true", "data-id": run.id,
            "ondragstart": (event) => this.hold(run.id, event), "ondragend": () => this.letGo(),
            "ondragover": (event) => this.over(item, event), "ondrop": (event) => this.drop(event),
        },
        lyco.make("span", {"class": "lyco-train-name"}, run.name, lyco.kindText(run.kind) && ` (${lyco.kindText(run.kind)})`, lyco.make("small", {}, lyco.sayMade(run.base))),
        lyco.make("div", {"class": "lyco-train-actions"}, lyco.button("↑", lyco.say("Move {name} up", {name: run.name}), () => this.move(place, place - 1), {...key("up"), "disabled": place === 0}),
        lyco.button("↓", lyco.say("Move {name} down", {name: run.name}), () => this.move(place, place + 1), {...key("down"), "disabled": place === count - 1}),
        lyco.wordButton(lyco.say("Take out"), () => this.does(run, "stop"), {...key("out"), "aria-label": lyco.say("Take {name} out of the queue", {name: run.name})})));
        return item;
    }

    drawPast(run) {
        const box = lyco.make("input", {
            "type": "checkbox", "checked": this.chosen.has(run.id), "data-key": `${run.id} box`,
            "aria-label": lyco.say("Compare {name}", {name: run.name}), "onchange": () => this.choose(run.id, box.checked),
        });
        const steps = run.total ? lyco.say("{step} of {total} steps", run) : "";
        const loss = run.average_loss === null ? "" : lyco.say("loss {loss}", {loss: lyco.shortNumber(run.average_loss)});
        const isActive = run.id === this.desk.status.current?.id;
        const actions = [lyco.wordButton(lyco.say("Show"), () => this.desk.open("run", run.id), {"data-key": `${run.id} show`})];
        if (run.kind === "train") {
            actions.push(lyco.wordButton(lyco.say("Settings into the form"), () => this.attempt(() => lyco.takeSettings(run, this.desk)), {"data-key": `${run.id} settings`}));
        }
        if (!isActive) {
            for (const [words, act, attributes] of lyco.runActions({...run, config: null}, this.desk).filter(([words]) => [lyco.say("Go on"), lyco.say("Remove")].includes(words))) {
                actions.push(lyco.wordButton(words, () => this.attempt(() => act(run)), {...attributes, "data-key": `${run.id} ${words}`}));
            }
        }
        return lyco.make("li", {"data-id": run.id},
            box,
            lyco.make("div", {"class": "lyco-train-name"}, run.name, " ", lyco.stateBadge(run), lyco.kindText(run.kind) && ` ${lyco.kindText(run.kind)}`,
                lyco.make("small", {}, [lyco.momentText(run.started ?? run.created), steps, loss].filter(Boolean).join(" · ")),
                run.message ? lyco.make("small", {"class": run.state === "failed" ? "lyco-problem" : ""}, lyco.sayMade(run.message)) : null),
            lyco.make("div", {"class": "lyco-train-actions"}, ...actions));
    }

    async attempt(act) {
        this.problem.textContent = "";
        try {
            await act();
            await this.desk.refresh();
        } catch (error) {
            this.problem.textContent = error.message;
        }
    }

    does(run, action) {
        return this.attempt(() => lyco.tellTrain(lyco.runPath(run.id, "/do"), {action}));
    }

    move(from, to) {
        const ids = this.desk.status.queue.map((run) => run.id);
        ids.splice(to, 0, ...ids.splice(from, 1));
        return this.attempt(() => lyco.tellTrain("queue", {order: ids}));
    }

    hold(id, event) {
        this.held = id;
        event.dataTransfer.effectAllowed = "move";
        event.dataTransfer.setData("text/plain", id);
    }

    letGo() {
        this.held = null;
        this.shown = "";
        this.draw();
    }

    /** The dragged item takes its place in the page at once, and at the server when it is let fall. */
    over(item, event) {
        const held = this.held && this.queue.querySelector(`[data-id="${CSS.escape(this.held)}"]`);
        if (!held) {
            return;
        }
        event.preventDefault();
        const box = item.getBoundingClientRect();
        const isBehind = event.clientY > box.top + box.height / 2;
        if (held !== item) {
            item[isBehind ? "after" : "before"](held);
        }
    }

    drop(event) {
        event.preventDefault();
        const order = [...this.queue.children].map((item) => item.dataset.id);
        this.held = null;
        this.shown = "";
        return this.attempt(() => lyco.tellTrain("queue", {order}));
    }

    choose(id, isChosen) {
        this.chosen[isChosen ? "add" : "delete"](id);
        this.compare.disabled = this.chosen.size !== 2;
        this.difference.replaceChildren();
    }

    async drawDifference() {
        const {current, past} = this.desk.status;
        const [a, b] = [current, ...past].filter((run) => this.chosen.has(run?.id));
        const {rows, titles} = await lyco.askTrain("difference", {a: a.id, b: b.id});
        const table = lyco.make("table", {}, lyco.make("caption", {}, lyco.say("Differences between {a} and {b}", {a: a.name, b: b.name})),
            lyco.make("thead", {}, lyco.make("tr", {}, ...[lyco.say("Option"), a.name, b.name].map((text) => lyco.make("th", {"scope": "col"}, text)))),
            lyco.make("tbody", {}, ...rows.map(([option, ...values]) => lyco.make("tr", {}, lyco.make("th", {"scope": "row"}, lyco.say(titles[option] ?? option)),
                ...values.map((value) => lyco.make("td", {}, lyco.valueText(value)))))));
        this.difference.replaceChildren(rows.length ? table : lyco.make("p", {}, lyco.say("Their settings are the same.")));
    }
};

/** An option's value as text. */
lyco.valueText = function(value) {
    if (typeof value === "boolean") {
        return value ? lyco.say("yes") : lyco.say("no");
    }
    return value === "" || value === null ? "–" : Array.isArray(value) ? value.join(", ") || "–" : String(value);
};

/** A run without what changes at each step but is not shown in the list. */
lyco.withoutPace = (part) => JSON.stringify(part, (key, value) => ["eta", "loss", "phase"].includes(key) ? undefined : value);

lyco.trainSections.push({id: "queue", title: "Queue and history", order: 70, build: (root, desk) => new lyco.RunList(root, desk)});
