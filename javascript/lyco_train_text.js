// What the sections on runs say alike: numbers, times, states, and a question before something is lost.

var lyco = lyco || {};

/** A duration for people, from seconds. */
lyco.timeText = function(seconds) {
    if (seconds === null || seconds === undefined || !Number.isFinite(seconds)) {
        return "–";
    }
    const whole = Math.round(seconds);
    const [hours, minutes] = [Math.floor(whole / 3600), Math.floor(whole / 60) % 60];
    if (hours) {
        return lyco.say("{hours} h {minutes} min", {hours, minutes});
    }
    return whole < 60 ? lyco.say("{seconds} s", {seconds: whole}) : lyco.say("{minutes} min {seconds} s", {minutes, seconds: whole % 60});
};

/** A moment, from seconds since 1970, as the browser's user writes it. */
lyco.momentText = (seconds) => seconds ? new Date(seconds * 1000).toLocaleString() : "–";

/** A number of a few digits. */
lyco.shortNumber = function(value) {
    if (value === null || value === undefined) {
        return "–";
    }
    const size = Math.abs(value);
    return size && (size < 0.001 || size >= 1e5) ? value.toExponential(2) : String(Number(value.toPrecision(4)));
};

/** What a run's state is called. */
lyco.stateText = (state) => ({
    queued: lyco.say("waiting"),
    preparing: lyco.say("preparing"),
    training: lyco.say("running"),
    paused: lyco.say("paused"),
    finished: lyco.say("finished"),
    stopped: lyco.say("stopped"),
    failed: lyco.say("failed"),
    interrupted: lyco.say("interrupted"),
})[state] ?? state;

/** What a run's kind is called; a training needs no word. */
lyco.kindText = (kind) => ({
    rehearsal: lyco.say("rehearsal"),
    best: lyco.say("comparison of files"),
})[kind] ?? "";

lyco.stateBadge = (run) => lyco.make("span", {"class": "lyco-train-state", "data-state": run.state}, lyco.stateText(run.state));

/** Asks before something is lost; acts only after a yes. The content is a text, or texts and elements. */
lyco.askFirst = function(title, content, words, act) {
    const close = () => body.closest("dialog").close();
    const yes = lyco.make("button", {"type": "button", "class": "lyco-train-danger", "onclick": () => {
        close();
        act();
    }}, words);
    const no = lyco.make("button", {"type": "button", "onclick": close}, lyco.say("Cancel"));
    const body = lyco.openDialog(title, lyco.make("p", {}, ...[content].flat()), lyco.make("div", {"class": "lyco-train-actions"}, yes, no));
    no.focus();
};

/** A button with its words on it. */
lyco.wordButton = (words, onclick, attributes = {}) => lyco.make("button", {"type": "button", onclick, ...attributes}, words);

lyco.runPath = (id, what = "") => `runs/${encodeURIComponent(id)}${what}`;

lyco.samplePicture = (id, name) => `./lyco/train/${lyco.runPath(id, "/picture")}?name=${encodeURIComponent(name)}`;

/** Puts a text into the clipboard; where the browser refuses that, shows it to be copied. */
lyco.copyText = async function(title, text) {
    try {
        await navigator.clipboard.writeText(text);
        return true;
    } catch (error) {
        const area = lyco.make("textarea", {"class": "lyco-train-report", "readonly": true, "aria-label": title}, text);
        lyco.openDialog(title, area);
        area.select();
        return false;
    }
};
