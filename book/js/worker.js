// Python in a worker: started once with the files that the page hands over, then one answer after another.
//
// The page opens it from a `data:` address, as a browser starts no other module from a file. It has no network, and the
// page ends it when an answer takes too long.
const bytesOf = (text) => Uint8Array.from(atob(text), (character) => character.charCodeAt(0));

async function unpacked(text) {
  const stream = new Blob([bytesOf(text)]).stream().pipeThrough(new DecompressionStream("gzip"));
  return new Uint8Array(await new Response(stream).arrayBuffer());
}

const module = (bytes) => import(URL.createObjectURL(new Blob([bytes], { type: "text/javascript" })));

const FOLDER = "/course";
let check;

async function start({ files, info, packages }) {
  const names = ["pyodide.asm.wasm", "python_stdlib.zip", "pyodide.asm.mjs", "pyodide.mjs"];
  const [wasm, library, core, loader] = await Promise.all(names.map((name) => unpacked(files[name])));
  self.postMessage({ step: 0.2 });
  self.fetch = async (request) => {
    const address = String(request.url ?? request);
    if (address.endsWith(names[0])) return new Response(wasm, { headers: { "Content-Type": "application/wasm" } });
    if (address.endsWith(names[1])) return new Response(library);
    throw new TypeError("there is no network here");
  };
  const [{ default: createPyodideModule }, { loadPyodide }] = await Promise.all([module(core), module(loader)]);
  const indexURL = "file:///python/";
  const python = await loadPyodide({
    indexURL,
    createPyodideModule,
    stdLibURL: indexURL + names[1],
    lockFileContents: { info, packages: {} },
  });
  self.postMessage({ step: 0.9 });
  python.unpackArchive(bytesOf(packages), "zip", { extractDir: FOLDER });
  python.runPython(`import sys; sys.path.insert(0, "${FOLDER}")`);
  check = python.pyimport("tutor.page").check_in_page;
}

self.onmessage = async ({ data }) => {
  try {
    if (data.start) {
      await start(data.start);
      self.postMessage({ ready: true });
    } else {
      self.postMessage({ feedback: JSON.parse(check(`${FOLDER}/exercises`, data.name, data.answer)) });
    }
  } catch (error) {
    self.postMessage({ error: String(error?.message ?? error) });
  }
};
