// The prompt of a tab: the tags in it, read and edited by the server, whose grammar is the only one.

var lyco = lyco || {};

/** Replaces what differs between a field's text and another one; undo and the caret survive where they can. */
lyco.replaceText = function(textarea, text) {
    const old = textarea.value;
    if (old === text) {
        return;
    }
    const shorter = Math.min(old.length, text.length);
    let start = 0;
    while (start < shorter && old[start] === text[start]) start++;
    if (/[\ud800-\udbff]/.test(old[start - 1] ?? "")) start--;
    let tail = 0;
    while (tail < shorter - start && old[old.length - 1 - tail] === text[text.length - 1 - tail]) tail++;
    if (/[\udc00-\udfff]/.test(old[old.length - tail] ?? "")) tail--;

    const end = old.length - tail;
    const middle = text.slice(start, text.length - tail);
    const moved = (caret) => caret <= start ? caret : caret >= end ? caret + text.length - old.length : start + middle.length;
    const carets = [textarea.selectionStart, textarea.selectionEnd].map(moved);
    if (!lyco.typeInto(textarea, start, end, middle, carets)) {
        textarea.setRangeText(middle, start, end, "preserve");
        updateInput(textarea);
    }
};

/** As if the user had typed it, since only that can be undone; false where it cannot be done. */
lyco.typeInto = function(textarea, start, end, text, carets) {
    // on a phone the focus would open the keyboard; and what is not shown cannot have it
    if (matchMedia("(pointer: coarse)").matches || textarea.offsetParent === null) {
        return false;
    }
    const focused = document.activeElement;
    const active = {...activePromptTextarea};
    lyco.isTyping = true;
    textarea.focus({preventScroll: true});
    textarea.setSelectionRange(start, end);
    const done = document.execCommand(text ? "insertText" : "delete", false, text);
    textarea.setSelectionRange(...carets);
    if (focused !== textarea) {
        textarea.blur();
        focused?.focus?.({preventScroll: true});
    }
    lyco.isTyping = false;
    Object.assign(activePromptTextarea, active);
    return done;
};

/** A prompt. Tells its listeners whenever the tags in it are others. */
lyco.Prompt = class {
    /**
     * tab: where it is. id: what its fields' ids begin with. main: for the prompt of hires fix, the tab's own one,
     * whose text counts as long as this one is empty.
     */
    constructor(tab, id = tab, main = null) {
        Object.assign(this, {tab, id, main});
        this.textarea = gradioApp().querySelector(`#${id}_prompt textarea`);
        this.negative = gradioApp().querySelector(`#${id}_neg_prompt textarea`);
        this.text = "";
        this.tags = [];
        this.tagKind = "lora";
        this.problem = "";
        this.listeners = [];
        this.last = Promise.resolve();
        this.asked = null;
        this.textarea.addEventListener("input", lyco.later(250, () => this.read()));
        // pasted infotexts and styles are put in without an event
        setInterval(() => lyco.isVisible(this.textarea) && this.read(), 500);
        main?.follow(() => this.tell());
    }

    /** Whether its text counts: hires fix may be off, and its prompts may be hidden by an option. */
    isUsed() {
        const row = this.textarea.closest(`#${this.tab}_hires_fix_row4`);
        const switched = gradioApp().querySelector(`#${this.tab}_hr-checkbox input`);
        return !this.main || switched.checked && getComputedStyle(row).display !== "none";
    }

    /** The prompt whose text counts. */
    inEffect() {
        return this.main && !this.text?.trim() ? this.main : this;
    }

    /** Calls a function now and whenever the tags change. */
    follow(listener) {
        this.listeners.push(listener);
        listener(this);
    }

    /** Reads the tags, if the text is another one. */
    async read() {
        const text = this.textarea.value;
        if (text === this.text) {
            this.asked = null;
            return;
        }
        if (text === this.asked?.text) {
            return this.asked.answer;
        }
        this.asked = {text, answer: this.parse(text)};
        return this.asked.answer;
    }

    async parse(text) {
        try {
            const answer = text.includes("<") ? await lyco.tell("parse", {prompt: text}) : {tags: []};
            if (this.textarea.value === text) {
                this.take(text, answer.tags);
            }
        } catch (error) {
            this.take(text, []);
            this.report(error);
        }
    }

    /** Reads the tags anew: networks may have come or gone. */
    reread() {
        this.text = null;
        return this.read();
    }

    take(text, tags) {
        this.asked = null;
        this.text = text;
        this.tags = tags;
        this.problem = "";
        this.tell();
    }

    report(error) {
        this.problem = error.message;
        this.tell();
    }

    tell() {
        this.listeners.forEach((listener) => listener(this));
    }

    holds(card) {
        return this.inEffect().tags.some((tag) => tag.card_id === card.id);
    }

    /** Changes one tag, after all changes asked for before; see `edit` of the server. */
    edit(at, name, change) {
        return this.inTurn(async() => {
            const tag = this.tags[at];
            if (tag?.name !== name) {
                return;
            }
            const prompt = this.text;
            const answer = await lyco.tell("edit", {prompt, at, text: tag.text, ...change});
            this.write(answer.prompt, prompt);
            this.take(answer.prompt, answer.tags);
        });
    }

    /** Puts a card's tag in, or takes all tags of it out. `words`: a set of its trigger words, or its own choice. */
    toggle(card, words = card.insert_words) {
        return this.inTurn(async() => {
            const {text, tags} = this.inEffect();
            const held = tags.filter((tag) => tag.card_id === card.id);
            if (held.length) {
                this.changeNegative((negative) => lyco.withoutNegative(negative, card));
                return this.write(lyco.withoutTags(text, held, card));
            }
            if (card.tag_name === null) {
                throw new Error(lyco.say("No tag can hold this name. Rename the file: no colon, no >."));
            }
            this.write(text + lyco.tagText(card, this.tagKind, words));
            this.changeNegative((negative) => negative + lyco.negativeText(card));
            await lyco.tell(lyco.cardPath(card, "/used"));
        });
    }

    /** Puts a set of words in, with the card's tag where that is not there, or takes it out again. */
    toggleWords(card, words) {
        if (!this.holds(card)) {
            return this.toggle(card, words);
        }
        return this.inTurn(async() => {
            const {text} = this.inEffect();
            const listed = words.join(", ");
            const without = [`, ${listed}`, ` ${listed}`, listed].find((one) => text.includes(one));
            this.write(without ? text.replace(without, () => "") : `${text}, ${listed}`);
        });
    }

    /** One change after the other, each of the text as it is then. */
    inTurn(act) {
        this.last = this.last.then(async() => {
            await this.main?.read();
            await this.read();
            await act();
            await this.read();
        }).catch((error) => this.report(error));
        return this.last;
    }

    /** What is the tab's own text again goes on following it: the field of hires fix is emptied. */
    write(text, old = this.text) {
        if (this.textarea.value !== old) {
            throw new Error(lyco.say("The prompt has changed meanwhile."));
        }
        lyco.replaceText(this.textarea, text === this.main?.text ? "" : text);
    }

    changeNegative(change) {
        const main = this.main?.negative.value;
        const old = this.negative.value.trim() ? this.negative.value : main ?? this.negative.value;
        const text = change(old);
        if (text !== old) {
            lyco.replaceText(this.negative, text === main ? "" : text);
        }
    }
};

lyco.separator = () => lyco.option("extra_networks_add_text_separator", " ");

/** What a card adds to a prompt. */
lyco.tagText = function(card, kind, words) {
    const weight = card.preferred_weight || lyco.option("extra_networks_default_multiplier", 1);
    const text = words.length ? ` ${words.join(", ")}` : "";
    return `${lyco.separator()}<${kind}:${card.tag_name}:${weight}>${text}`;
};

lyco.negativeText = (card) => card.negative_text ? `${lyco.separator()}(${card.negative_text}:1)` : "";

/** A prompt without some tags, what was put in with them, and the separator before each. */
lyco.withoutTags = function(text, tags, card) {
    const sets = [card.insert_words, ...card.trigger_sets.map((one) => one.words)].filter((words) => words.length);
    const added = [card.activation_text, ...sets.map((words) => words.join(", "))]
        .filter(Boolean).map((one) => ` ${one}`).sort((one, other) => other.length - one.length);
    for (const tag of [...tags].reverse()) {
        let before = text.slice(0, tag.start);
        let after = text.slice(tag.end);
        after = after.slice(added.find((one) => after.startsWith(one))?.length ?? 0);
        if (before.endsWith(lyco.separator())) {
            before = before.slice(0, before.length - lyco.separator().length);
        }
        text = before + after;
    }
    return text;
};

lyco.withoutNegative = function(text, card) {
    const added = lyco.negativeText(card);
    const found = [added, added.slice(lyco.separator().length)].find((one) => one && text.includes(one));
    return found ? text.replace(found, () => "") : text;
};
