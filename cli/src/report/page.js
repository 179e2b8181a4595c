// Shows step and values of the curve under the pointer. The page is whole without it.
const tip = document.getElementById("tip-box");
for (const svg of document.querySelectorAll("svg.chart")) {
  const curves = JSON.parse(svg.nextElementSibling.textContent).filter((curve) => curve.points.length);
  const cursor = svg.querySelector(".cursor");
  const nearest = (points, x) => points.reduce((a, b) => (Math.abs(b[1] - x) < Math.abs(a[1] - x) ? b : a));
  svg.addEventListener("pointermove", (event) => {
    const box = svg.getBoundingClientRect();
    const x = ((event.clientX - box.left) / box.width) * svg.viewBox.baseVal.width;
    const found = curves.map((curve) => [curve.label, nearest(curve.points, x)]);
    const at = found.map(([, point]) => point).reduce((a, b) => (Math.abs(b[1] - x) < Math.abs(a[1] - x) ? b : a));
    cursor.setAttribute("x1", at[1]);
    cursor.setAttribute("x2", at[1]);
    cursor.style.visibility = "visible";
    const lines = found.map(([label, point]) => {
      const other = point[0] === at[0] ? "" : ` (step ${point[0]})`;
      return `${label} ${point[3]}${other}`;
    });
    tip.textContent = [`step ${at[0]}`, ...lines].join("\n");
    tip.hidden = false;
    const left = event.clientX + 16 + tip.offsetWidth > innerWidth ? event.clientX - 16 - tip.offsetWidth : event.clientX + 16;
    tip.style.left = `${left}px`;
    tip.style.top = `${event.clientY + 14}px`;
  });
  svg.addEventListener("pointerleave", () => {
    cursor.style.visibility = "hidden";
    tip.hidden = true;
  });
}
