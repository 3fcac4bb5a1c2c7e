// Sentences that the server made, in the user's language: what it says of files, networks and tags.
//
// A translation's key is the English sentence, or part of one, with {names} where its values stand.

var lyco = lyco || {};

/** A text of several sentences. What has no translation stays as it is. */
lyco.sayMade = function(text) {
    if (!text || !Object.keys(window.localization || {}).length) {
        return text;
    }
    const parts = text.split(/(?<=[.?]) (?=[A-Z])/);
    const told = parts.map(lyco.translated);
    // a name may hold what looks like the end of a sentence
    const whole = told.includes(null) ? lyco.byKey(text) : null;
    return whole ?? told.map((part, at) => part ?? parts[at]).join(" ");
};

/** One sentence, or null. An error is `what: got this; expected that.` or `where: what (got this; expected that).` */
lyco.translated = function(text) {
    const error = text.match(/^(.+?)(?:: | \()(?:got (.+?))?(?:; )?(?:expected (.+?))?\)?\.?$/);
    if (!error || error[2] === undefined && error[3] === undefined) {
        return lyco.bySentence(text);
    }
    const [, what, got, expected] = error;
    const place = what.match(/^(.+): (.+)$/)?.slice(1);
    const told = place?.map(lyco.bySentence) ?? [null];
    // where both sides are known, no shorter key may take them for one
    const whole = told.includes(null) ? lyco.bySentence(what) : null;
    const said = (whole ?? place?.map((part, at) => told[at] ?? part).join(": ") ?? what).replace(/。$/, "");
    const details = [
        got === undefined ? null : lyco.say("got {got}", {got: lyco.byKey(got) ?? got}),
        expected === undefined ? null : lyco.say("expected {expected}", {expected: lyco.byKey(expected) ?? expected}),
    ];
    return lyco.say("{what} ({details}).", {what: said, details: details.filter(Boolean).join(lyco.say("; "))});
};

/** The same for a sentence whose key, or which itself, may have no full stop. */
lyco.bySentence = (text) => lyco.byKey(text) ?? lyco.byKey(text.endsWith(".") ? text.slice(0, -1) : `${text}.`);

/** What a key says that is this text, or has values where this text has something; else null. */
lyco.byKey = function(text) {
    const told = window.localization[text];
    if (told) {
        return told;
    }
    for (const [pattern, key] of lyco.patterns()) {
        const found = text.match(pattern);
        if (found) {
            return lyco.say(key, lyco.translatedValues(found.groups));
        }
    }
    return null;
};

/** Values of a sentence; one of several words may be a sentence of ours itself, one word is a name. */
lyco.translatedValues = function(values) {
    const told = Object.entries(values).map(([name, value]) => [name, value.includes(" ") ? lyco.byKey(value) ?? value : value]);
    return Object.fromEntries(told);
};

/** The keys with values in them, the longest first; more than a value alone must be the same. */
lyco.patterns = function() {
    lyco.knownPatterns ??= Object.keys(window.localization)
        .filter((key) => /\{\w+\}/.test(key) && key.replace(/\{\w+\}|\W/g, "").length > 4)
        .sort((one, other) => other.length - one.length)
        .map((key) => {
            const parts = key.split(/(\{\w+\})/).map((part) => {
                const name = part.match(/^\{(\w+)\}$/)?.[1];
                return name ? `(?<${name}>.+?)` : part.replace(/[.*+?^${}()|[\]\\]/g, "\\$&");
            });
            return [new RegExp(`^${parts.join("")}$`), key];
        });
    return lyco.knownPatterns;
};
