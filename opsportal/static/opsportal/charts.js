// Draw every <figure data-chart> from the JSON in that attribute (htmx removes script tags).
// Colors come from the style sheet's tokens.
"use strict";
(() => {
  const drawn = new Map(); // Maps a figure to { plot, observer }.

  // Tokens may be light-dark() pairs, so let the browser resolve them on a hidden element.
  const probe = document.createElement("i");
  probe.hidden = true;
  const color = (token) => {
    if (!probe.isConnected) document.body.append(probe);
    probe.style.color = `var(--${token})`;
    return getComputedStyle(probe).color;
  };
  const faint = (rgb, share) => rgb.replace(/^rgba?\(([^)]+)\)$/, (_, inside) => {
    const [r, g, b] = inside.split(/[ ,/]+/);
    return `rgba(${r}, ${g}, ${b}, ${share})`;
  });

  const trim = (value, places) => value.toLocaleString("en-US", { maximumFractionDigits: places });
  const spell = (value, unit) => {
    if (value == null) return "–";
    const size = Math.abs(value);
    if (unit === "ms") return size < 1000 ? `${trim(value, size < 10 ? 1 : 0)} ms` : size < 60000 ? `${trim(value / 1000, 2)} s` : `${trim(value / 60000, 1)} min`;
    if (unit === "bytes") {
      let shown = value;
      for (const name of ["B", "kB", "MB", "GB"]) { if (Math.abs(shown) < 1000) return `${trim(shown, 1)} ${name}`; shown /= 1000; }
      return `${trim(shown, 1)} TB`;
    }
    const number = size >= 1e6 ? `${trim(value / 1e6, 1)}M` : size >= 1e4 ? `${trim(value / 1e3, 1)}k` : trim(value, 2);
    return unit === "%" ? `${number} %` : number;
  };

  const thresholds = (lines) => ({
    hooks: {
      draw: [(plot) => {
        const { ctx, bbox } = plot;
        const ratio = devicePixelRatio;
        // Labels are on the left while there are no values there, so that they cover no bars.
        const isLeftFree = plot.data.slice(1).every(
          (values) => !values.slice(0, Math.ceil(values.length / 3)).some((value) => value));
        const placed = [];
        ctx.save();
        for (const line of lines) {
          const y = plot.valToPos(line.value, "y", true);
          if (y < bbox.top || y > bbox.top + bbox.height) continue;
          ctx.strokeStyle = ctx.fillStyle = color(line.tone);
          ctx.lineWidth = ratio;
          ctx.setLineDash([4 * ratio, 4 * ratio]);
          ctx.beginPath();
          ctx.moveTo(bbox.left, y);
          ctx.lineTo(bbox.left + bbox.width, y);
          ctx.stroke();
          ctx.font = `${11 * ratio}px system-ui, sans-serif`;
          ctx.textAlign = "right";
          ctx.textBaseline = "bottom";
          const wide = ctx.measureText(line.label).width;
          let right = isLeftFree ? bbox.left + wide + 4 * ratio : bbox.left + bbox.width - 4 * ratio;
          for (const other of placed.filter((one) => Math.abs(one.y - y) < 15 * ratio)) {
            right = isLeftFree ? other.right + wide + 12 * ratio : other.right - other.wide - 12 * ratio;
          }
          placed.push({ y, right, wide });
          const ink = ctx.fillStyle;
          ctx.fillStyle = faint(color("surface"), 0.85); // The label must be legible on top of bars.
          ctx.fillRect(right - wide - 3 * ratio, y - 15 * ratio, wide + 6 * ratio, 14 * ratio);
          ctx.fillStyle = ink;
          ctx.fillText(line.label, right, y - 2 * ratio);
        }
        ctx.restore();
      }],
    },
  });

  // Draw the marks: a line for a mark without an end, and a band for a mark with an end.
  const marks = (all) => ({
    hooks: {
      drawClear: [(plot) => {
        const { ctx, bbox } = plot;
        ctx.save();
        for (const mark of all) {
          const from = Math.max(bbox.left, plot.valToPos(mark.at, "x", true));
          const ink = color(mark.tone || "text-quiet");
          if (mark.until) {
            const to = Math.min(bbox.left + bbox.width, plot.valToPos(mark.until, "x", true));
            ctx.fillStyle = faint(ink, 0.1);
            if (to > from) ctx.fillRect(from, bbox.top, to - from, bbox.height);
          }
          if (from > bbox.left + bbox.width || mark.at < plot.scales.x.min) continue;
          ctx.strokeStyle = faint(ink, 0.8);
          ctx.lineWidth = devicePixelRatio;
          ctx.setLineDash(mark.tone ? [] : [3 * devicePixelRatio, 3 * devicePixelRatio]);
          ctx.beginPath();
          ctx.moveTo(from, bbox.top);
          ctx.lineTo(from, bbox.top + bbox.height);
          ctx.stroke();
        }
        ctx.restore();
      }],
    },
  });

  // Show the labels of the marks near the pointer.
  const reading = (data, place) => ({
    hooks: {
      setCursor: [(plot) => {
        const read = place.closest(".timeline")?.querySelector("[data-timeline-read]")
          || place.closest(".chart").querySelector("[data-chart-read]");
        if (!read) return;
        const at = plot.cursor.left >= 0 ? plot.posToVal(plot.cursor.left, "x") : null;
        const near = (plot.scales.x.max - plot.scales.x.min) / 100;
        read.textContent = at == null ? "" : data.marks.filter((mark) =>
          mark.until ? mark.at <= at && at <= mark.until : Math.abs(mark.at - at) <= near)
          .map((mark) => mark.label).join(" · ");
      }],
    },
  });

  // Open a part of the time range on a click or a drag.
  const interval = (data) => ({
    hooks: {
      setSelect: [(plot) => {
        const { left, width } = plot.select;
        if (width <= 2) return;
        openInterval(data.intervalUrl, plot.posToVal(left, "x"), plot.posToVal(left + width, "x"));
      }],
      ready: [(plot) => plot.over.addEventListener("click", () => {
        const at = plot.cursor.idx;
        if (at == null || plot.select.width > 2) return;
        const times = plot.data[0];
        openInterval(data.intervalUrl, times[at], times[at] + (times.length > 1 ? times[1] - times[0] : 3600));
      })],
    },
  });
  const openInterval = (url, since, until) => {
    location.href = `${url}?since=${Math.floor(since)}&until=${Math.ceil(until)}`;
  };

  // The legend takes 26 px of the height. The low charts of the timeline grow by this height instead.
  const heightOf = (place) => (parseInt(getComputedStyle(place).minHeight) || 220)
    - (place.classList.contains("chart__plot--row") ? 0 : 26);

  // Stack several series of bars, with the first on top. A bar's height is its value plus the values of the bars below.
  const stacked = (data) => {
    const bars = data.series.filter((one) => one.kind === "bars");
    return data.series.map((one) => bars.length < 2 || one.kind !== "bars" ? one.values : one.values.map((value, at) =>
      value == null ? null : bars.slice(bars.indexOf(one)).reduce((sum, below) => sum + (below.values[at] || 0), 0)));
  };

  // Show the latest values in the legend while the pointer is not on the chart.
  const newest = (plot) => {
    const [times, ...drawnValues] = plot.data;
    for (let at = times.length - 1; at > 0; at--) if (drawnValues.some((values) => values[at] != null)) return at;
    return times.length - 1;
  };
  const latest = {
    hooks: {
      ready: [(plot) => plot.setLegend({ idx: newest(plot) })],
      setCursor: [(plot) => { if (plot.cursor.idx == null) plot.setLegend({ idx: newest(plot) }); }],
    },
  };

  const AXIS_MARGIN = 50; // Pixels of a chart's height above and below its value axis.
  const isShorter = (text, font, pixels) => {
    const ctx = document.createElement("canvas").getContext("2d");
    ctx.font = font;
    return ctx.measureText(text).width < pixels;
  };
  const SINGLE_POINT_MARGIN = 1800; // Seconds that a chart shows on either side of a single data point.

  function options(data, place) {
    const { unit } = data;
    const zone = document.body.dataset.zone || "UTC";
    // Room for the last bar, in seconds.
    const step = data.series.some((one) => one.kind === "bars") && data.times.length > 1 ? data.times[1] - data.times[0] : 0;
    const bars = window.uPlot.paths.bars({ size: [0.8, 40], align: 1 });
    const axis = { stroke: color("text-quiet"), font: "11px system-ui, sans-serif", grid: { stroke: color("chart-grid"), width: 1 }, ticks: { show: false } };
    const span = data.times[data.times.length - 1] - data.times[0];
    const time = new Intl.DateTimeFormat("en-GB", { timeZone: zone, hour: "2-digit", minute: "2-digit" });
    const day = new Intl.DateTimeFormat("en-GB", { timeZone: zone, day: "numeric", month: "short" });
    const short = (seconds) => {
      const date = new Date(seconds * 1000);
      if (span > 3 * 86400) return day.format(date);
      const clock = time.format(date);
      return clock === "00:00" ? day.format(date) : clock;
    };
    // Two ticks may have the same label, for example on one day or when daylight saving time ends. Show the label once.
    const once = (labels) => labels.map((label, at) => (at && label === labels[at - 1] ? "" : label));
    // Low charts have their title above them.
    const hasAxisTitle = !place.classList.contains("chart__plot--row");
    const isInTitle = ["", "ms", "bytes", "%"].includes(unit) || data.title.includes(unit.replace("/", "per "));
    const longTitle = isInTitle ? data.title : `${data.title} (${unit})`;
    const axisTitle = isShorter(longTitle, axis.font, heightOf(place) - AXIS_MARGIN) ? longTitle : unit;
    const full = (seconds) => `${day.format(new Date(seconds * 1000))}, ${time.format(new Date(seconds * 1000))} ${zone}`;
    const top = Math.max(0, ...stacked(data).flat().filter((value) => value != null), ...data.thresholds.map((line) => line.value));
    return {
      width: place.clientWidth,
      height: heightOf(place),
      padding: [10, 20, 0, 4],
      cursor: {
        drag: { x: Boolean(data.intervalUrl), y: false, setScale: false, dist: 4 },
        points: { size: 6 },
        y: false,
        sync: data.group ? { key: data.group, setSeries: false } : undefined,
      },
      legend: { live: true },
      plugins: [
        thresholds(data.thresholds), latest, marks(data.marks), ...(data.marks.length ? [reading(data, place)] : []),
        ...(data.intervalUrl ? [interval(data)] : []),
      ],
      scales: { x: { time: true, range: (_, least, most) => data.span.length ? data.span : (least === most && !step ? [least - SINGLE_POINT_MARGIN, most + SINGLE_POINT_MARGIN] : [least, most + step]) }, y: { range: [0, top > 0 ? top * 1.12 : 1] } },
      axes: [
        { ...axis, space: 70, size: 28, values: (_, splits) => once(splits.map(short)), grid: { show: false } },
        {
          ...axis,
          space: 32,
          size: 58,
          values: (_, splits) => once(splits.map((value) => spell(value, unit))),
          ...(hasAxisTitle ? { label: axisTitle, labelSize: 18, labelGap: 2, labelFont: axis.font } : {}),
        },
      ],
      series: [
        { label: "Time", value: (_, seconds) => (seconds == null ? "" : full(seconds)) },
        ...data.series.map((one, index) => {
          const stroke = color(one.tone || `chart-${(index % 5) + 1}`);
          return {
            label: unit && !["ms", "bytes", "%"].includes(unit) && !one.label.toLowerCase().includes(unit.toLowerCase()) ? `${one.label} (${unit})` : one.label,
            stroke,
            width: one.kind === "bars" ? 0 : 1.75,
            fill: one.kind === "line" ? undefined : faint(stroke, one.kind === "bars" ? 0.85 : 0.14),
            paths: one.kind === "bars" ? bars : undefined,
            points: { show: one.kind !== "bars" && one.values.filter((value) => value != null).length < 3 },
            spanGaps: false,
            value: (_, __, ___, at) => spell(at == null ? null : one.values[at], unit),
          };
        }),
      ],
    };
  }

  function draw(figure) {
    const place = figure.querySelector(".chart__plot");
    if (!place || !figure.dataset.chart || !window.uPlot) return;
    const data = JSON.parse(figure.dataset.chart);
    if (!data.times.length) return;
    figure.classList.add("is-drawn");
    drawn.get(figure)?.plot.destroy();
    const known = drawn.get(figure);
    const plot = new window.uPlot(options(data, place), [data.times, ...stacked(data)], place);
    if (known) { known.plot = plot; return; }
    const observer = new ResizeObserver(() => {
      const entry = drawn.get(figure);
      if (!figure.isConnected) { observer.disconnect(); entry?.plot.destroy(); drawn.delete(figure); return; }
      if (entry && place.clientWidth && place.clientWidth !== entry.plot.width) entry.plot.setSize({ width: place.clientWidth, height: heightOf(place) });
    });
    observer.observe(place);
    drawn.set(figure, { plot, observer });
  }
  function drawAll() {
    for (const [figure, { plot, observer }] of drawn) if (!figure.isConnected) { observer.disconnect(); plot.destroy(); drawn.delete(figure); }
    for (const figure of document.querySelectorAll("[data-chart]")) if (!drawn.has(figure)) draw(figure);
  }
  const redraw = () => { for (const figure of [...drawn.keys()]) if (figure.isConnected) draw(figure); };

  drawAll();
  // Draw charts in the same step as the swap, because a chart that is drawn later would move the content below it.
  document.addEventListener("htmx:afterSwap", drawAll);
  document.addEventListener("htmx:afterSettle", drawAll);
  window.matchMedia("(prefers-color-scheme: dark)").addEventListener("change", redraw);
  new MutationObserver(redraw).observe(document.documentElement, { attributeFilter: ["data-theme"] });
})();
