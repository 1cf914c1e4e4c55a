// Exercises that answer. Each <section class="answer"> holds a form; *Check* asks the course's own Python what to say.
//
// A choice is answered at once, from what the build computed. For the others, the first *Check* loads two scripts that
// all pages share and starts Python in a worker, which is ended when an answer takes too long. Drafts and results stay
// in the reader's browser.
(() => {
  "use strict";

  const STORE = "latent-variable-models";
  const FORMAT = "latent-variable-models progress";
  const VERSION = 1;
  const PATIENCE = 60;
  const MARKS = { holds: "✓", holds_if: "✓?", false: "✗", unreadable: "?", no_claim: "–" };
  const WORDS = { holds: "holds", holds_if: "holds under a condition", false: "false", unreadable: "unreadable", no_claim: "claims nothing" };
  const script = document.currentScript;
  const { python: PYTHON, tutor: TUTOR, temml: TEMML } = script.dataset;

  function element(name, attributes = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  // The reader's progress: one record for each exercise, in the format of the notebooks' file.

  const progress = {
    read() {
      try {
        const data = JSON.parse(localStorage.getItem(STORE));
        if (data?.format === FORMAT && data.version === VERSION && data.exercises) return data;
      } catch {
        // Damaged, or a browser that keeps nothing: as if new.
      }
      return { format: FORMAT, version: VERSION, exercises: {} };
    },
    write(data) {
      try {
        localStorage.setItem(STORE, JSON.stringify(data));
      } catch {
        // A browser that keeps nothing still checks answers.
      }
    },
    of(label) {
      return { attempts: 0, hints: 0, right: "", last: "", draft: "", ...this.read().exercises[label] };
    },
    change(label, changes) {
      const data = this.read();
      data.exercises[label] = { ...this.of(label), ...changes };
      this.write(data);
    },
    note(label, verdict) {
      if (verdict !== "right" && verdict !== "wrong") return;
      const { attempts, right } = this.of(label);
      const today = new Date().toISOString().slice(0, 10);
      this.change(label, { attempts: attempts + 1, last: verdict, right: right || (verdict === "right" ? today : "") });
    },
  };

  // Scripts and the worker, each loaded once.

  const loading = new Map();
  function load(name) {
    if (!loading.has(name)) {
      const loaded = new Promise((resolve, reject) => {
        const tag = element("script", { src: new URL(name, script.src).href });
        tag.onload = resolve;
        tag.onerror = () => reject(new Error(`${name} is missing beside this page`));
        document.head.append(tag);
      });
      loading.set(name, loaded);
    }
    return loading.get(name);
  }

  // What sets formulas; without it they stand as LaTeX.
  const typesetter = () => Promise.all([load(TUTOR), load(TEMML)]).catch(() => {});

  const runtime = {
    // Resolves when Python is ready; `tell` hears how far it is, from 0 to 1.
    start(tell) {
      this.tell = tell;
      this.ready ??= this.launch().catch((error) => {
        this.end();
        throw error;
      });
      return this.ready;
    },
    async launch() {
      await Promise.all([load(PYTHON), load(TUTOR), load(TEMML)]);
      this.tell(0.05);
      const { files, info } = window.coursePython;
      const { worker, packages } = window.courseTutor;
      const address = `data:text/javascript;base64,${btoa(unescape(encodeURIComponent(worker)))}`;
      this.worker = new Worker(address, { type: "module" });
      this.worker.postMessage({ start: { files, info, packages } });
      await this.answer(Infinity, "ready");
    },
    // The worker's next message of a kind.
    answer(seconds, kind) {
      return new Promise((resolve, reject) => {
        const stop = (error) => {
          this.end();
          reject(error);
        };
        this.stop = () => stop(new Stopped("Stopped."));
        const late = () => stop(new Stopped(`Stopped after ${seconds} seconds. Is there a loop that does not end?`));
        this.timer = seconds < Infinity ? setTimeout(late, seconds * 1000) : undefined;
        this.worker.onerror = (event) => stop(new Error(event.message || "the worker did not start"));
        this.worker.onmessage = ({ data }) => {
          if (data.step !== undefined) return this.tell(data.step);
          clearTimeout(this.timer);
          if (kind in data) resolve(data[kind]);
          else stop(new Error(data.error));
        };
      });
    },
    // One answer after another, as there is one worker.
    check(name, answer, seconds, tell) {
      const before = this.last ?? Promise.resolve();
      const feedback = before.then(async () => {
        await this.start(tell);
        tell(1);
        this.worker.postMessage({ name, answer });
        return this.answer(seconds, "feedback");
      });
      this.last = feedback.catch(() => {});
      return feedback;
    },
    end() {
      clearTimeout(this.timer);
      this.worker?.terminate();
      this.worker = this.ready = undefined;
    },
  };

  class Stopped extends Error {}

  // Text with `code`, *emphasis*, $formulas$ and blocks of code, as elements. What a reader wrote stays text.

  // The bars of a divergence stand between its arguments, and are no taller than a letter.
  const BAR = /(<mo lspace="[^"]*" rspace="[^"]*")>(?=‖<\/mo>)/g;
  function formula(latex, displayMode = false) {
    // As on the page: a display is a box that scrolls where it is wide, with a stop of the Tab key from pages.js.
    const set = element(displayMode ? "div" : "span", { class: "math" });
    try {
      const macros = { ...window.courseTutor.macros, "\\Vert": "\\mathrel{\\|}" };
      set.innerHTML = window.temml.renderToString(latex, { displayMode, throwOnError: true, macros }).replace(BAR, '$1 stretchy="false">');
    } catch {
      return element("code", {}, latex);
    }
    return set;
  }

  const PARTS = /(`[^`]+`|\$[^$]+\$|\*\*[^*]+\*\*|\*[^*\s][^*]*\*)/;
  function words(text) {
    return text.split(PARTS).map((part, at) => {
      if (at % 2 === 0) return part;
      if (part.startsWith("$")) return formula(part.slice(1, -1));
      if (part.startsWith("`")) return element("code", {}, part.slice(1, -1));
      return part.startsWith("**") ? element("strong", {}, ...words(part.slice(2, -2))) : element("em", {}, ...words(part.slice(1, -1)));
    });
  }

  // A derivation as the reader types it: its rows below each other, whether an environment says so or not.
  function inRows(latex) {
    if (latex.includes("\\begin{")) return latex;
    if (!latex.includes("\\\\")) return latex.replace(/&/g, " ");
    return latex.includes("&") ? `\\begin{aligned}${latex}\\end{aligned}` : `\\begin{array}{l}${latex}\\end{array}`;
  }

  function blocks(text) {
    return text.split(/\n{2,}/).map((block) => {
      const code = /^```\w*\n([\s\S]*?)\n?```$/.exec(block);
      return code ? element("pre", {}, element("code", {}, code[1])) : element("p", {}, ...words(block.replace(/\n/g, " ")));
    });
  }

  function listed(lines) {
    const shown = (latex) => latex.replace(/&|\\\\(\[[^\]]*\])?|\\(begin|end)\{\w+\*?\}/g, " ");
    return element(
      "ol",
      { class: "answer-lines" },
      ...lines.map(({ latex, verdict, remarks }) => {
        const mark = element("span", { class: "answer-mark", role: "img", "aria-label": WORDS[verdict] }, MARKS[verdict]);
        const line = verdict === "unreadable" ? element("code", {}, latex) : formula(shown(latex), true);
        const row = element("div", { class: "answer-line" }, mark, line);
        return element("li", { "data-verdict": verdict }, row, ...remarks.map((remark) => element("p", {}, ...words(remark))));
      }),
    );
  }

  class Answer {
    constructor(section) {
      this.section = section;
      this.form = section.querySelector("form");
      this.label = section.dataset.label;
      this.kind = section.dataset.kind;
      this.field = this.form.querySelector("input[type=text], textarea");
      this.radios = [...this.form.querySelectorAll("input[type=radio]")];
      this.status = this.form.querySelector("[role=status]");
      this.button = this.form.querySelector("button[type=submit]");
      this.begun = this.field?.defaultValue ?? "";
      this.known = JSON.parse(this.form.querySelector("script")?.textContent ?? "null");
    }

    get value() {
      return this.field ? this.field.value : (this.radios.find((radio) => radio.checked)?.value ?? "");
    }

    set value(value) {
      if (this.field) this.field.value = value || this.begun;
      for (const radio of this.radios) radio.checked = radio.value === value;
    }

    start() {
      this.form.querySelector(".answer-controls").hidden = false;
      this.value = progress.of(this.label).draft;
      this.mark();
      this.form.addEventListener("submit", (event) => {
        event.preventDefault();
        if (this.busy) runtime.stop?.();
        else this.check();
      });
      this.form.addEventListener("input", () => {
        progress.change(this.label, { draft: this.value });
        this.preview();
      });
      this.form.querySelector(".answer-clear").addEventListener("click", () => {
        this.value = "";
        progress.change(this.label, { draft: "" });
        this.say();
        this.preview();
      });
      if (this.field?.localName === "textarea") this.field.addEventListener("keydown", (event) => this.key(event));
      if (this.kind === "derive") this.field.addEventListener("focus", () => this.preview());
    }

    // Enter keeps the indentation of a line of code, and with Control it checks. Tab leaves the field, as in every form.
    key(event) {
      if (event.key !== "Enter") return;
      if (event.ctrlKey || event.metaKey) {
        event.preventDefault();
        this.form.requestSubmit();
      } else if (this.kind === "code" && !event.shiftKey) {
        const { value, selectionStart, selectionEnd } = this.field;
        const line = value.slice(value.lastIndexOf("\n", selectionStart - 1) + 1, selectionStart);
        const indent = /^ */.exec(line)[0] + (line.trimEnd().endsWith(":") ? "    " : "");
        event.preventDefault();
        this.field.setRangeText(`\n${indent}`, selectionStart, selectionEnd, "end");
        this.field.dispatchEvent(new Event("input", { bubbles: true }));
      }
    }

    async preview() {
      if (this.kind !== "derive") return;
      await typesetter();
      const target = this.form.querySelector(".answer-preview");
      target.replaceChildren(formula(inRows(this.value), true));
    }

    async check() {
      const began = performance.now();
      const [name, answer] = [this.section.dataset.exercise, this.value];
      if (this.known) {
        await typesetter();
        this.tell(this.known[answer] ?? { verdict: "not attempted", message: "Choose one of the answers first.", lines: [] });
      } else {
        await this.ask(name, answer);
      }
      this.section.dataset.milliseconds = Math.round(performance.now() - began);
    }

    async ask(name, answer) {
      const seconds = Number(this.form.dataset.seconds ?? PATIENCE);
      this.work(true);
      try {
        this.tell(await runtime.check(name, answer, seconds, (part) => this.busy && this.waits(part)));
      } catch (error) {
        const stopped = error instanceof Stopped;
        const message = stopped ? error.message : `The checker failed: ${error.message}. The notebook of this chapter checks the same exercise.`;
        this.tell({ verdict: stopped && this.kind === "code" ? "wrong" : "unread", message, lines: [] });
      } finally {
        this.work(false);
      }
    }

    work(busy) {
      this.busy = busy;
      this.button.textContent = busy ? "Stop" : "Check";
      this.form.setAttribute("aria-busy", busy);
    }

    waits(part) {
      if (part >= 1) return this.say(element("p", {}, "Checking …"));
      if (!this.bar?.isConnected) {
        this.bar = element("progress", { max: 1, "aria-label": "Starting Python" });
        this.say(element("p", {}, "Starting Python, once for this page: a few seconds. "), this.bar);
      }
      this.bar.value = part;
    }

    tell({ verdict, message, lines, printed }) {
      progress.note(this.label, verdict);
      const parts = [...blocks(message)];
      if (lines.length) parts.push(listed(lines));
      if (printed) parts.push(element("p", {}, "Printed:"), element("pre", {}, element("code", {}, printed.trimEnd())));
      this.section.dataset.verdict = verdict;
      this.say(...parts);
      this.mark();
      document.dispatchEvent(new CustomEvent("course-progress"));
    }

    say(...parts) {
      if (!parts.length) delete this.section.dataset.verdict;
      this.status.replaceChildren(...parts);
    }

    mark() {
      this.section.toggleAttribute("data-done", Boolean(progress.of(this.label).right));
    }
  }

  // The page that lists all exercises: what is done, and three buttons.

  class Overview {
    constructor(root) {
      this.root = root;
    }

    start() {
      const file = element("input", { type: "file", accept: "application/json", hidden: "" });
      file.addEventListener("change", () => this.take(file));
      this.said = element("p", { role: "status" });
      const buttons = [
        ["Save my progress to a file", () => this.save()],
        ["Load it from a file", () => file.click()],
        ["Forget my progress", () => this.forget()],
      ].map(([text, act]) => {
        const button = element("button", { type: "button" }, text);
        button.addEventListener("click", act);
        return button;
      });
      this.root.append(element("p", { class: "course-progress-buttons" }, ...buttons, file), this.said);
      document.addEventListener("course-progress", () => this.show());
      this.show();
    }

    show() {
      let done = 0;
      const rows = [...document.querySelectorAll("[data-progress]")];
      for (const row of rows) {
        const { right, attempts, draft } = progress.of(row.dataset.progress);
        row.textContent = right ? "done" : attempts ? "tried" : draft ? "begun" : "";
        done += Boolean(right);
      }
      this.said.textContent = `You have solved ${done} of ${rows.length} exercises.`;
    }

    save() {
      const text = JSON.stringify(progress.read(), null, 1);
      const link = element("a", { href: URL.createObjectURL(new Blob([text], { type: "application/json" })), download: "progress.json" });
      link.click();
      setTimeout(() => URL.revokeObjectURL(link.href), 1000);
    }

    async take(file) {
      try {
        const data = JSON.parse(await file.files[0].text());
        if (data?.format !== FORMAT || data.version !== VERSION || typeof data.exercises !== "object") throw new Error();
        const kept = progress.read();
        progress.write({ ...kept, exercises: { ...kept.exercises, ...data.exercises } });
        this.show();
      } catch {
        this.said.textContent = "That file holds no progress of this course, so nothing was changed.";
      }
      file.value = "";
    }

    forget() {
      if (!window.confirm("Forget all results and drafts that this browser keeps for the course?")) return;
      localStorage.removeItem(STORE);
      this.show();
    }
  }

  for (const section of document.querySelectorAll("section.answer")) {
    if (section.querySelector("form")) new Answer(section).start();
  }
  for (const root of document.querySelectorAll(".course-progress")) new Overview(root).start();
})();
