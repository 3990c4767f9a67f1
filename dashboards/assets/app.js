// Draws the charts and keeps live pages from disturbing who types; everything
// else on the pages works without scripts.
(function () {
  "use strict";
  // A page that changes asks for itself again, but never under somebody's hands.
  function busy(live) {
    var at = document.activeElement;
    return live.dataset.dirty === "1" || (at && live.contains(at) && at.matches("input, select, textarea"));
  }
  document.addEventListener("keydown", function (e) { // a menu is left as it was opened
    var menu = e.key === "Escape" && document.activeElement.closest("details.menu[open]");
    if (menu) {
      menu.open = false;
      menu.querySelector("summary").focus();
    }
  });
  document.addEventListener("click", function (e) {
    document.querySelectorAll("details.menu[open]").forEach(function (menu) { menu.open = menu.contains(e.target); });
  });
  document.addEventListener("input", function (e) {
    var live = e.target.closest && e.target.closest("#live");
    if (live) { live.dataset.dirty = "1"; }
  });
  document.addEventListener("change", function (e) { // a photo was taken: say which
    var named = e.target.dataset && e.target.dataset.named && document.getElementById(e.target.dataset.named);
    if (named) { named.textContent = e.target.files.length ? "✓ " + e.target.files[0].name : ""; }
  });
  // Asked before the request and again before its answer is put in place: typing may begin between the two.
  function hold(e) {
    var live = e.target;
    if (live.id !== "live" || !busy(live)) { return; }
    e.preventDefault();
    live.querySelector(".stale").hidden = false;
  }
  document.addEventListener("htmx:beforeRequest", hold);
  document.addEventListener("htmx:beforeSwap", hold);
  var opened = [];
  document.addEventListener("htmx:beforeSwap", function () {
    opened = Array.prototype.map.call(document.querySelectorAll("#live details[open] > summary"), function (s) { return s.textContent; });
  });
  document.addEventListener("htmx:afterSettle", function () {
    document.querySelectorAll("#live details > summary").forEach(function (s) {
      if (opened.indexOf(s.textContent) >= 0) { s.parentNode.open = true; }
    });
  });
  function css(name) { return getComputedStyle(document.documentElement).getPropertyValue(name).trim(); }
  function resolve(name) { // a token may be light-dark(...): let the browser work it out
    var probe = document.createElement("i");
    probe.style.color = "var(" + name + ")";
    document.body.appendChild(probe);
    var color = getComputedStyle(probe).color;
    probe.remove();
    return color;
  }
  function overlay(data, colors) {
    return {
      hooks: {
        drawClear: function (u) {
          var ctx = u.ctx, b = u.bbox;
          ctx.save();
          ctx.beginPath(); ctx.rect(b.left, b.top, b.width, b.height); ctx.clip();
          if (data.band) {
            var top = u.valToPos(data.band[2], "y", true), bottom = u.valToPos(data.band[0], "y", true);
            ctx.globalAlpha = 0.16; ctx.fillStyle = colors.well; ctx.fillRect(b.left, top, b.width, bottom - top);
          }
          data.windows.forEach(function (w) {
            var x0 = u.valToPos(w.from, "x", true), x1 = u.valToPos(w.to, "x", true);
            ctx.globalAlpha = 0.18; ctx.fillStyle = colors.third; ctx.fillRect(x0, b.top, Math.max(x1 - x0, 2), b.height);
          });
          ctx.globalAlpha = 1;
          if (data.stop !== null && data.stop !== undefined) {
            var y = u.valToPos(data.stop, "y", true);
            ctx.strokeStyle = colors.fault; ctx.setLineDash([6, 4]); ctx.beginPath(); ctx.moveTo(b.left, y); ctx.lineTo(b.left + b.width, y); ctx.stroke(); ctx.setLineDash([]);
          }
          ctx.restore();
        },
        draw: function (u) {
          var ctx = u.ctx, b = u.bbox;
          ctx.save(); ctx.strokeStyle = colors.accent; ctx.fillStyle = colors.accent; ctx.lineWidth = 2;
          data.marks.forEach(function (m) {
            var x = u.valToPos(m.at, "x", true);
            if (x < b.left || x > b.left + b.width) { return; }
            ctx.beginPath(); ctx.moveTo(x, b.top); ctx.lineTo(x, b.top + b.height); ctx.stroke();
            ctx.beginPath(); ctx.moveTo(x - 6, b.top); ctx.lineTo(x + 6, b.top); ctx.lineTo(x, b.top + 9); ctx.fill();
          });
          ctx.restore();
        }
      }
    };
  }
  function draw(el, data) {
    el.textContent = "";
    if (!data.at || !data.at.length) { el.textContent = data.texts.Empty; return false; }
    el.dataset.drawn = "chart";
    var ink = resolve("--ink-2"), line = resolve("--line");
    var colors = { well: resolve("--well"), third: resolve("--third"), fault: resolve("--fault"), accent: resolve("--accent") };
    var axis = { stroke: ink, grid: { stroke: line, width: 1 }, ticks: { stroke: line } };
    var values = data.mean.filter(function (v) { return v !== null; });
    var lo = Math.min.apply(null, values), hi = Math.max.apply(null, values);
    if (data.band) { lo = Math.min(lo, data.band[0]); hi = Math.max(hi, data.band[2]); }
    if (data.stop !== null && data.stop !== undefined && data.stop - hi < (hi - lo)) { hi = Math.max(hi, data.stop); }
    var pad = (hi - lo || 1) * 0.06;
    new uPlot({
      width: el.clientWidth, height: Math.max(240, Math.min(360, el.clientWidth * 0.36)),
      cursor: { y: false }, scales: { y: { range: [lo - pad, hi + pad] } },
      plugins: [overlay(data, colors)],
      axes: [axis, Object.assign({ size: 56 }, axis)],
      tzDate: function (ts) { return uPlot.tzDate(new Date(ts * 1000), "Asia/Shanghai"); },
      series: [{ label: data.texts.Time, value: "{YYYY}-{MM}-{DD} {HH}:{mm}" },
        { label: data.label + (data.unit ? " (" + data.unit + ")" : ""), stroke: css("--ink") ? resolve("--ink") : "#000", width: 1.4, points: { show: false }, spanGaps: false,
          value: function (u, v) { return v === null || v === undefined ? "–" : v.toFixed(2); } }]
    }, [data.at, data.mean], el);
  }
  function load(el) {
    if (el.dataset.loaded) { return; }
    el.dataset.loaded = "1";
    fetch(el.dataset.chart, { headers: { Accept: "application/json" } })
      .then(function (res) { if (!res.ok) { throw new Error(res.status); } return res.json(); })
      .then(function (data) { if (draw(el, data) === false) { el.dataset.drawn = "empty"; } })
      .catch(function () { el.textContent = el.dataset.failed; });
  }
  function all() { document.querySelectorAll("[data-chart]").forEach(load); }
  document.addEventListener("DOMContentLoaded", all);
  document.addEventListener("htmx:afterSettle", all);
})();
