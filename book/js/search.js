// Excerpts on the search page. Sphinx fetches each page that it has found, which a browser refuses on a page from a
// file: what it would find there stands in search-texts.js, and is handed to it here.
(() => {
  "use strict";

  const ordinary = window.fetch;
  const root = document.documentElement.dataset.content_root;
  window.fetch = (address, ...options) => {
    const text = window.COURSE_TEXTS?.[String(address).slice(root.length).replace(/\.html$/, "")];
    if (text === undefined) return ordinary(address, ...options);
    return Promise.resolve(new Response(`<div role="main">${text}</div>`, { headers: { "Content-Type": "text/html" } }));
  };
})();
