// Refreshes a live page: fetches it, and replaces <main> but keeps focus, scroll positions and open details.
"use strict";
const EVERY_MS = 2000;
const pause = document.getElementById("pause");
const trouble = document.getElementById("trouble");
const main = () => document.querySelector("main");
let paused = false;
let timer = 0;

async function refresh() {
  if (document.hidden || paused || !("live" in main().dataset)) return;
  try {
    const reply = await fetch(location.href, { cache: "no-store" });
    if (!reply.ok) return location.reload();
    const fresh = new DOMParser().parseFromString(await reply.text(), "text/html").querySelector("main");
    trouble.textContent = "";
    if (getSelection().isCollapsed && !paused) replace(main(), fresh);
  } catch {
    trouble.textContent = "The service does not answer. This page may be out of date.";
  }
  schedule();
}

function replace(old, fresh) {
  const focused = old.contains(document.activeElement) ? document.activeElement.id : "";
  for (const details of old.querySelectorAll("details[id][open]")) {
    fresh.querySelector(`#${details.id}`)?.setAttribute("open", "");
  }
  const scrolled = [...old.querySelectorAll("pre[id]")].map((box) => [box.id, box.scrollTop, box.scrollLeft]);
  old.replaceWith(fresh);
  for (const [id, top, left] of scrolled) document.getElementById(id)?.scrollTo(left, top);
  if (focused) (document.getElementById(focused) ?? fresh).focus({ preventScroll: true });
  showPause();
}

function schedule() {
  clearTimeout(timer);
  timer = setTimeout(refresh, EVERY_MS);
}

function showPause() {
  if (pause) pause.hidden = !("live" in main().dataset);
}

pause?.addEventListener("click", () => {
  paused = !paused;
  pause.setAttribute("aria-pressed", String(paused));
  if (!paused) refresh();
});
document.addEventListener("visibilitychange", refresh);
showPause();
schedule();
