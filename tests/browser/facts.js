// What the tests want to know about a page, gathered inside it. `width` is that of the screen.
(width) => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const start = (element) => element.outerHTML.slice(0, 100);

  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const known = new Map();
  const rgba = (colour) => {
    if (!known.has(colour)) {
      canvas.clearRect(0, 0, 1, 1);
      canvas.fillStyle = colour;
      canvas.fillRect(0, 0, 1, 1);
      known.set(colour, [...canvas.getImageData(0, 0, 1, 1).data]);
    }
    return known.get(colour);
  };
  const over = (top, below) => [0, 1, 2].map((i) => (top[i] * top[3]) / 255 + below[i] * (1 - top[3] / 255));
  const grounds = new Map();
  const ground = (element) => {
    if (!element) return [255, 255, 255];
    if (!grounds.has(element)) {
      grounds.set(element, over(rgba(getComputedStyle(element).backgroundColor), ground(element.parentElement)));
    }
    return grounds.get(element);
  };
  const luminance = (rgb) => {
    const linear = rgb.map((v) => v / 255).map((v) => (v <= 0.04045 ? v / 12.92 : ((v + 0.055) / 1.055) ** 2.4));
    return 0.2126 * linear[0] + 0.7152 * linear[1] + 0.0722 * linear[2];
  };
  const contrast = (element) => {
    const below = ground(element);
    const pair = [luminance(over(rgba(getComputedStyle(element).color), below)), luminance(below)];
    return (Math.max(...pair) + 0.05) / (Math.min(...pair) + 0.05);
  };

  // Wide is bad only where nothing around scrolls or clips.
  const sticksOut = (element) => {
    const box = element.getBoundingClientRect();
    if (box.width === 0 || box.right <= width + 1) return false;
    for (let up = element; up; up = up.parentElement) {
      const style = getComputedStyle(up);
      if (up !== document.documentElement && up !== document.body && style.overflowX !== "visible") return false;
      if (style.clipPath !== "none") return false;
    }
    return true;
  };

  // What is wider than its box must scroll, by keyboard too, and show an edge or a bar.
  const isCut = (box) => {
    if (!box.clientWidth || box.scrollWidth <= box.clientWidth + 1) return false;
    const style = getComputedStyle(box);
    if (style.overflowX === "visible") return false;
    const hinted = box.matches("td") || style.backgroundImage !== "none";
    return !/auto|scroll/.test(style.overflowX) || box.tabIndex !== 0 || !hinted;
  };

  // A hint or a solution is shut, its button opens and shuts it, and the button says what it is about.
  const folded = (box) => {
    const button = box.querySelector(":scope > .admonition-title button");
    const body = box.querySelector(":scope > :not(.admonition-title)");
    if (!box.checkVisibility() || !button || !body) return { box: start(box), usable: !box.checkVisibility() };
    const seen = () => body.checkVisibility({ visibilityProperty: true });
    const states = [seen()];
    for (const press of [1, 2]) {
      button.click();
      states.push(seen());
    }
    const works = String(states) === "false,true,false" && button.tabIndex === 0;
    return { box: start(box), usable: works && /hint|solution|note|tip/i.test(button.ariaLabel ?? "") };
  };

  const prose = ["h1", "h2", "h3", "p", "li", "dd", "td", "th", "figcaption", "summary", ".admonition-title"];
  return {
    theme: document.documentElement.dataset.theme,
    page_width: document.documentElement.scrollWidth,
    formulas: all(".math").length,
    unset: all(".math").filter((formula) => !formula.querySelector("math")?.firstElementChild).map(start),
    stops_in_formulas: all("math [tabindex], math a[href]").map(start),
    faces: [...new Set([document.body, ...all("article h1, article p, article math")].map((e) => getComputedStyle(e).fontFamily))],
    loaded: [...document.fonts].filter((face) => face.status === "loaded").map((face) => face.family.replaceAll('"', "")),
    sticking_out: all("article.bd-article *:not(math *, svg *)").filter(sticksOut).map(start),
    cut: all("article :is(div.math, pre, td, .scrolls, .pst-scrollable-table-container, .cell_output .text_html, figure, p)").filter(isCut).map(start),
    faint: all(prose.map((tag) => `article ${tag}`).join())
      .filter((element) => element.getClientRects().length && contrast(element) < 4.5)
      .map((element) => [contrast(element).toFixed(2), start(element)]),
    ink: getComputedStyle(document.querySelector("article p") ?? document.body).color,
    pictures: all(".cell_output .text_html svg").map((svg) => [
      getComputedStyle(svg).color,
      getComputedStyle(svg.closest(".text_html")).backgroundColor,
    ]),
    folded: all("article .admonition.dropdown").map(folded),
    unnamed_folds: all("article details > summary").filter((summary) => summary.textContent.trim().length < 4).map(start),
  };
};
