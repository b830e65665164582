// A deck's own script: opens the live board in its frames, and points the links of labs to the JupyterLab that runs.
// Places come from the address (?board=…&lab=…), from what was given last, or from the build.
(() => {
  const built = /*PLACES*/ {};
  const asked = new URLSearchParams(location.search);
  const place = (name) => {
    let kept = "";
    try {
      if (asked.get(name)) localStorage.setItem(`workshop.${name}`, asked.get(name));
      kept = localStorage.getItem(`workshop.${name}`) || "";
    } catch { /* a page from a file may have no storage: then only this address counts */ }
    return asked.get(name) || built[name] || kept;
  };
  // only addresses of the web, and never one that a script hides in
  const safe = (text) => {
    try {
      const url = new URL(text);
      return /^https?:$/.test(url.protocol) ? url.href : "";
    } catch { return ""; }
  };

  // the board lets itself be framed only where it is asked to
  const framed = (address) => {
    const url = new URL(address);
    if (!url.searchParams.has("embed")) url.searchParams.set("embed", "");
    return url.href;
  };
  const open = (box, address) => {
    box.querySelector("iframe")?.remove();
    const frame = document.createElement("iframe");
    frame.title = "live board";
    frame.src = framed(address);
    box.append(frame);
  };
  const answers = (address) => fetch(address, { mode: "no-cors", cache: "no-store" }).then(() => true, () => false);

  const boxes = [...document.querySelectorAll("[data-board]")];
  const show = async (address) => {
    if (!address || !(await answers(address))) return false;
    boxes.forEach((box) => open(box, address));
    return true;
  };
  for (const box of boxes) {
    // typing an address must not turn the page
    box.addEventListener("keydown", (event) => event.stopPropagation());
    box.querySelector("form").addEventListener("submit", async (event) => {
      event.preventDefault();
      const address = safe(box.querySelector("input").value.trim());
      const found = await show(address);
      box.querySelector("b").textContent = found ? "" : "Nothing answers there.";
      if (found) try { localStorage.setItem("workshop.board", address); } catch { /* not kept, then */ }
    });
  }
  if (boxes.length) show(safe(place("board")));

  const lab = safe(place("lab"));
  if (lab) for (const link of document.querySelectorAll("[data-lab]")) link.href = new URL(link.dataset.lab, lab).href;
  for (const link of document.querySelectorAll("[data-lab]")) { link.target = "_blank"; link.rel = "noopener"; }
})();
