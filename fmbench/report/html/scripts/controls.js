"use strict";

/** The bar of controls above the chart, which stays in sight. */

/** Draw the bar of what the state holds. `update` takes what changes. */
function drawControls(report, selection, state, update) {
  const bar = byId("controls");
  const open = [...bar.querySelectorAll("details[open]")].map((details) => details.id);
  const focused = bar.contains(document.activeElement) ? document.activeElement.id : "";
  bar.replaceChildren(
    make(
      "div",
      { class: "bar" },
      report.datasets.length > 1 &&
        labelled(
          "Dataset",
          "choose-dataset",
          report.datasets.map((each) => [each.name, each.name]),
          selection.dataset.name,
          (dataset) => update({ dataset, pinned: [], page: 0, metric: "", against: "", left: "", right: "" }),
        ),
      labelled(
        "Metric",
        "choose-metric",
        selection.dataset.metrics.map(metricOption),
        selection.metric.name,
        (metric) => update({ metric, sort: "" }),
        report.terms.get(selection.metric.name) || selection.metric.title,
      ),
      labelled("Across", "choose-x", xOptions(selection), selection.x, (x) => update({ x }), report.terms.get("NFE")),
      selection.axes.length > 0 &&
        labelled(
          "Colour",
          "choose-colour",
          selection.axes.map((axis) => [axis.name, axis.label]),
          selection.colour?.name,
          (colour) => update({ colour, page: 0 }),
        ),
      selection.axes.length > 1 && facetsMenu(selection, update),
      selection.axes.length > 0 && filterMenu(selection, update),
      labelled("Difference from", "choose-against", againstOptions(selection), state.against, (against) =>
        update({ against, sort: "" }),
      ),
      choices(selection, update),
      make(
        "button",
        {
          type: "button",
          id: "reset",
          class: "quiet",
          disabled: hashOf(state) === "",
          click: () => update({ ...START, only: {}, pinned: [] }),
        },
        "Reset",
      ),
    ),
  );
  open.forEach((id) => byId(id)?.setAttribute("open", ""));
  if (focused) byId(focused)?.focus({ preventScroll: true });
  document.documentElement.style.scrollPaddingTop = `${bar.offsetHeight + 12}px`;
}

/** Return a select below its label; `title` explains what is chosen. */
function labelled(label, id, options, chosen, onChange, title = null) {
  const select = makeSelect(id, options, chosen, onChange);
  return make("label", { class: "field", for: id, title }, make("span", {}, label), select);
}

function metricOption(metric) {
  return [metric.name, metric.name];
}

/** Across what the chart is drawn: times only where they may be trusted. */
function xOptions(selection) {
  const { timing } = selection.dataset;
  return [
    ["nfe", "NFE"],
    ["ms", "ms", timing.metric ? null : timing.reason || "no time was measured"],
  ];
}

function againstOptions(selection) {
  const rows = selection.dataset.rows.map((row) => [row.id, row.label]);
  const baseline = selection.dataset.rows.some((row) => row.against !== null);
  const own = [["", "none"], ...(baseline ? [["baseline", "the baseline"]] : [])];
  return [...own, { group: "one row", options: rows }];
}

function choices(selection, update) {
  const scale = [
    ["log", "log"],
    ["linear", "linear"],
  ];
  const show = [
    ["intervals", "intervals"],
    ["seeds", "seeds"],
  ];
  return make(
    "div",
    { class: "choices" },
    selection.canLog &&
      makeChoice("Scale", scale, selection.log ? "log" : "linear", (value) => update({ scale: value })),
    makeChoice("Show", show, selection.seeds ? "seeds" : "intervals", (value) => update({ show: value })),
  );
}

/** Return a button that opens a panel. */
function menu(id, label, said, content) {
  return make(
    "details",
    { class: "menu", id, keydown: closeOnEscape },
    make("summary", { id: `${id}-summary` }, make("span", {}, label), make("b", {}, said)),
    make("div", { class: "panel" }, content),
  );
}

function closeOnEscape(event) {
  if (event.key !== "Escape") return;
  event.currentTarget.removeAttribute("open");
  event.currentTarget.querySelector("summary").focus();
}

/** Close what is open when somebody clicks elsewhere. What was clicked may have been drawn anew since: ids stay. */
function closeMenus(event) {
  const inside = new Set(event.composedPath().map((node) => node.id));
  document.querySelectorAll("#controls details[open]").forEach((details) => {
    if (!inside.has(details.id)) details.removeAttribute("open");
  });
}

function facetsMenu(selection, update) {
  const others = selection.axes.filter((axis) => axis !== selection.colour);
  const boxes = others.map((axis) =>
    checkbox(`facet-${axis.name}`, axis.label, selection.facets.includes(axis), (checked) => {
      const chosen = others.filter((each) => (each === axis ? checked : selection.facets.includes(each)));
      update({ facets: chosen.length ? chosen.map((each) => each.name).join(" ") : "none", page: 0 });
    }),
  );
  const said = selection.facets.map((axis) => axis.label).join(", ") || "none";
  return menu("facets", "Panels", said, make("fieldset", {}, make("legend", {}, "A panel for each"), boxes));
}

function filterMenu(selection, update) {
  const groups = selection.axes.map((axis) => {
    const now = new Set(selection.only[axis.name] ?? axis.values);
    const set = (values) => {
      const only = { ...selection.only };
      if (values.length === axis.values.length || values.length === 0) delete only[axis.name];
      else only[axis.name] = values;
      update({ only, page: 0 });
    };
    const boxes = axis.values.map((value, i) =>
      checkbox(`only-${axis.name}-${i}`, value || "–", now.has(value), (checked) =>
        set(axis.values.filter((each) => (each === value ? checked : now.has(each)))),
      ),
    );
    const all =
      selection.only[axis.name] &&
      make("button", { type: "button", class: "quiet", id: `all-${axis.name}`, click: () => set([]) }, "all");
    return make("fieldset", {}, make("legend", {}, axis.label), boxes, all);
  });
  const [shown, total] = [selection.rows.length, selection.dataset.rows.length];
  return menu("filter", "Filter", shown === total ? `all ${total} rows` : `${shown} of ${total} rows`, groups);
}

function checkbox(id, label, checked, onChange) {
  return make(
    "label",
    { class: "check", for: id },
    make("input", { type: "checkbox", id, checked, change: (event) => onChange(event.target.checked) }),
    make("span", {}, label),
  );
}

/** Let the reader choose light or dark; at first it is the system's choice. `redraw` is for what
 * is painted, and does not follow by itself. */
function startTheme(redraw) {
  const button = byId("theme");
  const dark = matchMedia("(prefers-color-scheme: dark)");
  const show = (theme) => {
    if (theme) document.documentElement.dataset.theme = theme;
    const now = document.documentElement.dataset.theme ?? (dark.matches ? "dark" : "light");
    button.textContent = now === "dark" ? "Light" : "Dark";
    button.setAttribute("aria-label", `Switch to the ${now === "dark" ? "light" : "dark"} theme`);
    return now;
  };
  show(kept("theme"));
  dark.addEventListener("change", () => {
    show(null);
    redraw();
  });
  button.addEventListener("click", () => {
    const next = show(null) === "dark" ? "light" : "dark";
    show(next);
    keep("theme", next);
    redraw();
  });
}
