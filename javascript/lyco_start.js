// Puts strips and panes into the page, as soon as and whenever what they belong to is there.

var lyco = lyco || {};

lyco.prompts = {};

lyco.start = function() {
    if (typeof opts !== "object" || !Object.keys(opts).length) {
        return;
    }
    for (const tab of ["txt2img", "img2img"]) {
        if (!lyco.prompts[tab] && gradioApp().querySelector(`#${tab}_prompt textarea`)) {
            lyco.prompts[tab] = lyco.startPrompts(tab);
        }
        const frame = gradioApp().querySelector(`#${tab}_lora_pane.lyco-pane`);
        if (frame && lyco.prompts[tab] && !frame.pane) {
            frame.pane = new lyco.Pane(frame, lyco.prompts[tab]);
        }
    }
};

/** The prompts of a tab with their strips: its own, and in txt2img that of hires fix. */
lyco.startPrompts = function(tab) {
    const main = new lyco.Prompt(tab);
    new lyco.Strip(main, gradioApp().querySelector(`#${tab}_prompt_row`));
    const hiresRow = gradioApp().querySelector(`#${tab}_hires_fix_row4`);
    if (!hiresRow) {
        return [main];
    }
    const hires = new lyco.Prompt(tab, "hires", main);
    new lyco.Strip(hires, hiresRow);
    return [main, hires];
};

onUiLoaded(lyco.start);
onOptionsAvailable(() => lyco.start());
onAfterUiUpdate(() => lyco.start());
