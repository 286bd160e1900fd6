"use strict";
// Sortable tables: each head cell becomes a button; cells sort by data-value, else by their text.
(() => {
  const value = (cell) => {
    const text = cell.dataset.value ?? cell.textContent.trim().replace("−", "-");
    const plain = text.endsWith("%") ? text.slice(0, -1) : text;
    const number = plain.trim() === "" ? NaN : Number(plain);
    return Number.isNaN(number) ? text.toLowerCase() : number;
  };
  const missing = (v) => v === "" || v === "–";
  const compare = (a, b) => {
    if (missing(a) || missing(b)) return missing(a) - missing(b);
    if (typeof a === "number" && typeof b === "number") return a - b;
    return String(a).localeCompare(String(b), "en", { numeric: true });
  };
  const sort = (table, column, head) => {
    const down = head.getAttribute("aria-sort") === "ascending";
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row) => [value(row.cells[column]), row]);
    rows.sort(([a], [b]) => (down && !missing(a) && !missing(b) ? compare(b, a) : compare(a, b)));
    for (const cell of table.tHead.rows[0].cells) cell.removeAttribute("aria-sort");
    head.setAttribute("aria-sort", down ? "descending" : "ascending");
    body.append(...rows.map(([, row]) => row));
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      if (head.classList.contains("still")) return;
      const button = document.createElement("button");
      button.type = "button";
      button.className = "sort";
      button.append(...head.childNodes);
      button.addEventListener("click", () => sort(table, column, head));
      head.append(button);
    });
  }
})();
