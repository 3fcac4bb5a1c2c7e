// What all parts of the picker share: elements, texts, requests, dialogs.
// The WebUI loads these files as plain scripts; they define functions and call none, but for lyco_start.js.
// Texts that come from files are only ever put in as text nodes and attributes, never as HTML.

var lyco = lyco || {};

/** A text of ours in the user's language, with {name} replaced by values. */
lyco.say = function(text, values = {}) {
    const told = (window.localization || {})[text] ?? text;
    return told.replace(/\{(\w+)\}/g, (whole, name) => name in values ? String(values[name]) : whole);
};

/** An element; attributes named on... are listeners, true and false add and leave out. Strings become text. */
lyco.make = function(tag, attributes = {}, ...children) {
    const element = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) {
        if (name.startsWith("on")) {
            element.addEventListener(name.slice(2), value);
        } else if (value !== false && value !== null && value !== undefined) {
            element.setAttribute(name, value === true ? "" : value);
        }
    }
    element.append(...children.filter((child) => child !== null && child !== undefined));
    return element;
};

/** A button with a sign on it, its words for the mouse and for screen readers. */
lyco.button = function(sign, words, onclick, attributes = {}) {
    return lyco.make("button", {"type": "button", "title": words, "aria-label": words, onclick, ...attributes}, sign);
};

/** Calls a function once nothing has asked for it for some milliseconds. */
lyco.later = function(wait, act) {
    let timer = null;
    return (...given) => {
        clearTimeout(timer);
        timer = setTimeout(() => act(...given), wait);
    };
};

lyco.isVisible = (element) => element.offsetParent !== null && document.visibilityState === "visible";

/** One of the WebUI's options, once they are there. */
lyco.option = (name, otherwise) => (typeof opts === "object" ? opts : {})[name] ?? otherwise;

/** What the browser remembers of the user's choices. */
lyco.remember = function(name, value) {
    try {
        localStorage.setItem(`lyco-${name}`, JSON.stringify(value));
    } catch (error) {
        console.warn(`lyco: ${name} is not remembered: ${error}`);
    }
};

lyco.recall = function(name, otherwise) {
    try {
        return JSON.parse(localStorage.getItem(`lyco-${name}`)) ?? otherwise;
    } catch (error) {
        return otherwise;
    }
};

lyco.sizeText = function(bytes) {
    const units = ["B", "KB", "MB", "GB"];
    let place = 0;
    while (bytes >= 1000 && place < units.length - 1) {
        bytes /= 1024;
        place += 1;
    }
    return `${bytes.toFixed(place && bytes < 10 ? 1 : 0)} ${units[place]}`;
};

/** GET: the answer, or an Error with the server's sentence, and with the field it is about, if any. */
lyco.ask = (path, given = {}) => lyco.answerOf(fetch(`./lyco/${path}?${new URLSearchParams(given)}`));

/** POST: the same. */
lyco.tell = (path, body = {}) => lyco.answerOf(fetch(`./lyco/${path}`, {
    method: "POST",
    headers: {"Content-Type": "application/json"},
    body: JSON.stringify(body),
}));

lyco.answerOf = async function(asked) {
    let response;
    try {
        response = await asked;
    } catch (error) {
        throw new Error(lyco.say("The WebUI does not answer."));
    }
    const answer = await response.json().catch(() => ({}));
    if (!response.ok) {
        const otherwise = response.status === 401 ? lyco.say("You are not logged in. Load the page again.") : `HTTP ${response.status}`;
        const error = new Error(typeof answer.detail === "string" && response.status !== 401 ? lyco.sayMade(answer.detail) : otherwise);
        throw Object.assign(error, {field: answer.field ?? ""});
    }
    return answer;
};

lyco.cardPath = (card, what = "") => `cards/${encodeURIComponent(card.id)}${what}`;

/** Opens a window over the page; the browser keeps the focus inside and gives it back. */
lyco.openDialog = function(title, ...children) {
    const close = lyco.button("✕", lyco.say("Close"), () => dialog.close(), {class: "lyco-close"});
    const heading = lyco.make("header", {}, lyco.make("h2", {}, title), close);
    const body = lyco.make("div", {class: "lyco-dialog-body"}, ...children);
    const dialog = lyco.make("dialog", {class: "lyco-dialog", "aria-label": title}, heading, body);
    dialog.addEventListener("close", () => dialog.remove());
    dialog.addEventListener("click", (event) => event.target === dialog && dialog.close());
    // Escape closes the window; the WebUI would stop the drawing of a picture
    dialog.addEventListener("keydown", (event) => event.key === "Escape" && event.stopPropagation());
    (document.querySelector("gradio-app") ?? document.body).append(dialog);
    dialog.showModal();
    return body;
};
