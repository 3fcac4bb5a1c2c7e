// What our scripts use of the WebUI's, as little as makes the page behave alike.

var opts = {
    extra_networks_default_multiplier: 1,
    extra_networks_add_text_separator: " ",
    extra_networks_card_width: 0,
    extra_networks_card_height: 0,
    extra_networks_card_show_desc: true,
    extra_networks_card_order_field: "Name",
    extra_networks_card_order: "Ascending",
    extra_networks_tree_view_style: "Tree",
    extra_networks_tree_view_default_enabled: false,
};
var activePromptTextarea = {};
var edited = [];

function gradioApp() {
    return document.querySelector("gradio-app");
}

function updateInput(target) {
    target.dispatchEvent(new Event("input", {bubbles: true}));
}

function onUiLoaded(callback) {
    document.addEventListener("DOMContentLoaded", callback);
}

function onOptionsAvailable(callback) {
    document.addEventListener("DOMContentLoaded", callback);
}

function onAfterUiUpdate(callback) {
    document.addEventListener("lyco-test-updated", callback);
}

// as the WebUI's: the card is found two elements above the button
function extraNetworksEditUserMetadata(event, tab, page) {
    edited.push([tab, page, event.target.parentElement.parentElement.getAttribute("data-name")]);
}

document.addEventListener("DOMContentLoaded", () => {
    for (const tab of ["txt2img", "img2img"]) {
        activePromptTextarea[tab] = document.querySelector(`#${tab}_prompt textarea`);
    }
    const bar = document.querySelectorAll("#tabs > .tab-nav > button");
    bar.forEach((button) => button.addEventListener("click", () => {
        document.querySelectorAll("#tabs > .tabitem").forEach((tab) => {
            tab.style.display = tab.id === `tab_${button.textContent}` ? "" : "none";
        });
    }));
    document.querySelectorAll("[data-shows]").forEach((button) => button.addEventListener("click", () => {
        for (const page of button.closest(".extra-networks").querySelectorAll(":scope > [id]")) {
            page.style.display = page.id === button.dataset.shows ? "" : "none";
        }
    }));
});
