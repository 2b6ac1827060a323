"use strict";
(() => {
  const ROWS_ON_A_PAGE = 100;
  const MOST_FOUND = 20;
  const ID_BYTES = 12;
  const number = (value, noun) =>
    value.toLocaleString("en") + (noun ? ` ${noun}${value === 1 ? "" : "s"}` : "");

  /** Search, and pages of a hundred rows, for one list of ids. */
  const pageList = (section) => {
    const [form, table, pager] = ["form", "table", ".pager"].map((what) => section.querySelector(what));
    const [shown, place] = [form.querySelector(".shown"), pager.querySelector(".place")];
    const { previous, next } = Object.fromEntries(
      [...pager.querySelectorAll("button")].map((button) => [button.name, button]),
    );
    const rows = [...table.tBodies[0].rows].map((row) => ({
      row,
      text: [...row.cells].map((cell) => cell.textContent).join(" ").toLowerCase(),
      type: row.dataset.type,
    }));
    let matching = rows;
    let visible = [];
    let page = 0;

    const show = () => {
      const pages = Math.max(Math.ceil(matching.length / ROWS_ON_A_PAGE), 1);
      page = Math.min(Math.max(page, 0), pages - 1);
      for (const { row } of visible) row.hidden = true;
      visible = matching.slice(page * ROWS_ON_A_PAGE, (page + 1) * ROWS_ON_A_PAGE);
      for (const { row } of visible) row.hidden = false;
      shown.textContent = `${number(matching.length)} of ${number(rows.length, "id")}`;
      place.textContent = `Page ${number(page + 1)} of ${number(pages)}`;
      pager.hidden = pages === 1;
      previous.disabled = page === 0;
      next.disabled = page === pages - 1;
    };
    const filter = () => {
      const words = form.elements.text.value.toLowerCase().split(/\s+/).filter(Boolean);
      const type = form.elements.type ? form.elements.type.value : "";
      matching = rows.filter(
        (row) => (!type || row.type === type) && words.every((word) => row.text.includes(word)),
      );
      page = 0;
      show();
    };
    const turn = (step) => { page += step; show(); section.scrollIntoView(); };

    for (const { row } of rows) row.hidden = true;
    table.classList.add("paged");
    onInput(form, filter);
    previous.addEventListener("click", () => turn(-1));
    next.addEventListener("click", () => turn(1));
    show();
  };

  const onInput = (form, react) => {
    let timer = 0;
    form.addEventListener("input", () => {
      clearTimeout(timer);
      timer = setTimeout(react, 80);
    });
    form.addEventListener("submit", (event) => { event.preventDefault(); react(); });
    form.hidden = false;
  };

  /** The bytes of a script element that holds base64 of what was deflated. */
  const unpack = async (id) => {
    const text = atob(document.getElementById(id).textContent);
    const deflated = Uint8Array.from(text, (character) => character.charCodeAt(0));
    const stream = new Blob([deflated]).stream().pipeThrough(new DecompressionStream("deflate"));
    return new Uint8Array(await new Response(stream).arrayBuffer());
  };

  /** Finds ids by how they begin: sorted ones by halving, others one by one. */
  const openLookup = async () => {
    const { states, runs } = JSON.parse(document.getElementById("lookup-tables").textContent);
    const columns = await unpack("lookup-hexadecimal");
    const [others, otherStates] = JSON.parse(new TextDecoder().decode(await unpack("lookup-others")));
    const count = columns.length / (ID_BYTES + 2);
    const idAt = (index) => {
      let id = "";
      for (let place = 0; place < ID_BYTES; place += 1) {
        id += columns[place * count + index].toString(16).padStart(2, "0");
      }
      return id;
    };
    const stateAt = (index) =>
      columns[ID_BYTES * count + index] + 256 * columns[(ID_BYTES + 1) * count + index];
    const firstNotBefore = (prefix) => {
      let [low, high] = [0, count];
      while (low < high) {
        const middle = (low + high) >> 1;
        if (idAt(middle) < prefix) low = middle + 1; else high = middle;
      }
      return low;
    };
    const entry = (id, state) => {
      const [outcome, run, error] = states[state];
      const [name, began, log] = runs[run];
      return { id, outcome, error, run: name, began, log };
    };
    return (prefix) => {
      const found = [];
      for (let at = firstNotBefore(prefix); at < count && found.length <= MOST_FOUND; at += 1) {
        const id = idAt(at);
        if (!id.startsWith(prefix)) break;
        found.push(entry(id, stateAt(at)));
      }
      for (let at = 0; at < others.length && found.length <= MOST_FOUND; at += 1) {
        if (others[at].startsWith(prefix)) found.push(entry(others[at], otherStates[at]));
      }
      return found;
    };
  };

  const MARKS = {
    processing: ["processing", "✓ processing", "It is completed: a rerun does not send it again."],
    not_found: ["not-found", "? not found", "The API knows no such session in this account: a rerun does not send it again."],
    failed: ["failed", "✕ failed", "The next run of the same command sends it again."],
  };

  const element = (tag, className, text) => {
    const made = document.createElement(tag);
    if (className) made.className = className;
    // What could steer the direction of the text is shown as a box.
    made.textContent = text.replace(/[\p{C}\u2028\u2029]/gu, "\ufffd");
    return made;
  };

  const describe = ({ id, outcome, error, run, began, log }) => {
    const item = document.createElement("li");
    const [className, label, meaning] = MARKS[outcome];
    const when = began ? `, which began ${began.slice(0, 16).replace("T", " ")} UTC` : "";
    item.append(
      element("span", "id", id), " ", element("span", `mark ${className}`, label),
      element("span", "", `${error ? ` (${error})` : ""}, recorded by run ${run}${when}, in ${log}. ${meaning}`),
    );
    return item;
  };

  const tell = (output, prefix, found) => {
    const list = document.createElement("ul");
    list.append(...found.slice(0, MOST_FOUND).map(describe));
    const rest = found.length > MOST_FOUND ? `More ids begin so: these are the first ${MOST_FOUND}.` : "";
    const none = found.length ? "" : `No id in these logs begins with ${prefix}: it was never attempted, or by a run with another log.`;
    const how = found.length === 1 ? "Its whole history: complete-sessions report RESULTS --id ID" : "";
    output.replaceChildren(list, element("p", "muted", none || rest || how));
    output.dataset.prefix = prefix;
  };

  const offerLookup = (form) => {
    const output = document.getElementById("found");
    let lookup;
    onInput(form, async () => {
      const prefix = form.elements.id.value.trim();
      if (!prefix) return output.replaceChildren();
      try {
        lookup ??= openLookup();
        tell(output, prefix, (await lookup)(prefix));
      } catch (error) {
        output.textContent = "This browser cannot unpack the ids. Ask the logs: complete-sessions report RESULTS --id ID";
      }
    });
  };

  document.querySelectorAll("section.list").forEach(pageList);
  const form = document.querySelector("#lookup form");
  if (form) offerLookup(form);
  // A printed page shows the plots of every run.
  addEventListener("beforeprint", () => {
    document.querySelectorAll("details.run").forEach((detail) => { detail.open = true; });
  });
})();
