// Checks what a page looks like to those who use it; gives the faults in words.
function look(smallest) {
  "use strict";
  var faults = [];
  function say(what, el) { faults.push(what + ": " + el.outerHTML.replace(/\s+/g, " ").slice(0, 140)); }
  function shown(el) {
    if (!el.checkVisibility({ checkOpacity: true, checkVisibilityCSS: true })) { return false; }
    var box = el.getBoundingClientRect();
    return box.width > 1 && box.height > 1;
  }
  function named(el) {
    return (el.labels && Array.from(el.labels).some(function (l) { return l.textContent.trim(); })) || el.getAttribute("aria-label") || el.title;
  }
  // Colours are painted on one pixel, so that every notation and every layer counts.
  var canvas = document.createElement("canvas");
  canvas.width = canvas.height = 1;
  var ink = canvas.getContext("2d", { willReadFrequently: true });
  function paint(color) { ink.fillStyle = color; ink.fillRect(0, 0, 1, 1); }
  function pixel() { return ink.getImageData(0, 0, 1, 1).data; }
  function luminance(p) {
    return [0.2126, 0.7152, 0.0722].reduce(function (sum, weight, i) {
      var c = p[i] / 255;
      return sum + weight * (c <= 0.04045 ? c / 12.92 : Math.pow((c + 0.055) / 1.055, 2.4));
    }, 0);
  }
  function contrast(el) {
    var layers = [];
    for (var e = el; e; e = e.parentElement) { layers.unshift(getComputedStyle(e).backgroundColor); }
    paint("#fff");
    layers.forEach(paint);
    var back = luminance(pixel());
    paint(getComputedStyle(el).color);
    var front = luminance(pixel());
    return (Math.max(front, back) + 0.05) / (Math.min(front, back) + 0.05);
  }

  if (!document.documentElement.lang) { faults.push("the page has no language"); }
  if (!document.title.trim()) { faults.push("the page has no title"); }
  if (document.querySelectorAll("h1").length !== 1) { faults.push(document.querySelectorAll("h1").length + " headings of the first level"); }
  var wide = document.documentElement.scrollWidth - window.innerWidth;
  if (wide > 0) {
    faults.push("the page is " + wide + " pixels too wide");
    document.querySelectorAll("main *, header *").forEach(function (el) {
      if (el.getBoundingClientRect().right > window.innerWidth + 1 && !el.closest(".scroll, .chart, .visually-hidden, .skip")) { say("sticks out", el); }
    });
  }
  var ids = {};
  document.querySelectorAll("[id]").forEach(function (el) {
    if (ids[el.id]) { say("an id twice", el); }
    ids[el.id] = true;
  });
  document.querySelectorAll("input:not([type=hidden]), select, textarea").forEach(function (el) { if (!named(el)) { say("a field without a name", el); } });
  document.querySelectorAll("img").forEach(function (el) { if (!el.hasAttribute("alt")) { say("a picture without words", el); } });
  document.querySelectorAll("svg").forEach(function (el) { if (el.getAttribute("aria-hidden") !== "true" && el.getAttribute("role") !== "img") { say("a drawing that is neither hidden nor named", el); } });
  document.querySelectorAll("[role=img]").forEach(function (el) { if (!el.getAttribute("aria-label")) { say("a drawing without words", el); } });
  document.querySelectorAll("a, button").forEach(function (el) { if (!el.textContent.trim() && !el.getAttribute("aria-label")) { say("nothing to read on it", el); } });
  document.querySelectorAll("th").forEach(function (el) { if (!el.textContent.trim()) { say("a column without a name", el); } });
  var level = 0;
  document.querySelectorAll("h1, h2, h3, h4").forEach(function (el) {
    var now = Number(el.tagName[1]);
    if (now > level + 1) { say("a heading skips a level", el); }
    level = now;
  });
  document.querySelectorAll("main button, main a.button, main input:not([type=hidden]):not([type=checkbox]):not([type=radio]), main select, main summary, header button").forEach(function (el) {
    var least = el.closest("main") && el.tagName !== "SUMMARY" ? smallest : 24;
    if (shown(el) && (el.getBoundingClientRect().height < least - 0.5 || el.getBoundingClientRect().width < 24)) {
      say(Math.round(el.getBoundingClientRect().width) + " x " + Math.round(el.getBoundingClientRect().height) + " pixels to hit", el);
    }
  });
  var walk = document.createTreeWalker(document.body, NodeFilter.SHOW_TEXT);
  var seen = new Set();
  for (var node = walk.nextNode(); node; node = walk.nextNode()) {
    var el = node.parentElement;
    if (!node.data.trim() || seen.has(el) || el.closest("script, style, [disabled], .visually-hidden, .skip, .u-legend") || !shown(el)) { continue; }
    seen.add(el);
    var style = getComputedStyle(el), size = parseFloat(style.fontSize);
    var need = size >= 24 || (size >= 18.66 && Number(style.fontWeight) >= 700) ? 3 : 4.5;
    var has = contrast(el);
    if (has < need - 0.02) { say("contrast " + has.toFixed(2) + " of " + need, el); }
    if (size < 11.5) { say("letters of " + size + " pixels", el); }
  }
  return faults.slice(0, 30);
}
