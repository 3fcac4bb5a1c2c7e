// The folders: a tree, or with the WebUI's other style a row of buttons.

var lyco = lyco || {};

lyco.Folders = class {
    constructor(box, choose) {
        this.box = box;
        this.choose = choose;
        this.closed = new Set(lyco.recall("closed-folders", []));
        this.says = "";
        box.setAttribute("role", "navigation");
        box.setAttribute("aria-label", lyco.say("Folders"));
    }

    draw(folders, chosen) {
        const says = JSON.stringify(folders);
        if (says !== this.says) {
            this.says = says;
            const all = lyco.make("li", {}, this.line({name: lyco.say("all"), path: "", children: []}));
            this.box.replaceChildren(lyco.make("ul", {class: "lyco-tree"}, all, ...folders.map((one) => this.item(one))));
        }
        this.mark(chosen);
    }

    item(folder) {
        const below = lyco.make("ul", {hidden: this.closed.has(folder.path)}, ...folder.children.map((one) => this.item(one)));
        return lyco.make("li", {}, this.line(folder, below), folder.children.length ? below : null);
    }

    line(folder, below) {
        const fold = lyco.button("", lyco.say("Open or close the folder"), () => this.toggle(folder.path, fold, below), {class: "lyco-fold"});
        const name = lyco.make(
            "button",
            {"type": "button", "class": "lyco-folder", "data-path": folder.path, "title": folder.path, "onclick": () => this.choose(folder.path)},
            lyco.make("span", {}, folder.name),
            folder.count === undefined ? null : lyco.make("small", {}, `${folder.count}`),
        );
        fold.setAttribute("aria-expanded", !this.closed.has(folder.path));
        return lyco.make("div", {class: "lyco-folder-line"}, folder.children.length ? fold : null, name);
    }

    toggle(path, fold, below) {
        below.hidden = !below.hidden;
        fold.setAttribute("aria-expanded", !below.hidden);
        this.closed[below.hidden ? "add" : "delete"](path);
        lyco.remember("closed-folders", [...this.closed]);
    }

    mark(chosen) {
        for (const button of this.box.querySelectorAll(".lyco-folder")) {
            button.setAttribute("aria-current", button.dataset.path === chosen);
        }
    }
};
