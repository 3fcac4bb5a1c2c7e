// Images, captions and zips on their way to a folder: from a field, or dropped on the section.

var lyco = lyco || {};

/** Calls `act` with the files that are dropped on an element. */
lyco.takeDrops = function(element, act) {
    const isFiles = (event) => [...event.dataTransfer?.types ?? []].includes("Files");
    element.addEventListener("dragover", (event) => {
        if (isFiles(event)) {
            event.preventDefault();
            element.classList.add("lyco-train-set-drop");
        }
    });
    element.addEventListener("dragleave", (event) => element.contains(event.relatedTarget) || element.classList.remove("lyco-train-set-drop"));
    element.addEventListener("drop", (event) => {
        element.classList.remove("lyco-train-set-drop");
        if (isFiles(event)) {
            event.preventDefault();
            event.stopPropagation();
            act([...event.dataTransfer.files]);
        }
    });
};

/** Where single images belong: beside the first one, if none lies in the folder itself. */
lyco.uploadPlace = function(dataset) {
    const names = [...dataset.images.values()].filter((image) => !image.excluded).map((image) => image.name);
    const inside = names.length && names.every((name) => name.includes("/")) ? names[0].split("/")[0] : "";
    return inside ? `${dataset.folder}/${inside}` : dataset.folder;
};

/** Sends files one after the other; the folder they are in now, or "" if none was taken. */
lyco.uploadImages = async function(dataset, files, folder = null) {
    const refused = [];
    let root = folder ?? dataset.folder;
    let place = folder ?? lyco.uploadPlace(dataset);
    const set = files.find((file) => /\.zip$/i.test(file.name))?.name.replace(/\.zip$/i, "") ?? `images ${new Date().toISOString().slice(0, 10)}`;
    let saved = 0;
    for (const [number, file] of files.entries()) {
        dataset.status.textContent = lyco.say("Upload {number} of {count}: {name}", {number: number + 1, count: files.length, name: file.name});
        const given = {"name": file.name, set, "folder": /\.zip$/i.test(file.name) ? root : place};
        try {
            const answer = await lyco.answerOf(fetch(`./lyco/train/dataset/upload?${new URLSearchParams(given)}`, {"method": "POST", "body": file}));
            root = root || answer.folder;
            place = place || answer.folder;
            saved += answer.saved.length;
            refused.push(...answer.refused);
        } catch (error) {
            refused.push([file.name, error.message]);
        }
    }
    dataset.sayStatus();
    if (refused.length) {
        lyco.openDialog(lyco.say("{saved} files were taken, {count} were not", {saved, count: refused.length}),
            lyco.make("ul", {"class": "lyco-findings"}, ...refused.slice(0, 200).map(([name, why]) => lyco.make("li", {}, `${name}: ${lyco.sayMade(why)}`))));
    }
    return saved ? root : "";
};
