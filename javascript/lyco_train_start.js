// Draws the training tab when its frame appears: servers of pages differ in when, and some make it anew.

var lyco = lyco || {};

new MutationObserver(() => lyco.startTraining()).observe(document, {childList: true, subtree: true});
