"use strict";
(() => {
  const PAGE = 40;
  const at = (id) => document.getElementById(id);
  const table = at("table");
  const body = table.tBodies[0];
  const rows = Array.from(body.rows);
  const heads = Array.from(table.tHead.rows[0].cells);
  const texts = new Map(rows.map((row) => [row, row.textContent.toLowerCase()]));
  const byRow = new Map(rows.map((row) => [row.dataset.row, row]));
  const points = new Map();
  for (const point of document.querySelectorAll("[data-row]:not(tr)")) {
    if (!points.has(point.dataset.row)) points.set(point.dataset.row, []);
    points.get(point.dataset.row).push(point);
  }
  const make = (tag, attributes, ...children) => {
    const made = document.createElement(tag);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    made.append(...children);
    return made;
  };
  const worded = (cell) => cell.textContent.trim().replace(/\s+/g, " ");

  // Which rows are there, in which order, and which of them are on the page that is shown.
  let order = rows.slice();
  let kept = rows;
  let page = 0;
  let fields = [];
  const turn = (to) => {
    const pages = Math.max(1, Math.ceil(kept.length / PAGE));
    page = Math.min(Math.max(0, to), pages - 1);
    kept.forEach((row, place) => row.classList.toggle("off", Math.floor(place / PAGE) !== page));
    at("pager").hidden = pages === 1;
    at("page").textContent = `page ${page + 1} of ${pages}`;
    at("back").disabled = page === 0;
    at("on").disabled = page === pages - 1;
    const first = kept[page * PAGE];
    for (const row of rows) row.querySelector(".open").tabIndex = row === first ? 0 : -1;
  };
  const choose = () => {
    const words = at("filter").value.toLowerCase().split(/\s+/).filter(Boolean);
    const wanted = fields.filter(([, select]) => select.value);
    for (const row of rows) {
      const kind = row.classList.contains("total") ? at("totals").checked : at("cases").checked;
      const fits = wanted.every(([column, select]) => label(row, column) === select.value);
      row.hidden = !(kind && fits && words.every((word) => texts.get(row).includes(word)));
      for (const point of points.get(row.dataset.row) || []) point.classList.toggle("faint", row.hidden);
    }
    kept = order.filter((row) => !row.hidden);
    at("shown").textContent = `${kept.length} of ${rows.length} rows`;
    at("none").hidden = kept.length > 0;
    close();
    turn(0);
  };

  // Sorting.
  const key = (row, column) => {
    const cell = row.cells[column];
    if (!heads[column].classList.contains("n")) return worded(cell).toLowerCase();
    const number = Number.parseFloat(cell.dataset.v || cell.textContent);
    return Number.isNaN(number) ? "" : number;
  };
  const missing = (value) => value === "";
  const compare = (a, b, down) => {
    if (missing(a) || missing(b)) return Number(missing(a)) - Number(missing(b));
    const numbers = typeof a === "number" && typeof b === "number";
    const before = numbers ? a - b : String(a).localeCompare(String(b), "en", { numeric: true });
    return down ? -before : before;
  };
  heads.forEach((head, column) => {
    const button = head.querySelector("button");
    if (!button) return;
    button.addEventListener("click", () => {
      const down = head.getAttribute("aria-sort") === "ascending";
      heads.forEach((other) => other.removeAttribute("aria-sort"));
      head.setAttribute("aria-sort", down ? "descending" : "ascending");
      order = rows.map((row) => [key(row, column), row]).sort((a, b) => compare(a[0], b[0], down)).map((pair) => pair[1]);
      close();
      body.append(...order);
      kept = order.filter((row) => !row.hidden);
      turn(0);
    });
  });

  // A row opened: its power over time at a size that can be read, and everything that is said of it.
  let opened = null;
  const close = () => {
    if (!opened) return;
    opened.previousElementSibling.querySelector(".open").setAttribute("aria-expanded", "false");
    opened.remove();
    opened = null;
  };
  const enlarged = (row) => {
    const strip = row.querySelector("svg.strip");
    if (!strip) return [];
    const large = strip.cloneNode(true);
    large.setAttribute("class", "strip large");
    const top = worded(heads[heads.length - 1]).replace(/^.* to /, "");
    const scale = make("span", { class: "watts" }, make("span", {}, top), make("span", {}, "0 W"));
    const says = make("figcaption", {}, `board power in each window, side by side: ${strip.getAttribute("aria-label")}`);
    return [make("figure", { class: "power" }, make("div", {}, scale, large), says)];
  };
  const meanings = new Map(Array.from(document.querySelectorAll("#flags tbody tr"), (row) => [worded(row.cells[0]), worded(row.cells[3])]));
  const marked = (value) => {
    const meant = Array.from(value, (mark) => meanings.get(mark));
    return meant.length && meant.every(Boolean) ? `${value} (${meant.join("; ")})` : value;
  };
  const said = (row) =>
    heads.map((head, column) => {
      const [name, unit] = [head.querySelector("button"), head.querySelector("small")];
      const value = worded(row.cells[column]);
      const shown = unit && /^[\d−-]/.test(value) ? `${value} ${worded(unit)}` : marked(value);
      return [name && worded(name).slice(0, unit ? -worded(unit).length : undefined).trim(), shown, value, head.classList.contains("n") && head.dataset.field === undefined];
    }).slice(1).filter(([name, , value]) => name && value && value !== "–");
  const open = (row) => {
    const again = opened && opened.previousElementSibling === row;
    close();
    if (again) return;
    const list = make("dl", {}, ...said(row).map(([name, value]) =>
      make("div", {}, make("dt", {}, name), make("dd", {}, value))));
    const cell = make("td", { colspan: heads.length }, make("p", {}, make("strong", {}, row.dataset.case)), ...enlarged(row), list);
    opened = make("tr", { class: "detail" }, cell);
    row.after(opened);
    row.querySelector(".open").setAttribute("aria-expanded", "true");
  };
  const reveal = (row) => {
    turn(Math.floor(kept.indexOf(row) / PAGE));
    row.scrollIntoView({ block: "center" });
    row.querySelector(".open").focus({ preventScroll: true });
  };

  // The same case everywhere: hovering or focusing a row lights its points, and a point its row.
  let lit = null;
  const light = (id) => {
    if (id === lit) return;
    for (const on of [false, true]) {
      const row = byRow.get(lit);
      if (row) row.classList.toggle("hot", on);
      for (const point of points.get(lit) || []) {
        point.classList.toggle("hot", on);
        const drawing = point.closest("svg");
        if (drawing) drawing.classList.toggle("some", on);
      }
      if (!on) lit = id;
    }
  };
  const focused = () => {
    const row = document.activeElement.closest("tr[data-row]");
    return row ? row.dataset.row : null;
  };

  // What a point says: its own words, then two lines of its row. All points under the pointer speak.
  const SPEAKING = "figure svg [data-row], figure svg [data-tip], .matrix td";
  const TIPS = 6;
  const tip = at("tip");
  for (const title of document.querySelectorAll("figure svg g > title")) {
    title.parentElement.dataset.tip = title.textContent;
    title.remove();
  }
  for (const cell of document.querySelectorAll(".matrix td[title]")) {
    cell.dataset.tip = cell.title;
    cell.removeAttribute("title");
  }
  const spoken = (point) => {
    const row = byRow.get(point.dataset.row);
    const own = point.dataset.tip ? point.dataset.tip.split("\n") : [];
    const more = row ? [row.dataset.case, ...said(row).filter(([, , , numeric]) => numeric).map(([name, value]) => `${name}: ${value}`)] : [];
    return [...own, ...more.slice(0, own.length ? 2 : 3)];
  };
  const show = (found, x, y) => {
    const shown = found.slice(0, TIPS);
    tip.replaceChildren(...shown.map((point) => {
      const [first, ...rest] = spoken(point);
      return make("p", {}, make("strong", {}, first), ...rest.map((line) => `\n${line}`));
    }));
    if (found.length > TIPS) tip.append(make("p", {}, `and ${found.length - TIPS} more here`));
    tip.hidden = !found.length;
    if (tip.hidden) return;
    const box = tip.getBoundingClientRect();
    tip.style.left = `${Math.max(4, Math.min(x + 14, innerWidth - box.width - 8))}px`;
    tip.style.top = `${Math.max(4, y + 14 + box.height + 8 > innerHeight ? y - box.height - 14 : y + 14)}px`;
  };
  const under = (x, y) => {
    const found = document.elementsFromPoint(x, y).map((element) => element.closest(SPEAKING)).filter(Boolean);
    const told = new Map(found.map((point) => [`${point.dataset.row} ${point.dataset.tip}`, point]).reverse());
    return Array.from(told.values()).reverse().filter((point) => point.dataset.tip || byRow.has(point.dataset.row));
  };
  let walking = null; // the point that keys have led to: its tip goes with it when the page scrolls
  const beside = (stop) => {
    const box = stop.getBoundingClientRect();
    show(box.bottom < 0 || box.top > innerHeight ? [] : [stop], box.right, box.bottom);
  };
  const point = (event) => {
    walking = null;
    const found = under(event.clientX, event.clientY);
    const row = event.target.closest && event.target.closest("tr[data-row]");
    light(found.length ? found[0].dataset.row || null : row ? row.dataset.row : focused());
    show(found, event.clientX, event.clientY);
  };
  document.addEventListener("pointermove", point);
  document.addEventListener("pointerdown", point);
  addEventListener("scroll", () => { if (walking) beside(walking); else tip.hidden = true; }, { passive: true, capture: true });
  document.addEventListener("click", (event) => {
    const [found] = under(event.clientX, event.clientY);
    const row = found && byRow.get(found.dataset.row);
    if (row && !row.hidden && event.pointerType !== "touch") reveal(row);
  });

  // The same with keys: a figure that has the focus walks through its points, and Enter goes to the point's row.
  for (const frame of document.querySelectorAll("figure > .scroll, .scroll:has(> .matrix)")) {
    const stops = Array.from(frame.querySelectorAll(SPEAKING)).filter((stop) => stop.dataset.tip || byRow.has(stop.dataset.row));
    let stop = -1;
    frame.addEventListener("keydown", (event) => {
      const step = { ArrowRight: 1, ArrowLeft: -1, Home: -stops.length, End: stops.length }[event.key];
      const row = stop >= 0 && byRow.get(stops[stop].dataset.row);
      if (event.key === "Enter" && row && !row.hidden) reveal(row);
      if (event.key === "Escape") {
        walking = null;
        tip.hidden = true;
      }
      if (!stops.length || step === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
      event.preventDefault();
      stop = Math.min(Math.max(0, stop + step), stops.length - 1);
      stops[stop].scrollIntoView({ block: "nearest", inline: "nearest" });
      walking = stops[stop];
      light(stops[stop].dataset.row || null);
      for (const other of stops) other.classList.toggle("here", other === stops[stop]);
      beside(walking);
    });
    frame.addEventListener("focusout", () => {
      walking = null;
      tip.hidden = true;
      if (stop >= 0) stops[stop].classList.remove("here");
      if (stop >= 0) light(focused());
    });
  }

  // Keys and clicks in the table.
  for (const row of rows) {
    const button = make("button", { type: "button", class: "open", "aria-expanded": "false", "aria-label": `details of ${row.dataset.case}` }, "▸");
    row.cells[0].prepend(button, " ");
  }
  body.addEventListener("click", (event) => {
    const row = event.target.closest("tr[data-row]");
    if (row && !String(getSelection())) open(row);
  });
  body.addEventListener("focusin", (event) => {
    const row = event.target.closest("tr[data-row]");
    if (row) light(row.dataset.row);
  });
  body.addEventListener("focusout", () => light(null));
  body.addEventListener("keydown", (event) => {
    const row = event.target.closest("tr[data-row]");
    if (event.key === "Escape") close();
    const place = kept.indexOf(row);
    const to = { ArrowDown: place + 1, ArrowUp: place - 1, Home: 0, End: kept.length - 1, PageDown: place + PAGE, PageUp: place - PAGE }[event.key];
    if (!row || to === undefined || event.ctrlKey || event.metaKey || event.altKey) return;
    event.preventDefault();
    const next = kept[Math.min(Math.max(0, to), kept.length - 1)];
    turn(Math.floor(kept.indexOf(next) / PAGE));
    next.querySelector(".open").focus();
  });

  // Controls: one choice a field that has few values.
  const label = (row, column) => worded(row.cells[column]);
  fields = heads.map((head, column) => [head, column])
    .filter(([head, column]) => column && head.dataset.field !== undefined)
    .map(([head, column]) => [column, Array.from(new Set(rows.map((row) => label(row, column)))).filter(Boolean), worded(head)])
    .filter(([, values]) => values.length > 1 && values.length <= 24)
    .map(([column, values, name]) => {
      values.sort((a, b) => a.localeCompare(b, "en", { numeric: true }));
      const select = make("select", {}, make("option", { value: "" }, "all"), ...values.map((value) => make("option", {}, value)));
      at("fields").append(make("label", {}, `${name} `, select));
      return [column, select];
    });
  for (const control of [at("filter"), at("totals"), at("cases"), ...fields.map((pair) => pair[1])]) control.addEventListener("input", choose);
  if (!rows.some((row) => row.classList.contains("total"))) for (const id of ["totals", "cases"]) at(id).parentElement.hidden = true;
  at("back").addEventListener("click", () => turn(page - 1));
  at("on").addEventListener("click", () => turn(page + 1));
  at("clear").addEventListener("click", () => {
    at("filter").value = "";
    for (const [, select] of fields) select.value = "";
    for (const id of ["totals", "cases"]) at(id).checked = true;
    choose();
  });
  document.querySelector(".controls").hidden = false;
  at("keys").hidden = false;
  at("frame").classList.remove("tall");
  at("frame").classList.add("paged");
  table.classList.remove("whole");
  choose();
  addEventListener("beforeprint", () => document.querySelectorAll("details.printed").forEach((d) => { d.open = true; }));
})();
