// Wide tables scroll by the keyboard, too: the theme wraps them when the page is ready.
addEventListener("load", () => {
  for (const table of document.querySelectorAll(".md-typeset__scrollwrap")) table.tabIndex = 0;
});
