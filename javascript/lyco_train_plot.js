// The live plot of a run: the loss as it was and smoothed, the validation loss as points, learning rates below.
//
// Mouse: the readout follows it, a range drawn with it is zoomed to, a double click shows all again. Keys on the
// focused plot: arrows move the readout, + and - zoom around it, 0 or Escape shows all.

var lyco = lyco || {};

lyco.drawn = function(tag, attributes = {}, ...children) {
    const element = document.createElementNS("http://www.w3.org/2000/svg", tag);
    for (const [name, value] of Object.entries(attributes)) {
        element.setAttribute(name, value);
    }
    element.append(...children);
    return element;
};

/** The curves of one run, as far as they were asked for. */
lyco.Curves = class {
    constructor() {
        this.clear();
    }

    clear() {
        Object.assign(this, {steps: [], losses: [], averages: [], rates: {}, validation: []});
    }

    get last() {
        return this.steps.at(-1) ?? 0;
    }

    /** Takes up an answer that begins behind `last`; a step's validation may come later than its loss. */
    add(answer, validation) {
        this.validation = validation;
        const before = this.steps.length;
        this.steps.push(...answer.steps);
        this.losses.push(...answer.losses);
        this.averages.push(...answer.averages);
        for (const [group, rates] of Object.entries(answer.rates)) {
            this.rates[group] ??= Array(before).fill(null);
            this.rates[group].push(...rates);
        }
    }

    /** The place of the step that is nearest. */
    nearest(step) {
        let [low, high] = [0, this.steps.length - 1];
        while (low < high) {
            const middle = (low + high) >> 1;
            [low, high] = this.steps[middle] < step ? [middle + 1, high] : [low, middle];
        }
        return low && step - this.steps[low - 1] < this.steps[low] - step ? low - 1 : low;
    }
};

lyco.Plot = class {
    constructor() {
        this.curves = new lyco.Curves();
        this.range = null;
        this.at = null;
        this.svg = lyco.drawn("svg", {"class": "lyco-train-plot", "role": "img", "tabindex": "0"});
        this.readout = lyco.make("p", {"class": "lyco-train-readout", "aria-live": "polite"});
        this.all = lyco.wordButton(lyco.say("Show all"), () => this.zoom(null), {"hidden": true});
        const key = lyco.make("p", {"class": "lyco-train-key"}, ...[
            ["loss", lyco.say("loss")], ["average", lyco.say("smoothed")], ["validation", lyco.say("validation loss")], ["rate", lyco.say("learning rate")],
        ].map(([name, words]) => lyco.make("span", {"data-curve": name}, words)), this.all);
        this.element = lyco.make("figure", {"class": "lyco-train-figure"}, this.svg, this.readout, key);
        this.listen();
        new ResizeObserver(() => this.draw()).observe(this.element);
    }

    listen() {
        let from = null;
        this.svg.addEventListener("pointerdown", (event) => {
            from = this.stepAt(event);
        });
        this.svg.addEventListener("pointermove", (event) => {
            this.look(this.stepAt(event), from);
        });
        window.addEventListener("pointerup", (event) => {
            const to = from === null ? null : this.stepAt(event);
            if (to !== null && Math.abs(to - from) > this.width() / 50) {
                this.zoom([Math.min(from, to), Math.max(from, to)]);
            }
            from = null;
        });
        this.svg.addEventListener("dblclick", () => this.zoom(null));
        this.svg.addEventListener("pointerleave", () => from === null && this.look(null));
        this.svg.addEventListener("keydown", (event) => this.onKey(event));
    }

    onKey(event) {
        const {steps} = this.curves;
        const place = this.at === null ? steps.length - 1 : this.curves.nearest(this.at);
        const centre = steps[place] ?? 0;
        const keys = {
            ArrowRight: () => this.look(steps[Math.min(place + 1, steps.length - 1)]),
            ArrowLeft: () => this.look(steps[Math.max(place - 1, 0)]),
            Home: () => this.look(steps[0]),
            End: () => this.look(steps.at(-1)),
            "+": () => this.zoom([centre - this.width() / 4, centre + this.width() / 4]),
            "-": () => this.zoom([centre - this.width(), centre + this.width()]),
            "0": () => this.zoom(null),
            Escape: () => this.zoom(null),
        };
        if (keys[event.key] && steps.length) {
            event.preventDefault();
            event.stopPropagation();
            keys[event.key]();
        }
    }

    ends() {
        return [this.curves.steps[0] ?? 0, this.curves.last];
    }

    width() {
        const [first, last] = this.range ?? this.ends();
        return Math.max(last - first, 1);
    }

    zoom(range) {
        const [first, last] = this.ends();
        const within = range && [Math.max(range[0], first), Math.min(range[1], last)];
        this.range = within && within[1] - within[0] >= 2 && within[1] - within[0] < last - first ? within : null;
        this.all.hidden = this.range === null;
        this.draw();
    }

    look(step, from = null) {
        this.at = step;
        this.from = from;
        this.tell();
        this.draw();
    }

    stepAt(event) {
        const box = this.svg.getBoundingClientRect();
        const [first] = this.range ?? this.ends();
        const share = (event.clientX - box.left - lyco.Plot.LEFT) / Math.max(box.width - lyco.Plot.LEFT - lyco.Plot.RIGHT, 1);
        return first + Math.min(Math.max(share, 0), 1) * this.width();
    }

    /** The numbers at the readout's step; without one, of the last. */
    tell() {
        const {steps, losses, averages, rates, validation} = this.curves;
        if (!steps.length) {
            this.readout.textContent = lyco.say("There is no step yet.");
            return;
        }
        const place = this.at === null ? steps.length - 1 : this.curves.nearest(this.at);
        const values = {step: steps[place], loss: lyco.shortNumber(losses[place]), average: lyco.shortNumber(averages[place])};
        const parts = [lyco.say("step {step}: loss {loss}, smoothed {average}", values)];
        const validated = validation.findLast(([step]) => step <= steps[place]);
        if (validated) {
            parts.push(lyco.say("validation loss {loss} (step {step})", {loss: lyco.shortNumber(validated[1]), step: validated[0]}));
        }
        for (const [group, values] of Object.entries(rates)) {
            parts.push(lyco.say("learning rate {group} {rate}", {group, rate: lyco.shortNumber(values[place])}));
        }
        this.readout.textContent = parts.join(" · ");
        const summary = lyco.say("Loss by step, {first} to {last}; arrow keys read it, plus and minus zoom.", {first: steps[0], last: steps.at(-1)});
        this.svg.setAttribute("aria-label", summary);
    }

    /** Takes up new points, and all of the validation's. */
    add(answer, validation) {
        this.curves.add(answer, validation);
        this.tell();
        this.draw();
    }

    clear() {
        this.curves.clear();
        this.range = this.at = null;
        this.all.hidden = true;
        this.tell();
        this.draw();
    }

    draw() {
        const [width, height] = [Math.round(this.element.clientWidth), 260];
        if (width < 60) {
            return;
        }
        this.svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
        const frame = {left: lyco.Plot.LEFT, right: width - lyco.Plot.RIGHT, first: (this.range ?? this.ends())[0]};
        const across = (step) => frame.left + (step - frame.first) / this.width() * (frame.right - frame.left);
        this.svg.replaceChildren(...(this.curves.steps.length ? this.parts(across, frame, height) : []));
    }

    parts(across, frame, height) {
        const {steps, losses, averages, rates, validation} = this.curves;
        const last = frame.first + this.width();
        const seen = steps.map((step, at) => at).filter((at) => steps[at] >= frame.first && steps[at] <= last);
        const points = validation.filter(([step]) => step >= frame.first && step <= last);
        const above = lyco.scaleOf([...seen.flatMap((at) => [losses[at], averages[at]]), ...points.map(([, loss]) => loss)], 8, height - 88);
        const below = lyco.scaleOf(seen.flatMap((at) => Object.values(rates).map((values) => values[at])).concat(0), height - 66, height - 22);
        const line = (values, scale, kind) => lyco.drawn("path", {"data-curve": kind, "d": lyco.pathOf(seen, steps, values, across, scale.up)});
        return [
            ...above.marks.map((mark) => lyco.drawnMark(mark, frame, above.up(mark))),
            lyco.drawnMark(below.high, frame, below.up(below.high), "rate"),
            ...lyco.stepMarks(frame.first, last).map((step) => lyco.drawn("text", {"x": across(step), "y": height - 6, "text-anchor": "middle"}, String(step))),
            line(losses, above, "loss"),
            line(averages, above, "average"),
            ...points.map(([step, loss]) => lyco.drawn("circle", {"data-curve": "validation", "cx": across(step), "cy": above.up(loss), "r": 4})),
            ...Object.values(rates).map((values) => line(values, below, "rate")),
            ...this.drawnLook(across, height),
        ];
    }

    /** The line of the readout, and the range that is being drawn. */
    drawnLook(across, height) {
        if (this.at === null) {
            return [];
        }
        const x = across(this.curves.steps[this.curves.nearest(this.at)]);
        const found = [lyco.drawn("line", {"class": "lyco-train-look", "x1": x, "x2": x, "y1": 4, "y2": height - 20})];
        if (this.from !== null) {
            const [low, high] = [Math.min(this.from, this.at), Math.max(this.from, this.at)].map(across);
            found.push(lyco.drawn("rect", {"class": "lyco-train-range", "x": low, "y": 4, "width": high - low, "height": height - 24}));
        }
        return found;
    }
};

/** Pixels left and right of the curves. */
lyco.Plot.LEFT = 58;
lyco.Plot.RIGHT = 14;

/** From numbers to heights: what lies between top and bottom, with a few round marks. */
lyco.scaleOf = function(values, top, bottom) {
    const known = values.filter((value) => value !== null && Number.isFinite(value));
    let [low, high] = [Infinity, -Infinity];
    for (const value of known) {
        [low, high] = [Math.min(low, value), Math.max(high, value)];
    }
    if (!known.length || low === high) {
        [low, high] = known.length ? [Math.min(low, 0), Math.max(high, 0) || 1] : [0, 1];
    }
    const up = (value) => bottom - (value - low) / (high - low) * (bottom - top);
    const unit = 10 ** Math.floor(Math.log10((high - low) / 2));
    const step = [1, 2, 5, 10].map((times) => times * unit).find((one) => (high - low) / one <= 4) ?? 10 * unit;
    const marks = [];
    for (let mark = Math.ceil(low / step) * step; mark <= high; mark += step) {
        marks.push(mark);
    }
    return {up, marks, high};
};

/** A few round steps between two. */
lyco.stepMarks = function(first, last) {
    const unit = 10 ** Math.floor(Math.log10(Math.max(last - first, 1)));
    const gap = Math.max([0.2, 0.5, 1].map((times) => times * unit).find((one) => (last - first) / one <= 5) ?? unit, 1);
    const marks = [];
    for (let mark = Math.ceil(first / gap) * gap; mark <= last; mark += gap) {
        marks.push(Math.round(mark));
    }
    return marks;
};

lyco.drawnMark = (value, frame, y, kind = "") => lyco.drawn("g", {"class": "lyco-train-tick", "data-of": kind},
    lyco.drawn("line", {"x1": frame.left, "x2": frame.right, "y1": y, "y2": y}),
    lyco.drawn("text", {"x": frame.left - 6, "y": y + 4, "text-anchor": "end"}, lyco.shortNumber(value)));

/** The path through the numbers that are there. */
lyco.pathOf = function(places, steps, values, across, up) {
    let path = "";
    let isApart = true;
    for (const at of places) {
        const value = values[at];
        if (value === null || value === undefined) {
            isApart = true;
            continue;
        }
        path += `${isApart ? "M" : "L"}${across(steps[at]).toFixed(1)} ${up(value).toFixed(1)}`;
        isApart = false;
    }
    return path;
};
