// Draws each <figure class="chart"> from the JSON that it links to, and fills its table.
// Text from the data is only ever set as textContent. Vega interprets its expressions instead of
// compiling them, because our policy forbids running text as code.

const script = document.querySelector("script[data-vega]");
const main = document.getElementById("main").dataset;
const OTHERS = "(others)";

// -- numbers, as the page writes them (etl/show/numbers.py) ------------------------------------

const DECIMALS = Number(main.decimals || 2);
const UNKNOWN = "–";
const SOURCES = JSON.parse(main.sources || "{}");
const MODELS = JSON.parse(main.models || "{}");

// A model is shown by its short name.
const label = (by, name) => (by === "model_id" ? MODELS[name] ?? name : name);

function dollars(value, decimals = DECIMALS) {
  if (value === null || value === undefined) return UNKNOWN;
  const smallest = 10 ** -decimals;
  const shown = (amount) => `$${amount.toLocaleString("en-US", { minimumFractionDigits: decimals, maximumFractionDigits: decimals })}`;
  if (value < 0) return `-${dollars(-value, decimals)}`;
  return value > 0 && value < smallest ? `<${shown(smallest)}` : shown(value);
}

function signed(value, decimals) {
  const rounded = Number(value.toFixed(decimals)) || 0;
  return (rounded > 0 ? "+" : "") + dollars(rounded, decimals);
}

function cost(row) {
  if (row.cost_usd === null) return row.unpriced_tokens || row.unpriced_calls ? "unpriced" : UNKNOWN;
  return (row.is_lower_bound ? "≥ " : "") + dollars(row.cost_usd);
}

function source(row) {
  if (row.data_source === "Mixed") return row.estimated_cost_usd ? SOURCES.Estimated : SOURCES.Mixed;
  return SOURCES[row.data_source] ?? row.data_source;
}

const whole = (value) => (value === null || value === undefined ? UNKNOWN : value.toLocaleString("en-US"));
const share = (value) => (value === null ? UNKNOWN : `${(100 * value).toFixed(1)} %`);

// -- days ----------------------------------------------------------------------------------------

// All days of the range: a day without data is a gap in the chart, not left out.
const DAYS = daysBetween(main.since, main.until);
const GAPS = new Set(JSON.parse(main.gaps || "[]"));

function daysBetween(since, until) {
  const days = [];
  for (let at = Date.parse(since); at <= Date.parse(until); at += 86400000) days.push(new Date(at).toISOString().slice(0, 10));
  return days;
}

// Why a day's figures are not those of a whole day; empty if they are.
function stateOf(day) {
  if (!main.first || day < main.first || day > main.last) return "not loaded";
  if (day > main.finished) return day === main.today ? "still running" : "not read to the end";
  return GAPS.has(day) ? "partly not read" : "";
}

const HOURS = [...Array(24).keys()].map((hour) => `${main.since}T${String(hour).padStart(2, "0")}:00:00Z`);

// An axis of the hours of one day.
function hoursOfDay(width) {
  const every = width < 600 ? 3 : 1;
  return {
    field: "day", type: "ordinal", title: "Hour, UTC",
    scale: { type: "band", domain: HOURS, paddingInner: 0.08 },
    axis: { values: HOURS.filter((_, hour) => hour % every === 0), labelExpr: "utcFormat(toDate(datum.value), '%H')", labelAngle: 0, grid: false },
  };
}

// Labels stand under the middle of their bars, as many as fit.
function days(width, all = DAYS) {
  const every = Math.max(1, Math.ceil(all.length / Math.max(2, Math.floor(width / 70))));
  const labelled = all.filter((_, index) => (all.length - 1 - index) % every === 0);
  return {
    field: "day", type: "ordinal", title: null,
    scale: { type: "band", domain: all, paddingInner: 0.08, paddingOuter: Math.max(0.04, (8 - all.length) / 2) },
    axis: { values: labelled, labelExpr: `datum.value > '${main.finished}' && datum.value <= '${main.last}' ? [utcFormat(toDate(datum.value), '%b %d'), 'so far'] : utcFormat(toDate(datum.value), '%b %d')`, labelAngle: 0, labelOverlap: true, grid: false },
  };
}

const dayTip = { field: "day", title: "Day" };

// Behind the bars: the days whose figures are not those of a whole day, and why.
function shade(x) {
  const values = DAYS.map((day) => ({ day, why: stateOf(day) })).filter(({ why }) => why);
  const before = values.filter(({ day, why }) => why === "not loaded" && (!main.first || day < main.first));
  const middle = before.length > DAYS.length / 8 ? [before[Math.floor(before.length / 2)]] : [];
  return {
    layer: [
      {
        data: { values },
        mark: { type: "rect", width: { band: 1.09 }, color: css("--line"), opacity: 0.45 },
        encoding: { x, tooltip: [dayTip, { field: "why", title: "This day is" }] },
      },
      {
        data: { values: middle },
        mark: { type: "text", y: 14, fontSize: 12, color: css("--quiet") },
        encoding: { x, text: { field: "why" } },
      },
    ],
  };
}

// -- colours -------------------------------------------------------------------------------------

// Told apart by people who see few colours too (Okabe and Ito; Tol).
const PALETTE = ["#0072b2", "#e69f00", "#009e73", "#cc79a7", "#56b4e9", "#d55e00", "#aa4499", "#c9b458", "#882255", "#8f8f2c"];
const GREYS = { [OTHERS]: "#8a94a3", "(unattributed)": "#b4bcc8" };
const FAILED = "#d55e00";
const KEPT = "bedrock-usage-colours";

function hash(text) {
  let value = 2166136261;
  for (const character of text) value = Math.imul(value ^ character.codePointAt(0), 16777619) >>> 0;
  return value;
}

// A name keeps its colour in every chart and range: the one it had, else one that follows from it.
function coloursOf(kind, names) {
  const kept = load();
  const taken = new Set();
  const slots = new Map();
  const place = (name, slot) => { slots.set(name, slot); taken.add(slot); kept[hash(`${kind}/${name}`)] = slot; };
  const plain = names.filter((name) => !(name in GREYS));
  for (const name of plain) {
    const slot = kept[hash(`${kind}/${name}`)];
    if (Number.isInteger(slot) && slot < PALETTE.length && !taken.has(slot)) place(name, slot);
  }
  for (const name of plain.filter((name) => !slots.has(name))) {
    let slot = hash(name) % PALETTE.length;
    for (let tries = 0; taken.has(slot) && tries < PALETTE.length; tries += 1) slot = (slot + 1) % PALETTE.length;
    place(name, slot);
  }
  save(kept);
  return names.map((name) => GREYS[name] ?? PALETTE[slots.get(name)]);
}

// By hashes of names: names stay out of the browser's storage.
function load() {
  try {
    return JSON.parse(localStorage.getItem(KEPT)) ?? {};
  } catch {
    return {};
  }
}

function save(kept) {
  try {
    localStorage.setItem(KEPT, JSON.stringify(Object.fromEntries(Object.entries(kept).slice(-500))));
  } catch {
    // Without storage, colours still follow from the names.
  }
}

// -- charts --------------------------------------------------------------------------------------

// Dollars along an axis: all labels have the same number of decimals.
function money(values) {
  const most = Math.max(0, ...values);
  const step = 10 ** Math.floor(Math.log10(most / 5 || 1));
  const decimals = Math.max(0, -Math.floor(Math.log10(step)));
  return { format: `$,.${decimals === 1 ? 2 : decimals}f`, tickCount: 5 };
}

// Kind of chart -> what to draw from the rows: {values, spec, columns: [[heading, cell, is number]],
// legend: [[name, colour, is dashed]]}. A column may have the address of a cell's page; sum: what the
// last line of the table is made of.
const KINDS = {
  // billed: by closed day, what AWS's bill charges. per: hour for the hours of one day.
  cost(given, { by, billed, page, per }, width) {
    const isHourly = per === "hour";
    const rows = isHourly ? given.map((row) => ({ ...row, day: row.hour })) : given;
    const totals = new Map();
    const spent = new Map();
    for (const row of rows) {
      const sum = totals.get(row.day) ?? { cost_usd: null, is_lower_bound: 0 };
      if (row.cost_usd !== null) sum.cost_usd = (sum.cost_usd ?? 0) + row.cost_usd;
      totals.set(row.day, { cost_usd: sum.cost_usd, is_lower_bound: sum.is_lower_bound || row.is_lower_bound });
      spent.set(row[by], (spent.get(row[by]) ?? 0) + (row.cost_usd ?? 0));
    }
    const order = othersLast([...spent].sort((a, b) => b[1] - a[1]).map(([name]) => name));
    const colours = coloursOf(by, order);
    const values = rows.map((row) => ({
      day: row.day, name: row[by], label: label(by, row[by]), amount: row.cost_usd ?? 0, rank: order.indexOf(row[by]),
      cost: cost(row), total: cost(totals.get(row.day)), calls: whole(row.calls), state: stateOf(row.day.slice(0, 10)) || "finished",
    }));
    const x = isHourly ? hoursOfDay(width) : days(width);
    const tip = { field: "day", title: isHourly ? "Hour" : "Day" };
    const bars = {
      mark: { type: "bar", cursor: page ? "pointer" : "default", stroke: css("--panel"), strokeWidth: 0.5 },
      encoding: {
        x,
        y: { field: "amount", type: "quantitative", title: "USD", axis: money([...totals.values()].map((sum) => sum.cost_usd ?? 0)) },
        color: { field: "name", type: "nominal", scale: { domain: order, range: colours }, legend: null },
        order: { field: "rank" },
        opacity: { condition: { test: "picked === null || picked === datum.name", value: 1 }, value: 0.15 },
        tooltip: [tip, { field: "label", title: "Name" }, { field: "cost", title: "Cost" }, { field: "calls", title: "Calls" }, { field: "total", title: `All of the ${tip.title.toLowerCase()}` }, { field: "state", title: "The day is" }],
      },
    };
    return {
      values,
      spec: { params: [{ name: "picked", value: null }], layer: [...(isHourly ? [] : [shade(x)]), bars, ...(billed && !isHourly ? [billedLine(x, JSON.parse(billed))] : [])] },
      columns: [[tip.title, (row) => row.day ?? row.hour], ["Name", (row) => label(by, row[by])], ["Cost", cost, true], ["Calls", (row) => whole(row.calls), true], ["Token data", source]],
      legend: [...order.map((name, index) => [label(by, name), colours[index], false, name]), ...(billed && !isHourly ? [[BILLED, css("--ink"), true]] : [])],
    };
  },
  bars(rows, { by }, width) {
    const values = rows.map((row) => ({ name: row[by], amount: row.cost_usd ?? 0, cost: cost(row), calls: whole(row.calls), source: source(row) }));
    const order = othersLast(values.map((row) => row.name));
    return {
      values,
      height: Math.max(120, 26 * values.length + 50),
      spec: {
        mark: { type: "bar", cursor: "pointer", color: PALETTE[0] },
        encoding: {
          y: { field: "name", type: "nominal", sort: order, title: null, axis: { labelLimit: Math.max(110, width * 0.42) } },
          x: { field: "amount", type: "quantitative", title: "USD", axis: money(values.map((row) => row.amount)) },
          tooltip: [{ field: "name", title: "Name" }, { field: "cost", title: "Cost" }, { field: "calls", title: "Calls" }, { field: "source", title: "Token data" }],
        },
      },
      columns: [["Name", (row) => row[by]], ["Cost", cost, true], ["Calls", (row) => whole(row.calls), true], ["Token data", source]],
    };
  },
  // What changed, cause by cause: those that cost more are to the right, and the others to the left.
  // causes: the beginning of a column -> its heading.
  movers(rows, { by, page, causes }, width) {
    const headings = JSON.parse(causes);
    const names = Object.keys(headings);
    const first = rows.slice(0, MOVED);
    const sums = Object.fromEntries(["difference", "cost_before", "cost_after", ...names].map((one) => [`${one}_usd`, rows.reduce((sum, row) => sum + row[`${one}_usd`], 0)]));
    const decimals = Math.max(sums.cost_before_usd, sums.cost_after_usd) >= 1 ? 2 : 6;
    const change = (value) => signed(value, decimals);
    const tips = (row) => ({ name: row.name, label: label(by, row.name), change: change(row.difference_usd), mainly: row.mainly ?? "nothing" });
    const values = first.flatMap((row) => names.map((cause) => ({ ...tips(row), cause: headings[cause], amount: row[`${cause}_usd`], shown: change(row[`${cause}_usd`]) }))).filter((one) => one.amount !== 0);
    const y = { field: "label", type: "nominal", sort: first.map((row) => label(by, row.name)), title: null, axis: { labelLimit: Math.max(110, width * 0.3) } };
    const amounts = first.flatMap((row) => [row.difference_usd, ...names.map((cause) => row[`${cause}_usd`])]);
    const tooltip = [{ field: "label", title: "Name" }, { field: "change", title: CHANGE }, { field: "mainly", title: "Mainly" }];
    const colours = names.map((_, index) => PALETTE[index]);
    const columns = [
      ["Name", (row) => label(by, row.name), false, (row) => address(page, row.name)],
      [CHANGE, (row) => change(row.difference_usd), true],
      ["Mainly", (row) => row.mainly ?? UNKNOWN],
      ["Before", (row) => dollars(row.cost_before_usd, decimals), true],
      ["After", (row) => dollars(row.cost_after_usd, decimals), true],
      ...names.map((cause) => [headings[cause], (row) => change(row[`${cause}_usd`]), true]),
    ];
    return {
      values: first.length ? [...values, { amount: 0 }] : [],
      height: Math.max(120, 26 * first.length + 50),
      spec: {
        encoding: { y },
        layer: [
          {
            data: { values },
            mark: { type: "bar", cursor: "pointer" },
            encoding: {
              x: { field: "amount", type: "quantitative", title: "USD", axis: money(amounts.map(Math.abs)) },
              color: { field: "cause", type: "nominal", scale: { domain: Object.values(headings), range: colours }, legend: null },
              tooltip: [...tooltip, { field: "cause", title: "Cause" }, { field: "shown", title: "Of it" }],
            },
          },
          {
            data: { values: first.map((row) => ({ ...tips(row), amount: row.difference_usd })) },
            mark: { type: "tick", thickness: 3, size: 22, color: css("--ink") },
            encoding: { x: { field: "amount", type: "quantitative" }, tooltip },
          },
        ],
      },
      columns,
      sum: { ...sums, name: `All ${whole(rows.length)}`, mainly: "" },
      legend: [...names.map((cause, index) => [headings[cause], colours[index]]), [CHANGE, css("--ink")]],
    };
  },
  // tokenKinds: [column, heading, whether it is input].
  tokens(rows, { tokenKinds }, width) {
    const kinds = JSON.parse(tokenKinds);
    const hit = (row) => {
      const all = kinds.reduce((sum, [field, , isInput]) => sum + (isInput ? (row[field] ?? 0) : 0), 0);
      return row.cache_read_tokens === null || !all ? null : row.cache_read_tokens / all;
    };
    const used = kinds.filter(([field]) => rows.some((row) => row[field] !== null));
    const values = rows.flatMap((row) => used.filter(([field]) => row[field] !== null).map(([field, kind]) => ({ day: row.day, kind, tokens: row[field], rank: kinds.findIndex(([, heading]) => heading === kind), count: whole(row[field]), share: share(hit(row)) })));
    const names = used.map(([, kind]) => kind);
    const colours = used.map(([field]) => PALETTE[kinds.findIndex(([other]) => other === field) % PALETTE.length]);
    const x = days(width);
    const bars = {
      mark: { type: "bar", stroke: css("--panel"), strokeWidth: 0.5 },
      encoding: {
        x,
        y: { field: "tokens", type: "quantitative", title: "Tokens", axis: { format: "~s", tickCount: 5 } },
        color: { field: "kind", type: "nominal", scale: { domain: names, range: colours }, legend: null },
        order: { field: "rank" },
        tooltip: [dayTip, { field: "kind", title: "Kind" }, { field: "count", title: "Tokens" }, { field: "share", title: HITS }],
      },
    };
    const hits = new Map(rows.map((row) => [row.day, hit(row)]));
    const line = {
      // Days without a share break the line.
      data: { values: DAYS.map((day) => ({ day, hit: hits.get(day) ?? null, share: share(hits.get(day) ?? null) })) },
      mark: { type: "line", point: { size: 30, color: css("--ink") }, strokeDash: [4, 3], color: css("--ink") },
      encoding: {
        x,
        y: { field: "hit", type: "quantitative", title: HITS, axis: { format: ".0%", grid: false, tickCount: 5 }, scale: { domain: [0, 1] } },
        tooltip: [dayTip, { field: "share", title: HITS }],
      },
    };
    const hasHits = [...hits.values()].some((value) => value !== null);
    return {
      values,
      spec: { layer: [{ layer: [shade(x), bars] }, ...(hasHits ? [line] : [])], ...(hasHits ? { resolve: { scale: { y: "independent" } } } : {}) },
      columns: [["Day", (row) => row.day], ...used.map(([field, kind]) => [kind, (row) => whole(row[field]), true]), [HITS, (row) => share(hit(row)), true]],
      legend: [...names.map((name, index) => [name, colours[index]]), ...(hasHits ? [[HITS, css("--ink"), true]] : [])],
    };
  },
  calls(rows, _, width) {
    const values = rows.flatMap((row) => [["Succeeded", row.calls], ["Failed", row.failed_calls]].map(([what, count], rank) => ({ day: row.day, what, count, rank, shown: whole(count) })));
    const x = days(width);
    const bars = {
      mark: { type: "bar", stroke: css("--panel"), strokeWidth: 0.5 },
      encoding: {
        x,
        y: { field: "count", type: "quantitative", title: "Calls", axis: { format: "~s", tickMinStep: 1, tickCount: 5 } },
        color: { field: "what", type: "nominal", scale: { domain: ["Succeeded", "Failed"], range: [PALETTE[0], FAILED] }, legend: null },
        order: { field: "rank" },
        tooltip: [dayTip, { field: "what", title: "Calls" }, { field: "shown", title: "Number" }],
      },
    };
    return {
      values,
      spec: { layer: [shade(x), bars] },
      columns: [["Day", (row) => row.day], ["Succeeded", (row) => whole(row.calls), true], ["Failed", (row) => whole(row.failed_calls), true]],
      legend: [["Succeeded", PALETTE[0]], ["Failed", FAILED]],
    };
  },
  // What the month has cost up to each day, and what it may cost up to those to come. A day that
  // is over and not loaded adds what it is expected to have cost.
  month(rows, _, width) {
    const { through_day: through, forecast_usd: middle, forecast_low_usd: low, forecast_high_usd: high } = rows[0] ?? {};
    const lines = [];
    let total = 0;
    for (const row of rows.filter((one) => one.day <= through)) {
      const what = row.expected_usd === null ? SO_FAR : EXPECTED;
      const before = lines.at(-1);
      if (!before || before.what !== what) lines.push({ what, points: before ? [before.points.at(-1)] : [] });
      total += row.expected_usd ?? row.cost_usd ?? 0;
      lines.at(-1).points.push({ day: row.day, total });
    }
    const rest = rows.filter((one) => one.day > through);
    const all = rest.reduce((sum, one) => sum + one.expected_usd, 0);
    const at = (end, part) => total + Math.max(0, end - total) * part;
    const ahead = lines.length ? [{ day: through, total, low: total, high: total }] : [];
    let expected = 0;
    for (const [index, one] of rest.entries()) {
      expected += one.expected_usd;
      const part = all > 0 ? expected / all : (index + 1) / rest.length;
      ahead.push({ day: one.day, total: at(middle, part), low: at(low, part), high: at(high, part) });
    }
    lines.push({ what: EXPECTED, points: ahead });
    const values = lines.flatMap(({ what, points }, line) => points.map((point) => ({ ...point, what, line, shown: dollars(point.total), least: dollars(point.low), most: dollars(point.high) })));
    const y = { field: "total", type: "quantitative", title: "USD since the first", axis: money(values.map((one) => one.high ?? one.total)) };
    const tip = (field, title) => ({ field, title });
    return {
      values,
      spec: {
        encoding: { x: days(width, rows.map((row) => row.day)) },
        layer: [
          {
            data: { values: values.filter((one) => one.low !== undefined) },
            mark: { type: "area", opacity: 0.2, color: PALETTE[0] },
            encoding: { y: { ...y, field: "low" }, y2: { field: "high" }, tooltip: [dayTip, tip("least", "At least, 9 times out of 10"), tip("most", "At most, 9 times out of 10")] },
          },
          {
            mark: { type: "line", point: { color: PALETTE[0] }, color: PALETTE[0] },
            encoding: {
              y,
              detail: { field: "line" },
              strokeDash: { field: "what", type: "nominal", scale: { domain: [SO_FAR, EXPECTED], range: [[1, 0], [5, 4]] }, legend: null },
              tooltip: [dayTip, tip("what", "What"), tip("shown", "Since the first")],
            },
          },
        ],
      },
      columns: [["Day", (row) => row.day], ["Cost", (row) => dollars(row.cost_usd), true], ["Expected", (row) => dollars(row.expected_usd), true]],
      legend: [[SO_FAR, PALETTE[0]], [EXPECTED, PALETTE[0], true]],
    };
  },
  hours(rows) {
    return {
      values: rows.map((row) => ({ ...row, shown: whole(row.calls), failed: whole(row.failed_calls) })),
      spec: {
        mark: { type: "bar", color: PALETTE[0] },
        encoding: {
          x: { field: "hour_of_day", type: "ordinal", title: "Hour, UTC", axis: { labelAngle: 0, labelOverlap: true } },
          y: { field: "calls", type: "quantitative", title: "Calls", axis: { format: "~s", tickMinStep: 1, tickCount: 5 } },
          tooltip: [{ field: "hour_of_day", title: "Hour" }, { field: "shown", title: "Succeeded" }, { field: "failed", title: "Failed" }],
        },
      },
      columns: [["Hour", (row) => `${row.hour_of_day}:00`], ["Succeeded", (row) => whole(row.calls), true], ["Failed", (row) => whole(row.failed_calls), true]],
    };
  },
  // Failed calls by kind. kinds: all kinds of error, in their order.
  errors(rows, { kinds }, width) {
    const all = JSON.parse(kinds);
    const order = all.filter((kind) => rows.some((row) => row.error_kind === kind));
    const colours = order.map((kind) => PALETTE[all.indexOf(kind) % PALETTE.length]);
    const part = (row) => share(row.all_calls ? row.failed_calls / row.all_calls : null);
    const values = rows.map((row) => ({ day: row.day, name: row.error_kind, count: row.failed_calls, rank: order.indexOf(row.error_kind), shown: whole(row.failed_calls), share: part(row), codes: row.error_codes ?? UNKNOWN }));
    const x = days(width);
    const bars = {
      mark: { type: "bar", stroke: css("--panel"), strokeWidth: 0.5 },
      encoding: {
        x,
        y: { field: "count", type: "quantitative", title: "Failed calls", axis: { format: "~s", tickMinStep: 1, tickCount: 5 } },
        color: { field: "name", type: "nominal", scale: { domain: order, range: colours }, legend: null },
        order: { field: "rank" },
        opacity: { condition: { test: "picked === null || picked === datum.name", value: 1 }, value: 0.15 },
        tooltip: [dayTip, { field: "name", title: "Kind" }, { field: "shown", title: "Failed calls" }, { field: "share", title: "Of all calls of the day" }, { field: "codes", title: "Error codes" }],
      },
    };
    return {
      values,
      spec: { params: [{ name: "picked", value: null }], layer: [shade(x), bars] },
      columns: [["Day", (row) => row.day], ["Kind", (row) => row.error_kind], ["Failed calls", (row) => whole(row.failed_calls), true], ["Of all calls", part, true], ["Error codes", (row) => row.error_codes]],
      legend: order.map((kind, index) => [kind, colours[index]]),
    };
  },
  // A weekday that is more often in the range is not darker for it: means of its loaded days.
  week(rows, _, width) {
    const times = WEEKDAYS.map((_, index) => DAYS.filter((day) => (new Date(day).getUTCDay() + 6) % 7 === index && stateOf(day) !== "not loaded").length);
    const mean = (row) => (times[row.weekday - 1] ? row.calls / times[row.weekday - 1] : null);
    const shown = (amount) => (amount === null ? UNKNOWN : amount.toLocaleString("en-US", { maximumFractionDigits: 1 }));
    const found = new Map(rows.map((row) => [`${row.weekday}/${row.hour_of_day}`, row]));
    const hours = [...Array(24).keys()];
    const all = WEEKDAYS.flatMap((name, index) => hours.map((hour) => {
      const row = found.get(`${index + 1}/${hour}`) ?? { weekday: index + 1, calls: 0, failed_calls: 0 };
      return { name, hour, mean: mean(row), shown: shown(mean(row)), calls: whole(row.calls), failed: whole(row.failed_calls), times: times[index] };
    }));
    const most = Math.max(0, ...all.map((one) => one.mean ?? 0));
    const axis = { domain: false, ticks: false, grid: false };
    return {
      values: rows.length ? all : [],
      spec: {
        mark: { type: "rect", stroke: css("--panel"), strokeWidth: 1 },
        encoding: {
          x: { field: "hour", type: "ordinal", title: "Hour, UTC", axis: { ...axis, values: hours.filter((hour) => width >= 600 || hour % 3 === 0), labelAngle: 0 } },
          y: { field: "name", type: "ordinal", sort: WEEKDAYS, title: null, axis },
          color: { field: "mean", type: "quantitative", scale: { domain: [0, most || 1], range: [css("--line"), PALETTE[0]], interpolate: "lab" }, legend: null },
          tooltip: [{ field: "name", title: "Weekday" }, { field: "hour", title: "Hour" }, { field: "shown", title: "Calls, on average" }, { field: "calls", title: "Succeeded, in all" }, { field: "failed", title: "Failed, in all" }, { field: "times", title: "Such days" }],
        },
      },
      columns: [["Weekday", (row) => WEEKDAYS[row.weekday - 1]], ["Hour", (row) => `${String(row.hour_of_day).padStart(2, "0")}:00`], ["Calls, on average", (row) => shown(mean(row)), true], ["Succeeded", (row) => whole(row.calls), true], ["Failed", (row) => whole(row.failed_calls), true]],
      legend: [["No calls", css("--line")], [`${shown(most)} calls an hour, on average`, PALETTE[0]]],
    };
  },
};

// So many names of what changed are drawn; the table has all.
const MOVED = 10;
const WIDE = 6;
const CHANGE = "Change";
const HITS = "Share of input read from cache";
const WEEKDAYS = ["Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday", "Sunday"];
const BILLED = "Billed by AWS, closed days";
const SO_FAR = "Cost so far";
const EXPECTED = "Expected";

// A line over the bars of all names; days that are not closed break it.
function billedLine(x, billed) {
  return {
    data: { values: DAYS.map((day) => ({ day, billed: billed[day] ?? null, shown: dollars(billed[day]) })) },
    mark: { type: "line", point: { filled: false, fill: css("--panel"), size: 45 }, strokeWidth: 1.5, strokeDash: [4, 3], color: css("--ink") },
    encoding: { x, y: { field: "billed", type: "quantitative" }, tooltip: [dayTip, { field: "shown", title: "Billed by AWS" }] },
  };
}

// "(others)" comes last, however large it is.
function othersLast(names) {
  return names.includes(OTHERS) ? [...names.filter((name) => name !== OTHERS), OTHERS] : names;
}

function css(name) {
  return getComputedStyle(document.documentElement).getPropertyValue(name).trim();
}

function config() {
  const [quiet, grid] = ["--quiet", "--line"].map(css);
  const text = { labelColor: quiet, titleColor: quiet, labelFontSize: 12, titleFontSize: 12, titleFontWeight: "normal" };
  return {
    background: null,
    font: "system-ui, sans-serif",
    view: { stroke: null },
    axis: { ...text, gridColor: grid, domainColor: grid, tickColor: grid },
  };
}

function fillTable(figure, rows, columns, sum) {
  const table = document.createElement("table");
  const head = table.createTHead().insertRow();
  for (const [heading, , isNumber] of columns) {
    const cell = document.createElement("th");
    cell.scope = "col";
    cell.textContent = heading;
    if (isNumber) cell.className = "n";
    head.append(cell);
  }
  const body = table.createTBody();
  // On a narrow screen, a row of many columns is a block: each figure beside its heading.
  if (columns.length > WIDE) table.className = "stack";
  const fill = (line, row, isSum) => {
    for (const [heading, text, isNumber, address] of columns) {
      const cell = line.insertCell();
      if (cell.cellIndex) cell.dataset.label = heading;
      else cell.className = "head";
      const holder = address && !isSum ? cell.appendChild(document.createElement("a")) : cell;
      holder.textContent = text(row) ?? UNKNOWN;
      if (holder !== cell) holder.href = address(row);
      if (isNumber) cell.className = "n";
    }
  };
  for (const row of rows) fill(body.insertRow(), row, false);
  if (sum) fill(table.createTFoot().insertRow(), sum, true);
  const scroll = figure.querySelector(".rows .scroll");
  scroll.replaceChildren(table);
  scroll.dispatchEvent(new Event("filled", { bubbles: true }));
}

// The legend is text of the page: all of it is seen at any width. A press brings a name out.
function fillLegend(figure, entries, pick) {
  const list = figure.querySelector(".legend");
  list.replaceChildren(...entries.map(([text, colour, isDashed, name = text]) => {
    const entry = document.createElement("li");
    const canBePicked = pick && !isDashed;
    const holder = canBePicked ? document.createElement("button") : document.createElement("span");
    const swatch = document.createElement("span");
    swatch.className = isDashed ? "swatch dashed" : "swatch";
    swatch.style.color = colour;
    holder.append(swatch, text);
    if (name !== text) holder.title = name;
    if (canBePicked) {
      holder.type = "button";
      holder.setAttribute("aria-pressed", "false");
      holder.addEventListener("click", () => {
        const isPicked = holder.getAttribute("aria-pressed") !== "true";
        for (const other of list.querySelectorAll("button")) other.setAttribute("aria-pressed", String(isPicked && other === holder));
        pick(isPicked ? name : null);
      });
    }
    entry.append(holder);
    return entry;
  }));
}

function say(figure, text) {
  const paragraph = document.createElement("p");
  paragraph.textContent = text;
  figure.querySelector(".plot").replaceChildren(paragraph);
}

async function draw(figure) {
  const { chart, json, page } = figure.dataset;
  const plot = figure.querySelector(".plot");
  const answer = await fetch(json, { headers: { Accept: "application/json" } });
  if (!answer.ok) throw new Error(`the data could not be loaded (status ${answer.status})`);
  const { rows, truncated, error } = await answer.json();
  if (error) throw new Error(error);
  if (truncated) throw new Error("too many rows to draw; choose fewer days");
  const { values, spec, columns, sum, legend = [], height } = KINDS[chart](rows, figure.dataset, plot.clientWidth);
  fillTable(figure, rows, columns, rows.length ? sum : null);
  if (!values.length) return say(figure, "Nothing to draw in this range.");
  const { view } = await window.vegaEmbed(
    plot,
    { $schema: "https://vega.github.io/schema/vega-lite/v6.json", width: "container", height: height ?? (chart === "cost" ? 300 : 240), autosize: { type: "fit", contains: "padding" }, data: { values }, config: config(), ...spec },
    { ast: true, actions: false, renderer: "canvas", defaultStyle: false, tooltip: { disableDefaultStyle: true, theme: "custom" } },
  );
  fillLegend(figure, legend, ["cost", "errors"].includes(chart) ? (name) => view.signal("picked", name).runAsync() : null);
  const use = (item) => page && follow(page, item?.datum?.name);
  view.addEventListener("click", (_, item) => use(item));
  attendTaps(view, use);
  figure.dataset.drawn = "yes";
}

// Vega forgets what a finger was on before the browser calls it a click.
function attendTaps(view, use) {
  let from;
  view.addEventListener("touchstart", ({ changedTouches: [touch] }) => { from = touch; });
  view.addEventListener("touchend", ({ changedTouches: [touch] }, item) => {
    if (!from || !item || Math.hypot(touch.clientX - from.clientX, touch.clientY - from.clientY) > 10) return;
    if (item.tooltip) view.tooltip()(null, touch, item, item.tooltip);
    use(item);
  });
}

function follow(page, name) {
  if (typeof name !== "string" || name === OTHERS) return;
  location.assign(address(page, name));
}

// The page of a name, over the same days.
function address(page, name) {
  const found = new URL(page, location.href);
  found.searchParams.set("name", name);
  return found;
}

async function drawAll() {
  const figures = [...document.querySelectorAll("figure.chart")];
  if (!figures.length) return;
  await import(script.dataset.vega);
  await Promise.all(figures.map((figure) => draw(figure).catch((error) => say(figure, `No chart: ${error.message}.`))));
}

document.addEventListener("refreshed", () => location.reload());
matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
drawAll();
