// Windows for presets, for pasting what others have written, for handing on, and for sample prompts.

var lyco = lyco || {};

/** A line that says how an action went. */
lyco.outcome = () => lyco.make("p", {"role": "status"});

/** Closes the window that an element is in. */
lyco.closeAround = (element) => element.closest("dialog")?.close();

lyco.openPresets = function(form) {
    const {options} = form;
    const list = lyco.make("div", {class: "lyco-train-presets"});
    const said = lyco.outcome();
    const name = lyco.make("input", {type: "text", id: "lyco_train_preset_name", maxlength: 80, autocomplete: "off"});
    const act = async(path, body) => {
        try {
            options.told.presets = (await lyco.tellTrain(path, body)).presets;
            said.textContent = "";
            draw();
        } catch (error) {
            said.textContent = error.message;
        }
    };
    const line = (preset) => {
        const load = lyco.make("button", {
            "type": "button", "data-preset": preset.id, "onclick": () => {
                options.load(preset.title, preset.values);
                form.choose("advanced");
                lyco.closeAround(list);
            },
        }, lyco.say(preset.title));
        const remove = preset.own ? lyco.button(
            "✕", lyco.say("Remove {name}", {name: preset.title}), () => act("presets/remove", {id: preset.id}), {class: "lyco-train-remove"},
        ) : null;
        return lyco.make("li", {}, load, remove, lyco.make("small", {}, lyco.sayMade(preset.about)));
    };
    const draw = () => {
        const groups = [...new Set(options.told.presets.map((preset) => preset.group))];
        list.replaceChildren(...groups.map((group) => lyco.make(
            "section", {}, lyco.make("h3", {}, lyco.say(group)),
            lyco.make("ul", {}, ...options.told.presets.filter((preset) => preset.group === group).map(line)),
        )));
    };
    draw();
    const keep = lyco.make(
        "form", {
            class: "lyco-train-line", onsubmit: (event) => {
                event.preventDefault();
                act("presets", {title: name.value, config: form.desk.config});
            },
        },
        lyco.make("label", {for: name.id}, lyco.say("Save the present options as")), name, lyco.make("button", {type: "submit"}, lyco.say("Save")),
    );
    lyco.openDialog(lyco.say("Presets"), lyco.make("div", {class: "lyco-train-window"}, keep, said, list));
};

lyco.openImport = function(form) {
    const text = lyco.make("textarea", {
        "rows": 10, "spellcheck": "false", "aria-label": lyco.say("Text to read"),
        "placeholder": lyco.say("A command line or batch file of sd-scripts, a TOML, or a JSON of kohya_ss"),
    });
    const file = lyco.make("input", {
        "type": "file", "accept": ".toml,.json,.bat,.sh,.txt,.ps1", "aria-label": lyco.say("File to read"), "onchange": async() => { text.value = await file.files[0].text(); },
    });
    const said = lyco.outcome();
    const notes = lyco.make("ul", {class: "lyco-findings"});
    const read = async() => {
        notes.replaceChildren();
        try {
            const told = await lyco.tellTrain("import", {text: text.value});
            form.options.setBaseline("", {});
            form.options.put(told.config);
            form.choose("advanced");
            const count = Object.keys(told.config).length;
            said.textContent = told.problem ? lyco.sayMade(told.problem) : lyco.say("{count} options are set.", {count});
            notes.replaceChildren(...told.notes.map((note) => lyco.make("li", {}, lyco.make("code", {}, note.flag), lyco.say(": "), lyco.sayMade(note.text))));
            if (!told.problem && !told.notes.some((note) => note.kind === "attention")) {
                done.focus();
            }
            done.hidden = false;
        } catch (error) {
            said.textContent = error.message;
        }
    };
    const done = lyco.make("button", {type: "button", hidden: true, onclick: () => lyco.closeAround(text)}, lyco.say("Close"));
    const buttons = lyco.make("div", {class: "lyco-train-line"}, file, lyco.make("button", {type: "button", class: "lyco-train-primary", onclick: read}, lyco.say("Read")), done);
    lyco.openDialog(lyco.say("Paste options"), lyco.make("div", {class: "lyco-train-window"}, text, buttons, said, notes));
    text.focus();
};

lyco.openExport = function(form) {
    const text = lyco.make("textarea", {rows: 14, readonly: true, spellcheck: "false", "aria-label": lyco.say("The options as text")});
    const said = lyco.outcome();
    const kind = lyco.make(
        "select", {"aria-label": lyco.say("Form"), "onchange": () => draw()},
        lyco.make("option", {value: "toml"}, lyco.say("TOML file")), lyco.make("option", {value: "command"}, lyco.say("Command line")),
    );
    const draw = async() => {
        try {
            text.value = (await lyco.tellTrain("export", {config: form.desk.config, format: kind.value})).text;
            said.textContent = "";
        } catch (error) {
            said.textContent = error.message;
        }
    };
    const copy = async() => {
        text.select();
        try {
            await navigator.clipboard.writeText(text.value);
            said.textContent = lyco.say("Copied.");
        } catch (error) {
            said.textContent = lyco.say("Press Ctrl+C to copy.");
        }
    };
    const save = () => {
        const link = lyco.make("a", {
            href: URL.createObjectURL(new Blob([text.value], {type: "text/plain"})),
            download: `${form.options.value("name")}${kind.value === "toml" ? ".toml" : ".txt"}`,
        });
        link.click();
        URL.revokeObjectURL(link.href);
    };
    const buttons = lyco.make(
        "div", {class: "lyco-train-line"}, kind,
        lyco.make("button", {type: "button", onclick: copy}, lyco.say("Copy")), lyco.make("button", {type: "button", onclick: save}, lyco.say("Save as a file")),
    );
    lyco.openDialog(lyco.say("Export options"), lyco.make("div", {class: "lyco-train-window"}, buttons, text, said));
    draw();
};

/** Sample prompts, one a line; a run takes a copy of them with it into the queue. */
lyco.openPrompts = async function(form) {
    const {options} = form;
    const path = options.value("sample_prompts");
    const text = lyco.make("textarea", {
        "rows": 8, "spellcheck": "false", "aria-label": lyco.say("Sample prompts"),
        "placeholder": "a cat on a roof --n blurry --w 512 --h 768 --d 1 --s 20 --l 7",
    });
    const said = lyco.outcome();
    const keep = async() => {
        try {
            const told = await lyco.tellTrain("prompts", {name: options.value("name"), text: text.value});
            const often = options.value("sample_every_n_epochs") || options.value("sample_every_n_steps") ? {} : {sample_every_n_epochs: 1};
            options.put({...form.desk.config, sample_prompts: told.path, ...often});
            lyco.closeAround(text);
        } catch (error) {
            said.textContent = error.message;
        }
    };
    const help = lyco.make("p", {class: "lyco-train-help"}, lyco.say("One prompt a line. --n negative prompt, --w and --h size, --d seed, --s steps, --l guidance, --ss sampler."));
    lyco.openDialog(lyco.say("Sample prompts"), lyco.make(
        "div", {class: "lyco-train-window"}, text, help, said,
        lyco.make("button", {type: "button", class: "lyco-train-primary", onclick: keep}, lyco.say("Save")),
    ));
    if (path) {
        try {
            text.value = (await lyco.tellTrain("prompts", {name: "", path})).text;
        } catch (error) {
            said.textContent = error.message;
        }
    }
};
