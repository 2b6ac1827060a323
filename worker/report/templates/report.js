"use strict";
(() => {
  const form = document.getElementById("search");
  if (!form) return;
  const rows = [...document.querySelectorAll("#failed-ids tbody tr")];
  const texts = rows.map((row) => row.textContent.toLowerCase());
  const types = rows.map((row) => row.dataset.type);
  const shown = document.getElementById("shown");
  const text = form.elements.text;
  const type = form.elements.type;

  const filter = () => {
    const words = text.value.toLowerCase().split(/\s+/).filter(Boolean);
    let matches = 0;
    rows.forEach((row, index) => {
      const isMatch =
        (!type.value || types[index] === type.value) &&
        words.every((word) => texts[index].includes(word));
      row.hidden = !isMatch;
      matches += isMatch;
    });
    shown.textContent = `${matches.toLocaleString("en")} of ${rows.length.toLocaleString("en")} rows`;
  };

  let timer = 0;
  form.addEventListener("input", () => {
    clearTimeout(timer);
    timer = setTimeout(filter, 80);
  });
  form.addEventListener("submit", (event) => event.preventDefault());
  form.hidden = false;
  filter();
  // A printed page shows every row, and every run.
  addEventListener("beforeprint", () => {
    document.querySelectorAll("details").forEach((detail) => { detail.open = true; });
  });
})();
