// Filters, tables and the place on the page. Without this file, forms and links still work, and
// tables show all their rows.

const NARROW = matchMedia("(max-width: 40rem)");
const form = document.querySelector("form.filters");

// -- filters -------------------------------------------------------------------------------------

// A long list of names gets a search box.
function addSearch(fieldset) {
  const labels = [...fieldset.querySelectorAll("label")];
  if (labels.length < 12) return;
  const search = document.createElement("input");
  search.type = "search";
  search.setAttribute("aria-label", "Find a name");
  search.placeholder = "Find";
  search.addEventListener("input", () => {
    const wanted = search.value.toLowerCase();
    for (const label of labels) label.hidden = !label.textContent.toLowerCase().includes(wanted) && !label.querySelector("input").checked;
  });
  search.addEventListener("keydown", (event) => event.key === "Enter" && event.preventDefault());
  labels[0].before(search);
}

// A list opens to the left where it would leave the window.
function keepInWindow(choice) {
  const list = choice.querySelector("fieldset");
  list.classList.remove("to-left");
  list.classList.toggle("to-left", choice.open && list.getBoundingClientRect().right > document.documentElement.clientWidth - 8);
}

function closeAll(except) {
  for (const choice of document.querySelectorAll(".choice[open]")) if (!choice.contains(except)) choice.open = false;
}

function attendChoices() {
  for (const fieldset of document.querySelectorAll(".choice fieldset")) addSearch(fieldset);
  for (const choice of document.querySelectorAll(".choice")) choice.addEventListener("toggle", () => keepInWindow(choice));
  addEventListener("resize", () => document.querySelectorAll(".choice[open]").forEach(keepInWindow));
  document.addEventListener("click", (event) => closeAll(event.target));
  document.addEventListener("keydown", (event) => {
    if (event.key !== "Escape") return;
    // The keyboard goes on where it opened the list.
    document.activeElement.closest(".choice[open]")?.querySelector("summary").focus();
    closeAll(null);
  });
}

function datesChanged() {
  return [form.elements.from, form.elements.to].some((input) => input.value !== input.defaultValue);
}

// Ticks that were not sent yet come along with a link to another range or chart.
function carryTicks(link) {
  const address = new URL(link.href);
  const ticked = new FormData(form);
  for (const { dataset } of form.querySelectorAll(".choice[data-kind]")) {
    address.searchParams.delete(dataset.kind);
    for (const name of ticked.getAll(dataset.kind)) address.searchParams.append(dataset.kind, name);
  }
  if (link.closest(".switch") && datesChanged()) {
    address.searchParams.delete("range");
    for (const key of ["from", "to"]) address.searchParams.set(key, ticked.get(key));
  }
  link.href = address;
}

function attendForm() {
  const { from, to, range } = form.elements;
  const order = () => { to.min = from.value; from.max = to.value; };
  for (const input of [from, to]) input.addEventListener("change", order);
  order();
  // What the address need not say stays out of it, because people share it.
  form.addEventListener("submit", () => {
    if (range && !datesChanged()) from.disabled = to.disabled = true;
    else if (range) range.disabled = true;
    for (const input of form.querySelectorAll("input")) input.disabled ||= input.value === "";
  });
  // The browser may come back to this page as it left it.
  addEventListener("pageshow", () => { for (const input of form.querySelectorAll("input")) input.disabled = false; });
  for (const link of document.querySelectorAll(".presets a, .switch a")) link.addEventListener("click", () => carryTicks(link));
  const more = form.querySelector(".more-filters");
  const fold = () => { more.open = !NARROW.matches; };
  NARROW.addEventListener("change", fold);
  fold();
}

// -- the place on the page -----------------------------------------------------------------------

const PLACE = "bedrock-usage-place";

function keepPlace() {
  try {
    sessionStorage.setItem(PLACE, JSON.stringify({ path: location.pathname, y: scrollY, at: Date.now() }));
  } catch {
    // Without storage, the next page begins at its top.
  }
}

function returnToPlace() {
  try {
    const { path, y, at } = JSON.parse(sessionStorage.getItem(PLACE));
    sessionStorage.removeItem(PLACE);
    if (path === location.pathname && Date.now() - at < 30_000) scrollTo(0, y);
  } catch {
    // No place was kept.
  }
}

function attendPlace() {
  for (const link of document.querySelectorAll("a[data-stay]")) {
    // The fragment is for browsers without this script.
    link.href = link.href.replace(/#.*/, "");
    link.addEventListener("click", keepPlace);
  }
  form?.addEventListener("submit", keepPlace);
  returnToPlace();
}

// -- tables --------------------------------------------------------------------------------------

// Rows from which on a table gets a search box.
const FINDABLE = 12;

// The first rows are shown, and the others at a press.
function foldRows(scroll) {
  const body = scroll.querySelector("tbody");
  const first = Number(scroll.dataset.first);
  const count = body.rows.length;
  if (count <= first + 1) return;
  const button = document.createElement("button");
  let isFolded = true;
  const fold = () => {
    for (const [index, row] of [...body.rows].entries()) row.hidden = isFolded && !scroll.dataset.finding && index >= first;
    button.hidden = Boolean(scroll.dataset.finding);
    button.textContent = isFolded ? `${count - first} more` : `Only the first ${first}`;
    button.setAttribute("aria-expanded", String(!isFolded));
    tellScrolling(scroll);
  };
  button.type = "button";
  button.addEventListener("click", () => { isFolded = !isFolded; fold(); });
  scroll.addEventListener("sorted", fold);
  addEventListener("beforeprint", () => { isFolded = false; fold(); });
  scroll.after(button);
  fold();
}

// A heading sorts by its column: numbers from the largest, names from A, and then the other way.
function makeSortable(scroll) {
  const table = scroll.querySelector("table");
  const body = table?.tBodies[0];
  if (!body || body.rows.length < 2 || table.querySelector("tbody [colspan], tbody [rowspan]")) return;
  for (const heading of table.tHead.rows[0].cells) {
    const button = document.createElement("button");
    button.type = "button";
    button.className = "sort";
    button.append(...heading.childNodes);
    heading.append(button);
    button.addEventListener("click", () => sort(table, body, heading));
  }
}

function sort(table, body, heading) {
  const index = heading.cellIndex;
  const isNumber = heading.classList.contains("n");
  const was = heading.getAttribute("aria-sort");
  const isUp = isNumber ? was === "descending" : was !== "ascending";
  const keyed = [...body.rows].map((row) => [isNumber ? amount(row.cells[index].textContent) : row.cells[index].textContent.trim(), row]);
  const compare = isNumber ? (a, b) => a - b : (a, b) => a.localeCompare(b, "en", { numeric: true });
  keyed.sort(([a], [b]) => (isUp ? compare(a, b) : compare(b, a)));
  body.append(...keyed.map(([, row]) => row));
  for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
  heading.setAttribute("aria-sort", isUp ? "ascending" : "descending");
  table.closest(".scroll").dispatchEvent(new Event("sorted"));
}

// "≥ $1,234.50", "56.7k", "8.90M", "48.2 %", "<$0.01"; what is unknown is below all.
function amount(text) {
  const found = text.match(/(-?)(<?)\$?([0-9][0-9,.]*)([kMGT]?)/);
  if (!found) return -Infinity;
  const size = Number(found[3].replaceAll(",", "")) * { "": 1, k: 1e3, M: 1e6, G: 1e9, T: 1e12 }[found[4]];
  return (found[1] ? -1 : 1) * (found[2] ? size / 2 : size);
}

// A table of some length gets a box that leaves the rows with a text, of those that are in the page.
function makeFindable(scroll) {
  const body = scroll.querySelector("tbody");
  if (!body || body.rows.length < FINDABLE) return;
  const box = document.createElement("input");
  const label = (scroll.getAttribute("aria-label") ?? "").replace(/, table$/, "");
  box.type = "search";
  box.className = "find";
  box.placeholder = "Find in this table";
  box.setAttribute("aria-label", `Find in the table ${label}`);
  const found = document.createElement("output");
  found.className = "hint";
  box.addEventListener("input", () => {
    const wanted = box.value.trim().toLowerCase();
    scroll.dataset.finding = wanted;
    let count = 0;
    for (const row of body.rows) {
      const isFound = row.textContent.toLowerCase().includes(wanted);
      row.classList.toggle("unmatched", !isFound);
      count += isFound;
    }
    found.textContent = wanted ? `${count} of ${body.rows.length} rows` : "";
    scroll.dispatchEvent(new Event("sorted"));
    tellScrolling(scroll);
  });
  scroll.before(box, found);
}

// A table that goes on says so.
function tellScrolling(scroll) {
  let hint = scroll.nextElementSibling;
  if (!hint?.classList.contains("hint")) {
    hint = document.createElement("p");
    hint.className = "hint";
    scroll.after(hint);
  }
  const sideways = scroll.scrollWidth > scroll.clientWidth + 2;
  const down = scroll.scrollHeight > scroll.clientHeight + 2;
  hint.textContent = sideways && down ? "The table goes on to the right and below: scroll in it." : sideways ? "The table goes on to the right: scroll in it." : down ? "The table goes on below: scroll in it." : "";
  hint.hidden = !hint.textContent;
}

function attendTables() {
  const scrolls = [...document.querySelectorAll("section .scroll:has(table)")];
  for (const scroll of scrolls) {
    makeSortable(scroll);
    makeFindable(scroll);
    if (scroll.dataset.first) foldRows(scroll);
    tellScrolling(scroll);
  }
  addEventListener("resize", () => scrolls.forEach(tellScrolling));
  // Tables of charts come later.
  document.addEventListener("filled", ({ target }) => {
    makeSortable(target);
    if (target.dataset.first) foldRows(target);
    tellScrolling(target);
  });
}

// -- what is unusual -----------------------------------------------------------------------------

const LOOKS = 5;

// The first rows of the page of what is unusual, without the command.
async function showLooks(section) {
  const answer = await fetch(section.dataset.rowsOf, { headers: { Accept: "text/html" } });
  if (!answer.ok) return;
  const page = new DOMParser().parseFromString(await answer.text(), "text/html");
  const rows = [...page.querySelectorAll("main section tbody tr")];
  for (const row of rows) row.lastElementChild.remove();
  section.querySelector("tbody").replaceChildren(...rows.slice(0, LOOKS).map((row) => document.adoptNode(row)));
  if (rows.length > LOOKS) section.querySelector(".links a").textContent = `${rows.length - LOOKS} more`;
  section.hidden = !rows.length;
}

// Without it, the page itself is a link away.
for (const section of document.querySelectorAll("[data-rows-of]")) showLooks(section).catch(() => {});

attendChoices();
if (form) attendForm();
attendTables();
attendPlace();
