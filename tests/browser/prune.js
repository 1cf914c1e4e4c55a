// Leaves of a page what axe has something to say about, as it looks at every element and takes long for thousands: a
// picture with a name hides its parts from every reader, a formula is one element to it, and of the marks in code one of
// each kind is enough.
() => {
  for (const svg of document.querySelectorAll('svg[role="img"], svg[aria-hidden="true"]')) {
    for (const part of [...svg.children]) if (part.tagName !== "title") part.remove();
  }
  for (const formula of document.querySelectorAll("math")) formula.replaceChildren(formula.textContent.slice(0, 3));
  const seen = new Set();
  for (const mark of document.querySelectorAll(".highlight span, dt.sig span")) {
    const kind = `${mark.className} in ${mark.closest("[class*=highlight-], dt").className}`;
    if (seen.has(kind)) mark.replaceWith(...mark.childNodes);
    else seen.add(kind);
  }
};
