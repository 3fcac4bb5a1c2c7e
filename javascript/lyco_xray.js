// X-ray: what networks do to the base model, block by block, and where they fight. The server measures and draws.

var lyco = lyco || {};

lyco.SVG_ELEMENTS = ["svg", "g", "title", "text", "tspan", "rect", "line", "path", "circle"];

/** Shows one network, or a set. `networks`: ids of cards with their strengths. */
lyco.showXray = async function(networks) {
    const body = lyco.openDialog(lyco.say("X-ray"), lyco.make("p", {role: "status"}, lyco.say("Measuring...")));
    try {
        const listed = (name) => networks.map((one) => one[name]).join(",");
        const found = await lyco.ask("xray", {ids: listed("id"), te: listed("te"), unet: listed("unet")});
        body.replaceChildren(...lyco.xrayParts(found));
    } catch (error) {
        body.replaceChildren(lyco.make("p", {class: "lyco-problem", role: "alert"}, error.message));
    }
};

lyco.xrayParts = function(found) {
    const line = (text) => lyco.make("li", {}, text);
    const findings = found.findings.length ? found.findings.map(lyco.sayMade) : [lyco.say("Nothing stands out.")];
    return [
        lyco.make("ul", {class: "lyco-findings"}, ...findings.map(line)),
        lyco.make("div", {class: "lyco-drawing"}, lyco.readSvg(found.svg)),
        ...found.networks.map(lyco.xrayNetwork).filter(Boolean),
        lyco.xrayTable(found),
    ];
};

/** What of a network has no place in the base model, or is no number. */
lyco.xrayNetwork = function(network) {
    const list = (title, lines) => lines.length ? lyco.make(
        "details",
        {},
        lyco.make("summary", {}, `${title}: ${lines.length}`),
        lyco.make("ul", {}, ...lines.map((text) => lyco.make("li", {}, text))),
    ) : null;
    const homeless = network.homeless.map(({what, reason}) => `${what}: ${lyco.sayMade(reason)}`);
    const parts = [
        list(lyco.say("Keys without a home"), homeless),
        list(lyco.say("Not finite (NaN or Inf)"), network.not_finite),
        network.unmeasured ? lyco.make("p", {}, lyco.say("{count} layers could not be measured.", {count: network.unmeasured})) : null,
    ].filter(Boolean);
    return parts.length ? lyco.make("section", {}, lyco.make("h3", {}, network.name), ...parts) : null;
};

/** The drawing's numbers, for who cannot see it. */
lyco.xrayTable = function(found) {
    const blocks = [...new Set(found.networks.flatMap((network) => network.blocks.map(({block}) => block)))];
    const cell = (network, block) => {
        const {norm, relative} = network.blocks.find((one) => one.block === block) ?? {};
        return lyco.make("td", {}, relative ? relative.toFixed(3) : norm ? `|${norm.toPrecision(3)}|` : "–");
    };
    const head = lyco.make("tr", {}, lyco.make("th", {scope: "col"}, lyco.say("Block")), ...found.networks.map((one) => lyco.make("th", {scope: "col"}, one.name)));
    const rows = blocks.map((block) => lyco.make("tr", {}, lyco.make("th", {scope: "row"}, block), ...found.networks.map((one) => cell(one, block))));
    const table = lyco.make("table", {class: "lyco-table"}, lyco.make("thead", {}, head), lyco.make("tbody", {}, ...rows));
    return lyco.make("details", {}, lyco.make("summary", {}, lyco.say("Numbers")), table);
};

/** A drawing as elements, those left out that a drawing does not need: it holds names of files. */
lyco.readSvg = function(text) {
    const read = new DOMParser().parseFromString(text, "image/svg+xml").documentElement;
    for (const element of [read, ...read.querySelectorAll("*")]) {
        if (!lyco.SVG_ELEMENTS.includes(element.localName)) {
            element.remove();
            continue;
        }
        for (const {name} of [...element.attributes]) {
            if (/^on|href$/i.test(name)) {
                element.removeAttribute(name);
            }
        }
    }
    for (const element of read.querySelectorAll("title, text")) {
        element.textContent = lyco.sayMade(element.textContent);
    }
    read.setAttribute("aria-label", lyco.sayMade(read.getAttribute("aria-label")) ?? lyco.say("X-ray"));
    return read.localName === "svg" ? document.importNode(read, true) : null;
};
