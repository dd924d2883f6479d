// Line charts with hover, toggles and zoom, a heat table and sortable tables. No library, no network.
"use strict";
(() => {
  const SVG = "http://www.w3.org/2000/svg";
  const VIRIDIS = [[72, 40, 120], [62, 74, 137], [49, 104, 142], [38, 130, 142], [31, 158, 137], [53, 183, 121], [109, 205, 89], [180, 222, 44]];

  function make(parent, tag, attributes = {}, text) {
    const node = document.createElementNS(SVG, tag);
    for (const [key, value] of Object.entries(attributes)) node.setAttribute(key, value);
    if (text !== undefined) node.textContent = text; // never innerHTML: names come from databases
    return parent.appendChild(node);
  }
  function html(parent, tag, className, text) {
    const node = document.createElement(tag);
    if (className) node.className = className;
    if (text !== undefined) node.textContent = text;
    return parent.appendChild(node);
  }
  function ramp(share) {
    const at = Math.min(VIRIDIS.length - 1.001, Math.max(0, share * (VIRIDIS.length - 1)));
    const low = VIRIDIS[Math.floor(at)], high = VIRIDIS[Math.floor(at) + 1];
    return low.map((v, i) => Math.round(v + (high[i] - v) * (at % 1)));
  }
  const DARK = matchMedia("(prefers-color-scheme: dark)"); // where viridis' dark end would vanish
  function colour(index, count) {
    const share = count > 1 ? index / (count - 1) : 0.4;
    return `rgb(${ramp(DARK.matches ? 0.25 + 0.75 * share : share).join(",")})`;
  }
  function short(value) {
    for (const [unit, letter] of [[1e9, "B"], [1e6, "M"], [1e3, "k"]])
      if (value >= unit) return `${+(value / unit).toPrecision(3)}${letter}`;
    return `${+value.toPrecision(3)}`;
  }
  function ticks(low, high, log) {
    if (log) {
      const found = [], wide = Math.log10(high / low) > 2.5;
      for (let p = Math.floor(Math.log10(low)); p <= Math.log10(high); p++)
        for (const m of wide ? [1] : [1, 2, 5]) if (m * 10 ** p >= low && m * 10 ** p <= high) found.push(m * 10 ** p);
      if (found.length > 1) return found;
    }
    const rough = (high - low) / 8, power = 10 ** Math.floor(Math.log10(rough));
    const step = [1, 2, 5, 10].find((m) => m * power >= rough) * power, found = [];
    for (let v = Math.ceil(low / step) * step; v <= high + 1e-9 * step; v += step) found.push(+v.toPrecision(12));
    return found;
  }

  // spec: {x, y: axis names, logx, views: [{name, x, series: [{name, group, x, y, kind, low, high}]}]}
  function chart(box, spec) {
    let view = 0, zoom = null, logx = spec.logx;
    const hidden = new Set();
    const buttons = html(box, "div", "buttons"), frame = html(box, "div", "frame");
    const tip = html(frame, "div", "tip"), legend = html(box, "div", "legend");
    tip.hidden = true;
    const svg = frame.insertBefore(document.createElementNS(SVG, "svg"), tip);
    svg.setAttribute("role", "img");
    svg.setAttribute("aria-label", `${spec.y} over ${spec.x || spec.views[0].x}`);
    spec.views.forEach((one, index) => {
      if (spec.views.length < 2) return;
      const button = html(buttons, "button", "", one.name);
      button.type = "button";
      button.onclick = () => { view = index; zoom = null; hidden.clear(); draw(); };
    });
    const scale = html(buttons, "button", "", "log x");
    scale.type = "button";
    scale.onclick = () => { logx = !logx; zoom = null; draw(); };
    const reset = html(buttons, "button", "", "reset zoom");
    reset.type = "button";
    reset.onclick = () => { zoom = null; draw(); };

    function draw() {
      const { series, x: xName } = spec.views[view];
      const groups = [...new Set(series.filter((s) => s.kind !== "law" && s.kind !== "best").map((s) => s.group))];
      const shade = (s) => s.kind === "law" ? "var(--law)" : s.kind === "best" ? "var(--ink)" : colour(groups.indexOf(s.group), groups.length);
      const shown = series.filter((s) => !hidden.has(s.group));
      const width = Math.max(280, frame.clientWidth), height = Math.min(420, Math.max(260, width * 0.55));
      const left = 52, right = 12, top = 10, bottom = 42;
      const xs = shown.flatMap((s) => s.x), ys = shown.flatMap((s) => s.y.filter((v) => v !== null));
      let [x0, x1, y0, y1] = zoom || [Math.min(...xs), Math.max(...xs), Math.min(...ys), Math.max(...ys)];
      if (!zoom) {
        const pad = (y1 - y0) * 0.06 || 0.01; y0 -= pad; y1 += pad;
        if (logx) { const wide = Math.max(1.05, (x1 / x0) ** 0.03); x0 /= wide; x1 *= wide; } else { const wide = (x1 - x0) * 0.02 || 1; x0 -= wide; x1 += wide; }
      }
      const f = logx ? Math.log : (v) => v, inverse = logx ? Math.exp : (v) => v;
      const px = (v) => left + (f(v) - f(x0)) / (f(x1) - f(x0)) * (width - left - right);
      const py = (v) => height - bottom - (v - y0) / (y1 - y0) * (height - top - bottom);
      svg.replaceChildren();
      svg.setAttribute("viewBox", `0 0 ${width} ${height}`);
      const id = `clip-${box.id}`;
      make(make(make(svg, "defs"), "clipPath", { id }), "rect", { x: left, y: top, width: width - left - right, height: height - top - bottom });
      if (xs.length) {
        for (const v of ticks(y0, y1, false)) {
          make(svg, "line", { x1: left, x2: width - right, y1: py(v), y2: py(v), class: "rule" });
          make(svg, "text", { x: left - 6, y: py(v) + 4, "text-anchor": "end" }, +v.toPrecision(4));
        }
        let last = -1e9;
        for (const v of ticks(x0, x1, logx)) {
          if (px(v) - last < 38) continue;
          make(svg, "text", { x: last = px(v), y: height - bottom + 16, "text-anchor": "middle" }, short(v));
        }
      }
      make(svg, "text", { x: (left + width) / 2, y: height - 6, "text-anchor": "middle" }, xName || spec.x);
      const area = make(svg, "g", { "clip-path": `url(#${id})` });
      const points = [];
      for (const s of shown) {
        const seen = s.x.map((v, i) => [v, s.y[i], i]).filter((p) => p[1] !== null);
        if (s.low) {
          const edge = [...s.x.map((v, i) => [px(v), py(s.low[i])]), ...s.x.map((v, i) => [px(v), py(s.high[i])]).reverse()];
          make(area, "polygon", { points: edge.map((p) => p.join(",")).join(" "), fill: shade(s), opacity: 0.15 });
        }
        if (s.kind !== "best" && s.kind !== "points") make(area, "polyline", {
          points: seen.map((p) => `${px(p[0])},${py(p[1])}`).join(" "), fill: "none", stroke: shade(s),
          "stroke-width": s.kind === "law" ? 2 : 1.3, "stroke-dasharray": s.dashed ? "5 4" : "none",
        });
        for (const [vx, vy] of seen) {
          if (!["law", "band", "curve"].includes(s.kind)) make(area, "circle", { cx: px(vx), cy: py(vy), r: s.kind === "best" || s.kind === "points" ? 4.5 : 2.5, fill: shade(s) });
          if (vx >= x0 && vx <= x1 && vy >= y0 && vy <= y1) points.push([px(vx), py(vy), s, vx, vy]);
        }
      }
      const mark = make(area, "circle", { r: 6, class: "mark", visibility: "hidden" });
      const window_ = make(svg, "rect", { class: "window", visibility: "hidden" });
      let from = null;
      const at = (event) => { const r = svg.getBoundingClientRect(); return [(event.clientX - r.left) * width / r.width, (event.clientY - r.top) * height / r.height]; };
      svg.onpointerdown = (event) => { if (event.pointerType === "mouse") from = at(event); };
      svg.onpointermove = (event) => {
        const [mx, my] = at(event);
        if (from) {
          const box_ = { x: Math.min(mx, from[0]), y: Math.min(my, from[1]), width: Math.abs(mx - from[0]), height: Math.abs(my - from[1]) };
          for (const [key, value] of Object.entries(box_)) window_.setAttribute(key, value);
          window_.setAttribute("visibility", "visible");
          tip.hidden = true;
          return;
        }
        let near = null, distance = 30 ** 2;
        for (const p of points) { const d = (p[0] - mx) ** 2 + (p[1] - my) ** 2; if (d < distance) { distance = d; near = p; } }
        tip.hidden = !near;
        mark.setAttribute("visibility", near ? "visible" : "hidden");
        if (!near) return;
        mark.setAttribute("cx", near[0]); mark.setAttribute("cy", near[1]);
        tip.textContent = `${near[2].name}: ${near[4].toFixed(4)} at ${short(near[3])}`;
        const shift = near[0] / width;
        tip.style.left = `${100 * shift}%`; tip.style.top = `${100 * near[1] / height}%`;
        tip.style.transform = `translate(${-100 * shift}%, calc(-100% - 12px))`;
      };
      svg.onpointerup = (event) => {
        if (!from) return;
        const [mx, my] = at(event), [fx, fy] = from;
        from = null;
        window_.setAttribute("visibility", "hidden");
        if (Math.abs(mx - fx) < 8 || Math.abs(my - fy) < 8) return;
        const toX = (p) => inverse(f(x0) + (p - left) / (width - left - right) * (f(x1) - f(x0)));
        const toY = (p) => y0 + (height - bottom - p) / (height - top - bottom) * (y1 - y0);
        zoom = [toX(Math.min(mx, fx)), toX(Math.max(mx, fx)), toY(Math.max(my, fy)), toY(Math.min(my, fy))];
        draw();
      };
      svg.onpointerleave = () => { tip.hidden = true; mark.setAttribute("visibility", "hidden"); };
      svg.ondblclick = () => { zoom = null; draw(); };
      legend.replaceChildren();
      for (const group of new Set(series.map((s) => s.group))) {
        const button = html(legend, "button", hidden.has(group) ? "off" : "");
        button.type = "button";
        button.setAttribute("aria-pressed", String(!hidden.has(group)));
        html(button, "i").style.background = shade(series.find((s) => s.group === group));
        html(button, "span", "", group);
        button.onclick = () => { hidden.has(group) ? hidden.delete(group) : hidden.add(group); draw(); };
      }
      [...buttons.children].slice(0, spec.views.length > 1 ? spec.views.length : 0).forEach((b, i) => b.setAttribute("aria-pressed", String(i === view)));
      scale.setAttribute("aria-pressed", String(logx));
      reset.disabled = !zoom;
    }
    draw();
    DARK.addEventListener("change", draw);
    let last = frame.clientWidth;
    new ResizeObserver(() => { if (frame.clientWidth !== last) { last = frame.clientWidth; draw(); } }).observe(frame);
  }

  function heat(table) {
    const cells = [...table.querySelectorAll("td[data-value]")], values = cells.map((c) => +c.dataset.value);
    const low = Math.min(...values), high = Math.max(...values);
    cells.forEach((cell, i) => {
      const rgb = ramp(1 - (values[i] - low) / (high - low || 1)), light = rgb[0] * 0.299 + rgb[1] * 0.587 + rgb[2] * 0.114 > 120;
      cell.style.background = `rgb(${rgb.join(",")})`;
      cell.style.color = light ? "#000" : "#fff";
    });
    table.onpointerover = (event) => {
      const cell = event.target.closest("td");
      for (const other of table.querySelectorAll(".cross")) other.classList.remove("cross");
      if (!cell) return;
      cell.parentNode.firstElementChild.classList.add("cross");
      table.tHead.rows[0].cells[cell.cellIndex].classList.add("cross");
    };
    const toggle = table.parentNode.parentNode.querySelector("button");
    if (toggle) toggle.onclick = () => {
      const above = toggle.getAttribute("aria-pressed") !== "true";
      toggle.setAttribute("aria-pressed", String(above));
      cells.forEach((cell, i) => { cell.textContent = above ? `+${(values[i] - low).toFixed(4)}` : values[i].toFixed(4); });
    };
  }

  function sortable(table) {
    [...table.tHead.rows[0].cells].forEach((head, column) => {
      const button = document.createElement("button");
      button.type = "button";
      button.append(...head.childNodes);
      head.append(button);
      button.onclick = () => {
        const down = head.getAttribute("aria-sort") === "descending";
        for (const other of table.tHead.rows[0].cells) other.removeAttribute("aria-sort");
        head.setAttribute("aria-sort", down ? "ascending" : "descending");
        const key = (row) => { const cell = row.cells[column]; return cell.dataset.value ?? cell.textContent.trim(); };
        const number = (text) => (text === "" || isNaN(+text) ? null : +text);
        const rows = [...table.tBodies[0].rows].sort((a, b) => {
          const [p, q] = [key(a), key(b)], [m, n] = [number(p), number(q)];
          const order = m !== null && n !== null ? m - n : p.localeCompare(q);
          return down ? order : -order;
        });
        table.tBodies[0].append(...rows);
      };
    });
  }

  const data = JSON.parse(document.getElementById("charts").textContent);
  for (const [name, spec] of Object.entries(data)) chart(document.getElementById(name), spec);
  document.querySelectorAll("table.heat").forEach(heat);
  document.querySelectorAll("table.sortable").forEach(sortable);
})();
