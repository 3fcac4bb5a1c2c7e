// The section Dataset: the images of a folder as training sees them, and everything that may be done with them.

var lyco = lyco || {};

lyco.trainSections = lyco.trainSections || [];

lyco.Dataset = class {
    /** How many images are shown before all of a folder are read. */
    static FIRST = 60;

    /** Options that decide what is told of an image. */
    static HEEDED = [
        "images", "metadata_file", "resolution", "buckets", "bucket_min", "bucket_max", "bucket_step", "bucket_upscale", "repeats",
        "caption_extension", "caption_separator", "enable_wildcard", "weighted_captions", "class_tokens",
        "background", "alpha_mask", "mask_folder",
    ];

    /** What may be shown of a folder. */
    static KINDS = {
        all: () => true,
        uncaptioned: (image) => !lyco.hasCaption(image),
        problems: (image) => image.problem || image.advice,
        transparent: (image) => image.transparent,
        excluded: (image) => image.excluded,
    };

    constructor(root, desk) {
        Object.assign(this, {root, desk, images: new Map(), shown: [], answer: null, asked: "", folder: "", metadata: "", kind: "all"});
        this.wantedTags = new Set();
        this.grid = new lyco.DatasetGrid(this);
        this.editor = new lyco.DatasetEditor(this);
        this.cloud = new lyco.DatasetTags(this);
        this.job = new lyco.DatasetJob(this);
        this.status = lyco.make("p", {"class": "lyco-train-set-status", "role": "status"});
        this.problem = lyco.make("p", {"class": "lyco-problem", "role": "alert"});
        this.notes = lyco.make("ul", {"class": "lyco-findings"});
        // gradio colours every element of a text that it takes for prose
        root.closest(".prose")?.classList.remove("prose");
        root.classList.add("lyco-train-set");
        root.append(
            this.drawFolder(), this.drawTools(), this.problem, this.job.bar, this.status, this.notes,
            lyco.make("div", {"class": "lyco-train-set-main"}, this.cloud.box, this.grid.box, this.editor.box),
        );
        lyco.takeDrops(root, (files) => this.upload(files));
        root.addEventListener("keydown", (event) => this.onKey(event));
        const follow = lyco.later(400, () => this.follow());
        desk.onConfig(follow);
        this.seen = "";
        this.draw();
    }

    /** Each time the section is opened. */
    show() {
        this.follow();
        this.job.resume();
    }

    /** Reads the folder anew where options have changed that matter here. */
    follow() {
        const heeded = JSON.stringify(lyco.Dataset.HEEDED.map((name) => this.desk.config[name] ?? null));
        if (heeded === this.seen || this.root.hidden) {
            return;
        }
        const before = this.seen && JSON.parse(this.seen)[0];
        this.seen = heeded;
        const images = this.desk.config.images ?? "";
        if (images !== before || !this.folder) {
            this.field.value = images;
        }
        this.colour.value = lyco.hexColour(this.desk.config.background ?? "white");
        if (this.field.value.trim() || this.desk.config.metadata_file) {
            this.open();
        }
    }

    drawFolder() {
        this.field = lyco.make("input", {
            "type": "text", "class": "lyco-train-set-folder", "aria-label": lyco.say("Folder of images"), "spellcheck": "false",
            "placeholder": lyco.say("Folder of images"),
            "onkeydown": (event) => event.key === "Enter" && this.open(),
        });
        this.adopt = lyco.make("button", {
            "type": "button", "hidden": true, "onclick": () => this.setOption("images", this.folder),
        }, lyco.say("Train on this folder"));
        this.picker = lyco.make("input", {
            "type": "file", "multiple": true, "hidden": true, "accept": "image/*,.zip,.txt,.caption,.avif,.jxl",
            "aria-label": lyco.say("Upload images, captions or a zip"), "onchange": () => {
                this.upload([...this.picker.files]);
                this.picker.value = "";
            },
        });
        return lyco.make("div", {"class": "lyco-train-set-row"},
            this.field,
            lyco.make("button", {"type": "button", "onclick": () => this.open()}, lyco.say("Open")),
            this.adopt,
            lyco.make("button", {
                "type": "button", "title": lyco.say("Upload images, captions or a zip"), "onclick": () => this.picker.click(),
            }, lyco.say("Upload…")),
            this.picker,
        );
    }

    drawTools() {
        const button = (words, onclick, attributes = {}) => lyco.make("button", {"type": "button", onclick, ...attributes}, words);
        const kinds = {
            all: lyco.say("All images"), uncaptioned: lyco.say("Without a caption of their own"),
            problems: lyco.say("With a problem"), transparent: lyco.say("Transparent"), excluded: lyco.say("Left out"),
        };
        this.kindBox = lyco.make("select", {"aria-label": lyco.say("Show"), "onchange": () => {
            this.kind = this.kindBox.value;
            this.filter();
        }}, ...Object.entries(kinds).map(([value, words]) => lyco.make("option", {value}, words)));
        this.search = lyco.make("input", {
            "type": "search", "aria-label": lyco.say("Search names and captions"),
            "placeholder": lyco.say("Search names and captions"), "oninput": lyco.later(150, () => this.filter()),
        });
        const turn = (name) => (event) => {
            const isOn = event.currentTarget.getAttribute("aria-pressed") !== "true";
            event.currentTarget.setAttribute("aria-pressed", isOn);
            this.grid.turn(name, isOn);
        };
        this.maskButton = button(lyco.say("Masks"), turn("masks"), {"aria-pressed": "false", "title": lyco.say("Show in red what counts less")});
        this.undoButton = button(lyco.say("Undo"), () => this.step("undo"), {"disabled": true});
        this.redoButton = button(lyco.say("Redo"), () => this.step("redo"), {"disabled": true});
        this.colour = lyco.make("input", {"type": "color", "onchange": () => {
            this.setOption("background", this.colour.value === "#ffffff" ? undefined : this.colour.value);
        }});
        this.colourBox = lyco.make("label", {"class": "lyco-train-set-colour", "hidden": true}, lyco.say("Behind transparent parts"), this.colour);
        return lyco.make("div", {"class": "lyco-train-set-row", "role": "toolbar", "aria-label": lyco.say("Images")},
            this.search, this.kindBox,
            button(lyco.say("Crops"), turn("crops"), {"aria-pressed": "false", "title": lyco.say("Show the part that is trained, and its bucket")}),
            this.maskButton,
            this.colourBox, this.undoButton, this.redoButton,
            button(lyco.say("Auto-tag…"), () => lyco.openTagging(this)),
            button(lyco.say("Duplicates…"), () => lyco.openDuplicates(this)),
            button(lyco.say("Find and replace…"), () => lyco.openReplacing(this)),
            button(lyco.say("Clean up…"), () => lyco.openCleaning(this)),
            button(lyco.say("Masks…"), () => lyco.openMasks(this)),
        );
    }

    onKey(event) {
        const isTyping = event.target.matches("input:not([type=checkbox], [type=color]), textarea, select");
        const key = event.key.toLowerCase();
        if (!(event.ctrlKey || event.metaKey) || isTyping || !["z", "y"].includes(key)) {
            return;
        }
        event.preventDefault();
        this.step(key === "y" || event.shiftKey ? "redo" : "undo");
    }

    showMasks() {
        this.maskButton.setAttribute("aria-pressed", true);
        this.grid.turn("masks", true);
    }

    setOption(name, value) {
        const config = {...this.desk.config, [name]: value};
        if (value === undefined) {
            delete config[name];
        }
        this.desk.setConfig(config);
    }

    /** POST below dataset/, about the folder that is open; what goes wrong is said in the section. */
    async tell(what, body = {}) {
        this.problem.textContent = "";
        const about = {"folder": this.asked, "metadata_file": this.metadata, "mark": this.answer?.mark ?? "", "config": this.desk.config};
        try {
            return await lyco.tellTrain(`dataset/${what}`, {...about, ...body});
        } catch (error) {
            this.problem.textContent = error.message;
            return null;
        }
    }

    /** The address of a picture of an image. */
    link(what, image, more = {}) {
        const given = {"folder": this.folder, "name": image.name, "key": image.key, "background": this.desk.config.background ?? "white", ...more};
        return `./lyco/train/dataset/${what}?${new URLSearchParams(given)}`;
    }

    /** That of its mask, as the options make it. */
    maskLink(what, image) {
        const {config} = this.desk;
        return this.link(what, image, {
            "mask": image.mask, "mask_folder": config.mask_folder ?? "", "alpha_mask": config.alpha_mask ? "1" : "0", "metadata_file": this.metadata,
        });
    }

    /** Reads the folder that the field names, or a metadata file that the options name with it: of one that
     *  is not open the first images before all of them. */
    async open() {
        const asked = this.field.value.trim();
        const {images, metadata_file: metadata} = this.desk.config;
        const about = {"folder": asked, "metadata_file": asked === (images ?? "") && metadata || ""};
        const isOther = asked !== this.asked || about.metadata_file !== this.metadata;
        this.opening = (this.opening ?? 0) + 1;
        const number = this.opening;
        this.root.setAttribute("aria-busy", "true");
        for (const more of isOther ? [{"first": lyco.Dataset.FIRST}, {}] : [{}]) {
            const answer = await this.tell("list", {...about, ...more});
            if (number !== this.opening) {
                return;
            }
            if (answer) {
                this.takeOpened(asked, about.metadata_file, answer);
            }
            if (!answer || answer.images.length < more.first) {
                break;
            }
        }
        this.root.removeAttribute("aria-busy");
    }

    takeOpened(asked, metadata, answer) {
        if (answer.folder !== this.folder) {
            this.wantedTags.clear();
            this.grid.selection.clear();
        }
        Object.assign(this, {asked, metadata});
        if (!this.desk.config.images && !metadata) {
            this.setOption("images", answer.folder);
            this.field.value = answer.folder;
            this.asked = answer.folder;
        }
        this.take(answer);
    }

    /** Takes what the server tells: all of a folder, or what is another than what was known. */
    take(answer) {
        const isMore = answer.since && answer.since === this.answer?.mark;
        if (!isMore) {
            this.images.clear();
        }
        answer.images.forEach((image) => this.images.set(image.name, {...this.images.get(image.name), ...image}));
        if (isMore && answer.names) {
            this.images = new Map(answer.names.map((name) => [name, this.images.get(name)]));
        }
        this.folder = answer.folder;
        this.answer = {...answer, "tags": isMore ? lyco.mergedTags(this.answer.tags, answer.tags) : answer.tags};
        this.grid.forget();
        this.draw();
        if (answer.skipped?.length) {
            this.problem.textContent = lyco.say("{count} captions cannot be read and stay as they are: {names}", {
                count: answer.skipped.length, names: answer.skipped.slice(0, 5).join(", "),
            });
        }
    }

    draw() {
        const {answer} = this;
        for (const [button, label, words] of [[this.undoButton, answer?.undo, lyco.say("Undo")], [this.redoButton, answer?.redo, lyco.say("Redo")]]) {
            button.disabled = !label;
            button.title = label ? `${words}: ${lyco.sayMade(label)}` : words;
        }
        this.adopt.hidden = !this.folder || this.folder === this.desk.config.images || this.field.value.trim() === this.desk.config.images;
        this.colourBox.hidden = ![...this.images.values()].some((image) => image.transparent);
        this.notes.replaceChildren(...(answer?.notes ?? []).map((note) => lyco.make("li", {}, lyco.sayMade(note))));
        this.filter();
    }

    /** Shows what the search, the kind and the chosen tags leave. */
    filter() {
        const text = this.search.value.trim().toLowerCase();
        const fits = lyco.Dataset.KINDS[this.kind];
        const tags = [...this.wantedTags];
        this.shown = [...this.images.values()].filter((image) => fits(image) &&
            tags.every((tag) => image.tags.includes(tag)) &&
            (!text || image.name.toLowerCase().includes(text) || image.text.toLowerCase().includes(text)));
        this.cloud.draw();
        this.grid.list.reload();
        this.afterSelection();
    }

    /** Called whenever other images are selected. */
    afterSelection() {
        this.sayStatus();
        this.editor.draw();
    }

    sayStatus() {
        if (!this.answer) {
            this.status.textContent = lyco.say("Name a folder of images, or drop images or a zip here.");
            return;
        }
        const all = [...this.images.values()];
        const count = (fits) => all.filter(fits).length;
        const used = count((image) => !image.excluded);
        const parts = [lyco.say("{count} images", {count: used})];
        if (this.answer.metadata_file) {
            parts.push(lyco.say("captions in {file}", {file: this.answer.metadata_file.split(/[\\/]/).pop()}));
        }
        const say = (number, words) => number && parts.push(words);
        const out = all.length - used;
        const problems = count((image) => !image.excluded && image.problem);
        const bare = count((image) => !image.excluded && !image.problem && !lyco.hasCaption(image));
        say(out, lyco.say("{count} left out", {count: out}));
        say(problems, lyco.say("{count} with a problem", {count: problems}));
        say(bare, lyco.say("{count} without a caption of their own", {count: bare}));
        say(this.shown.length !== all.length, lyco.say("{count} shown", {count: this.shown.length}));
        say(this.grid.selection.size, lyco.say("{count} selected", {count: this.grid.selection.size}));
        this.status.textContent = parts.join(" · ");
    }

    /** Changes captions of images. */
    async edit(names, action, more = {}) {
        const answer = names.length ? await this.tell("edit", {names, action, ...more}) : null;
        if (answer) {
            this.take(answer);
        }
        return Boolean(answer);
    }

    async step(what) {
        const answer = this.answer?.[what] ? await this.tell(what) : null;
        if (answer) {
            this.take(answer);
        }
    }

    /** Leaves images out of training, or takes them back. */
    async exclude(names, excluded) {
        const answer = await this.tell("exclude", {names, excluded});
        if (answer) {
            this.grid.selection.clear();
            this.take(answer);
        }
    }

    async upload(files) {
        const done = await lyco.uploadImages(this, files);
        if (done) {
            this.field.value = done;
            await this.open();
        }
    }
};

lyco.trainSections.push({
    "id": "dataset", "title": "Dataset", "order": 30, build: (root, desk) => new lyco.Dataset(root, desk),
});

/** Whether an image has a caption of its own. */
lyco.hasCaption = (image) => image.source === "file" || image.source === "metadata";

/** Tags with other counts, the most frequent first; 0 is gone. */
lyco.mergedTags = function(tags, changed) {
    const counts = new Map([...tags, ...changed]);
    return [...counts].filter(([, count]) => count).sort((one, other) => other[1] - one[1] || (one[0] < other[0] ? -1 : 1));
};

/** A colour's name as #rrggbb, for a field of colours. */
lyco.hexColour = function(name) {
    const pen = document.createElement("canvas").getContext("2d");
    pen.fillStyle = "white";
    pen.fillStyle = name;
    return pen.fillStyle.startsWith("#") ? pen.fillStyle : "#ffffff";
};
