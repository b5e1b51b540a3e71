"use strict";
(() => {
  const collator = new Intl.Collator(undefined, { numeric: true, sensitivity: "base" });
  const text = (cell) => cell.querySelector(".v").textContent.trim();
  // The sort key of a cell: a number, a text, or null if it is empty. Empty cells are always last.
  const key = (cell) => {
    if (cell.dataset.value !== undefined) return cell.dataset.value === "" ? null : Number(cell.dataset.value);
    return text(cell) || null;
  };
  const order = (a, b) => typeof a === "number" && typeof b === "number" ? a - b : collator.compare(a, b);

  const sort = (table, column) => {
    const headings = [...table.tHead.rows[0].cells];
    const up = headings[column].getAttribute("aria-sort") !== "ascending";
    const body = table.tBodies[0];
    const rows = [...body.rows].map((row, at) => ({ row, at, value: key(row.cells[column]) }));
    rows.sort((a, b) => {
      if (a.value === null || b.value === null) return (a.value === null) - (b.value === null) || a.at - b.at;
      return (up ? 1 : -1) * order(a.value, b.value) || a.at - b.at;
    });
    body.append(...rows.map((one) => one.row));
    headings.forEach((heading) => heading.removeAttribute("aria-sort"));
    headings[column].setAttribute("aria-sort", up ? "ascending" : "descending");
    document.getElementById("sorted").textContent = `Sorted by ${headings[column].textContent.trim()}, ${up ? "ascending" : "descending"}.`;
  };
  for (const table of document.querySelectorAll("table.sortable")) {
    [...table.tHead.rows[0].cells].forEach((heading, column) => {
      heading.querySelector("button").addEventListener("click", () => sort(table, column));
    });
  }

  const form = document.getElementById("filter");
  const rows = [...document.getElementById("all").tBodies[0].rows];
  const field = (name) => document.getElementById(`filter-${name}`);
  const apply = () => {
    const words = field("text").value.toLowerCase().split(/\s+/).filter(Boolean);
    let shown = 0;
    for (const row of rows) {
      const content = row.textContent.toLowerCase();
      const keep = words.every((word) => content.includes(word))
        && (!field("task").value || row.dataset.task === field("task").value)
        && (!field("protocol").value || row.dataset.protocol === field("protocol").value)
        && Number(row.dataset.tier) >= Number(field("tier")?.value || 0);
      row.hidden = !keep;
      shown += keep;
    }
    const all = `${rows.length} line${rows.length === 1 ? "" : "s"}`;
    document.getElementById("count").textContent = shown === rows.length ? all : `${shown} of ${all}`;
  };
  form.hidden = false;
  form.addEventListener("input", apply);
  form.addEventListener("change", apply);
  form.addEventListener("submit", (event) => event.preventDefault());
  form.addEventListener("reset", () => setTimeout(apply));

  for (const button of document.querySelectorAll(".copy")) {
    button.hidden = false;
    button.addEventListener("click", async () => {
      const code = button.parentElement.querySelector("code");
      let done = true;
      try {
        await navigator.clipboard.writeText(code.textContent);
      } catch {
        // Without permission to use the clipboard, select the text so that the reader can copy it.
        getSelection().selectAllChildren(code);
        done = false;
      }
      button.textContent = done ? "Copied" : "Selected";
      setTimeout(() => { button.textContent = "Copy"; }, 2000);
    });
  }

  // Open the closed part of the page that a link leads into.
  const open = () => {
    const target = document.getElementById(decodeURIComponent(location.hash.slice(1)));
    for (let part = target; part; part = part.parentElement) if (part.tagName === "DETAILS") part.open = true;
    if (target && target.tagName === "DETAILS") { target.scrollIntoView(); target.querySelector("summary").focus(); }
  };
  addEventListener("hashchange", open);
  if (location.hash) open();
})();
