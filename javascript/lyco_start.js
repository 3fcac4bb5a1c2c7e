// Puts strips and panes into the page, as soon as and whenever what they belong to is there.

var lyco = lyco || {};

lyco.prompts = {};

lyco.start = function() {
    if (typeof opts !== "object" || !Object.keys(opts).length) {
        return;
    }
    for (const tab of ["txt2img", "img2img"]) {
        if (!lyco.prompts[tab] && gradioApp().querySelector(`#${tab}_prompt textarea`)) {
            lyco.prompts[tab] = new lyco.Prompt(tab);
            new lyco.Strip(lyco.prompts[tab]);
        }
        const frame = gradioApp().querySelector(`#${tab}_lora_pane.lyco-pane`);
        if (frame && lyco.prompts[tab] && !frame.pane) {
            frame.pane = new lyco.Pane(frame, lyco.prompts[tab]);
        }
    }
};

onUiLoaded(lyco.start);
onOptionsAvailable(() => lyco.start());
onAfterUiUpdate(() => lyco.start());
