// Draws what the data beside each plot says, in the colours of the page, and again when those change.
"use strict";
(() => {
  const STILL = { displayModeBar: false, responsive: true, showTips: false };
  const NARROW = 560;
  const plots = [];

  // Puts the page's colours where a colour is named as var(--…).
  function painted(value, key, style) {
    if (Array.isArray(value)) return value.map((item) => painted(item, key, style));
    if (value !== null && typeof value === "object") {
      return Object.fromEntries(Object.entries(value).map(([name, item]) => [name, painted(item, name, style)]));
    }
    const named = typeof value === "string" && /color$/i.test(key) && value.match(/^var\((--[a-z0-9-]+)\)$/);
    return named ? style.getPropertyValue(named[1]).trim() : value;
  }

  function draw(plot) {
    if (plot.node.closest("[hidden]")) return;
    const figure = painted(plot.figure, "", getComputedStyle(document.documentElement));
    if (plot.choose) plot.choose(figure);
    const narrow = plot.node.clientWidth < NARROW;
    for (const trace of figure.data) {
      if (Array.isArray(trace.customdata)) trace.text = trace.customdata.map((index) => plot.names[index]);
    }
    if (matchMedia("(pointer: coarse)").matches) figure.layout.dragmode = false;
    figure.layout.height = plot.height;
    if (narrow) {
      figure.layout.font.size = 11;
      figure.layout.height += 19 * (figure.data.filter((trace) => trace.showlegend !== false).length - 2);
    }
    plot.node.style.height = `${figure.layout.height}px`;
    Plotly.react(plot.node, figure.data, figure.layout, STILL).then(() => plot.choose && label(plot));
  }

  const drawAll = () => plots.forEach(draw);

  // One of several views of a section at a time.
  function switchViews(select) {
    const views = document.querySelectorAll(`.view[data-group="${select.dataset.group}"]`);
    const show = () => {
      views.forEach((view, index) => { view.hidden = index !== select.selectedIndex; });
      drawAll();
    };
    select.addEventListener("change", show);
    show();
  }

  // ----- two axes of choice

  const number = new Intl.NumberFormat("en", { maximumSignificantDigits: 4 });

  function wrapped(text, width) {
    const lines = [""];
    for (const word of text.split(" ")) {
      const last = lines[lines.length - 1];
      if (last && (last.length + word.length) * 7 > width) lines.push(word);
      else lines[lines.length - 1] = last ? `${last} ${word}` : word;
    }
    return lines.join("<br>");
  }

  // A range with room around all values, and a logarithmic axis where they lie far apart.
  function scale(values) {
    let low = Math.min(...values), high = Math.max(...values);
    if (low > 0 && high / low >= 30) {
      low = Math.log10(low); high = Math.log10(high);
      const room = (high - low) * 0.12;
      return { type: "log", range: [low - room, high + room], ...ticks(low, high), end: 10 ** (high + room), begin: 10 ** (low - room) };
    }
    const whole = low >= 0 && low < 0.6 * high;
    if (whole) low = 0;
    const room = (high - low) * 0.12 || Math.abs(high) * 0.5 || 1;
    const begin = low - (whole ? room / 3 : room);
    return { type: "linear", range: [begin, high + room], begin, end: high + room };
  }

  function ticks(low, high) {
    const digits = high - low > 3 ? [1] : high - low > 1.5 ? [1, 3] : [1, 2, 5];
    const tickvals = [];
    for (let power = Math.floor(low) - 1; power <= high + 1; power++) digits.forEach((digit) => tickvals.push(digit * 10 ** power));
    return { tickvals, ticktext: tickvals.map((value) => number.format(value)) };
  }

  function choosing(plot, choice) {
    const [profile, x, y] = ["profile", "x", "y"].map((name) => document.getElementById(`choose-${name}`));
    const said = document.getElementById("choice-said");
    const tables = document.querySelectorAll(".of-profile");
    const axisOf = (select) => choice.axes[select.selectedIndex];
    x.value = choice.start[0];
    y.value = choice.start[1];

    plot.choose = (figure) => {
      const of = choice.profiles[profile.selectedIndex];
      const names = figure.data.map((trace) => trace.name);
      const width = plot.node.clientWidth;
      const shapes = [], heads = [];
      [[x, "x", width - 90], [y, "y", figure.layout.height - 120]].forEach(([select, side, room]) => {
        const axis = axisOf(select);
        const values = [];
        of.designs.forEach((positions, index) => {
          const seen = positions[axis.id];
          const trace = figure.data[index];
          trace[side] = [seen ? seen[0] : null];
          trace[`error_${side}`] = { ...trace[`error_${side}`], type: "data", symmetric: false, array: [seen ? seen[2] - seen[0] : 0], arrayminus: [seen ? seen[0] - seen[1] : 0] };
          if (seen) values.push(...seen);
        });
        const limit = of.limits[axis.id];
        if (limit) values.push(limit[1]);
        const { begin, end, ...scaled } = scale(values.length ? values : [0, 1]);
        const better = choice.better[axis.id] === "lower" ? "less is better" : "more is better";
        const title = { text: wrapped(`${axis.title} (${axis.unit.replaceAll(" ", "\u00a0")}), ${better}`, room) };
        figure.layout[`${side}axis`] = { ...scaled, title, fixedrange: true };
        if (limit) {
          const other = side === "x" ? "y" : "x";
          const edge = limit[0] === "at most" ? end : begin;
          const place = { [`${side}ref`]: side, [`${other}ref`]: "paper", [`${other}0`]: 0, [`${other}1`]: 1, layer: "below" };
          const colour = figure.layout.font.color;
          shapes.push({ type: "rect", ...place, [`${side}0`]: limit[1], [`${side}1`]: edge, fillcolor: figure.layout.meta.pastcolor, line: { width: 0 } });
          shapes.push({ type: "line", ...place, [`${side}0`]: limit[1], [`${side}1`]: limit[1], line: { dash: "dash", width: 1.5, color: colour } });
          heads.push(`${axis.id} ${limit[0]} ${number.format(limit[1])}`);
        }
      });
      figure.layout.shapes = shapes;
      figure.data.forEach((trace) => { trace.visible = trace.x[0] !== null && trace.y[0] !== null; });
      tell(of, names, heads);
    };

    function tell(of, names, limits) {
      const [across, up] = [axisOf(x), axisOf(y)];
      const both = of.designs.map((positions, index) => [names[index], positions[across.id], positions[up.id]]);
      const places = both.filter(([, one, two]) => one && two).map(([name, one, two]) => `${name}: ${number.format(one[0])} ${across.unit}, ${number.format(two[0])} ${up.unit}`);
      const none = both.length > 0 && !(both[0][1] && both[0][2]) ? "Your design was not measured on both axes. " : "";
      const bounds = limits.length ? `${of.id} asks for ${limits.join(" and ")}; shaded is what it cannot live with.` : `${of.id} sets no limit on these two axes.`;
      said.textContent = none + bounds;
      plot.node.setAttribute("aria-label", `${across.title} and ${up.title}: ${places.join("; ") || "no design was measured on both"}. ${bounds}`);
      tables.forEach((table, index) => {
        table.hidden = index !== profile.selectedIndex;
        table.querySelectorAll("tbody tr").forEach((row, line) => row.classList.toggle("chosen", line === x.selectedIndex || line === y.selectedIndex));
      });
    }

    [profile, x, y].forEach((select) => select.addEventListener("change", () => draw(plot)));
  }

  // Puts each design's name where it covers nothing, as near as there is room; it stays in the legend where there is none.
  function label(plot) {
    const { xaxis, yaxis } = plot.node._fullLayout;
    const { font } = plot.node.layout;
    const pen = document.createElement("canvas").getContext("2d");
    pen.font = `${font.size}px ${font.family}`;
    const points = plot.node.data.filter((trace) => trace.visible).map((trace) => {
      const [x, y] = [xaxis.d2p(trace.x[0]), yaxis.d2p(trace.y[0])];
      const { array: [right], arrayminus: [left] } = trace.error_x;
      const { array: [up], arrayminus: [down] } = trace.error_y;
      const covers = [
        { left: x - 8, right: x + 8, top: y - 8, bottom: y + 8 },
        { left: xaxis.d2p(trace.x[0] - left), right: xaxis.d2p(trace.x[0] + right), top: y - 1, bottom: y + 1 },
        { left: x - 1, right: x + 1, top: yaxis.d2p(trace.y[0] + up), bottom: yaxis.d2p(trace.y[0] - down) },
      ];
      return { trace, x, y, width: pen.measureText(trace.name).width + 4, covers };
    });
    const taken = points.flatMap((point) => point.covers);
    const frame = { left: 0, right: xaxis._length, top: 0, bottom: yaxis._length };
    const annotations = [];
    for (const { trace, x, y, width } of points) {
      for (const [dx, dy] of offsets(width)) {
        const box = { left: x + dx - width / 2, right: x + dx + width / 2, top: y + dy - 8, bottom: y + dy + 8 };
        if (!inside(box, frame) || taken.some((other) => overlap(box, other))) continue;
        taken.push(box);
        const [at, up] = [[xaxis, trace.x[0]], [yaxis, trace.y[0]]].map(([axis, value]) => axis.type === "log" ? Math.log10(value) : value);
        const far = Math.abs(dy) > 20;
        annotations.push({
          x: at, y: up, text: trace.name, showarrow: true, ax: dx, ay: dy, standoff: 7, arrowhead: 0, borderpad: 0,
          arrowwidth: 1, arrowcolor: far ? font.color : "rgba(0,0,0,0)", captureevents: false,
        });
        break;
      }
    }
    Plotly.relayout(plot.node, { annotations });
  }

  // From a marker to the middle of its name: beside it, above or below it, then farther away.
  function offsets(width) {
    const aside = width / 2 + 10;
    const near = [[aside, 0], [-aside, 0], [aside, -14], [aside, 14], [-aside, -14], [-aside, 14], [0, -18], [0, 18]];
    const far = [32, 48, 64, 80].flatMap((up) => [0, 40, -40, 80, -80].flatMap((dx) => [[dx, -up], [dx, up]]));
    return [...near, ...far];
  }

  const overlap = (a, b) => a.left < b.right && b.left < a.right && a.top < b.bottom && b.top < a.bottom;
  const inside = (a, b) => a.left >= b.left && a.right <= b.right && a.top >= b.top && a.bottom <= b.bottom;

  // ----- all of them

  for (const node of document.querySelectorAll(".plot")) {
    const { figure, names, choice } = JSON.parse(document.getElementById(`${node.id}-data`).textContent);
    const plot = { node, figure, names, height: figure.layout.height };
    plots.push(plot);
    if (choice) choosing(plot, choice);
  }
  document.querySelectorAll("select[data-group]").forEach(switchViews);
  drawAll();
  matchMedia("(prefers-color-scheme: dark)").addEventListener("change", drawAll);
  let waiting;
  let width = innerWidth;
  addEventListener("resize", () => {
    if (innerWidth === width) return;
    width = innerWidth;
    clearTimeout(waiting);
    waiting = setTimeout(drawAll, 150);
  });
})();
