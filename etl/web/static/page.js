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
  for (const { dataset } of form.querySelectorAll(".choice")) {
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

// The first rows are shown, and the others at a press.
function foldRows(scroll) {
  const rows = [...scroll.querySelectorAll("tbody tr")];
  const first = Number(scroll.dataset.first);
  if (rows.length <= first + 1) return;
  const rest = rows.slice(first);
  const button = document.createElement("button");
  const fold = (isFolded) => {
    for (const row of rest) row.hidden = isFolded;
    button.textContent = isFolded ? `${rest.length} more` : `Only the first ${first}`;
    button.setAttribute("aria-expanded", String(!isFolded));
    tellScrolling(scroll);
  };
  button.type = "button";
  button.addEventListener("click", () => fold(button.getAttribute("aria-expanded") === "false" ? false : true));
  scroll.after(button);
  fold(true);
  addEventListener("beforeprint", () => fold(false));
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
  const scrolls = [...document.querySelectorAll("section .scroll")];
  for (const scroll of scrolls) {
    if (scroll.dataset.first) foldRows(scroll);
    tellScrolling(scroll);
  }
  addEventListener("resize", () => scrolls.forEach(tellScrolling));
}

attendChoices();
if (form) attendForm();
attendTables();
attendPlace();
