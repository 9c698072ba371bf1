"use strict";
(() => {
  const PAGE = 48;
  const SLOW = 2;
  const POLL = 2000;
  const DRAG = 4;
  let data = JSON.parse(document.getElementById("data").textContent);
  let shown = [];
  let page = 0;
  let open = 0;

  const $ = (id) => document.getElementById(id);
  const SVG = "http://www.w3.org/2000/svg";

  function element(name, attributes = {}, ...children) {
    const made = document.createElement(name);
    for (const [key, value] of Object.entries(attributes)) {
      if (key === "class") made.className = value;
      else made.setAttribute(key, value);
    }
    made.append(...children);
    return made;
  }

  function shape(name, attributes) {
    const made = document.createElementNS(SVG, name);
    for (const [key, value] of Object.entries(attributes)) made.setAttribute(key, value);
    return made;
  }

  // As the terminal has it.
  function duration(seconds) {
    if (seconds < 9.95) return `${seconds.toFixed(1)} s`;
    const rest = Math.round(seconds);
    for (const [name, size, smaller, parts] of [["d", 86400, "h", 3600], ["h", 3600, "min", 60], ["min", 60, "s", 1]]) {
      if (rest >= size) return `${Math.floor(rest / size)} ${name} ${Math.floor((rest % size) / parts)} ${smaller}`;
    }
    return `${rest} s`;
  }

  // In the time and the manner of the place where the page is read.
  function when(text) {
    const date = new Date(text || NaN);
    return isNaN(date) ? text || "" : date.toLocaleString(undefined, { dateStyle: "medium", timeStyle: "short" });
  }

  function median(values) {
    const sorted = [...values].sort((a, b) => a - b);
    return sorted.length ? sorted[Math.floor(sorted.length / 2)] : 0;
  }

  function chosen() {
    const show = $("show").value, style = $("style").value, query = $("query").value.toLowerCase();
    const limit = SLOW * median(data.rows.filter((row) => !row.failed).map((row) => row.seconds));
    const passes = { all: () => true, failed: (r) => r.failed, painted: (r) => !r.failed, slow: (r) => r.seconds > limit };
    const rows = data.rows.filter(
      (row) => passes[show](row) && (!style || row.style === style) && row.name.toLowerCase().includes(query));
    const newest = (a, b) => (a.finished < b.finished ? 1 : a.finished > b.finished ? -1 : 0);
    const orders = {
      failed: (a, b) => b.failed - a.failed || newest(a, b),
      newest,
      slowest: (a, b) => b.seconds - a.seconds,
      name: (a, b) => (a.name < b.name ? -1 : 1),
    };
    return rows.sort(orders[$("order").value]);
  }

  // Photo and painting on each other, and the range that moves the border between them.
  function pair(row, photo, painting, lazy) {
    const box = element("div", { class: "pair" });
    const loading = lazy ? "lazy" : "eager";
    if (photo && painting) box.classList.add("both");
    if (photo) {
      const kind = painting ? "photo" : "painting";
      box.append(element("img", { class: kind, src: photo, loading, draggable: false, alt: `photo of ${row.name}` }));
    }
    if (painting) {
      const alt = `painting of ${row.name}` + (row.style ? ` in the style of ${row.style}` : "");
      box.append(element("img", { class: "painting", src: painting, loading, draggable: false, alt }));
    }
    if (!(photo && painting)) return [box];
    const label = `border between photo and painting of ${row.name}`;
    const slider = element("input", { class: "slider", type: "range", min: 0, max: 100, value: 50, "aria-label": label });
    slider.addEventListener("input", () => box.style.setProperty("--at", `${slider.value}%`));
    box.addEventListener("pointerdown", (event) => {
      box.dataset.dragged = "";
      box.dataset.from = event.clientX;
      // So that the border follows a finger that leaves the picture.
      box.setPointerCapture(event.pointerId);
    });
    box.addEventListener("pointermove", (event) => {
      if (event.buttons !== 1 || (!box.dataset.dragged && Math.abs(event.clientX - box.dataset.from) < DRAG)) return;
      box.dataset.dragged = "yes";
      const place = box.getBoundingClientRect();
      slider.value = (100 * (event.clientX - place.left)) / place.width;
      slider.dispatchEvent(new Event("input"));
    });
    return [box, slider];
  }

  // Rows of the curve: evaluations, size, content, style, TV.
  function curve(row) {
    const points = row.curve;
    if (points.length < 2) return [];
    const [width, height] = [320, 88];
    const lines = {
      total: points.map((p) => p[2] + p[3] + p[4]), content: points.map((p) => p[2]), style: points.map((p) => p[3]),
    };
    const logs = Object.values(lines).flat().filter((value) => value > 0).map(Math.log10);
    const low = Math.min(...logs), high = Math.max(...logs, low + 0.1);
    const x = (p) => (width * (p[0] - points[0][0])) / (points[points.length - 1][0] - points[0][0]);
    const y = (value) => 2 + (height - 4) * (1 - (Math.log10(value) - low) / (high - low));
    const svg = shape("svg", { class: "curve", viewBox: `0 0 ${width} ${height}`, preserveAspectRatio: "none", role: "img" });
    const left = (100 * lines.total[points.length - 1]) / lines.total[0];
    svg.setAttribute("aria-label", `loss over ${points[points.length - 1][0]} evaluations on a log scale, down to ${left.toPrecision(2)} %`);
    points.forEach((p, i) => {
      if (i && p[1] !== points[i - 1][1]) svg.append(shape("line", { x1: x(p), x2: x(p), y1: 0, y2: height }));
    });
    for (const [name, values] of Object.entries(lines)) {
      const path = points.map((p, i) => [x(p), values[i]]).filter(([, value]) => value > 0)
        .map(([at, value], i) => `${i ? "L" : "M"}${at.toFixed(1)} ${y(value).toFixed(1)}`).join("");
      svg.append(shape("path", { class: name, d: path }));
    }
    const legend = element("p", { class: "legend" }, ...Object.keys(lines).map((n) => element("span", { class: n }, n)));
    return [svg, legend];
  }

  function card(row, index) {
    const box = element("article", { class: row.failed ? "card failed" : "card" });
    if (row.photoThumbnail || row.paintingThumbnail) box.append(...pair(row, row.photoThumbnail, row.paintingThumbnail, true));
    box.append(element("h2", {}, row.name));
    const facts = [row.style, row.seconds ? duration(row.seconds) : "", row.evaluations ? `${row.evaluations} evaluations` : "",
      when(row.finished)];
    box.append(element("p", { class: "meta" }, facts.filter(Boolean).join(" · ")));
    if (row.reason) box.append(element("p", { class: "reason" }, (row.failed ? "failed: " : "") + row.reason));
    if (row.failed) {
      const left = `--exclude '${row.photoName.replaceAll("'", "'\\''")}'`;
      box.append(element("p", { class: "advice" }, "The next run tries it again: mend or replace the file until then, or leave it out with ",
        element("code", {}, left), "."));
    }
    box.append(...curve(row));
    if (row.painting) {
      const zoom = element("button", { type: "button", "aria-label": `${row.name} in full size` }, "full size");
      zoom.addEventListener("click", () => show(index));
      box.append(element("div", { class: "tools" }, zoom));
      box.querySelector(".pair")?.addEventListener("click", (event) => {
        if (!event.currentTarget.dataset.dragged) show(index);
      });
    }
    return box;
  }

  function render() {
    shown = chosen();
    const pages = Math.max(1, Math.ceil(shown.length / PAGE));
    page = Math.min(page, pages - 1);
    const from = page * PAGE;
    const sliders = [...document.querySelectorAll(".card .slider")];
    const kept = new Map(sliders.filter((s) => s.value !== "50").map((s) => [s.getAttribute("aria-label"), s.value]));
    const focus = document.activeElement?.getAttribute("aria-label");
    $("cards").replaceChildren(...shown.slice(from, from + PAGE).map((row, i) => card(row, from + i)));
    for (const slider of document.querySelectorAll(".card .slider")) {
      const value = kept.get(slider.getAttribute("aria-label"));
      if (value === undefined) continue;
      slider.value = value;
      slider.dispatchEvent(new Event("input"));
    }
    if (focus) [...document.querySelectorAll(".card [aria-label]")].find((e) => e.getAttribute("aria-label") === focus)?.focus();
    $("nothing").hidden = shown.length > 0;
    for (const nav of document.querySelectorAll(".pages")) {
      nav.hidden = pages === 1;
      nav.querySelector(".place").textContent = `${from + 1} to ${Math.min(from + PAGE, shown.length)} of ${shown.length}`;
      for (const name of ["first", "previous"]) nav.querySelector(`[data-page=${name}]`).disabled = page === 0;
      for (const name of ["next", "last"]) nav.querySelector(`[data-page=${name}]`).disabled = page === pages - 1;
    }
  }

  function turn(where) {
    const last = Math.ceil(shown.length / PAGE) - 1;
    page = Math.max(0, Math.min(last, { first: 0, previous: page - 1, next: page + 1, last }[where]));
    render();
    remember();
    window.scrollTo(0, 0);
  }

  function head() {
    const parts = [element("strong", {}, `${data.painted} painted`), " · "];
    parts.push(element("strong", data.failed ? { class: "failed-count" } : {}, `${data.failed} failed`));
    if (data.rows.length < data.painted + data.failed) parts.push(` · the newest ${data.rows.length} are shown`);
    const run = data.runs[0];
    if (run && run.rate) parts.push(` · ${run.rate.toFixed(run.rate < 10 ? 1 : 0)} pictures an hour`);
    if (run && run.seconds !== null) parts.push(` · last run ${duration(run.seconds)}, exit code ${run.exit_code}`);
    parts.push(` · ${when(data.generated)}`);
    $("totals").replaceChildren(...parts);
    $("runs").replaceChildren(...data.runs.map((r) => element("tr", {}, ...[
      when(r.started), r.seconds === null ? "not ended" : duration(r.seconds), r.exit_code ?? "", r.painted ?? "", r.failed ?? "",
      r.provider, r.bundle, r.versions, r.command].map((text) => element("td", {}, String(text))))));
    const names = [...new Set(data.rows.map((row) => row.style).filter(Boolean))].sort();
    const style = $("style"), before = style.value;
    style.replaceChildren(element("option", { value: "" }, "any"), ...names.map((n) => element("option", { value: n }, n)));
    style.value = names.includes(before) ? before : "";
    $("styles").replaceChildren(...data.styles.map((each) => {
      const figure = element("button", { type: "button", title: `what is painted in the style of ${each.name}` },
        element("img", { src: each.thumbnail, alt: "", loading: "lazy" }), element("span", {}, each.name));
      figure.addEventListener("click", () => {
        const same = names.includes(each.name) ? each.name : names.find((name) => name.split("+").includes(each.name));
        style.value = style.value === same ? "" : same;
        style.dispatchEvent(new Event("input"));
      });
      return figure;
    }));
  }

  // What is chosen is in the address, so that it can be kept and sent.
  const CHOICES = { show: "all", style: "", order: "failed", query: "" };

  function remember() {
    const said = new URLSearchParams();
    for (const [id, usual] of Object.entries(CHOICES)) if ($(id).value !== usual) said.set(id, $(id).value);
    if (page) said.set("page", page + 1);
    history.replaceState(null, "", `#${said}`);
  }

  function recall() {
    const said = new URLSearchParams(location.hash.slice(1));
    for (const [id, usual] of Object.entries(CHOICES)) {
      $(id).value = said.get(id) ?? usual;
      // A select that lacks what was asked for.
      if ($(id).value === "" && usual) $(id).value = usual;
    }
    page = Math.max(0, (parseInt(said.get("page"), 10) || 1) - 1);
  }

  function show(index) {
    open = index;
    const row = shown[index];
    $("full-name").textContent = row.name;
    for (const [id, url] of [["full-photo", row.photo], ["full-painting", row.painting]]) {
      $(id).hidden = !url;
      if (url) $(id).setAttribute("href", url);
    }
    $("full-pair").replaceChildren(...pair(row, row.photo, row.painting, false));
    if (!$("full").open) $("full").showModal();
  }

  function step(by) {
    for (let i = open + by; i >= 0 && i < shown.length; i += by) {
      if (shown[i].painting) return show(i);
    }
  }

  async function poll() {
    try {
      const status = await (await fetch("status.json", { cache: "no-store" })).json();
      easel(status);
      if (status.version !== data.version && !$("full").open) {
        data = await (await fetch("data.json", { cache: "no-store" })).json();
        head();
        render();
      }
    } catch {
      $("easel-text").textContent = "nstbatch serve has ended";
    }
    setTimeout(poll, POLL);
  }

  function easel(status) {
    $("easel").hidden = status.state !== "running";
    if (status.state !== "running") return;
    const left = status.seconds_left === null ? "" : `, about ${duration(status.seconds_left)} left`;
    const current = status.current ? `painting ${status.current}` : "between two pictures";
    $("easel-text").textContent = `${current}; ${status.left} to do${left}`;
    $("easel-progress").value = status.fraction ?? 0;
    const picture = $("easel-picture");
    picture.hidden = !status.easel;
    if (status.easel && picture.dataset.at !== String(status.easel)) {
      picture.dataset.at = status.easel;
      picture.src = `easel.jpg?${status.easel}`;
      picture.alt = `the painting in work, ${status.current}`;
    }
  }

  for (const id of ["show", "style", "order", "query"]) {
    $(id).addEventListener("input", () => { page = 0; render(); remember(); });
  }
  $("controls").addEventListener("submit", (event) => event.preventDefault());
  for (const button of document.querySelectorAll("[data-page]")) {
    button.addEventListener("click", () => turn(button.dataset.page));
  }
  $("close").addEventListener("click", () => $("full").close());
  $("back").addEventListener("click", () => step(-1));
  $("forth").addEventListener("click", () => step(1));
  document.addEventListener("keydown", (event) => {
    if (event.target.matches("input, select") || event.ctrlKey || event.metaKey || event.altKey) return;
    if (event.key === "/") { event.preventDefault(); $("query").focus(); }
    if (event.key === "[") turn("previous");
    if (event.key === "]") turn("next");
  });
  $("full").addEventListener("keydown", (event) => {
    const by = { ArrowLeft: -1, ArrowRight: 1 }[event.key];
    if (!by || event.target.matches("input")) return;
    event.preventDefault();
    step(by);
  });
  window.addEventListener("hashchange", () => { recall(); render(); });
  head();
  recall();
  render();
  if (data.live) poll();
})();
