// The UNet's blocks as a drawing: down on the left, up on the right, a value of each to edit.

var lyco = lyco || {};

/** The blocks by family as sd-scripts numbers them: names, and their depth in the drawing. */
lyco.unetBlocks = function(family) {
    const side = family === "sdxl" ? 9 : 12;
    const number = (at) => String(at).padStart(2, "0");
    const down = [...Array(side).keys()].map((at) => ({name: `IN${number(at)}`, part: "down", depth: Math.floor(at / 3)}));
    const middle = family === "sdxl" ? ["M00", "M01", "M02"] : ["M00"];
    const mid = middle.map((name) => ({name, part: "mid", depth: side / 3}));
    const up = [...Array(side).keys()].map((at) => ({name: `OUT${number(at)}`, part: "up", depth: side / 3 - 1 - Math.floor(at / 3)}));
    return [...down, ...mid, ...up];
};

lyco.blockKinds = {
    rates: {title: () => lyco.say("Learning rate (multiple)"), most: 1, otherwise: () => 1},
    block_dims: {title: () => lyco.say("Rank of each block"), most: 32, otherwise: (options) => options.value("rank")},
    block_alphas: {title: () => lyco.say("Alpha of each block"), most: 16, otherwise: (options) => options.value("alpha")},
    conv_block_dims: {title: () => lyco.say("Rank of each block's convolutions"), most: 32, otherwise: (options) => options.value("conv_rank") ?? 0},
    conv_block_alphas: {title: () => lyco.say("Alpha of each block's convolutions"), most: 16, otherwise: (options) => options.value("conv_alpha") ?? options.value("alpha")},
};

lyco.TrainBlocks = class {
    constructor(form) {
        this.form = form;
        const kinds = Object.entries(lyco.blockKinds).map(([value, kind]) => lyco.make("option", {value}, kind.title()));
        this.kind = lyco.make("select", {"aria-label": lyco.say("What is shown of each block"), "onchange": () => this.changed()}, ...kinds);
        const even = lyco.make("button", {"type": "button", "onclick": () => this.give(null)}, lyco.say("All alike"));
        this.note = lyco.make("p", {class: "lyco-train-help"}, lyco.say("Left: from the picture to its gist; middle; right: back to the picture. 0 leaves a block out."));
        this.drawing = lyco.make("div", {"class": "lyco-train-unet", "role": "group", "aria-label": lyco.say("Blocks of the UNet")});
        this.root = lyco.make("div", {class: "lyco-train-blocks"}, lyco.make("div", {class: "lyco-train-line"}, this.kind, even), this.drawing, this.note);
    }

    /** The values of all blocks; null where an option has words in place of numbers. */
    values(blocks) {
        const {options} = this.form;
        const kind = lyco.blockKinds[this.kind.value];
        if (this.kind.value !== "rates") {
            const list = options.value(this.kind.value);
            const edge = this.edge();
            return list.length ? list.slice(edge, list.length - edge) : blocks.map(() => kind.otherwise(options));
        }
        const texts = ["down", "mid", "up"].map((part) => options.value(`${part}_lr_weight`));
        if (texts.some((text) => /[a-z]/i.test(text))) {
            return null;
        }
        const counts = ["down", "mid", "up"].map((part) => blocks.filter((block) => block.part === part).length);
        return texts.flatMap((text, at) => {
            const given = text.trim() ? text.split(",").map(Number) : [];
            return [...Array(counts[at]).keys()].map((one) => given[one] ?? 1);
        });
    }

    /** SDXL's lists of ranks begin and end with one more value, for what lies outside of the blocks. */
    edge() {
        return this.form.options.family() === "sdxl" ? 1 : 0;
    }

    changed() {
        const blocks = lyco.unetBlocks(this.form.options.family());
        const values = this.values(blocks);
        const kind = lyco.blockKinds[this.kind.value];
        if (values === null || values.length !== blocks.length) {
            this.drawing.replaceChildren(lyco.make("p", {}, lyco.say("The values are edited below.")));
            return;
        }
        const says = JSON.stringify([this.kind.value, values]);
        if (says === this.says && this.drawing.childElementCount === blocks.length) {
            return;
        }
        this.says = says;
        const most = Math.max(kind.most, ...values);
        this.drawing.replaceChildren(...blocks.map((block, at) => this.block(block, values, at, most)));
    }

    block(block, values, at, most) {
        const input = lyco.make("input", {
            "type": "text", "inputmode": "decimal", "value": values[at], "aria-label": block.name, "data-block": block.name,
            "onchange": () => {
                const value = Number(input.value);
                const isGood = input.value.trim() !== "" && value >= 0 && (!this.kind.value.endsWith("dims") || Number.isInteger(value));
                input.setAttribute("aria-invalid", !isGood);
                if (isGood) {
                    this.give(values.map((one, place) => place === at ? value : one));
                }
            },
        });
        const bar = lyco.make("span", {"class": "lyco-train-bar", "aria-hidden": "true"}, lyco.make("i", {style: `height: ${Math.round(values[at] / most * 100)}%`}));
        const name = lyco.make("small", {"aria-hidden": "true"}, block.name);
        const classes = `lyco-train-block lyco-train-${block.part}${values[at] === 0 ? " lyco-train-off" : ""}`;
        return lyco.make("div", {class: classes, style: `--depth: ${block.depth}`}, bar, input, name);
    }

    give(values) {
        const {options} = this.form;
        const blocks = lyco.unetBlocks(options.family());
        const isEven = values === null || values.every((value) => value === lyco.blockKinds[this.kind.value].otherwise(options));
        if (this.kind.value !== "rates") {
            const outside = Array(this.edge()).fill(lyco.blockKinds[this.kind.value].otherwise(options));
            options.set(this.kind.value, isEven ? [] : [...outside, ...values, ...outside]);
            return;
        }
        const changed = ["down", "mid", "up"].map((part) => {
            const own = isEven ? [] : values.filter((value, at) => blocks[at].part === part);
            return [`${part}_lr_weight`, own.every((value) => value === 1) ? "" : own.join(",")];
        });
        options.put({...this.form.desk.config, ...Object.fromEntries(changed)});
    }
};
