// Charts by Observable Plot, drawn when they come into view, in the colours of the page.
"use strict";
(() => {
  const SLOTS = 8; // colours for rows drawn together; the style sheet has them as --c0 to --c7
  const colour = (slot) => `var(--c${slot})`;
  const number = (value) => Number(value.toPrecision(4)).toString();
  const spread = (value, half) => number(value) + (half == null ? "" : ` ± ${number(half)}`);
  const cut = (text, length) => (text.length <= length ? text : `${text.slice(0, length - 1)}…`);

  const cache = new Map();
  function dataOf(id) {
    if (!cache.has(id)) {
      const data = JSON.parse(document.getElementById(id).textContent);
      (data.series ?? []).forEach((series, place) => (series.slot = data.series.length === 1 ? place : null));
      cache.set(id, data);
    }
    return cache.get(id);
  }

  // ---- Curves: points [x, mean, half of the interval] of each row that is drawn.

  const overFirst = (points) => {
    const first = points[0]?.[1];
    return first > 0 ? points.map(([x, y, half]) => [x, y / first, half == null ? null : half / first]) : [];
  };
  const distance = (split, which) => (series) => {
    const curve = series.distances[split];
    return curve ? curve.epochs.map((epoch, place) => [epoch, curve[which][place], null]) : [];
  };
  const CURVES = {
    recall: { x: "k", points: (series) => series.recall, log: true },
    validation: { x: "Epoch", points: (series) => series.validation },
    loss: { x: "Epoch", points: (series) => series.loss },
    "relative-loss": { x: "Epoch", points: (series) => overFirst(series.loss), above: true },
    ratio: { x: "Epoch", points: distance("test", "ratio"), zero: true },
    positive: { x: "Epoch", points: distance("test", "positive"), zero: true },
    negative: { x: "Epoch", points: distance("test", "negative"), zero: true },
  };

  function curves(kind, data, width) {
    const { points } = CURVES[kind];
    const lines = data.series
      .filter((series) => series.slot !== null)
      .map((series) => ({ label: series.label, stroke: colour(series.slot), points: points(series), starts: series.loss[0]?.[1] }));
    return CURVES[kind].above ? aboveZero(lines, CURVES[kind], width) : lineChart(lines, CURVES[kind], width);
  }

  // A line that falls below 0 would flatten the others: the axis is theirs, and a note says how far it falls.
  function aboveZero(lines, kind, width) {
    const drawn = lines.filter((line) => line.points.length);
    const least = (line) => Math.min(...line.points.map(([, y]) => y));
    const falling = drawn.filter((line) => least(line) < 0);
    const others = drawn.filter((line) => least(line) >= 0);
    const cuts = others.length ? falling : [];
    const reach = others.flatMap((line) => line.points.flatMap(([, y, half]) => [y - (half ?? 0), y + (half ?? 0)]));
    const domain = cuts.length ? [Math.max(0, Math.min(...reach)), Math.max(...reach)] : undefined;
    const chart = lineChart(lines, { ...kind, domain }, width);
    const notes = [
      ...cuts.map((line) => `${line.label} leaves the axis: it falls to ${number(least(line))}.`),
      ...lines
        .filter((line) => !line.points.length && line.starts <= 0)
        .map((line) => `${line.label} is not drawn: its first epoch's loss is ${number(line.starts)}.`),
    ];
    if (!notes.length) return chart;
    const box = document.createElement("div");
    if (chart) box.append(chart);
    box.append(
      ...notes.map((text) => Object.assign(document.createElement("p"), { className: "cut", textContent: text })),
    );
    return box;
  }

  // One row with train and test apart.
  function splits(which) {
    return (data, width) => {
      const [series] = data.series;
      const lines = [];
      for (const split of ["train", "test"]) {
        for (const sign of which) {
          const name = sign === "ratio" ? split : `${sign}, ${split}`;
          const stroke = sign === "negative" ? colour(1) : colour(0);
          const points = distance(split, sign)(series);
          lines.push({ label: name, stroke, points, dash: split === "train" ? "4 3" : null, named: true });
        }
      }
      return lineChart(lines, { x: "Epoch", zero: true }, width);
    };
  }

  function lineChart(lines, { x, log, zero, domain }, width) {
    const drawn = lines.filter((line) => line.points.length);
    if (!drawn.length) return null;
    const all = drawn.flatMap((line) => line.points.map((point) => ({ point, line })));
    const xs = [...new Set(all.map(({ point }) => point[0]))].sort((a, b) => a - b);
    const shown = { x: (d) => d.point[0], y: (d) => d.point[1] };
    return Plot.plot({
      width,
      height: 236,
      marginLeft: 42,
      marginRight: 14,
      marginBottom: 38,
      x: {
        label: x,
        labelArrow: "none",
        type: log ? "log" : "linear",
        base: 2,
        ticks: log ? xs.filter((value) => Number.isInteger(Math.log2(value))) : Math.min(xs.at(-1) - xs[0], 9),
        tickFormat: "d",
        inset: 4,
      },
      y: { label: null, grid: true, nice: true, zero, ticks: 5, domain },
      clip: domain !== undefined,
      marks: [
        ...drawn.map(({ points, stroke }) =>
          Plot.areaY(points.filter((point) => point[2] != null), {
            x: (d) => d[0],
            y1: (d) => d[1] - d[2],
            y2: (d) => d[1] + d[2],
            fill: stroke,
            fillOpacity: drawn.length > 2 ? 0.08 : 0.14,
          }),
        ),
        ...drawn.map(({ points, stroke, dash }) =>
          Plot.line(points, { x: (d) => d[0], y: (d) => d[1], stroke, strokeWidth: 1.75, strokeDasharray: dash }),
        ),
        ...drawn.filter((line) => line.named).map(({ label, points, stroke, dash }) =>
          Plot.text(dash ? points.slice(1, 2) : points.slice(-1), {
            x: (d) => d[0], y: (d) => d[1], text: [label], fill: stroke, textAnchor: dash ? "start" : "end", dy: -8,
            stroke: "var(--page)", strokeWidth: 3,
          }),
        ),
        Plot.dot(all, Plot.pointer({ ...shown, r: 3.5, fill: (d) => d.line.stroke })),
        Plot.tip(all, Plot.pointer({
          ...shown,
          title: (d) => `${cut(d.line.label, 48)}\n${x} ${d.point[0]}: ${spread(d.point[1], d.point[2])}`,
        })),
      ],
      color: { type: "identity" },
    });
  }

  // ---- Mean and interval of every row, a line each, lane by lane.

  function intervals(data, width) {
    const rows = data.series.filter((series) => series.score.length);
    if (!rows.length) return null;
    let lane = null;
    let place = -1;
    const entries = rows.map((row) => {
      place += lane !== null && row.lane !== lane ? 1.8 : 1;
      lane = row.lane;
      const [mean, half] = row.score;
      return { ...row, place, mean, low: mean - (half ?? 0), high: mean + (half ?? 0), half };
    });
    const longest = Math.floor(Math.min(0.42 * width, 330) / 6.6);
    const left = 12 + 6.6 * Math.min(longest, Math.max(...rows.map((row) => row.label.length)));
    const hue = (row) => (row.kind === "baseline" ? colour(1) : colour(0));
    const laneStarts = entries.filter((row, at) => !at || entries[at - 1].lane !== row.lane);
    return Plot.plot({
      width,
      height: 66 + 17 * (place + 1.5),
      marginLeft: left,
      marginTop: 26,
      marginRight: 16,
      x: { label: null, grid: true, axis: "both", inset: 6, nice: true, ticks: Math.max(3, (width - left) / 80) },
      y: { domain: [place + 0.6, -0.9], axis: null },
      marks: [
        Plot.ruleX(data.floors, { x: "value", stroke: colour(1), strokeDasharray: "4 3" }),
        Plot.ruleY(entries, { y: "place", x1: "low", x2: "high", stroke: hue, strokeWidth: 1.5 }),
        Plot.dot(entries, {
          x: "mean", y: "place", r: 3.6, stroke: hue, strokeWidth: 1.5,
          fill: (row) => (row.group === "worse" ? "var(--page)" : hue(row)),
        }),
        Plot.text(entries, {
          y: "place", frameAnchor: "left", dx: -10, textAnchor: "end", text: (row) => cut(row.label, longest),
        }),
        data.lanes > 1
          ? Plot.text(laneStarts, {
              y: (row) => row.place - 0.75, frameAnchor: "right", textAnchor: "end", fontStyle: "italic",
              fill: "var(--quiet)", text: "lane",
            })
          : null,
        Plot.text(data.floors, {
          x: "value", frameAnchor: "top", dy: 3, dx: 5, textAnchor: "end", fill: colour(1),
          text: (floor) => cut(floor.label, 18), stroke: "var(--page)", strokeWidth: 4, rotate: -90,
        }),
        Plot.tip(entries, Plot.pointerY({
          x: "mean", y: "place", title: (row) => `${row.label}\n${spread(row.mean, row.half)}`,
        })),
      ],
      color: { type: "identity" },
    });
  }

  // ---- Accuracy against time.

  const beats = (a, b) => a.seconds <= b.seconds && a.score[0] >= b.score[0] && (a.seconds < b.seconds || a.score[0] > b.score[0]);

  // Moves labels, highest first, down until none covers another; where the bottom is reached, up again.
  function apart(labels, line, bottom) {
    const beside = (a, b) => a.left < b.right && b.left < a.right;
    labels.forEach((one, place) => {
      for (const other of labels.slice(0, place)) if (beside(one, other)) one.y = Math.max(one.y, other.y + line);
    });
    [...labels].reverse().forEach((one, place, all) => {
      one.y = Math.min(one.y, bottom);
      for (const other of all.slice(0, place)) if (beside(one, other)) one.y = Math.min(one.y, other.y - line);
    });
    return labels;
  }

  function time(data, width) {
    const rows = data.series.filter((series) => series.score.length && series.seconds > 0);
    if (!rows.length) return null;
    const leading = rows
      .filter((row) => !rows.some((other) => other !== row && beats(other, row)))
      .sort((a, b) => b.score[0] - a.score[0]);
    const times = rows.map((row) => row.seconds);
    const [least, most] = [Math.min(...times), Math.max(...times)];
    const middle = Math.sqrt(least * most);
    const ticks = [];
    for (let power = Math.floor(Math.log10(least)); power <= Math.log10(most); power++) {
      for (const step of width < 500 && most > 100 * least ? [1] : [1, 2, 5]) ticks.push(Number(`${step}e${power}`));
    }
    const within = ticks.filter((tick) => tick >= least && tick <= most);
    const hue = (row) => (row.kind === "baseline" ? colour(1) : colour(0));
    const [height, top, bottom, edge] = [360, 20, 38, 14];
    const y = d3.scaleLinear(d3.extent(rows, (row) => row.score[0]), [height - bottom, top]).nice();
    const x = d3.scaleLog([least, most], [42 + edge, width - 20 - edge]);
    const labels = apart(
      leading.map((row) => {
        const text = cut(row.label, width < 500 ? 20 : 40);
        const start = row.seconds <= middle;
        const at = x(row.seconds) + (start ? 8 : -8);
        const [left, right] = start ? [at, at + 6.8 * text.length] : [at - 6.8 * text.length, at];
        return { row, text, start, left, right, y: y(row.score[0]) - 7 };
      }),
      13,
      height - bottom - 4,
    );
    const label = (anchor, some) =>
      Plot.text(some, {
        x: (one) => one.row.seconds, y: (one) => y.invert(one.y), text: "text",
        textAnchor: anchor, dx: anchor === "start" ? 8 : -8, stroke: "var(--page)", strokeWidth: 3, fill: (one) => hue(one.row),
      });
    return Plot.plot({
      width,
      height,
      marginLeft: 42,
      marginTop: top,
      marginBottom: bottom,
      x: { type: "log", domain: [least, most], axis: null, inset: edge },
      y: { label: null, grid: true, domain: y.domain() },
      marks: [
        Plot.gridX(within),
        Plot.axisX(within, { label: "Seconds a trial", labelArrow: "none", text: number }), // a log axis leaves numbers out
        Plot.link(labels, {
          x1: (one) => one.row.seconds, x2: (one) => one.row.seconds,
          y1: (one) => one.row.score[0], y2: (one) => y.invert(one.y), stroke: "var(--others)",
        }),
        label("start", labels.filter((one) => one.start)),
        label("end", labels.filter((one) => !one.start)),
        Plot.dot(rows, {
          x: "seconds", y: (row) => row.score[0], r: 4, stroke: hue, strokeWidth: 1.5,
          fill: (row) => (row.group === "worse" ? "var(--page)" : hue(row)),
          symbol: (row) => (row.kind === "baseline" ? "diamond" : "circle"),
        }),
        Plot.tip(rows, Plot.pointer({
          x: "seconds", y: (row) => row.score[0],
          title: (row) => `${row.label}\n${spread(...row.score)}, ${number(row.seconds)} s`,
        })),
      ],
      color: { type: "identity" },
      symbol: { type: "identity" },
    });
  }

  // ---- Map of embeddings: points [x, y, class].

  function map(data, width) {
    const fill = (point) => (point[2] < data.named ? colour(point[2] % 10) : "var(--others)");
    const symbol = (point) => (point[2] >= 10 && point[2] < data.named ? "diamond" : "circle");
    const place = { x: (point) => point[0], y: (point) => point[1] };
    return Plot.plot({
      width,
      height: Math.min(width, 560),
      aspectRatio: 1,
      margin: 8,
      x: { axis: null },
      y: { axis: null },
      marks: [
        Plot.dot(data.points, { ...place, fill, symbol, r: 3, fillOpacity: 0.85 }),
        Plot.tip(data.points, Plot.pointer({ ...place, title: (point) => data.classes[point[2]] })),
      ],
      color: { type: "identity" },
      symbol: { type: "identity" },
    });
  }

  const CHARTS = { intervals, time, map, distances: splits(["positive", "negative"]), ratios: splits(["ratio"]) };

  function draw(figure) {
    const kind = figure.dataset.chart;
    const data = dataOf(figure.dataset.from);
    const box = figure.querySelector(".plot");
    const width = Math.floor(box.clientWidth);
    const chart = kind in CURVES ? curves(kind, data, width) : CHARTS[kind](data, width);
    box.replaceChildren(chart ?? "None of the rows drawn has these figures.");
    figure.drawnAt = width;
  }

  // ---- Which rows are drawn: a legend that is also a list to choose from.

  function chooser(box) {
    const data = dataOf(box.dataset.from);
    const able = data.series.filter((series) => series.recall.length || series.loss.length > 1);
    const first = able.filter((series) => series.kind === "trained");
    (first.length ? first : able).slice(0, Number(box.dataset.drawn)).forEach((series, slot) => (series.slot = slot));
    const legend = document.createElement("ul");
    legend.className = "legend";
    const list = document.createElement("fieldset");
    const title = document.createElement("legend");
    title.textContent = `Rows to draw, ${SLOTS} at most`;
    list.append(title);
    const inputs = able.map((series) => {
      const label = document.createElement("label");
      const input = document.createElement("input");
      input.type = "checkbox";
      input.checked = series.slot !== null;
      label.append(input, ` ${series.label}`);
      list.append(label);
      input.addEventListener("change", () => {
        const taken = able.map((other) => other.slot);
        series.slot = input.checked ? [...Array(SLOTS).keys()].find((slot) => !taken.includes(slot)) : null;
        update();
        figures.filter((f) => f.dataset.from === box.dataset.from && f.dataset.chart in CURVES && f.drawnAt).forEach(draw);
      });
      return input;
    });
    function update() {
      const drawn = able.filter((series) => series.slot !== null);
      inputs.forEach((input) => (input.disabled = !input.checked && drawn.length >= SLOTS));
      legend.replaceChildren(
        ...drawn.map((series) => {
          const item = document.createElement("li");
          const swatch = document.createElement("span");
          swatch.className = `swatch c${series.slot}`;
          item.append(swatch, series.label);
          return item;
        }),
      );
    }
    update();
    box.append(legend);
    if (able.length > 1) {
      const details = document.createElement("details");
      const summary = document.createElement("summary");
      summary.textContent = "Choose rows";
      details.append(summary, list);
      box.append(details);
    }
  }

  const figures = [...document.querySelectorAll("figure[data-chart]")];
  document.querySelectorAll(".chooser").forEach(chooser);
  const seen = new IntersectionObserver(
    (entries) => {
      for (const { isIntersecting, target } of entries) {
        if (!isIntersecting) continue;
        seen.unobserve(target);
        draw(target);
        resized.observe(target);
      }
    },
    { rootMargin: "400px" },
  );
  const resized = new ResizeObserver((entries) => {
    for (const { target } of entries) {
      if (Math.floor(target.querySelector(".plot").clientWidth) !== target.drawnAt) draw(target);
    }
  });
  figures.forEach((figure) => seen.observe(figure));
  addEventListener("beforeprint", () => figures.forEach(draw));
})();
