// Tells at once, beside the pointer, what the browser's own tooltip would; and marks all that bears the same name.
(() => {
  const here = document.currentScript, svg = here && here.closest("svg");
  if (!svg) return;
  const make = (kind, parent) => parent.appendChild(document.createElementNS(svg.namespaceURI, kind));
  const tips = new Map();
  for (const title of [...svg.querySelectorAll("title")]) {
    tips.set(title.parentNode, title.textContent.split("\n"));
    title.remove();
  }
  const group = make("g", svg), box = make("rect", group);
  let shown = null;
  box.setAttribute("class", "box");
  box.setAttribute("rx", 4);
  const hide = () => {
    shown = null;
    group.style.display = "none";
    for (const each of svg.querySelectorAll(".same")) each.classList.remove("same");
  };
  const show = (target) => {
    hide();
    shown = target;
    for (const line of [...group.querySelectorAll("text")]) line.remove();
    const lines = tips.get(target);
    lines.forEach((line, index) => {
      const text = make("text", group);
      text.setAttribute("class", "told");
      text.setAttribute("x", 8);
      text.setAttribute("y", 16 + 14 * index);
      if (!index) text.style.fontWeight = 600;
      text.textContent = line;
    });
    group.style.display = "";
    for (const [other, said] of tips) if (said[0] === lines[0]) other.classList.add("same");
    const widths = [...group.querySelectorAll("text")].map((text) => text.getComputedTextLength());
    box.setAttribute("width", Math.max(...widths) + 16);
    box.setAttribute("height", 14 * lines.length + 10);
  };
  svg.addEventListener("pointermove", (event) => {
    let target = event.target;
    while (target !== svg && !tips.has(target)) target = target.parentNode;
    if (target === svg) return hide();
    if (target !== shown) show(target);
    const at = new DOMPoint(event.clientX, event.clientY).matrixTransform(svg.getScreenCTM().inverse());
    const { width, height } = svg.viewBox.baseVal;
    const x = Math.min(at.x + 12, width - box.width.baseVal.value - 4);
    const y = at.y + 16 + box.height.baseVal.value > height ? at.y - 8 - box.height.baseVal.value : at.y + 16;
    group.setAttribute("transform", `translate(${Math.max(4, x)} ${y})`);
  });
  svg.addEventListener("pointerleave", hide);
  hide();
})();
