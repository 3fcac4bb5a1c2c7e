// The picker: one pane in txt2img, one in img2img, filled into the frame that the server sends.

var lyco = lyco || {};

/** Sort key -> its words, and whether people want the largest first. */
lyco.SORTS = {
    name: ["Name", false],
    path: ["Path", false],
    created: ["Date created", true],
    modified: ["Date modified", true],
    trained: ["Date trained", true],
    used: ["Last used", true],
    most_used: ["Most used", true],
    starred: ["Starred first", true],
};

lyco.Pane = class {
    /** prompts: those of the tab, its own one first. */
    constructor(frame, prompts) {
        this.frame = frame;
        // gradio colours every element of a text that it takes for prose
        frame.closest(".prose")?.classList.remove("prose");
        this.prompts = prompts;
        this.prompt = prompts[0];
        this.tab = frame.dataset.tabname;
        this.search = frame.querySelector("input[type=search]");
        this.controls = frame.querySelector(".lyco-controls");
        this.content = frame.querySelector(".lyco-content");
        this.folderBox = frame.querySelector(".lyco-folders");
        this.turned = new Map();
        this.revision = "";
        this.showsHidden = false;
        this.folder = "";
        this.onlyStarred = false;
        this.sort = lyco.recall("sort", lyco.defaultSort());
        this.showsFolders = lyco.recall("folders", lyco.option("extra_networks_tree_view_default_enabled", false));
        this.showsDescription = lyco.option("extra_networks_card_show_desc", true);
        this.tree = new lyco.Folders(this.folderBox, (folder) => this.inFolder(folder));
        this.drawControls();
        const box = frame.querySelector(".lyco-cards");
        box.setAttribute("role", "list");
        box.setAttribute("aria-label", lyco.say("Networks"));
        this.list = new lyco.List(box, (offset, limit) => this.ask(offset, limit), (card) => lyco.drawTile(card, this), lyco.tileSize);
        for (const prompt of prompts) {
            prompt.follow(() => this.onPrompt(prompt));
            for (const field of [prompt.textarea, prompt.negative]) {
                field.addEventListener("focus", () => lyco.isTyping || this.aimAt(prompt));
            }
        }
        frame.addEventListener("keydown", (event) => this.onKey(event));
        window.addEventListener("lyco-card-changed", () => this.poll(true));
        setInterval(() => this.poll(), 3000);
        new ResizeObserver(() => this.poll()).observe(frame);
    }

    drawControls() {
        this.sortBox = lyco.make("select", {"aria-label": lyco.say("Sort"), "onchange": () => this.sortBy(this.sortBox.value)});
        for (const [key, [words]] of Object.entries(lyco.SORTS)) {
            this.sortBox.append(lyco.make("option", {value: key}, lyco.say(words)));
        }
        this.sortBox.value = this.sort.by;
        this.direction = lyco.button("", lyco.say("Reverse the order"), () => this.reverse(), {class: "lyco-sort-direction"});
        this.starButton = lyco.button("☆", lyco.say("Only starred"), () => this.toggleStarred(), {"aria-pressed": "false"});
        this.folderButton = lyco.button(lyco.say("Folders"), lyco.say("Show folders"), () => this.toggleFolders());
        this.aimBox = lyco.make("select", {
            "class": "lyco-aim",
            "hidden": true,
            "aria-label": lyco.say("Where the cards go"),
            "onchange": () => this.aimAt(this.prompts[this.aimBox.selectedIndex]),
        });
        const goals = [lyco.say("into the prompt"), lyco.say("into the hires prompt")];
        this.aimBox.append(...goals.map((words) => lyco.make("option", {}, words)));
        const refresh = lyco.button("↻", lyco.say("Read the folders anew"), () => this.refresh());
        this.status = lyco.make("div", {class: "lyco-status", role: "status"});
        this.controls.append(this.sortBox, this.direction, this.starButton, this.folderButton, refresh, this.aimBox);
        this.content.before(this.status);
        this.search.placeholder = lyco.say("Search");
        this.search.setAttribute("aria-label", lyco.say("Search networks"));
        this.search.addEventListener("input", lyco.later(120, () => this.restart()));
        this.drawSort();
        this.drawFolderButton();
    }

    async ask(offset, limit) {
        try {
            const answer = await lyco.ask("cards", {
                text: this.search.value,
                folder: this.folder,
                sort: this.sort.by,
                desc: this.sort.descending ? 1 : 0,
                starred: this.onlyStarred ? 1 : 0,
                ...(this.showsHidden ? {show_hidden: 1} : {}),
                offset,
                limit,
            });
            this.revision = answer.revision;
            this.prompts.forEach((prompt) => (prompt.tagKind = answer.tag_kind));
            this.drawStatus(answer);
            return answer;
        } catch (error) {
            this.say(error.message);
            return null;
        }
    }

    /** Follows what changes on disk, in the settings and with the base model, while somebody looks. */
    async poll(isCertain = false) {
        if (!lyco.isVisible(this.frame) || this.polling) {
            return;
        }
        this.polling = true;
        this.drawAim();
        try {
            const answer = await lyco.ask("cards/revision");
            if (isCertain || answer.revision !== this.revision) {
                await this.reload();
            }
        } catch (error) {
            this.say(error.message);
        } finally {
            this.polling = false;
        }
    }

    async reload() {
        this.list.layout();
        await Promise.all([this.list.reload(), this.loadFolders(), ...this.prompts.map((prompt) => prompt.reread())]);
    }

    restart() {
        return this.list.restart();
    }

    async loadFolders() {
        this.tree.draw((await lyco.ask("folders")).folders, this.folder);
    }

    async refresh() {
        this.say(lyco.say("Reading the folders..."));
        await this.attempt(() => lyco.tell("refresh"));
        await this.poll(true);
    }

    /** Does something; what goes wrong is said above the cards. */
    async attempt(act) {
        try {
            return await act();
        } catch (error) {
            this.say(error.message);
            return null;
        }
    }

    say(text) {
        this.status.replaceChildren(lyco.make("p", {class: "lyco-said"}, text));
    }

    /** How many there are, why some are missing, what is wrong with the folders, how far they are read. */
    drawStatus({total, hidden, problems, news}) {
        const lines = problems.map((problem) => lyco.make("p", {class: "lyco-problem"}, lyco.sayMade(problem)));
        if (news) {
            lines.push(lyco.make("p", {class: "lyco-news"}, lyco.sayMade(news)));
        }
        for (const [reason, count] of Object.entries(hidden)) {
            const words = lyco.make("span", {}, lyco.say("{count} hidden: {reason}", {count, reason: lyco.say(reason)}));
            const show = lyco.make("button", {type: "button", class: "lyco-link", onclick: () => this.setHidden(true)}, lyco.say("show"));
            lines.push(lyco.make("p", {class: "lyco-hidden"}, words, " — ", show));
        }
        if (this.showsHidden) {
            const hide = lyco.make("button", {type: "button", class: "lyco-link", onclick: () => this.setHidden(false)}, lyco.say("hide"));
            lines.push(lyco.make("p", {class: "lyco-hidden"}, lyco.say("Networks of other base models are shown"), " — ", hide));
        }
        if (!total) {
            lines.push(lyco.make("p", {class: "lyco-none"}, lyco.say("No network here.")));
        }
        const count = lyco.make("span", {class: "lyco-total"}, total === 1 ? lyco.say("1 network") : lyco.say("{count} networks", {count: total}));
        this.status.replaceChildren(...lines, count);
    }

    setHidden(isShown) {
        this.showsHidden = isShown;
        return this.restart();
    }

    sortBy(by) {
        this.setSort({by, descending: lyco.SORTS[by][1]});
    }

    reverse() {
        this.setSort({...this.sort, descending: !this.sort.descending});
    }

    setSort(sort) {
        this.sort = sort;
        lyco.remember("sort", sort);
        this.drawSort();
        return this.restart();
    }

    drawSort() {
        this.direction.textContent = this.sort.descending ? "↓" : "↑";
        this.direction.setAttribute("aria-pressed", this.sort.descending);
    }

    toggleStarred() {
        this.onlyStarred = !this.onlyStarred;
        this.starButton.setAttribute("aria-pressed", this.onlyStarred);
        this.starButton.textContent = this.onlyStarred ? "★" : "☆";
        return this.restart();
    }

    toggleFolders() {
        this.showsFolders = !this.showsFolders;
        lyco.remember("folders", this.showsFolders);
        this.drawFolderButton();
        if (!this.showsFolders && this.folder) {
            this.inFolder("");
        }
    }

    drawFolderButton() {
        this.folderButton.setAttribute("aria-pressed", this.showsFolders);
        this.folderBox.hidden = !this.showsFolders;
        const isTree = lyco.option("extra_networks_tree_view_style", "Dirs") === "Tree";
        this.content.classList.toggle("lyco-with-tree", isTree);
    }

    inFolder(folder) {
        this.folder = folder;
        this.tree.mark(folder);
        return this.restart();
    }

    async star(card) {
        await this.attempt(() => lyco.tell(lyco.cardPath(card, "/star"), {starred: !card.starred}));
        await this.poll(true);
    }

    /** The server tells a path to the WebUI's own route for one card, as it does for all pages. */
    copyPath(card) {
        return this.attempt(async() => {
            const asked = new URLSearchParams({page: "lora", tabname: this.tab, name: card.name});
            const {html} = await lyco.answerOf(fetch(`./sd_extra_networks/get-single-card?${asked}`));
            const copied = new DOMParser().parseFromString(html, "text/html").querySelector("[data-clipboard-text]");
            await navigator.clipboard.writeText(copied.dataset.clipboardText);
            this.say(lyco.say("Copied: {path}", {path: copied.dataset.clipboardText}));
        });
    }

    onPrompt(prompt) {
        this.list?.tiles.forEach((tile) => lyco.markTile(tile, this.prompt));
        if (prompt.problem) {
            this.say(prompt.problem);
        }
    }

    /** With hires fix on, cards go into the prompt that had the focus last, or was chosen here. */
    drawAim() {
        const used = this.prompts.filter((prompt) => prompt.isUsed());
        this.aimBox.hidden = used.length < 2;
        this.aimAt(used.includes(this.prompt) ? this.prompt : this.prompts[0]);
    }

    aimAt(prompt) {
        this.prompt = prompt;
        this.aimBox.selectedIndex = this.prompts.indexOf(prompt);
        this.onPrompt(prompt);
    }

    onKey(event) {
        const isTyping = event.target.matches("input, textarea, select");
        if (event.key === "/" && !isTyping) {
            event.preventDefault();
            this.search.focus();
        } else if (event.key === "ArrowDown" && event.target === this.search) {
            event.preventDefault();
            this.list.focus(this.list.current);
        }
    }
};

/** The order that the settings ask for, in our words. */
lyco.defaultSort = function() {
    const fields = {"Path": "path", "Name": "name", "Date Created": "created", "Date Modified": "modified"};
    const by = fields[lyco.option("extra_networks_card_order_field", "Path")] ?? "path";
    return {by, descending: lyco.option("extra_networks_card_order", "Ascending") === "Descending"};
};

/** A tile's least size: the settings', or two of them side by side on a phone. */
lyco.tileSize = function(room) {
    const width = lyco.option("extra_networks_card_width", 0) || Math.min(208, (room - 24) / 2);
    const height = lyco.option("extra_networks_card_height", 0) || Math.round(Math.max(width, 170) * 1.5);
    return {width, height, gap: 8};
};
