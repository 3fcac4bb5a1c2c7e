// What takes longer in the section Dataset: how far it is, and a button that stops it.

var lyco = lyco || {};

lyco.DatasetJob = class {
    constructor(dataset) {
        this.dataset = dataset;
        this.isWatched = false;
        this.bar = lyco.make("div", {"class": "lyco-train-set-job", "hidden": true});
    }

    /** Goes on showing a job that was begun before the page was loaded. */
    async resume() {
        const {job} = await lyco.askTrain("dataset/job").catch(() => ({job: null}));
        if (job?.state === "running") {
            this.watch();
        }
    }

    /** Begins a job; the job when it has ended, or null. Its progress is also shown in `place`. */
    async run(what, body, place) {
        const answer = await this.dataset.tell(what, body);
        return answer ? this.watch(place) : null;
    }

    /** Follows the job that is running to its end. */
    async watch(place = null) {
        const places = [this.bar, place].filter(Boolean);
        this.bar.hidden = false;
        for (;;) {
            const {job} = await lyco.askTrain("dataset/job").catch(() => ({job: null}));
            places.forEach((one) => this.draw(one, job));
            if (job && job.state !== "running") {
                this.bar.hidden = !job.problem && !job.notes.length;
                if (job.kind === "captions") {
                    await this.dataset.open();
                }
                return job;
            }
            await new Promise((resolve) => setTimeout(resolve, job ? 400 : 2000));
        }
    }

    draw(place, job) {
        if (!job) {
            return;
        }
        const kind = {captions: lyco.say("Captions"), duplicates: lyco.say("Duplicates")}[job.kind];
        const state = {
            running: lyco.say("{done} of {total}", {done: job.done, total: job.total}), stopped: lyco.say("stopped"),
            failed: lyco.say("failed"), finished: lyco.say("finished"),
        }[job.state];
        const words = `${kind}: ${state}`;
        const notes = job.notes.map((note) => lyco.make("li", {}, lyco.sayMade(note)));
        if (job.state === "running" && place.querySelector("progress")) {
            // drawn anew, the button would lose a click that has begun
            place.querySelector("progress").value = job.done;
            place.querySelector("span").textContent = words;
            return;
        }
        place.replaceChildren(
            lyco.make("span", {"role": "status"}, words),
            job.state === "running" ? lyco.make("progress", {"max": Math.max(1, job.total), "value": job.done, "aria-label": kind}) : "",
            job.state === "running" ? lyco.make("button", {"type": "button", "onclick": () => lyco.tellTrain("dataset/job/stop")}, lyco.say("Stop")) : "",
            job.problem ? lyco.make("p", {"class": "lyco-problem"}, lyco.sayMade(job.problem)) : "",
            notes.length ? lyco.make("ul", {"class": "lyco-findings"}, ...notes) : "",
        );
    }
};
