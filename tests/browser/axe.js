// What axe finds serious or critical on a page. It measures the contrast of every word against all that lies around it,
// which takes seconds: one word of each kind, by its colour, size, weight and grounds, is enough.
async () => {
  const grounds = new Map();
  const ground = (element) => {
    if (!element) return "";
    if (!grounds.has(element)) {
      const style = getComputedStyle(element);
      const own = `${style.backgroundColor}${style.backgroundImage === "none" ? "" : "+"}`;
      grounds.set(element, own === "rgba(0, 0, 0, 0)" ? ground(element.parentElement) : `${ground(element.parentElement)} ${own}`);
    }
    return grounds.get(element);
  };
  const kinds = new Map();
  for (const element of document.body.querySelectorAll("*")) {
    const says = [...element.childNodes].some((node) => node.nodeType === Node.TEXT_NODE && node.textContent.trim());
    if (!says || !element.checkVisibility({ visibilityProperty: true, opacityProperty: true })) continue;
    const { color, fontSize, fontWeight, opacity } = getComputedStyle(element);
    const kind = [element.localName, color, fontSize, fontWeight, opacity, ground(element)].join(" ");
    if (!kinds.has(kind)) kinds.set(kind, element);
  }
  const options = { resultTypes: ["violations"], preload: false };
  const found = [
    await axe.run(document, { ...options, rules: { "color-contrast": { enabled: false } } }),
    await axe.run({ include: [...kinds.values()] }, { ...options, runOnly: ["color-contrast"] }),
  ];
  return found
    .flatMap(({ violations }) => violations)
    .filter(({ impact }) => ["serious", "critical"].includes(impact))
    .flatMap(({ id, nodes }) => nodes.map((node) => [id, node.html.slice(0, 160), node.failureSummary]));
}
