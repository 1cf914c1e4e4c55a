// What scrolls can be scrolled from the keyboard: a box that is wider than its place becomes a stop of the Tab key.
(() => {
  "use strict";

  // The theme puts tables into boxes of its own.
  const SCROLLING = `article :is(div.math, pre, .scrolls, .pst-scrollable-table-container),
    article .cell_output :is(td, .text_html)`;

  function mark() {
    const boxes = [...document.querySelectorAll(SCROLLING)];
    // All are measured before any is changed, as a change would make the page measure anew.
    const wide = boxes.map((box) => box.scrollWidth > box.clientWidth + 1);
    boxes.forEach((box, at) => {
      if (wide[at]) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    });
  }

  window.addEventListener("load", () => {
    const article = document.querySelector("article");
    if (article) new ResizeObserver(mark).observe(article);
  });
})();

// A button that opens a hint or a solution says which.
window.addEventListener("load", () => {
  for (const button of document.querySelectorAll("article button.toggle-button")) {
    button.setAttribute("aria-label", button.closest(".admonition-title").textContent.replace(/\s+/g, " ").trim());
  }
});
