// What scrolls sideways is a stop of the Tab key, so that the arrow keys can scroll it. The theme sees
// to that for code, but only when the page loads or its window changes: what a fold opens it misses.
"use strict";

addEventListener("load", () => {
  const observer = new ResizeObserver(entries => entries.forEach(({ target }) => {
    target.tabIndex = target.scrollWidth > target.clientWidth ? 0 : -1;
  }));
  document.querySelectorAll(".bd-article :is(pre, div.math, .katex-display)")
    .forEach(e => observer.observe(e));
});
