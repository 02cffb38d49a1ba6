"use strict";

/** The table as text to take along: CSV, Markdown, LaTeX. */

/** Return all filtered rows as plain texts, in the order in which they stand. */
function plainTable(rows, { selection, styles }) {
  const { dataset, axes, metric, reference } = selection;
  const columns = dataset.columns;
  const csvColumns = columns.flatMap((column) =>
    ["mean", "low", "high", "n", "mark"].map(
      (part) => `${metric.name}_${column.key === "own" ? "own_nfe" : `nfe${column.key}`}_${part}`,
    ),
  );
  const line = (row) => {
    const all = columns.map((column) => {
      const entry = row.entries.find((each) => each.column === column.key);
      return [column, entry && selection.byEntry.get(entry.id)];
    });
    return {
      labels: axes.map((axis) => row.values[axis.name] || "–"),
      cells: all.map(([column, shown]) =>
        shown
          ? { text: valueSaid(shown, styles.get(column.key), reference), mark: reference ? 0 : shown.mark }
          : { text: "–", mark: 0 },
      ),
      csv: [
        ...axes.map((axis) => row.values[axis.name]),
        ...all.flatMap(([, shown]) =>
          shown ? [shown.mean, shown.low, shown.high, shown.n, ["", "best", "tied"][shown.mark]] : ["", "", "", "", ""],
        ),
      ],
    };
  };
  const heads = {
    labels: axes.map((axis) => axis.name),
    columns: columns.map((column) => column.label),
    csv: [...axes.map((axis) => axis.name), ...csvColumns],
  };
  return { heads, lines: rows.map(line) };
}

/** Return the table's rows as CSV, Markdown or LaTeX: a header line and lines of cells {text, mark, label}. */
function tableAs(form, { heads, lines }) {
  if (form === "csv") return d3.csvFormatRows([heads.csv, ...lines.map((line) => line.csv)]) + "\n";
  return form === "markdown" ? asMarkdown(heads, lines) : asLatex(heads, lines);
}

function asMarkdown(heads, lines) {
  const escaped = (text) => text.replace(/[\\|*_<>[\]`]/g, "\\$&");
  const cell = (each) =>
    each.mark === 1 ? `**${escaped(each.text)}**` : each.mark === 2 ? `${escaped(each.text)} †` : escaped(each.text);
  const write = (cells) => `| ${cells.join(" | ")} |`;
  const rule = [...heads.labels.map(() => "---"), ...heads.columns.map(() => "---:")];
  return (
    [
      write([...heads.labels, ...heads.columns].map(escaped)),
      write(rule),
      ...lines.map((line) => write([...line.labels.map(escaped), ...line.cells.map(cell)])),
    ].join("\n") + "\n"
  );
}

const LATEX = {
  "\\": "\\textbackslash{}",
  "{": "\\{",
  "}": "\\}",
  "&": "\\&",
  "%": "\\%",
  $: "\\$",
  "#": "\\#",
  _: "\\_",
  "<": "\\textless{}",
  ">": "\\textgreater{}",
  "|": "\\textbar{}",
  "~": "\\textasciitilde{}",
  "^": "\\textasciicircum{}",
  "±": "$\\pm$",
  "−": "$-$",
  "†": "$\\dagger$",
  "–": "--",
};

function asLatex(heads, lines) {
  const escaped = (text) => text.replace(/[\\{}&%$#_<>|~^±−†–]/g, (each) => LATEX[each]);
  const cell = (each) =>
    each.mark === 1 ? `\\textbf{${escaped(each.text)}}` : escaped(each.text) + (each.mark === 2 ? "$^\\dagger$" : "");
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
