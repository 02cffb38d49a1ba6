"use strict";

/** Drawings as files. */

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
  Object.entries({ y: -12, width, height, fill: getComputedStyle(document.body).backgroundColor }).forEach(
    ([name, value]) => paper.setAttribute(name, value),
  );
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
