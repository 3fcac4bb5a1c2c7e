// One option's field: a control for its kind of value, its explanation, and what resets it.

var lyco = lyco || {};

lyco.numberText = (value) => value === null || value === undefined ? "" : String(value);

/** Makes a control for an option; `onvalue` is told its new value. What it gives back has `show(value)`. */
lyco.makeControl = function(option, id, onvalue) {
    if (option.kind === "bool") {
        return lyco.switchControl(id, onvalue);
    }
    if (option.choices.length) {
        return lyco.choiceControl(option, id, onvalue);
    }
    if (option.kind === "tuple") {
        return option.length ? lyco.pairControl(option, id, onvalue) : lyco.listControl(option, id, onvalue);
    }
    return lyco.textControl(option, id, onvalue);
};

lyco.switchControl = function(id, onvalue) {
    const box = lyco.make("input", {"type": "checkbox", id, "onchange": () => onvalue(box.checked)});
    return {element: box, show: (value) => { box.checked = Boolean(value); }};
};

lyco.choiceControl = function(option, id, onvalue) {
    const items = option.choices.map((choice) => {
        const command = option.missing[choice];
        const title = command ? lyco.say("{choice} (not installed)", {choice}) : lyco.say(choice);
        return lyco.make("option", {"value": choice, "disabled": Boolean(command), "title": command}, title);
    });
    const select = lyco.make("select", {id, "onchange": () => onvalue(select.value)}, ...items);
    return {element: select, show: (value) => { select.value = value; }};
};

/** What a number's field says is wrong with it, or "". */
lyco.numberProblem = function(option, text) {
    const number = Number(text);
    if (text.trim() === "" || !Number.isFinite(number) || option.kind === "int" && !Number.isInteger(number)) {
        return option.kind === "int" || option.item === "int" ? lyco.say("A whole number is needed.") : lyco.say("A number is needed.");
    }
    if (option.low !== null && number < option.low || option.high !== null && number > option.high) {
        return option.high === null ? lyco.say("At least {low}.", {low: option.low})
            : option.low === null ? lyco.say("At most {high}.", {high: option.high})
                : lyco.say("From {low} to {high}.", {low: option.low, high: option.high});
    }
    if (option.multiple_of && number % option.multiple_of) {
        return lyco.say("A multiple of {step}.", {step: option.multiple_of});
    }
    return "";
};

/** Texts and numbers. Numbers are typed as text, since 1e-4 is how rates are written. */
lyco.textControl = function(option, id, onvalue) {
    const isNumber = option.kind !== "str";
    const list = option.suggestions.length ? lyco.make(
        "datalist", {id: `${id}_list`},
        ...option.suggestions.map((one) => lyco.make("option", {"value": one}, option.missing[one] ? lyco.say("not installed") : "")),
    ) : null;
    const input = lyco.make("input", {
        "type": "text", id, "inputmode": isNumber ? "decimal" : null, "list": list?.id, "autocomplete": "off", "spellcheck": "false",
        "placeholder": option.optional ? lyco.say("not set") : "",
        "onchange": () => {
            const problem = isNumber && !(option.optional && input.value === "") ? lyco.numberProblem(option, input.value) : "";
            input.setCustomValidity(problem);
            onvalue(isNumber ? (input.value === "" && option.optional ? null : Number(input.value)) : input.value, problem);
        },
    });
    return {
        element: input,
        extra: list,
        show: (value) => {
            if (document.activeElement !== input || input.validity.valid) {
                input.value = lyco.numberText(value);
            }
        },
    };
};

/** A fixed number of numbers, like a width and a height. */
lyco.pairControl = function(option, id, onvalue) {
    const inputs = [...Array(option.length).keys()].map((at) => lyco.make("input", {
        "type": "text", "id": at ? `${id}_${at}` : id, "inputmode": "decimal", "autocomplete": "off",
        "aria-label": `${lyco.say(option.title)} ${at + 1}`, "placeholder": option.optional ? lyco.say("not set") : "", "onchange": () => give(),
    }));
    const give = () => {
        const texts = inputs.map((input) => input.value.trim());
        if (option.optional && texts.every((text) => text === "")) {
            onvalue(null, "");
            return;
        }
        const filled = texts.map((text) => text === "" ? texts.find((one) => one !== "") ?? "" : text);
        onvalue(filled.map(Number), filled.map((text) => lyco.numberProblem(option, text)).find(Boolean) ?? "");
    };
    const parts = inputs.flatMap((input, at) => at ? [lyco.make("span", {"aria-hidden": "true"}, "×"), input] : [input]);
    return {
        element: lyco.make("span", {class: "lyco-train-pair"}, ...parts),
        show: (value) => inputs.forEach((input, at) => { input.value = lyco.numberText(value?.[at]); }),
    };
};

/** Any number of values: numbers with commas, texts one a line. */
lyco.listControl = function(option, id, onvalue) {
    const isText = option.item === "str";
    const input = lyco.make(isText ? "textarea" : "input", {
        id, "rows": isText ? 2 : null, "type": isText ? null : "text", "autocomplete": "off", "spellcheck": "false",
        "placeholder": isText ? lyco.say("one a line") : lyco.say("with commas"),
        "onchange": () => {
            const texts = input.value.split(isText ? "\n" : ",").map((one) => one.trim()).filter(Boolean);
            const problem = isText ? "" : texts.map((text) => lyco.numberProblem(option, text)).find(Boolean) ?? "";
            onvalue(isText ? texts : texts.map(Number), problem);
        },
    });
    return {element: input, show: (value) => { input.value = (value ?? []).join(isText ? "\n" : ", "); }};
};

/** A field of the advanced view. */
lyco.TrainField = class {
    constructor(form, option) {
        this.form = form;
        this.option = option;
        const id = `lyco_train_option_${option.name}`;
        this.control = lyco.makeControl(option, id, (value, problem = "") => this.take(value, problem));
        this.reset = lyco.button("↺", lyco.say("Back to the preset's value"), () => this.form.options.reset(option.name), {class: "lyco-train-reset"});
        this.problem = lyco.make("p", {"class": "lyco-problem", "id": `${id}_problem`, "role": "alert"});
        this.note = lyco.make("p", {class: "lyco-train-note"});
        const help = lyco.make("p", {class: "lyco-train-help", id: `${id}_help`}, lyco.say(option.help));
        const target = this.control.element.querySelector?.("input") ?? this.control.element;
        target.setAttribute("aria-describedby", `${id}_help ${id}_problem`);
        this.target = target;
        const label = lyco.make("label", {"for": target.id}, lyco.say(option.title));
        const line = lyco.make("div", {class: "lyco-train-line"}, this.control.element, this.control.extra, this.more(), this.reset);
        this.element = lyco.make("div", {"class": "lyco-train-field", "data-option": option.name}, label, line, this.problem, this.note, help);
        this.words = [option.name, option.title, lyco.say(option.title), option.help, lyco.say(option.help)].join(" ").toLowerCase();
    }

    /** What an option has beside its control. */
    more() {
        if (this.option.name !== "sample_prompts") {
            return null;
        }
        return lyco.make("button", {"type": "button", "onclick": () => lyco.openPrompts(this.form)}, lyco.say("Write…"));
    }

    take(value, problem) {
        this.problem.textContent = problem;
        this.target.setAttribute("aria-invalid", Boolean(problem));
        if (!problem) {
            this.form.options.set(this.option.name, value);
        }
    }

    changed() {
        const {options} = this.form;
        const value = options.value(this.option.name);
        this.control.show(value);
        const differs = options.differs(this.option.name);
        this.element.classList.toggle("lyco-train-changed", differs);
        this.reset.hidden = !differs;
        const command = this.option.missing[value];
        this.note.textContent = command ? lyco.say("Not installed. Install it with: {command}", {command}) : "";
    }

    focus() {
        this.element.scrollIntoView({block: "center"});
        this.target.focus({preventScroll: true});
    }
};
