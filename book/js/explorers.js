// Brings the explorers of a page to life: sliders of the page's own, and a picture that follows them.
//
// Every <div class="explorer"> holds a static picture and a Vega-Lite specification. Each of its parameters with a
// `bind` becomes a labelled control; whatever a control changes is a formula of the specification. The picture is SVG
// with `currentColor`, so it follows the page's light or dark mode by itself.
(() => {
  "use strict";

  const WIDEST = 640;
  const MINUS = "\u2212";

  function element(name, attributes = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    made.append(...children);
    return made;
  }

  // Letters that stand for quantities are italic, as in the text.
  const LETTERS = /(?<![\w'’])([bpqxzwtskKDGN]|(?<=value |probability of )a)(?![\w'’])/;
  function lettered(text, make = (letter) => element("i", {}, letter)) {
    return text.split(LETTERS).map((part, at) => (at % 2 ? make(part) : part));
  }
  function italic(letter) {
    const part = document.createElementNS("http://www.w3.org/2000/svg", "tspan");
    part.setAttribute("font-style", "italic");
    part.append(letter);
    return part;
  }

  const decimals = (step) => (String(step).split(".")[1] ?? "").length;
  const written = (value, step) => value.toFixed(decimals(step)).replace("-", MINUS);

  function setWidth(view, width) {
    if ("width" in view) view.width = width;
    for (const part of view.vconcat ?? []) setWidth(part, width);
  }

  class Explorer {
    constructor(root, number) {
      this.root = root;
      this.id = `explorer-${number}`;
      this.spec = JSON.parse(root.querySelector("script").textContent);
      this.meta = this.spec.usermeta.lvmlib;
      this.bound = this.spec.params.filter((param) => param.bind);
      this.state = new Map(this.bound.map((param) => [param.name, param.value]));
      this.inputs = new Map();
      this.chart = element("div", { class: "explorer-chart" });
      this.controls = element("div", { class: "explorer-controls" }, ...this.bound.map((param) => this.control(param)), this.reset());
      this.outputs = new Map();
      this.values = element("ul", { class: "explorer-values", "aria-live": "polite" }, ...this.meta.values.map((value) => this.value(value)));
    }

    control(param) {
      const label = param.bind.name.replace(/:\s*$/, "");
      return param.bind.input === "radio" ? this.choice(param, label) : this.slider(param, label);
    }

    slider({ name, bind }, label) {
      const id = `${this.id}-${name}`;
      const number = element("span", { class: "explorer-number" });
      const input = element("input", { id, name, type: "range", min: bind.min, max: bind.max, step: bind.step });
      const show = () => {
        const value = this.state.get(name);
        input.value = value;
        number.textContent = written(value, bind.step);
        input.setAttribute("aria-valuetext", `${label}: ${number.textContent}`);
      };
      input.addEventListener("input", () => {
        if (this.meta.free) this.set("jump", this.meta.free);
        this.set(name, input.valueAsNumber);
        this.apply();
      });
      this.inputs.set(name, show);
      show();
      return element("div", { class: "explorer-slider" }, element("label", { for: id }, element("span", {}, ...lettered(label)), " ", number), input);
    }

    choice({ name, bind }, label) {
      const buttons = bind.options.map((option) => {
        const id = `${this.id}-${name}-${bind.options.indexOf(option)}`;
        const input = element("input", { id, name: `${this.id}-${name}`, type: "radio" });
        input.addEventListener("change", () => {
          this.set(name, option);
          for (const [slider, value] of Object.entries(this.meta.presets?.[option] ?? {})) this.set(slider, value);
          this.apply();
        });
        return [option, input, element("label", { for: id }, input, " ", ...lettered(option))];
      });
      const show = () => {
        for (const [option, input] of buttons) input.checked = option === this.state.get(name);
      };
      this.inputs.set(name, show);
      show();
      const legend = element("legend", {}, label);
      return element("fieldset", { class: "explorer-choice" }, legend, ...buttons.map(([, , button]) => button));
    }

    reset() {
      const button = element("button", { type: "button", class: "explorer-reset" }, "Reset");
      button.addEventListener("click", () => {
        for (const { name, value } of this.bound) this.set(name, value);
        this.apply();
      });
      return button;
    }

    value({ label, role, name, unit, drawn }) {
      const swatch = element("span", { class: "swatch", style: `background: var(--course-${role})`, "aria-hidden": "true" });
      const number = element("output", { "data-value": name });
      this.outputs.set(name, number);
      return element("li", drawn ? { class: "explorer-spoken" } : {}, swatch, ...lettered(`${label} `), number, unit && ` ${unit}`);
    }

    set(name, value) {
      this.state.set(name, value);
      this.inputs.get(name)();
      this.view?.signal(name, value);
    }

    // While the picture follows, the values are busy: a screen reader waits, and says each new value once.
    async apply() {
      this.values.setAttribute("aria-busy", "true");
      await this.view.runAsync();
      // Vega writes a text anew, and upright, when it changes.
      for (const text of this.chart.querySelectorAll("svg text")) {
        if (!text.firstElementChild && LETTERS.test(text.textContent)) text.replaceChildren(...lettered(text.textContent, italic));
      }
      for (const [name, output] of this.outputs) {
        const text = this.read(name);
        if (output.textContent !== text) output.textContent = text;
      }
      this.values.setAttribute("aria-busy", "false");
    }

    // A value is a parameter, or a field of the one row of some data set.
    read(name) {
      if (this.spec.params.some((param) => param.name === name)) return this.view.signal(name);
      return this.view.data(this.datasets.find((data) => name in (this.view.data(data)[0] ?? {})))[0][name];
    }

    async draw() {
      const width = Math.min(WIDEST, Math.floor(this.root.clientWidth));
      if (width === 0 || width === this.width) return;
      this.width = width;
      const spec = structuredClone(this.spec);
      // The values that a notebook shows in the title stand under the picture here.
      for (const key of ["$schema", "title", "usermeta"]) delete spec[key];
      for (const param of spec.params) {
        delete param.bind;
        if (this.state.has(param.name)) param.value = this.state.get(param.name);
      }
      // A map that is clicked keeps its shape.
      if (!this.meta.click) setWidth(spec, width - this.meta.margin);
      spec.config.font = getComputedStyle(this.root).fontFamily;
      const target = element("div");
      const made = await window.vegaEmbed(target, spec, {
        mode: "vega-lite",
        renderer: "svg",
        actions: false,
        defaultStyle: false,
        tooltip: false,
      });
      this.finalize?.();
      this.view = made.view;
      this.finalize = made.finalize;
      this.datasets = Object.keys(this.view.getState({ data: () => true, signals: () => false, recurse: false }).data);
      const svg = target.querySelector("svg");
      svg.setAttribute("role", "img");
      svg.setAttribute("aria-label", this.spec.description);
      svg.removeAttribute("aria-roledescription");
      // Its parts are marks of one picture, which the label describes and the values below tell in numbers.
      for (const part of svg.querySelectorAll("[role], [aria-label], [aria-roledescription]")) {
        for (const attribute of ["role", "aria-label", "aria-roledescription"]) part.removeAttribute(attribute);
      }
      this.chart.replaceChildren(target);
      if (this.meta.click) this.listen(svg);
      await this.apply();
    }

    // A click on the first panel moves the two sliders that are its axes to the nearest step.
    listen(svg) {
      const panel = svg.querySelector(".role-scope .background");
      panel.closest("svg").style.cursor = "crosshair";
      svg.addEventListener("click", ({ clientX, clientY }) => {
        const { left, top, width, height } = panel.getBoundingClientRect();
        const shares = [(clientX - left) / width, 1 - (clientY - top) / height];
        if (shares.some((share) => share < 0 || share > 1)) return;
        this.meta.click.forEach((name, at) => {
          const { min, max, step } = this.bound.find((param) => param.name === name).bind;
          const steps = Math.round((max - min) / step);
          // The panel reaches half a step beyond the sliders on each side.
          const chosen = Math.min(steps, Math.floor(shares[at] * (steps + 1)));
          this.set(name, min + chosen * step);
        });
        this.apply();
      });
    }

    async start() {
      await this.draw();
      if (!this.view) return;
      this.root.querySelector(".explorer-static").replaceWith(this.controls, this.chart, this.values);
      const caption = this.root.closest("figure")?.querySelector(".caption-text")?.textContent;
      this.root.setAttribute("aria-label", caption ? `Explorer: ${caption}` : "Explorer");
      this.root.dataset.live = "";
    }
  }

  if (!window.vegaEmbed) return;
  document.querySelectorAll(".explorer").forEach((root, index) => {
    const explorer = new Explorer(root, index + 1);
    let queue = Promise.resolve();
    // The first call comes at once, and others whenever the page gives the picture another width.
    new ResizeObserver(() => {
      queue = queue.then(() => (explorer.view ? explorer.draw() : explorer.start()));
    }).observe(root);
  });
})();
