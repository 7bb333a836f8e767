// Draws each <figure class="chart"> from the JSON that it links to, and fills its table.
// Text from the data is only ever set as textContent. Vega interprets its expressions instead of
// compiling them, because our policy forbids running text as code.

const script = document.querySelector("script[data-vega]");
const OTHERS = "(others)";
const dollars = (value) =>
  value === null ? "–" : value.toLocaleString("en-US", { style: "currency", currency: "USD", maximumFractionDigits: value && Math.abs(value) < 1 ? 6 : 2 });
const costCell = (row) => (row.is_lower_bound && row.cost_usd !== null ? "≥ " : "") + dollars(row.cost_usd);
const whole = (value) => (value === null || value === undefined ? "–" : value.toLocaleString("en-US"));

// Kind of chart -> what to draw from the rows: {values, spec, columns: [[heading, cell]]}.
const KINDS = {
  // billed: by closed day, what AWS's bill charges.
  cost(rows, { by, billed }) {
    const values = rows.map((row) => ({ day: row.day, name: row[by], cost: row.cost_usd ?? 0, calls: row.calls }));
    const spent = new Map();
    for (const { name, cost } of values) spent.set(name, (spent.get(name) ?? 0) + cost);
    const order = othersLast([...spent].sort((a, b) => b[1] - a[1]).map(([name]) => name));
    const bars = {
      mark: { type: "bar", cursor: "pointer" },
      params: [{ name: "picked", select: { type: "point", fields: ["name"] }, bind: "legend" }],
      encoding: {
        x: day(),
        y: { field: "cost", type: "quantitative", title: "USD", axis: { format: "$,.2~f" } },
        color: { field: "name", type: "nominal", title: null, sort: order, scale: { domain: order, scheme: "tableau10" }, legend: { orient: "bottom", columns: 3, labelLimit: 220 } },
        order: { field: "cost", sort: "descending" },
        opacity: { condition: { param: "picked", value: 1 }, value: 0.15 },
        tooltip: [dayTip(), { field: "name", title: "Name" }, { field: "cost", title: "Cost", format: "$,.4~f" }, { field: "calls", title: "Calls", format: "," }],
      },
    };
    return {
      values,
      spec: billed ? withBilled(bars, JSON.parse(billed)) : bars,
      columns: [["Day", (row) => row.day], ["Name", (row) => row[by]], ["Cost", costCell], ["Calls", (row) => whole(row.calls)], ["Token data", (row) => row.data_source]],
    };
  },
  bars(rows, { by }) {
    const values = rows.map((row) => ({ name: row[by], cost: row.cost_usd ?? 0, calls: row.calls, source: row.data_source }));
    const order = othersLast(values.map((row) => row.name));
    return {
      values,
      spec: {
        mark: { type: "bar", cursor: "pointer" },
        encoding: {
          y: { field: "name", type: "nominal", sort: order, title: null, axis: { labelLimit: 180 } },
          x: { field: "cost", type: "quantitative", title: "USD", axis: { format: "$,.2~f" } },
          tooltip: [{ field: "name", title: "Name" }, { field: "cost", title: "Cost", format: "$,.4~f" }, { field: "calls", title: "Calls", format: "," }, { field: "source", title: "Token data" }],
        },
      },
      columns: [["Name", (row) => row[by]], ["Cost", costCell], ["Calls", (row) => whole(row.calls)], ["Token data", (row) => row.data_source]],
    };
  },
  // tokenKinds: [column, heading, whether it is input].
  tokens(rows, { tokenKinds }) {
    const kinds = JSON.parse(tokenKinds);
    const hit = (row) => {
      const all = kinds.reduce((sum, [field, , isInput]) => sum + (isInput ? (row[field] ?? 0) : 0), 0);
      return row.cache_read_tokens === null || !all ? null : row.cache_read_tokens / all;
    };
    const values = rows.flatMap((row) => kinds.filter(([field]) => row[field] !== null).map(([field, kind]) => ({ day: row.day, kind, tokens: row[field], hit: hit(row) })));
    const names = kinds.map(([, kind]) => kind);
    const bars = {
      mark: "bar",
      encoding: {
        y: { field: "tokens", type: "quantitative", title: "Tokens", axis: { format: "~s" } },
        color: { field: "kind", type: "nominal", title: null, sort: names, scale: { domain: names, scheme: "tableau10" }, legend: { orient: "bottom" } },
        tooltip: [dayTip(), { field: "kind", title: "Kind" }, { field: "tokens", title: "Tokens", format: "," }, { field: "hit", title: "Share of input read from cache", format: ".1%" }],
      },
    };
    const line = {
      transform: [{ filter: "isValid(datum.hit)" }],
      mark: { type: "line", point: true, strokeDash: [4, 3], color: ink() },
      encoding: { y: { aggregate: "max", field: "hit", type: "quantitative", title: "Cache hit rate", axis: { format: ".0%", grid: false }, scale: { domain: [0, 1] } } },
    };
    const hasHits = values.some((row) => row.hit !== null);
    return {
      values,
      spec: { encoding: { x: day() }, layer: hasHits ? [bars, line] : [bars], ...(hasHits ? { resolve: { scale: { y: "independent" } } } : {}) },
      columns: [["Day", (row) => row.day], ...kinds.map(([field, kind]) => [kind, (row) => whole(row[field])]), ["Cache hit rate", (row) => (hit(row) === null ? "–" : `${(100 * hit(row)).toFixed(1)} %`)]],
    };
  },
  calls(rows) {
    const values = rows.flatMap((row) => [{ day: row.day, what: "Succeeded", count: row.calls }, { day: row.day, what: "Failed", count: row.failed_calls }]);
    return {
      values,
      spec: {
        mark: "bar",
        encoding: {
          x: day(),
          y: { field: "count", type: "quantitative", title: "Calls", axis: { format: "~s", tickMinStep: 1 } },
          color: { field: "what", type: "nominal", title: null, scale: { domain: ["Succeeded", "Failed"], range: ["#4c78a8", "#e45756"] }, legend: { orient: "bottom" } },
          tooltip: [dayTip(), { field: "what", title: "Calls" }, { field: "count", title: "Number", format: "," }],
        },
      },
      columns: [["Day", (row) => row.day], ["Calls", (row) => whole(row.calls)], ["Failed", (row) => whole(row.failed_calls)]],
    };
  },
  // What the month has cost up to each day, and what it may cost up to those to come. A day that
  // is over and not loaded adds what it is expected to have cost.
  month(rows) {
    const { through_day: through, forecast_usd: middle, forecast_low_usd: low, forecast_high_usd: high } = rows[0] ?? {};
    const lines = [];
    let total = 0;
    for (const row of rows.filter((one) => one.day <= through)) {
      const what = row.expected_usd === null ? "Cost so far" : "Expected";
      const before = lines.at(-1);
      if (!before || before.what !== what) lines.push({ what, points: before ? [before.points.at(-1)] : [] });
      total += row.expected_usd ?? row.cost_usd ?? 0;
      lines.at(-1).points.push({ day: row.day, total });
    }
    const rest = rows.filter((one) => one.day > through);
    const whole = rest.reduce((all, one) => all + one.expected_usd, 0);
    const at = (end, share) => total + Math.max(0, end - total) * share;
    const ahead = lines.length ? [{ day: through, total, low: total, high: total }] : [];
    let expected = 0;
    for (const [index, one] of rest.entries()) {
      expected += one.expected_usd;
      const share = whole > 0 ? expected / whole : (index + 1) / rest.length;
      ahead.push({ day: one.day, total: at(middle, share), low: at(low, share), high: at(high, share) });
    }
    lines.push({ what: "Expected", points: ahead });
    const values = lines.flatMap(({ what, points }, line) => points.map((point) => ({ ...point, what, line })));
    const usd = (field, title) => ({ field, title, format: "$,.2f" });
    const y = { field: "total", type: "quantitative", title: "USD since the first of the month", axis: { format: "$,.2~f" } };
    return {
      values,
      spec: {
        encoding: { x: day() },
        layer: [
          {
            data: { values: ahead },
            mark: { type: "area", opacity: 0.2, color: "#4c78a8" },
            encoding: { y: { ...y, field: "low" }, y2: { field: "high" }, tooltip: [dayTip(), usd("low", "At least, 9 times of 10"), usd("high", "At most, 9 times of 10")] },
          },
          {
            mark: { type: "line", point: true, color: "#4c78a8" },
            encoding: {
              y,
              detail: { field: "line" },
              strokeDash: { field: "what", type: "nominal", title: null, scale: { domain: ["Cost so far", "Expected"], range: [[1, 0], [5, 4]] }, legend: { orient: "bottom" } },
              tooltip: [dayTip(), { field: "what", title: "What" }, usd("total", "Since the first")],
            },
          },
        ],
      },
      columns: [["Day", (row) => row.day], ["Cost", (row) => dollars(row.cost_usd)], ["Expected", (row) => dollars(row.expected_usd)]],
    };
  },
  hours(rows) {
    return {
      values: rows,
      spec: {
        mark: "bar",
        encoding: {
          x: { field: "hour_of_day", type: "ordinal", title: "Hour, UTC", axis: { labelAngle: 0 } },
          y: { field: "calls", type: "quantitative", title: "Calls", axis: { format: "~s", tickMinStep: 1 } },
          tooltip: [{ field: "hour_of_day", title: "Hour" }, { field: "calls", title: "Calls", format: "," }, { field: "failed_calls", title: "Failed", format: "," }],
        },
      },
      columns: [["Hour", (row) => `${row.hour_of_day}:00`], ["Calls", (row) => whole(row.calls)], ["Failed", (row) => whole(row.failed_calls)]],
    };
  },
};

// A line over the bars of all names, with a legend of its own.
function withBilled(bars, billed) {
  const line = {
    data: { values: Object.entries(billed).map(([day, cost]) => ({ day, billed: cost })) },
    mark: { type: "line", point: { filled: false, fill: panel(), size: 45 }, strokeWidth: 1.5 },
    encoding: {
      x: { ...bars.encoding.x, bandPosition: 0.5 },
      y: { field: "billed", type: "quantitative" },
      color: { datum: "Billed by AWS, closed days", scale: { range: [ink()] }, legend: { title: null, orient: "bottom", labelLimit: 220 } },
      tooltip: [dayTip(), { field: "billed", title: "Billed by AWS", format: "$,.4~f" }],
    },
  };
  return { layer: [bars, line], resolve: { scale: { color: "independent" } } };
}

// "(others)" comes last, however large it is.
function othersLast(names) {
  return names.includes(OTHERS) ? [...names.filter((name) => name !== OTHERS), OTHERS] : names;
}

function day() {
  return { field: "day", type: "temporal", timeUnit: "utcyearmonthdate", title: null, axis: { format: "%b %d", labelOverlap: true, tickCount: 8 } };
}

function dayTip() {
  return { field: "day", type: "temporal", timeUnit: "utcyearmonthdate", title: "Day", format: "%Y-%m-%d" };
}

function ink() {
  return styled("--ink");
}

function panel() {
  return styled("--panel");
}

function styled(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function config() {
  const style = getComputedStyle(document.documentElement);
  const [text, quiet, grid] = ["--ink", "--quiet", "--line"].map((name) => style.getPropertyValue(name).trim());
  return {
    background: null,
    view: { stroke: null },
    axis: { labelColor: quiet, titleColor: quiet, gridColor: grid, domainColor: grid, tickColor: grid },
    legend: { labelColor: text, titleColor: text },
    bar: { color: "#4c78a8" },
  };
}

function fillTable(figure, rows, columns) {
  const table = document.createElement("table");
  const head = table.createTHead().insertRow();
  for (const [heading] of columns) {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.textContent = heading;
    head.append(cell);
  }
  const body = table.createTBody();
  for (const row of rows) {
    const line = body.insertRow();
    for (const [, cell] of columns) line.insertCell().textContent = cell(row) ?? "–";
  }
  figure.querySelector(".rows .scroll").replaceChildren(table);
}

function say(figure, text) {
  const paragraph = document.createElement("p");
  paragraph.textContent = text;
  figure.querySelector(".plot").replaceChildren(paragraph);
}

async function draw(figure) {
  const { chart, json, page } = figure.dataset;
  const answer = await fetch(json, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(`the data could not be loaded (status ${answer.status})`);
  const { rows, truncated, error } = await answer.json();
  if (error) throw new Error(error);
  if (truncated) throw new Error("too many rows to draw; choose fewer days");
  const { values, spec, columns } = KINDS[chart](rows, figure.dataset);
  fillTable(figure, rows, columns);
  if (!values.length) return say(figure, "Nothing to draw in this range.");
  const { view } = await window.vegaEmbed(
    figure.querySelector(".plot"),
    { $schema: "https://vega.github.io/schema/vega-lite/v6.json", width: "container", height: chart === "cost" ? 300 : 240, autosize: { type: "fit", contains: "padding" }, data: { values }, config: config(), ...spec },
    { ast: true, actions: false, renderer: "canvas", defaultStyle: false, tooltip: { disableDefaultStyle: true, theme: "custom" } },
  );
  if (page) view.addEventListener("click", (_, item) => follow(page, item?.datum?.name));
  figure.dataset.drawn = "yes";
}

function follow(page, name) {
  if (typeof name !== "string" || name === OTHERS) return;
  const address = new URL(page, location.href);
  address.searchParams.set("name", name);
  location.assign(address);
}

async function drawAll() {
  const figures = [...document.querySelectorAll("figure.chart")];
  if (!figures.length) return;
  await import(script.dataset.vega);
  await Promise.all(figures.map((figure) => draw(figure).catch((error) => say(figure, `No chart: ${error.message}.`))));
}

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

for (const fieldset of document.querySelectorAll(".choice fieldset")) addSearch(fieldset);
document.addEventListener("click", (event) => {
  for (const open of document.querySelectorAll(".choice[open]")) if (!open.contains(event.target)) open.open = false;
});
document.addEventListener("keydown", (event) => {
  if (event.key === "Escape") for (const open of document.querySelectorAll(".choice[open]")) open.open = false;
});
// Empty fields stay out of the address, which people share.
for (const form of document.querySelectorAll("form.filters")) {
  form.addEventListener("submit", () => {
    for (const input of form.querySelectorAll("input")) input.disabled ||= input.value === "";
  });
}
document.addEventListener("refreshed", () => location.reload());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
drawAll();
