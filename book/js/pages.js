// What scrolls can be scrolled from the keyboard: a box that is wider than its place becomes a stop of the Tab key.
(() => {
  "use strict";

  const SCROLLING = "article div.math, article .scrolls, article pre, article .cell_output td, article .cell_output .text_html";

  function mark() {
    const boxes = [...document.querySelectorAll(SCROLLING)];
    // All are measured before any is changed, as a change would make the page measure anew.
    const wide = boxes.map((box) => box.scrollWidth > box.clientWidth + 1);
    boxes.forEach((box, at) => {
      if (wide[at]) box.tabIndex = 0;
      else box.removeAttribute("tabindex");
    });
  }

  window.addEventListener("load", () => new ResizeObserver(mark).observe(document.querySelector("article")));
})();

// What is folded says what it is: the code of a figure, a hint, the solution of an exercise.
(() => {
  "use strict";

  function nameFoldedCode() {
    for (const details of document.querySelectorAll("article .cell details.hide")) {
      const figure = details.closest(".cell").querySelector(".caption-number")?.textContent.trim();
      if (!figure || !details.classList.contains("above-input")) continue;
      const words = details.querySelectorAll("summary span");
      words.forEach((text, at) => (text.textContent = `${at ? "Hide" : "Show"} the code of ${figure}`));
    }
  }

  function nameFoldedBoxes() {
    for (const button of document.querySelectorAll("article button.toggle-button")) {
      const title = button.closest(".admonition-title").textContent.replace(/\s+/g, " ").trim();
      button.setAttribute("aria-label", title);
    }
  }

  window.addEventListener("load", () => {
    nameFoldedCode();
    nameFoldedBoxes();
  });
})();
