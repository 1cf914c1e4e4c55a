// How the search orders what it finds: titles first, then text, and the objects of the library last.
const OF_THE_LIBRARY = /^#(lvmlib|proofreader)[.-]/;
var Scorer = {
  score: ([docname, , anchor, , score]) =>
    score - (OF_THE_LIBRARY.test(anchor) ? 400 : 0) - (docname.startsWith("book/api") ? 200 : 0),
  objNameMatch: 11,
  objPartialMatch: 6,
  objPrio: { 0: 0, 1: 0, 2: 0 },
  objPrioDefault: 0,
  title: 100,
  partialTitle: 50,
  term: 5,
  partialTerm: 2,
};
