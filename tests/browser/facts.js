// What the tests want to know about a page, gathered inside it. `width` is that of the screen.
(width) => {
  const all = (selector) => [...document.querySelectorAll(selector)];
  const start = (element) => element.outerHTML.slice(0, 100);

  const canvas = document.createElement("canvas").getContext("2d", { willReadFrequently: true });
  const rgba = (colour) => {
    canvas.clearRect(0, 0, 1, 1);
    canvas.fillStyle = colour;
    canvas.fillRect(0, 0, 1, 1);
    return [...canvas.getImageData(0, 0, 1, 1).data];
  };
  const over = (top, below) => [0, 1, 2].map((i) => (top[i] * top[3]) / 255 + below[i] * (1 - top[3] / 255));
  const ground = (element) => {
    const layers = [];
    for (let up = element; up; up = up.parentElement) layers.push(rgba(getComputedStyle(up).backgroundColor));
    return layers.reverse().reduce((below, top) => over(top, below), [255, 255, 255]);
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

  const prose = ["h1", "h2", "h3", "p", "li", "dd", "td", "th", "figcaption", ".admonition-title"];
  return {
    theme: document.documentElement.dataset.theme,
    page_width: document.documentElement.scrollWidth,
    formulas: all(".math").length,
    unset: all(".math").filter((formula) => !formula.querySelector("mjx-container")).map(start),
    badly_set: all("mjx-merror, [data-mjx-error]").map(start),
    sticking_out: all("article.bd-article *").filter(sticksOut).map(start),
    faint: all(prose.map((tag) => `article ${tag}`).join())
      .filter((element) => element.getClientRects().length && contrast(element) < 4.5)
      .map((element) => [contrast(element).toFixed(2), start(element)]),
    ink: getComputedStyle(document.querySelector("article p")).color,
    pictures: all(".cell_output .text_html svg").map((svg) => [
      getComputedStyle(svg).color,
      getComputedStyle(svg.closest(".text_html")).backgroundColor,
    ]),
  };
};
