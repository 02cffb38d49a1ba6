"use strict";

/** What the reader takes along: text for the clipboard, drawings as files. */

/** Copy a text and say so. Where the browser gives no clipboard (a sandboxed frame), show the text, chosen, to copy. */
async function copyText(text, what) {
  try {
    await navigator.clipboard.writeText(text);
  } catch {
    if (!copyBySelection(text)) {
      showText(text, `${what}: press Ctrl+C to copy`);
      return;
    }
  }
  say(`${what} copied`);
}

function copyBySelection(text) {
  const focused = document.activeElement;
  const area = document.body.appendChild(make("textarea", { class: "hidden", "aria-hidden": "true", tabindex: -1 }));
  area.value = text;
  area.select();
  const done = document.execCommand("copy");
  area.remove();
  focused?.focus({ preventScroll: true });
  return done;
}

/** Show a text in a dialog, all of it chosen. */
function showText(text, title) {
  const area = make("textarea", { rows: 12, readonly: true, "aria-label": title });
  area.value = text;
  openDialog(title, area);
  area.select();
}

function openDialog(title, content) {
  const close = make("button", { type: "button", class: "quiet", click: () => dialog.close() }, "Close");
  const dialog = make("dialog", { "aria-label": title, close: () => dialog.remove() }, make("header", {}, make("h2", {}, title), close), content);
  document.body.append(dialog);
  dialog.showModal();
}

/** Say something for a moment, in sight and to who listens. */
function say(text) {
  const toast = byId("announcer");
  toast.textContent = text;
  toast.classList.add("said");
  clearTimeout(say.timer);
  say.timer = setTimeout(() => toast.classList.remove("said"), 2500);
}

/** Return the table's rows as CSV, Markdown or LaTeX: a header line and lines of cells {text, mark, label}. */
function tableAs(form, { heads, lines }) {
  if (form === "csv") return d3.csvFormatRows([heads.csv, ...lines.map((line) => line.csv)]) + "\n";
  return form === "markdown" ? asMarkdown(heads, lines) : asLatex(heads, lines);
}

function asMarkdown(heads, lines) {
  const escaped = (text) => text.replace(/[\\|*_<>[\]`]/g, "\\$&");
  const cell = (each) => (each.mark === 1 ? `**${escaped(each.text)}**` : each.mark === 2 ? `${escaped(each.text)} †` : escaped(each.text));
  const write = (cells) => `| ${cells.join(" | ")} |`;
  const rule = [...heads.labels.map(() => "---"), ...heads.columns.map(() => "---:")];
  return [write([...heads.labels, ...heads.columns].map(escaped)), write(rule), ...lines.map((line) => write([...line.labels.map(escaped), ...line.cells.map(cell)]))].join("\n") + "\n";
}

const LATEX = { "\\": "\\textbackslash{}", "~": "\\textasciitilde{}", "^": "\\textasciicircum{}", "±": "$\\pm$", "−": "$-$", "†": "$\\dagger$", "–": "--" };

function asLatex(heads, lines) {
  const escaped = (text) => text.replace(/[\\~^±−†–]/g, (each) => LATEX[each] ?? each).replace(/(?<!\\)[&%#_]/g, "\\$&");
  const cell = (each) => (each.mark === 1 ? `\\textbf{${escaped(each.text)}}` : escaped(each.text) + (each.mark === 2 ? "$^\\dagger$" : ""));
  const write = (cells) => `${cells.join(" & ")} \\\\`;
  return [
    `\\begin{tabular}{${"l".repeat(heads.labels.length)}${"r".repeat(heads.columns.length)}}`,
    "\\toprule",
    write([...heads.labels, ...heads.columns].map(escaped)),
    "\\midrule",
    ...lines.map((line) => write([...line.labels.map(escaped), ...line.cells.map(cell)])),
    "\\bottomrule",
    "\\end{tabular}",
    "",
  ].join("\n");
}

/** Return a drawing as SVG text that stands alone: colours resolved, on the page's paper. */
function standaloneSvg(svg) {
  const copy = svg.cloneNode(true);
  const style = getComputedStyle(document.documentElement);
  const [width, height] = [svg.width.baseVal.value, svg.height.baseVal.value + 12];
  copy.querySelectorAll(".aim").forEach((node) => node.remove());
  copy.setAttribute("xmlns", "http://www.w3.org/2000/svg");
  copy.setAttribute("viewBox", `0 -12 ${width} ${height}`);
  copy.setAttribute("height", height);
  copy.setAttribute("color", getComputedStyle(svg).color);
  copy.setAttribute("font-family", "system-ui, sans-serif");
  const paper = document.createElementNS("http://www.w3.org/2000/svg", "rect");
  Object.entries({ y: -12, width, height, fill: getComputedStyle(document.body).backgroundColor }).forEach(([name, value]) => paper.setAttribute(name, value));
  copy.prepend(paper);
  const probe = document.body.appendChild(make("i", { class: "hidden" }));
  const text = new XMLSerializer().serializeToString(copy).replace(/var\((--[\w-]+)\)/g, (_, name) => {
    probe.style.color = style.getPropertyValue(name);
    return getComputedStyle(probe).color;
  });
  probe.remove();
  return text;
}

/** Save a drawing as a file. A frame that may not download shows it instead. */
async function saveDrawing(svg, name, form) {
  const text = standaloneSvg(svg);
  const address = `data:image/svg+xml;charset=utf-8,${encodeURIComponent(text)}`;
  const saved = form === "svg" ? address : await pngOf(address, svg);
  if (window.top !== window.self) {
    openDialog(`${name}.${form}`, make("img", { src: saved, alt: name }));
    return;
  }
  make("a", { href: saved, download: `${name}.${form}` }).click();
}

/** Return a drawing as the address of a PNG, at twice its size. */
async function pngOf(address, svg) {
  const image = new Image();
  image.src = address;
  await image.decode();
  const canvas = make("canvas", { width: svg.width.baseVal.value * 2, height: (svg.height.baseVal.value + 12) * 2 });
  canvas.getContext("2d").drawImage(image, 0, 0, canvas.width, canvas.height);
  return canvas.toDataURL("image/png");
}
