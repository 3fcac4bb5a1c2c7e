// The windows of the section Dataset: automatic captions, doubles, find and replace, rename, masks.

var lyco = lyco || {};

/** A window with a form; `act` is called when it is sent, and closes it by giving back true. */
lyco.openForm = function(title, words, act, ...children) {
    const send = lyco.make("button", {"type": "submit", "class": "lyco-train-primary"}, words);
    const form = lyco.make("form", {"class": "lyco-train-set-form"}, ...children, lyco.make("div", {"class": "lyco-train-set-row"}, send));
    form.addEventListener("submit", async (event) => {
        event.preventDefault();
        send.disabled = true;
        const isDone = await act(form);
        send.disabled = false;
        if (isDone) {
            form.closest("dialog").close();
        }
    });
    const body = lyco.openDialog(title, form);
    body.closest("dialog").classList.add("lyco-train-window");
    form.querySelector("input, select, textarea")?.focus();
    return form;
};

/** A field with its words before it. */
lyco.labelled = (words, field) => lyco.make("label", {"class": "lyco-train-set-labelled"}, lyco.make("span", {}, words), field);

/** On which images something is done: the selected ones, or all that are shown. */
lyco.scopeBox = function(dataset) {
    const selected = [...dataset.grid.selection];
    const shown = dataset.shown.filter((image) => !image.problem).map((image) => image.name);
    const box = lyco.make("select", {},
        selected.length ? lyco.make("option", {"value": "selected"}, lyco.say("the {count} selected images", {count: selected.length})) : "",
        lyco.make("option", {"value": "shown"}, lyco.say("all {count} images that are shown", {count: shown.length})));
    box.names = () => box.value === "selected" ? selected : shown;
    return box;
};

lyco.openTagging = async function(dataset) {
    const {taggers} = await lyco.askTrain("dataset/taggers").catch(() => ({taggers: []}));
    const usable = taggers.filter((tagger) => !tagger.problem);
    const box = lyco.make("select", {}, ...usable.map((tagger) => lyco.make("option", {"value": tagger.id}, tagger.title)));
    const scope = lyco.scopeBox(dataset);
    const mode = lyco.make("select", {},
        lyco.make("option", {"value": "append"}, lyco.say("Add behind what is there")),
        lyco.make("option", {"value": "keep"}, lyco.say("Only where there is no caption")),
        lyco.make("option", {"value": "replace"}, lyco.say("Replace what is there")));
    const last = lyco.recall("tagging", {});
    const number = (name, value) => lyco.make("input", {"type": "number", "min": 0, "max": 1, "step": 0.05, "value": last[name] ?? value});
    const [threshold, character] = [number("threshold", 0.35), number("character_threshold", 0.85)];
    const [spaces, rating] = [last.spaces ?? true, last.with_rating ?? false].map((checked) => lyco.make("input", {"type": "checkbox", checked}));
    const unwanted = lyco.make("input", {"type": "text", "value": (last.left_out ?? []).join(", ")});
    const trigger = lyco.make("input", {"type": "text", "value": (last.trigger ?? []).join(", ")});
    const progress = lyco.make("div", {"class": "lyco-train-set-job"});
    const problem = lyco.make("p", {"class": "lyco-problem", "role": "alert"});
    const scores = lyco.make("div", {"class": "lyco-train-set-form"},
        lyco.labelled(lyco.say("Tags from this score on"), threshold),
        lyco.labelled(lyco.say("Characters from this score on"), character),
        lyco.labelled(lyco.say("Spaces in place of underscores"), spaces),
        lyco.labelled(lyco.say("With the rating"), rating));
    const byKind = () => {
        scores.hidden = usable.find((tagger) => tagger.id === box.value)?.sentences ?? false;
    };
    box.addEventListener("change", byKind);
    byKind();
    const act = async () => {
        const wish = {
            "mode": mode.value, "threshold": Number(threshold.value), "character_threshold": Number(character.value), "spaces": spaces.checked,
            "with_rating": rating.checked, "left_out": lyco.tagsOf(unwanted.value), "trigger": lyco.tagsOf(trigger.value),
        };
        lyco.remember("tagging", wish);
        const job = await dataset.job.run("tag", {"names": scope.names(), "tagger": box.value, wish}, progress);
        problem.textContent = job ? "" : dataset.problem.textContent;
        return job?.state === "finished" && !job.notes.length;
    };
    const lacking = taggers.filter((tagger) => tagger.problem).map((tagger) =>
        lyco.make("li", {}, `${tagger.title}: ${lyco.sayMade(tagger.problem)}`));
    const where = lyco.say("WD14 models are found in the folders models/wd14 and lyco/taggers of the data folder: a folder each, with model.onnx and selected_tags.csv.");
    const form = lyco.openForm(lyco.say("Automatic captions"), lyco.say("Start"), act,
        usable.length ? "" : lyco.make("p", {}, lyco.say("There is nothing here that can look at images.")),
        lyco.labelled(lyco.say("Made by"), box), lyco.labelled(lyco.say("For"), scope), lyco.labelled(lyco.say("Captions"), mode), scores,
        lyco.labelled(lyco.say("Leave these tags out"), unwanted), lyco.labelled(lyco.say("In front of every caption"), trigger),
        problem, progress,
        lacking.length ? lyco.make("ul", {"class": "lyco-findings"}, ...lacking) : "",
        lyco.make("p", {"class": "lyco-train-set-facts"}, where));
    form.querySelector("[type=submit]").disabled = !usable.length;
};

lyco.openReplacing = function(dataset) {
    const scope = lyco.scopeBox(dataset);
    const [find, instead] = [lyco.make("input", {"type": "text"}), lyco.make("input", {"type": "text"})];
    const told = lyco.make("p", {"class": "lyco-train-set-facts", "role": "status"});
    const hits = () => scope.names().filter((name) => find.value && dataset.images.get(name).text.includes(find.value));
    const count = () => {
        told.textContent = lyco.say("Found in {count} captions.", {count: hits().length});
    };
    find.addEventListener("input", count);
    scope.addEventListener("change", count);
    const act = async () => find.value !== "" && dataset.edit(scope.names(), "find", {"find": find.value, "with": instead.value});
    lyco.openForm(lyco.say("Find and replace"), lyco.say("Replace"), act,
        lyco.labelled(lyco.say("Find"), find), lyco.labelled(lyco.say("Write instead"), instead), lyco.labelled(lyco.say("For"), scope), told);
};

/** One tag becomes another, or several, in all captions that are shown. */
lyco.openRenaming = function(dataset, tag) {
    const field = lyco.make("input", {"type": "text", "value": tag});
    const names = dataset.shown.map((image) => image.name);
    const act = async () => {
        dataset.wantedTags.delete(tag);
        return dataset.edit(names, "replace", {"old": tag, "tags": lyco.tagsOf(field.value)});
    };
    lyco.openForm(lyco.say("Rename {tag}", {tag}), lyco.say("Rename"), act, lyco.labelled(lyco.say("New tags, with commas between"), field));
    field.select();
};

lyco.openDuplicates = async function(dataset) {
    const progress = lyco.make("div", {"class": "lyco-train-set-job"});
    const found = lyco.make("div", {"class": "lyco-train-set-doubles"});
    const body = lyco.openDialog(lyco.say("Duplicates"), progress, found);
    body.closest("dialog").classList.add("lyco-train-window");
    const job = await dataset.job.run("duplicates", {}, progress);
    if (!job) {
        found.replaceChildren(lyco.make("p", {"class": "lyco-problem"}, dataset.problem.textContent));
        return;
    }
    lyco.drawDoubles(dataset, found, job.result.groups ?? []);
};

lyco.drawDoubles = function(dataset, place, groups) {
    const left = (group) => group.names.map((name) => dataset.images.get(name)).filter((image) => image && !image.excluded);
    const whole = groups.map((group) => ({kind: group.kind, images: left(group)})).filter((group) => group.images.length > 1);
    const leaveOut = async (images) => {
        await dataset.exclude(images.map((image) => image.name), true);
        lyco.drawDoubles(dataset, place, groups);
    };
    const button = (words, images) => dataset.metadata ? "" : lyco.make("button", {"type": "button", "onclick": () => leaveOut(images)}, words);
    const one = (image) => lyco.make("figure", {},
        dataset.grid.frame(image, "thumbnail", {crops: false, masks: false}),
        lyco.make("figcaption", {}, image.name, lyco.make("br"), `${image.size[0]}×${image.size[1]}`),
        button(lyco.say("Leave out"), [image]));
    const draw = ({kind, images}) => lyco.make("section", {},
        lyco.make("h3", {}, kind === "same" ? lyco.say("The same file") : lyco.say("Nearly the same picture")),
        lyco.make("div", {"class": "lyco-train-set-figures"}, ...images.map(one)));
    // an image may be in two groups; the first of each stays
    const spare = new Map(whole.flatMap((group) => group.images.slice(1)).map((image) => [image.name, image]));
    place.replaceChildren(
        lyco.make("p", {}, whole.length ? lyco.say("{count} groups of images that show the same.", {count: whole.length}) : lyco.say("No duplicates were found.")),
        whole.length ? button(lyco.say("Keep the largest of each, leave the others out"), [...spare.values()]) : "",
        ...whole.slice(0, 100).map(draw),
    );
};

lyco.openMasks = function(dataset) {
    const {config} = dataset.desk;
    const alpha = lyco.make("input", {"type": "checkbox", "checked": Boolean(config.alpha_mask)});
    const folder = lyco.make("input", {"type": "text", "value": config.mask_folder ?? "", "spellcheck": "false"});
    const scope = lyco.scopeBox(dataset);
    const told = lyco.make("p", {"class": "lyco-train-set-facts", "role": "status"});
    const make = async () => {
        const values = {...config, "mask_folder": folder.value.trim()};
        const answer = await dataset.tell("masks", {"names": scope.names(), "config": values});
        if (answer) {
            folder.value = answer.mask_folder;
            alpha.checked = false;
            told.textContent = lyco.say("{made} masks were made, {kept} were there.", answer);
        } else {
            told.textContent = dataset.problem.textContent;
        }
    };
    const picker = lyco.make("input", {"type": "file", "multiple": true, "accept": "image/*,.zip", "onchange": async () => {
        if (folder.value.trim()) {
            await lyco.uploadImages(dataset, [...picker.files], folder.value.trim());
        } else {
            told.textContent = lyco.say("Name a folder of masks first.");
        }
        picker.value = "";
    }});
    const act = async () => {
        const values = {...config};
        delete values.alpha_mask;
        delete values.mask_folder;
        const named = folder.value.trim();
        dataset.desk.setConfig({...values, ...named ? {"mask_folder": named} : alpha.checked ? {"alpha_mask": true} : {}});
        return true;
    };
    lyco.openForm(lyco.say("Masks"), lyco.say("Use these"), act,
        lyco.make("p", {}, lyco.say("A mask says how much each place of an image counts: white counts, black does not.")),
        lyco.labelled(lyco.say("Transparent parts do not count"), alpha),
        lyco.labelled(lyco.say("Folder of masks"), folder),
        lyco.labelled(lyco.say("Make masks of alpha channels for"), scope),
        lyco.make("div", {"class": "lyco-train-set-row"}, lyco.make("button", {"type": "button", "onclick": make}, lyco.say("Make masks"))),
        lyco.labelled(lyco.say("Upload masks of the same names"), picker), told);
};
