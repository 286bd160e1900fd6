"use strict";
// The slice viewer: one slice as two pictures (image, map) and paths (contours), moved by keys, wheel, slider and clicks.
(() => {
  const source = document.getElementById("viewer-data");
  if (!source) return;
  const data = JSON.parse(source.textContent);
  const by = (id) => document.getElementById(id);
  const make = (name, attributes = {}) => {
    const node = document.createElementNS("http://www.w3.org/2000/svg", name);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    return node;
  };
  const stage = by("stage");
  const picture = by("picture");
  const [pixelX, pixelY] = data.pixel_mm;
  const state = {
    at: 0,
    overlay: data.overlays.length ? 0 : -1,
    window: 0,
    zoomed: false,
    bands: true,
    reference: true,
    shown: data.structures.map(() => true),
  };

  // ---- the picture -------------------------------------------------------------------------------------------------
  const scene = make("g", { transform: `scale(${pixelX} ${pixelY})` });
  const place = { width: data.width, height: data.height, preserveAspectRatio: "none" };
  const base = make("image", { ...place, id: "base" });
  const overlay = make("image", { ...place, id: "overlay" });
  const lines = make("g", { class: "contours", transform: `scale(${1 / data.precision})` });
  const groups = data.structures.map((structure) => {
    const group = make("g", { stroke: structure.colour });
    const paths = data.levels.map((level) => make("path", { class: level.key }));
    const reference = make("path", { class: "reference" });
    group.append(...paths, reference);
    lines.append(group);
    return { group, paths, reference };
  });
  scene.append(base, overlay, lines);
  picture.append(scene);

  const frame = () => {
    const [left, top, width, height] = state.zoomed ? data.zoom : [0, 0, data.width, data.height];
    picture.setAttribute("viewBox", `${left * pixelX} ${top * pixelY} ${width * pixelX} ${height * pixelY}`);
    by("zoom-button").setAttribute("aria-pressed", String(state.zoomed));
  };
  const link = (node, address) => {
    if (address) node.setAttribute("href", address);
    else node.removeAttribute("href");
  };

  // ---- drawing -----------------------------------------------------------------------------------------------------
  const draw = () => {
    const one = data.slices[state.at];
    link(base, one.bases[state.window]);
    link(overlay, state.overlay >= 0 ? one.overlays[state.overlay] : "");
    groups.forEach(({ group, paths, reference }, n) => {
      group.style.display = state.shown[n] ? "" : "none";
      paths.forEach((path, level) => path.setAttribute("d", one.contours[n][level]));
      reference.setAttribute("d", one.reference[n] || "");
    });
    picture.classList.toggle("no-bands", !state.bands);
    picture.classList.toggle("no-reference", !state.reference);
    picture.setAttribute("aria-label", `axial slice ${one.index} with contours`);
    by("slice-number").textContent = one.index;
    by("slice-mm").textContent = `z = ${one.mm.toFixed(1).replace("-", "−")} mm`;
    by("slice-range").value = state.at;
    by("slice-range").setAttribute("aria-valuetext", `slice ${one.index}`);
    for (const chip of by("worst").children) chip.setAttribute("aria-current", String(Number(chip.dataset.slice) === one.index));
    mark(one.index);
    areas(one.index);
    legend();
  };
  const mark = (index) => {
    for (const figure of document.querySelectorAll(".profile")) {
      const target = figure.querySelector(`.targets [data-slice="${index}"]`);
      if (!target) continue;
      const x = Number(target.getAttribute("x")) + Number(target.getAttribute("width")) / 2;
      figure.querySelector(".here").setAttribute("x1", x);
      figure.querySelector(".here").setAttribute("x2", x);
    }
  };
  const areas = (index) => {
    document.querySelectorAll("#structure-toggles .area").forEach((cell, n) => {
      const area = data.profiles[n] ? data.profiles[n][index] : null;
      cell.textContent = area ? `${area.toPrecision(2)} cm²` : "";
    });
  };
  const legend = () => {
    by("overlay-choice").value = state.overlay;
    by("legend").hidden = state.overlay < 0;
    if (state.overlay < 0) return;
    const map = data.overlays[state.overlay];
    const short = (value) => Number(value.toPrecision(3)).toString();
    by("scale-low").textContent = short(map.low);
    by("scale-high").textContent = short(map.high);
    by("scale-unit").textContent = `${map.unit}, ${map.bounded ? "fixed scale" : "scale of this case"}`;
    by("legend").title = map.definition;
  };

  // ---- moving ------------------------------------------------------------------------------------------------------
  const go = (at) => {
    state.at = Math.min(Math.max(at, 0), data.slices.length - 1);
    draw();
  };
  const goTo = (index) => {
    let best = 0;
    data.slices.forEach((one, n) => {
      if (Math.abs(one.index - index) < Math.abs(data.slices[best].index - index)) best = n;
    });
    go(best);
  };
  const step = (towardsHead) => go(state.at + towardsHead * data.towards_head);
  const worst = (direction) => {
    if (!data.worst.length) return;
    const current = data.worst.indexOf(data.slices[state.at].index);
    const n = data.worst.length;
    goTo(data.worst[current < 0 ? 0 : (current + direction + n) % n]);
  };
  const change = (name, value) => {
    state[name] = value;
    const box = by(`${name}-toggle`);
    if (box) box.checked = value;
    draw();
  };
  const structure = (n) => {
    if (n >= state.shown.length) return;
    state.shown[n] = !state.shown[n];
    document.querySelectorAll("#structure-toggles input")[n].checked = state.shown[n];
    draw();
  };
  const nextOverlay = () => change("overlay", state.overlay + 1 < data.overlays.length ? state.overlay + 1 : -1);
  const nextWindow = () => {
    if (data.windows.length < 2) return;
    change("window", (state.window + 1) % data.windows.length);
    by("window-choice").value = state.window;
  };
  const zoomable = data.zoom[2] < 0.9 * data.width || data.zoom[3] < 0.9 * data.height;
  const zoom = () => {
    if (!zoomable) return;
    state.zoomed = !state.zoomed;
    frame();
  };

  // ---- controls ----------------------------------------------------------------------------------------------------
  const option = (label, value) => Object.assign(document.createElement("option"), { textContent: label, value });
  const controls = () => {
    const range = by("slice-range");
    range.max = data.slices.length - 1;
    range.addEventListener("input", () => go(Number(range.value)));
    for (const index of data.worst) {
      const chip = Object.assign(document.createElement("button"), { type: "button", textContent: index });
      chip.dataset.slice = index;
      chip.setAttribute("aria-label", `slice ${index}`);
      chip.addEventListener("click", () => goTo(index));
      by("worst").append(chip);
    }
    data.structures.forEach((one, n) => by("structure-toggles").append(toggle(one, n)));
    by("overlay-choice").append(...data.overlays.map((map, n) => option(map.label, n)), option("no map", -1));
    by("overlay-choice").addEventListener("change", (event) => change("overlay", Number(event.target.value)));
    const windows = by("window-choice");
    if (windows) {
      windows.append(...data.windows.map(option));
      windows.addEventListener("change", () => change("window", Number(windows.value)));
    }
    for (const name of ["bands", "reference"]) {
      by(`${name}-toggle`)?.addEventListener("change", (event) => change(name, event.target.checked));
    }
    by("zoom-button").hidden = !zoomable;
    by("zoom-button").addEventListener("click", zoom);
    by("help-button").addEventListener("click", () => by("help").showModal());
  };
  const toggle = (one, n) => {
    const item = document.createElement("li");
    const label = document.createElement("label");
    const box = Object.assign(document.createElement("input"), { type: "checkbox", checked: true });
    box.addEventListener("change", () => structure(n));
    const mark = Object.assign(document.createElement("span"), { className: "mark" });
    mark.style.background = one.colour;
    const name = Object.assign(document.createElement("span"), { className: "name", textContent: one.name });
    label.append(box, mark, name, Object.assign(document.createElement("span"), { className: "area" }));
    if (n < 9) label.append(Object.assign(document.createElement("kbd"), { textContent: n + 1 }));
    item.append(label);
    return item;
  };

  // ---- keys, wheel, links ------------------------------------------------------------------------------------------
  const keys = {
    j: () => step(-1),
    k: () => step(1),
    ArrowLeft: () => step(-1),
    ArrowRight: () => step(1),
    "[": () => worst(-1),
    "]": () => worst(1),
    b: () => change("bands", !state.bands),
    u: nextOverlay,
    r: () => data.has_reference && change("reference", !state.reference),
    w: nextWindow,
    z: zoom,
    "?": () => by("help").showModal(),
  };
  const onStage = { ArrowUp: keys.k, ArrowDown: keys.j };
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || by("help").open) return;
    const typing = event.target.matches("textarea, select, input:not([type=checkbox])");
    if (typing && (event.key.startsWith("Arrow") || event.target.type !== "range")) return;
    const over = stage.matches(":hover, :focus");
    const digit = /^[1-9]$/.test(event.key) ? () => structure(Number(event.key) - 1) : null;
    const action = keys[event.key] || digit || (over ? onStage[event.key] : null);
    if (!action) return;
    event.preventDefault();
    action();
  });
  let turned = 0;
  stage.addEventListener("wheel", (event) => {
    event.preventDefault();
    turned += event.deltaMode === 0 ? event.deltaY / 60 : event.deltaY;
    if (Math.abs(turned) < 1) return;
    step(turned > 0 ? -1 : 1);
    turned = 0;
  }, { passive: false });
  document.addEventListener("click", (event) => {
    const target = event.target.closest("[data-slice]");
    if (!target || target.closest(".chips")) return;
    event.preventDefault();
    goTo(Number(target.dataset.slice));
    stage.scrollIntoView({ block: "center" });
    stage.focus({ preventScroll: true });
  });
  const fromAddress = () => {
    const found = /^#slice-(\d+)$/.exec(location.hash);
    if (found) goTo(Number(found[1]));
    return Boolean(found);
  };
  window.addEventListener("hashchange", fromAddress);

  controls();
  frame();
  by("viewer").hidden = false;
  if (!fromAddress()) goTo(data.worst.length ? data.worst[0] : data.slices[Math.floor(data.slices.length / 2)].index);
})();
