// What our scripts use of the WebUI's, on a page of our own.

var opts = {};

function gradioApp() {
    return document.querySelector("gradio-app") ?? document;
}

// the strips and panes that begin with these belong to pages with prompts
function onUiLoaded() {}

function onOptionsAvailable() {}

function onAfterUiUpdate() {}
