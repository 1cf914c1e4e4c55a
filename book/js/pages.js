// What scrolls can be scrolled from the keyboard: a box that is wider than its place becomes a stop of the Tab key.
(() => {
  "use strict";

  const SCROLLING = "article div.math, article .scrolls, article pre, article .cell_output td";

  function mark() {
    for (const box of document.querySelectorAll(SCROLLING)) {
      if (box.scrollWidth > box.clientWidth + 1) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    }
  }

  window.addEventListener("load", async () => {
    await window.MathJax?.startup?.promise;
    mark();
    new ResizeObserver(mark).observe(document.querySelector("article"));
  });
})();
