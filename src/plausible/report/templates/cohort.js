"use strict";
// The triage table's filter: by text, status and structure.
(() => {
  const table = document.getElementById("triage-table");
  if (!table) return;
  const by = (id) => document.getElementById(id);
  const rows = [...table.tBodies[0].rows].map((row) => ({ row, text: row.textContent.toLowerCase() }));
  const filter = () => {
    const text = by("find").value.trim().toLowerCase();
    const state = by("by-state").value;
    const structure = by("by-structure").value;
    let shown = 0;
    for (const one of rows) {
      const { dataset } = one.row;
      const fits = one.text.includes(text) && (!state || dataset.state === state) && (!structure || dataset.structure === structure);
      one.row.hidden = !fits;
      shown += fits;
    }
    by("count").textContent = `${shown} of ${rows.length} lines`;
  };
  by("find").addEventListener("input", filter);
  by("by-state").addEventListener("change", filter);
  by("by-structure").addEventListener("change", filter);
  document.addEventListener("keydown", (event) => {
    if (event.key !== "/" || event.target.matches("input, select, textarea")) return;
    event.preventDefault();
    by("find").focus();
  });
})();
// The workload slider: says what the row of the table at its place says, and marks it.
for (const slider of document.querySelectorAll("input[data-workload]")) {
  const part = slider.closest(".workload");
  const rows = [...part.querySelectorAll("tbody tr")];
  const say = () => {
    const row = rows[Number(slider.value)];
    rows.forEach((one) => one.toggleAttribute("aria-current", one === row));
    const [review, accepted, failed, rate, promised] = [...row.cells].map((cell) => cell.textContent.trim());
    part.querySelector("output").textContent =
      `${review} new cases; of the others ${failed} failed in calibration, at most ${rate} expected; promised: ${promised}`;
  };
  slider.addEventListener("input", say);
  say();
}
