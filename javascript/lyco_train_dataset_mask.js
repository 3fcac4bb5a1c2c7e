// The section Dataset: a mask drawn by hand over its image, with mouse, pen, fingers or keys.

var lyco = lyco || {};

/** What is painted: red where the image does not count. Undo paints all steps but the last anew. */
lyco.MaskPaper = class {
    static RED = "rgb(220, 38, 38)";

    constructor() {
        this.canvas = lyco.make("canvas", {
            "class": "lyco-train-mask-canvas", "tabindex": "0", "role": "application",
            "aria-label": lyco.say("Mask. Arrows move the brush, Space puts it down and lifts it, B and E choose brush and eraser, I inverts."),
        });
        this.pen = this.canvas.getContext("2d", {"willReadFrequently": true});
        Object.assign(this, {steps: [], done: 0, base: 0});
    }

    setSize(width, height) {
        Object.assign(this.canvas, {width, height});
        this.pen.lineCap = "round";
    }

    /** A step is a function that paints; those that were taken back are forgotten. */
    do(step) {
        this.steps = [...this.steps.slice(0, this.done), step];
        this.done += 1;
        step(this);
    }

    go(done) {
        this.done = Math.min(Math.max(done, this.base), this.steps.length);
        this.clear();
        this.steps.slice(0, this.done).forEach((step) => step(this));
    }

    fill(operation) {
        this.pen.globalCompositeOperation = operation;
        this.pen.fillStyle = lyco.MaskPaper.RED;
        this.pen.fillRect(0, 0, this.canvas.width, this.canvas.height);
    }

    clear() {
        this.pen.clearRect(0, 0, this.canvas.width, this.canvas.height);
    }

    /** Red where there was none, and the other way round. */
    invert() {
        this.fill("source-out");
    }

    /** A line from one point to another; points are {x, y, size} in pixels of the picture. */
    line(from, to, isEraser) {
        Object.assign(this.pen, {
            globalCompositeOperation: isEraser ? "destination-out" : "source-over", strokeStyle: lyco.MaskPaper.RED, lineWidth: to.size,
        });
        this.pen.beginPath();
        this.pen.moveTo(from.x, from.y);
        this.pen.lineTo(to.x, to.y);
        this.pen.stroke();
    }

    /** A gray picture becomes red where it is dark. */
    show(image) {
        const {width, height} = this.canvas;
        const other = new OffscreenCanvas(width, height).getContext("2d");
        other.drawImage(image, 0, 0, width, height);
        const pixels = other.getImageData(0, 0, width, height);
        for (let place = 0; place < pixels.data.length; place += 4) {
            const gray = pixels.data[place];
            pixels.data.set([220, 38, 38, 255 - gray], place);
        }
        this.pen.putImageData(pixels, 0, 0);
    }

    /** The mask as a gray PNG: white counts. */
    toAddress() {
        const {width, height} = this.canvas;
        const pixels = this.pen.getImageData(0, 0, width, height);
        for (let place = 0; place < pixels.data.length; place += 4) {
            const gray = 255 - pixels.data[place + 3];
            pixels.data.set([gray, gray, gray, 255], place);
        }
        const other = lyco.make("canvas", {width, height});
        other.getContext("2d").putImageData(pixels, 0, 0);
        return other.toDataURL("image/png");
    }
};

lyco.MaskEditor = class {
    constructor(dataset, image) {
        Object.assign(this, {dataset, image, isEraser: false, zoom: 1, pointers: new Map(), stroke: null, isDown: false, at: null});
        this.paper = new lyco.MaskPaper();
        this.picture = lyco.make("img", {"alt": "", "draggable": "false"});
        this.ring = lyco.make("div", {"class": "lyco-train-mask-ring", "hidden": true});
        this.sheet = lyco.make("div", {"class": "lyco-train-mask-sheet"}, this.picture, this.paper.canvas, this.ring);
        this.view = lyco.make("div", {"class": "lyco-train-mask-view"}, this.sheet);
        this.told = lyco.make("p", {"class": "lyco-train-set-facts", "role": "status"});
        this.listen();
    }

    async open() {
        const body = lyco.openDialog(lyco.say("Mask of {name}", {name: this.image.name}), this.drawTools(), this.view, this.told);
        this.dialog = body.closest("dialog");
        this.dialog.classList.add("lyco-train-window", "lyco-train-mask");
        this.dialog.addEventListener("cancel", (event) => {
            // Escape alone shall not lose what was drawn
            if (this.paper.done !== this.paper.base) {
                event.preventDefault();
                this.told.textContent = lyco.say("What was drawn is not saved yet: save it, or close the window with ✕.");
            }
        });
        this.picture.src = this.dataset.link("picture", this.image);
        await this.picture.decode();
        this.paper.setSize(this.picture.naturalWidth, this.picture.naturalHeight);
        if (this.image.mask) {
            await this.load(this.dataset.maskLink("mask", this.image));
        }
        // the mask that is there is not taken back
        this.paper.base = this.paper.done;
        this.at = {x: this.paper.canvas.width / 2, y: this.paper.canvas.height / 2};
        this.fit();
        this.draw();
        this.paper.canvas.focus();
    }

    drawTools() {
        const button = (words, onclick, more = {}) => lyco.make("button", {"type": "button", onclick, ...more}, words);
        this.size = lyco.make("input", {"type": "range", "min": 2, "max": 400, "value": 60, "aria-label": lyco.say("Size of the brush"), "oninput": () => this.drawRing()});
        this.brush = button(lyco.say("Does not count"), () => this.choose(false), {"title": lyco.say("Paint what is not to be learned (B)")});
        this.eraser = button(lyco.say("Counts"), () => this.choose(true), {"title": lyco.say("Rub the red out again (E)")});
        this.undoButton = button(lyco.say("Undo"), () => this.go(-1));
        this.redoButton = button(lyco.say("Redo"), () => this.go(1));
        this.saveButton = button(lyco.say("Save"), () => this.save(), {"class": "lyco-train-primary"});
        return lyco.make("div", {"class": "lyco-train-set-row", "role": "toolbar", "aria-label": lyco.say("Mask")},
            this.brush, this.eraser,
            lyco.make("label", {"class": "lyco-train-set-colour"}, lyco.say("Size"), this.size),
            button(lyco.say("Invert"), () => this.do((paper) => paper.invert())),
            button(lyco.say("Whole image"), () => this.do((paper) => paper.clear()), {"title": lyco.say("All of the image counts")}),
            this.image.transparent ? button(lyco.say("From transparency"), () => this.fromAlpha(), {"title": lyco.say("Transparent parts do not count")}) : "",
            this.undoButton, this.redoButton,
            lyco.button("−", lyco.say("Smaller"), () => this.setZoom(this.zoom / 1.4)),
            lyco.button("+", lyco.say("Larger"), () => this.setZoom(this.zoom * 1.4)),
            button(lyco.say("Fit"), () => this.fit()),
            this.saveButton);
    }

    listen() {
        const {canvas} = this.paper;
        canvas.addEventListener("pointerdown", (event) => this.onDown(event));
        canvas.addEventListener("pointermove", (event) => this.onMove(event));
        ["pointerup", "pointercancel"].forEach((name) => canvas.addEventListener(name, (event) => this.onUp(event)));
        canvas.addEventListener("pointerleave", () => { this.ring.hidden = document.activeElement !== canvas; });
        this.view.addEventListener("wheel", (event) => {
            if (event.ctrlKey) {
                event.preventDefault();
                this.setZoom(this.zoom * Math.exp(-event.deltaY / 400), event);
            }
        }, {"passive": false});
        this.sheet.addEventListener("keydown", (event) => this.onKey(event));
    }

    /** Where an event is, in pixels of the picture; a pen paints as wide as it is pressed. */
    point(event) {
        const box = this.paper.canvas.getBoundingClientRect();
        const scale = this.paper.canvas.width / box.width;
        const size = Number(this.size.value) * (event.pointerType === "pen" ? 0.2 + 0.8 * event.pressure : 1);
        return {"x": (event.clientX - box.left) * scale, "y": (event.clientY - box.top) * scale, size};
    }

    onDown(event) {
        if (event.button !== 0) {
            return;
        }
        this.paper.canvas.setPointerCapture(event.pointerId);
        this.pointers.set(event.pointerId, {"x": event.clientX, "y": event.clientY});
        if (this.pointers.size > 1) {
            // a second finger: the first one was not meant to paint
            this.dropStroke();
            return;
        }
        const from = this.point(event);
        this.stroke = {points: [from], isEraser: this.isEraser};
        this.paper.line(from, from, this.isEraser);
        this.moveRing(from);
    }

    onMove(event) {
        const before = this.pointers.get(event.pointerId);
        if (this.pointers.size > 1 && before) {
            this.pinch(event, before);
        } else if (this.stroke) {
            for (const one of event.getCoalescedEvents?.() ?? [event]) {
                const to = this.point(one);
                this.paper.line(this.stroke.points.at(-1), to, this.stroke.isEraser);
                this.stroke.points.push(to);
            }
        }
        this.moveRing(this.point(event));
    }

    onUp(event) {
        this.pointers.delete(event.pointerId);
        if (this.stroke && event.type === "pointerup") {
            this.keepStroke();
        } else {
            this.dropStroke();
        }
    }

    keepStroke() {
        const {points, isEraser} = this.stroke;
        this.stroke = null;
        // it is painted already, and painted anew by undo and redo
        this.do((paper) => points.forEach((point, place) => paper.line(points[Math.max(0, place - 1)], point, isEraser)));
    }

    dropStroke() {
        if (this.stroke) {
            this.stroke = null;
            this.paper.go(this.paper.done);
        }
    }

    /** Two fingers move the picture, and make it larger or smaller. */
    pinch(event, before) {
        const [other] = [...this.pointers].filter(([id]) => id !== event.pointerId).map(([, place]) => place);
        const apart = (place) => Math.hypot(place.x - other.x, place.y - other.y) || 1;
        const now = {"x": event.clientX, "y": event.clientY};
        this.setZoom(this.zoom * apart(now) / apart(before), {"clientX": (now.x + other.x) / 2, "clientY": (now.y + other.y) / 2});
        this.view.scrollBy((before.x - now.x) / 2, (before.y - now.y) / 2);
        this.pointers.set(event.pointerId, now);
    }

    onKey(event) {
        const key = event.key.toLowerCase();
        const isCommand = event.ctrlKey || event.metaKey;
        const far = Math.max(1, Number(this.size.value) / (event.shiftKey ? 1 : 4));
        const moves = {arrowleft: [-far, 0], arrowright: [far, 0], arrowup: [0, -far], arrowdown: [0, far]};
        const acts = {
            "b": () => this.choose(false), "e": () => this.choose(true), "i": () => this.do((paper) => paper.invert()), " ": () => this.setDown(!this.isDown),
            "[": () => this.setBrush(0.8), "]": () => this.setBrush(1.25), "+": () => this.setZoom(this.zoom * 1.4), "-": () => this.setZoom(this.zoom / 1.4),
        };
        if (isCommand && (key === "z" || key === "y")) {
            this.go(key === "y" || event.shiftKey ? 1 : -1);
        } else if (!isCommand && moves[key]) {
            this.step(...moves[key]);
        } else if (!isCommand && acts[key]) {
            acts[key]();
        } else {
            return;
        }
        event.preventDefault();
        event.stopPropagation();
    }

    /** Moves the brush by keys; while it is down it paints. */
    step(across, down) {
        const {width, height} = this.paper.canvas;
        const from = {...this.at, "size": Number(this.size.value)};
        this.at = {"x": Math.min(Math.max(from.x + across, 0), width), "y": Math.min(Math.max(from.y + down, 0), height)};
        const to = {...this.at, "size": from.size};
        if (this.isDown) {
            const {isEraser} = this;
            this.do((paper) => paper.line(from, to, isEraser));
        }
        this.moveRing(to);
        this.ring.scrollIntoView({"block": "nearest", "inline": "nearest"});
    }

    setDown(isDown) {
        this.isDown = isDown;
        this.told.textContent = isDown ? lyco.say("The brush is down: the arrows paint.") : lyco.say("The brush is lifted.");
        if (isDown) {
            this.step(0, 0);
        }
    }

    setBrush(factor) {
        this.size.value = Math.round(Number(this.size.value) * factor + (factor > 1 ? 1 : -1));
        this.drawRing();
    }

    choose(isEraser) {
        this.isEraser = isEraser;
        this.draw();
    }

    do(step) {
        this.paper.do(step);
        this.draw();
    }

    go(change) {
        this.paper.go(this.paper.done + change);
        this.draw();
    }

    /** A gray picture of the server's becomes the mask. */
    async load(address) {
        const image = new Image();
        image.src = address;
        await image.decode();
        this.do((paper) => paper.show(image));
    }

    fromAlpha() {
        return this.load(this.dataset.link("mask", this.image, {"alpha_mask": "1"}));
    }

    fit() {
        const {width, height} = this.paper.canvas;
        this.setZoom(Math.min((this.view.clientWidth - 4) / width, (this.view.clientHeight - 4) / height));
    }

    /** Larger or smaller, with the place under the pointer staying there. */
    setZoom(zoom, about = null) {
        const {canvas} = this.paper;
        const before = canvas.getBoundingClientRect();
        const box = this.view.getBoundingClientRect();
        const {clientX, clientY} = about ?? {"clientX": box.left + box.width / 2, "clientY": box.top + box.height / 2};
        const share = [(clientX - before.left) / before.width, (clientY - before.top) / before.height];
        this.zoom = Math.min(Math.max(zoom, 0.05), 16);
        this.sheet.style.width = `${canvas.width * this.zoom}px`;
        this.sheet.style.height = `${canvas.height * this.zoom}px`;
        const after = canvas.getBoundingClientRect();
        this.view.scrollBy(after.left + share[0] * after.width - clientX, after.top + share[1] * after.height - clientY);
        this.drawRing();
    }

    moveRing(point) {
        this.at = {"x": point.x, "y": point.y};
        this.ring.hidden = false;
        this.drawRing();
    }

    drawRing() {
        const size = Number(this.size.value) * this.zoom;
        const {x, y} = this.at ?? {"x": 0, "y": 0};
        Object.assign(this.ring.style, {"width": `${size}px`, "height": `${size}px`, "left": `${x * this.zoom - size / 2}px`, "top": `${y * this.zoom - size / 2}px`});
    }

    draw() {
        this.brush.setAttribute("aria-pressed", !this.isEraser);
        this.eraser.setAttribute("aria-pressed", this.isEraser);
        this.undoButton.disabled = this.paper.done === this.paper.base;
        this.redoButton.disabled = this.paper.done === this.paper.steps.length;
    }

    /** Keeps the mask in the folder of masks, which the options name from now on. */
    async save() {
        const {dataset} = this;
        this.saveButton.disabled = true;
        const answer = await dataset.tell("draw", {"name": this.image.name, "mask": this.paper.toAddress()});
        this.saveButton.disabled = false;
        if (!answer) {
            this.told.textContent = dataset.problem.textContent;
            return;
        }
        this.dialog.close();
        const values = {...dataset.desk.config, "mask_folder": answer.mask_folder};
        delete values.alpha_mask;
        if (values.mask_folder !== dataset.desk.config.mask_folder) {
            dataset.desk.setConfig(values);
        }
        await dataset.open();
        dataset.showMasks();
    }
};

lyco.openMaskEditor = (dataset, image) => new lyco.MaskEditor(dataset, image).open().catch((error) => {
    dataset.problem.textContent = error.message;
});
