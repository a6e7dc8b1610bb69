// Tables that are sorted by a button in each heading and filtered by a text; commands to copy.
"use strict";
(() => {
  const collator = new Intl.Collator("en", { numeric: true, sensitivity: "base" });

  function key(row, column, numeric) {
    const cell = row.cells[column];
    if (numeric) return cell.dataset.number === undefined ? null : Number(cell.dataset.number);
    const text = cell.textContent.trim();
    return text === "–" || text === "" ? null : text;
  }

  // Cells without a value come last, whichever way the others are sorted.
  function compare(a, b, descending) {
    if (a === null || b === null) return (a === null) - (b === null);
    const order = typeof a === "number" ? a - b : collator.compare(a, b);
    return descending ? -order : order;
  }

  function sortable(table) {
    const headings = [...table.tHead.rows[0].cells];
    const body = table.tBodies[0];
    headings.forEach((heading, column) => {
      const numeric = heading.classList.contains("number");
      const button = document.createElement("button");
      button.type = "button";
      button.append(...heading.childNodes);
      if (heading.title) button.setAttribute("aria-description", heading.title);
      heading.append(button);
      button.addEventListener("click", () => {
        const before = heading.ariaSort;
        const descending = before ? before === "ascending" : numeric;
        headings.forEach((other) => other.removeAttribute("aria-sort"));
        heading.ariaSort = descending ? "descending" : "ascending";
        const keyed = [...body.rows].map((row) => [key(row, column, numeric), row]);
        keyed.sort(([a], [b]) => compare(a, b, descending));
        body.append(...keyed.map(([, row]) => row));
      });
    });
  }

  function filterable(section) {
    const box = section.querySelector(".filter");
    if (!box) return;
    const rows = [...section.querySelector("tbody").rows];
    const texts = rows.map((row) => row.textContent.toLowerCase());
    const input = box.querySelector("input");
    const output = box.querySelector("output");
    const filter = () => {
      const words = input.value.toLowerCase().split(/\s+/).filter(Boolean);
      let shown = 0;
      rows.forEach((row, place) => {
        row.hidden = !words.every((word) => texts[place].includes(word));
        shown += !row.hidden;
      });
      output.textContent = words.length ? `${shown} of ${rows.length} rows` : `${rows.length} rows`;
    };
    box.hidden = false;
    input.addEventListener("input", filter);
    filter();
  }

  function copyable(box) {
    const button = document.createElement("button");
    button.type = "button";
    button.textContent = "Copy";
    button.addEventListener("click", async () => {
      const code = box.querySelector("code");
      try {
        await navigator.clipboard.writeText(code.textContent);
        button.textContent = "Copied";
      } catch {
        getSelection().selectAllChildren(code); // no clipboard here: it is marked to be copied
        button.textContent = "Marked";
      }
    });
    box.append(button);
  }

  document.querySelectorAll("table").forEach(sortable);
  document.querySelectorAll(".sheet").forEach(filterable);
  document.querySelectorAll(".command").forEach(copyable);
})();
