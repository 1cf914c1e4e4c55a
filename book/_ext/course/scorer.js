// How the search orders what it finds: titles that hold the whole query, other titles, text, and the library last.
const OF_THE_LIBRARY = /^#(lvmlib|proofreader)[.-]/;
const QUERY = (new URLSearchParams(window.location.search).get("q") ?? "").toLowerCase().trim();
var Scorer = {
  score: ([docname, title, anchor, , score]) =>
    score +
    (QUERY && title.toLowerCase().includes(QUERY) ? 100 : 0) -
    (OF_THE_LIBRARY.test(anchor) ? 600 : 0) -
    (docname.startsWith("book/api") ? 300 : 0),
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 0, 1: 0, 2: 0 },
  objPrioDefault: 0,
  title: 100,
  partialTitle: 50,
  term: 5,
  partialTerm: 2,
};
