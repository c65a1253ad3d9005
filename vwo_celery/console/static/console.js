// The console's script. Every page works without it; it renews pages, and gives them keys.
"use strict";
(() => {
  const vwo = document.getElementById("vwo");
  if (!vwo) return;
  const root = vwo.dataset.root;
  const by = (id) => document.getElementById(id);
  const kept = { get(name) { try { return localStorage.getItem("vwo-" + name); } catch { return null; } },
    set(name, value) { try { localStorage.setItem("vwo-" + name, value); } catch { /* private window */ } } };

  // -- colours
  const scheme = by("vwo-scheme");
  if (scheme) {
    const paint = (value) => { if (value) document.documentElement.dataset.theme = value; else delete document.documentElement.dataset.theme; };
    scheme.value = kept.get("scheme") || "";
    paint(scheme.value);
    by("vwo-theme").hidden = false;
    scheme.addEventListener("change", () => { kept.set("scheme", scheme.value); paint(scheme.value); });
  }

  // -- the same page again and again
  const every = by("vwo-every"), state = by("vwo-state");
  let tag = "", timer = 0, touched = false;
  const say = (text) => { if (state && state.textContent !== text) state.textContent = text; };
  const busy = () => {
    const at = document.activeElement, chosen = getSelection();
    if (document.hidden) return "paused while hidden";
    if (chosen && !chosen.isCollapsed && vwo.contains(chosen.anchorNode)) return "paused while text is selected";
    if (touched || (at && at.matches("#vwo-main input, #vwo-main textarea"))) return "paused while a form is open";
    return by("vwo-help").open ? "paused" : "";
  };
  // What a person has opened, where they stand, and what they have chosen, is the same afterwards.
  const swap = (text) => {
    const fresh = new DOMParser().parseFromString(text, "text/html");
    const open = new Map([...vwo.querySelectorAll("#vwo-main details[id]")].map((each) => [each.id, each.open]));
    const scrolled = [...vwo.querySelectorAll("#vwo-main .table")].map((each) => each.scrollLeft);
    const links = (of) => [...of.querySelectorAll("#vwo-main a, #vwo-main button, #vwo-main summary, #vwo-top a")];
    const place = links(vwo).indexOf(document.activeElement), name = document.activeElement && document.activeElement.textContent;
    const at = row && row.textContent && row.querySelector("[data-open]") ? row.querySelector("[data-open]").href : "";
    for (const id of ["vwo-main", "vwo-top"]) if (by(id) && fresh.getElementById(id)) by(id).replaceChildren(...fresh.getElementById(id).childNodes);
    for (const [id, was] of open) if (by(id)) by(id).open = was;
    vwo.querySelectorAll("#vwo-main .table").forEach((each, n) => { each.scrollLeft = scrolled[n] || 0; });
    const again = links(vwo);
    if (place >= 0) (again[place] && again[place].textContent === name ? again[place] : again.find((each) => each.textContent === name) || by("vwo-main")).focus({ preventScroll: true });
    row = at ? rows().find((each) => each.querySelector("[data-open]") && each.querySelector("[data-open]").href === at) || null : null;
    if (row) row.setAttribute("aria-current", "true");
    dress();
  };
  const dress = () => {
    const page = by("vwo-page");
    if (!page) return;
    document.title = page.dataset.title + " · vwo-celery";
    if (by("vwo-icon")) by("vwo-icon").href = root + "static/" + page.dataset.level + ".svg";
  };
  const look = async () => {
    const why = busy();
    if (why) { say(why); return; }
    const began = Date.now(), late = setInterval(() => { if (Date.now() - began > 2500) say("no answer for " + Math.round((Date.now() - began) / 1000) + " s"); }, 500);
    try {
      const answer = await fetch(location.href, { headers: tag ? { "If-None-Match": tag } : {}, redirect: "error", cache: "no-store" });
      if (answer.status !== 304 && (answer.ok || answer.status === 503)) {
        tag = answer.headers.get("ETag") || "";
        const text = await answer.text();
        if (!busy()) swap(text); else tag = "";
      } else if (answer.status !== 304) { say("the console answers " + answer.status); return; }
      say("");
    } catch { say("the console does not answer"); } finally { clearInterval(late); }
  };
  const turn = () => {
    clearTimeout(timer);
    const seconds = Number(every.value);
    if (!seconds) { say("not by itself"); return; }
    timer = setTimeout(async () => { await look(); turn(); }, seconds * 1000);
  };
  if (vwo.dataset.live && every) {
    by("vwo-live").hidden = false;
    every.value = kept.get("every") || "5";
    if (!every.value) every.value = "5";
    every.addEventListener("change", () => { kept.set("every", every.value); say(""); turn(); });
    by("vwo-main").addEventListener("input", () => { touched = true; });
    document.addEventListener("visibilitychange", () => { if (!document.hidden) look(); });
    turn();
  }

  // -- keys
  let row = null, after = "";
  const rows = () => [...vwo.querySelectorAll("[data-row]")];
  const go = (element) => { if (element) element.click(); return Boolean(element); };
  const step = (by_) => {
    const all = rows(), next = all[Math.min(all.length - 1, Math.max(0, all.indexOf(row) + by_))];
    if (row) row.removeAttribute("aria-current");
    row = next || null;
    if (row) { row.setAttribute("aria-current", "true"); row.scrollIntoView({ block: "nearest" }); const link = row.querySelector("[data-open]"); if (link) link.focus({ preventScroll: true }); }
    return Boolean(row);
  };
  const act = (key) => go((row || vwo).querySelector(`[data-act="${key}"]`) || vwo.querySelector(`.head [data-act="${key}"]`));
  const plain = {
    "/": () => { const field = vwo.querySelector("[data-search]"); if (field) field.focus(); return Boolean(field); },
    "?": () => { by("vwo-help").showModal(); return true; },
    j: () => step(1), k: () => step(-1), f: () => act("f"), p: () => act("p"), R: () => act("R"), P: () => act("P"),
    x: () => go(row && row.querySelector("input[type=checkbox]")),
  };
  if (by("vwo-keys")) by("vwo-keys").hidden = false;
  document.addEventListener("keydown", (event) => {
    if (event.ctrlKey || event.metaKey || event.altKey || event.target.matches("input, textarea, select, [contenteditable]") || !by("vwo-help") || by("vwo-help").open) return;
    const key = event.key;
    const done = after === "g" ? go(key === "q" ? vwo.querySelector('[data-key="o"]') : vwo.querySelector(`[data-key="${CSS.escape(key)}"]`)) : Object.hasOwn(plain, key) && plain[key]();
    after = key === "g" && after !== "g" ? "g" : "";
    if (done) event.preventDefault();
  });
  dress();
})();
