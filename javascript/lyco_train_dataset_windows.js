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
    const [spaces, characters, series, rating] = [last.spaces, last.with_characters, last.with_series, last.with_rating ?? false].map(
        (checked) => lyco.make("input", {"type": "checkbox", "checked": checked ?? true}));
    const unwanted = lyco.make("input", {"type": "text", "value": (last.left_out ?? []).join(", ")});
    const trigger = lyco.make("input", {"type": "text", "value": (last.trigger ?? []).join(", ")});
    const progress = lyco.make("div", {"class": "lyco-train-set-job"});
    const problem = lyco.make("p", {"class": "lyco-problem", "role": "alert"});
    const scores = lyco.make("div", {"class": "lyco-train-set-form"},
        lyco.labelled(lyco.say("Tags from this score on"), threshold),
        lyco.labelled(lyco.say("Characters from this score on"), character),
        lyco.labelled(lyco.say("Spaces in place of underscores"), spaces),
        lyco.labelled(lyco.say("With names of characters"), characters),
        lyco.labelled(lyco.say("With names of series"), series),
        lyco.labelled(lyco.say("With the rating"), rating));
    const byKind = () => {
        scores.hidden = usable.find((tagger) => tagger.id === box.value)?.sentences ?? false;
    };
    box.addEventListener("change", byKind);
    byKind();
    const act = async () => {
        const wish = {
            "mode": mode.value, "threshold": Number(threshold.value), "character_threshold": Number(character.value), "spaces": spaces.checked,
            "with_characters": characters.checked, "with_series": series.checked, "with_rating": rating.checked, "left_out": lyco.tagsOf(unwanted.value), "trigger": lyco.tagsOf(trigger.value),
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

/** A text or a regular expression becomes another in captions; what would change is shown before. The page
 *  makes the new captions: an expression that never ends can stop nothing but this page. */
lyco.openReplacing = function(dataset) {
    const scope = lyco.scopeBox(dataset);
    const [find, instead] = [lyco.make("input", {"type": "text"}), lyco.make("input", {"type": "text"})];
    const [isPattern, isCase] = [lyco.make("input", {"type": "checkbox"}), lyco.make("input", {"type": "checkbox", "checked": true})];
    const told = lyco.make("p", {"class": "lyco-train-set-facts", "role": "status"});
    const some = lyco.make("ul", {"class": "lyco-findings"});
    const changes = () => {
        const plain = find.value.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
        const pattern = new RegExp(isPattern.checked ? find.value : plain, isCase.checked ? "gmu" : "gimu");
        const value = isPattern.checked ? instead.value : () => instead.value;
        const pairs = find.value ? scope.names().map((name) => [name, dataset.images.get(name).text.replace(pattern, value)]) : [];
        return pairs.filter(([name, text]) => text !== dataset.images.get(name).text);
    };
    const preview = () => {
        try {
            const found = changes();
            told.textContent = lyco.say("Changes {count} captions.", {count: found.length});
            some.replaceChildren(...found.slice(0, 3).map(([name, text]) => lyco.make("li", {}, `${name}: ${text.slice(0, 200)}`)));
        } catch (error) {
            told.textContent = lyco.say("This is no regular expression: {error}", {error: error.message});
            some.replaceChildren();
        }
    };
    const later = lyco.later(150, preview);
    [find, instead].forEach((field) => field.addEventListener("input", later));
    [scope, isPattern, isCase].forEach((field) => field.addEventListener("change", preview));
    const act = async () => {
        let found = [];
        try {
            found = changes();
        } catch (error) {
            preview();
        }
        const [names, texts] = [found.map(([name]) => name), found.map(([, text]) => text)];
        return dataset.edit(names, "texts", {texts, "find": find.value, "with": instead.value});
    };
    lyco.openForm(lyco.say("Find and replace"), lyco.say("Replace"), act,
        lyco.labelled(lyco.say("Find"), find), lyco.labelled(lyco.say("Write instead"), instead),
        lyco.labelled(lyco.say("A regular expression; $1 is its first group"), isPattern), lyco.labelled(lyco.say("Capitals matter"), isCase),
        lyco.labelled(lyco.say("For"), scope), told, some);
};

/** What is usually done with tags that a model has made, as one step. */
lyco.openCleaning = async function(dataset) {
    const {taggers} = await lyco.askTrain("dataset/taggers").catch(() => ({taggers: []}));
    const knowing = taggers.filter((tagger) => tagger.kinds.includes("character") || tagger.kinds.includes("series"));
    const scope = lyco.scopeBox(dataset);
    const tick = (checked) => lyco.make("input", {"type": "checkbox", checked});
    const [dedupe, character, series] = [tick(true), tick(false), tick(false)];
    const tagger = lyco.make("select", {}, ...knowing.map((one) => lyco.make("option", {"value": one.id}, one.title)));
    const by = lyco.make("select", {},
        lyco.make("option", {"value": ""}, lyco.say("Leave the order")),
        lyco.make("option", {"value": "frequency"}, lyco.say("The most frequent in front")),
        lyco.make("option", {"value": "alphabet"}, lyco.say("By the alphabet")));
    const trigger = lyco.make("input", {"type": "text"});
    const act = () => dataset.edit(scope.names(), "clean", {
        "dedupe": dedupe.checked, "by": by.value, "tags": lyco.tagsOf(trigger.value), "tagger": tagger.value,
        "gone": [character.checked && "character", series.checked && "series"].filter(Boolean),
    });
    lyco.openForm(lyco.say("Clean up tags"), lyco.say("Clean up"), act,
        lyco.labelled(lyco.say("Remove doubles"), dedupe),
        ...knowing.length ? [
            lyco.labelled(lyco.say("Remove names of characters"), character), lyco.labelled(lyco.say("Remove names of series"), series),
            lyco.labelled(lyco.say("As listed by"), tagger),
        ] : [lyco.make("p", {"class": "lyco-train-set-facts"}, lyco.say("With a WD14 model in its folder, names of characters and series can be removed, too."))],
        lyco.labelled(lyco.say("Order"), by), lyco.labelled(lyco.say("Trigger words in front"), trigger), lyco.labelled(lyco.say("For"), scope));
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
