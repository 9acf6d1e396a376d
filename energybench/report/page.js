"use strict";
(() => {
  const table = document.getElementById("table");
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  const heads = Array.from(table.tHead.rows[0].cells);
  const filter = document.getElementById("filter");
  const totals = document.getElementById("totals");
  const cases = document.getElementById("cases");
  const shown = document.getElementById("shown");
  const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));

  const key = (row, column) => {
    const cell = row.cells[column];
    return cell.dataset.v !== undefined ? Number(cell.dataset.v) : cell.textContent.trim().toLowerCase();
  };
  const missing = (value) => value === "" || value === "–";
  const compare = (a, b, down) => {
    if (missing(a) || missing(b)) return Number(missing(a)) - Number(missing(b));
    const order = typeof a === "number" && typeof b === "number" ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
    return down ? -order : order;
  };
  heads.forEach((head, column) => {
    head.querySelector("button").addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      const sorted = rows.map((row) => [key(row, column), row]).sort((a, b) => compare(a[0], b[0], down));
      body.append(...sorted.map((pair) => pair[1]));
    });
  });

  const choose = () => {
    const words = filter.value.toLowerCase().split(/\s+/).filter(Boolean);
    let count = 0;
    for (const row of rows) {
      const kind = row.classList.contains("total") ? totals.checked : cases.checked;
      row.hidden = !kind || !words.every((word) => texts.get(row).includes(word));
      count += row.hidden ? 0 : 1;
    }
    shown.textContent = `${count} of ${rows.length} rows`;
  };
  for (const control of [filter, totals, cases]) control.addEventListener("input", choose);
  document.querySelector(".controls").hidden = false;
  choose();

  const byRow = new Map(rows.map((row) => [row.dataset.row, row]));
  const points = new Map();
  for (const point of document.querySelectorAll("svg [data-row]")) {
    if (!points.has(point.dataset.row)) points.set(point.dataset.row, []);
    points.get(point.dataset.row).push(point);
  }
  const tip = document.getElementById("tip");
  let lit = null;
  const light = (id) => {
    if (id === lit) return;
    for (const on of [false, true]) {
      const row = byRow.get(lit);
      if (row) row.classList.toggle("hot", on);
      for (const point of points.get(lit) || []) {
        point.classList.toggle("hot", on);
        point.closest("svg").classList.toggle("some", on);
      }
      if (!on) lit = id;
    }
  };
  const words = (row) =>
    heads.map((head, column) => [head.textContent.trim().replace(/\s+/g, " "), row.cells[column].textContent.trim()])
      .filter((pair) => pair[1] && pair[1] !== "–")
      .map((pair, place) => (place ? `${pair[0]}: ${pair[1]}` : pair[1]))
      .join("\n");
  document.addEventListener("pointerover", (event) => {
    const target = event.target.closest("[data-row]");
    light(target ? target.dataset.row : null);
    const row = target && target.closest("svg") ? byRow.get(target.dataset.row) : null;
    tip.hidden = !row;
    if (!row) return;
    tip.textContent = words(row);
    const box = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(4, Math.min(event.clientX + 14, innerWidth - box.width - 8))}px`;
    tip.style.top = `${Math.max(4, Math.min(event.clientY + 14, innerHeight - box.height - 8))}px`;
  });
  document.addEventListener("click", (event) => {
    const point = event.target.closest("svg [data-row]");
    const row = point && byRow.get(point.dataset.row);
    if (row && !row.hidden) row.scrollIntoView({ block: "center" });
  });
  addEventListener("beforeprint", () => document.querySelectorAll("details").forEach((d) => { d.open = true; }));
})();
