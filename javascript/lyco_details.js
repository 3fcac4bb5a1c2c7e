// A card's window: what its file says, the tags of its training set, its previews.

var lyco = lyco || {};

lyco.showDetails = async function(card, pane) {
    const body = lyco.openDialog(card.name, lyco.make("p", {role: "status"}, lyco.say("Reading...")));
    try {
        const full = await lyco.ask(lyco.cardPath(card));
        body.replaceChildren(...lyco.detailParts(full, pane, body));
    } catch (error) {
        body.replaceChildren(lyco.make("p", {class: "lyco-problem", role: "alert"}, error.message));
    }
};

lyco.detailParts = function(card, pane, body) {
    const part = (title, ...children) => lyco.make("section", {}, lyco.make("h3", {}, title), ...children);
    const paragraph = (text) => lyco.make("p", {class: "lyco-text"}, text);
    const row = ([label, text]) => lyco.make("tr", {}, lyco.make("th", {scope: "row"}, label), lyco.make("td", {}, text));
    const table = (rows) => lyco.make("table", {class: "lyco-table"}, lyco.make("tbody", {}, ...rows.map(row)));
    const names = Object.entries(card.metadata);
    return [
        card.problem ? lyco.make("p", {class: "lyco-problem"}, lyco.sayMade(card.problem)) : null,
        table(card.details.map(([label, text]) => [lyco.say(`${label}:`), text])),
        card.evidence ? paragraph(lyco.sayMade(card.evidence)) : null,
        card.description ? part(lyco.say("Description"), paragraph(card.description)) : null,
        card.notes ? part(lyco.say("Notes"), paragraph(card.notes)) : null,
        card.tags.length ? part(lyco.say("Tags of the training set"), lyco.tagChips(card, pane)) : null,
        part(lyco.say("Previews"), lyco.previewPart(card, pane, body)),
        names.length ? lyco.make("details", {}, lyco.make("summary", {}, lyco.say("Metadata")), table(names)) : null,
    ].filter(Boolean);
};

/** Tags with their counts; a click puts one into the prompt or takes it out. */
lyco.tagChips = function(card, pane) {
    const chips = card.tags.map(([tag, count]) => lyco.make(
        "button",
        {type: "button", class: "lyco-chip", onclick: () => pane.prompt.toggleWords(card, [tag])},
        lyco.make("span", {}, tag),
        lyco.make("small", {}, `${count}`),
    ));
    return lyco.make("div", {class: "lyco-chips lyco-chips-all"}, ...chips);
};

/** The pictures: a click makes one the first; another one may be added from a file. */
lyco.previewPart = function(card, pane, body) {
    const send = async(given) => {
        try {
            const {card: changed} = await lyco.tell(lyco.cardPath(card, "/preview"), given);
            pane.turned.delete(card.id);
            const all = {...card, ...changed};
            body.replaceChildren(...lyco.detailParts(all, pane, body));
            await pane.poll(true);
        } catch (error) {
            problem.textContent = error.message;
        }
    };
    const pictures = card.previews.map(({name, url}, place) => lyco.make(
        "button",
        {
            "type": "button",
            "class": "lyco-thumb",
            "title": lyco.say("Show this picture first"),
            "aria-label": lyco.say("Show this picture first: {name}", {name}),
            "aria-pressed": `${place === 0}`,
            "onclick": () => send({name}),
        },
        lyco.make("img", {src: url, alt: "", loading: "lazy"}),
    ));
    const problem = lyco.make("p", {class: "lyco-problem", role: "alert"});
    const file = lyco.make("input", {type: "file", accept: "image/png,image/jpeg,image/webp,image/gif"});
    file.addEventListener("change", () => {
        const reader = new FileReader();
        reader.onload = () => send({image: reader.result});
        reader.readAsDataURL(file.files[0]);
    });
    const label = lyco.make("label", {class: "lyco-upload"}, lyco.make("span", {}, lyco.say("New preview")), file);
    return lyco.make("div", {}, lyco.make("div", {class: "lyco-thumbs"}, ...pictures), label, problem);
};
