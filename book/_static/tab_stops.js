// What scrolls sideways is a stop of the Tab key, so that the arrow keys can scroll it. The theme sees
// to that for code, but only when the page loads or its window changes: code in a closed fold has more
// room when it is measured than when it is read.
"use strict";

addEventListener("load", () => {
  const observer = new ResizeObserver(entries => entries.forEach(({ target }) => {
    target.tabIndex = target.scrollWidth > target.clientWidth ? 0 : -1;
  }));
  document.querySelectorAll(".bd-article :is(pre, div.math, .katex-display, .formula .math)")
    .forEach(e => observer.observe(e));
});
