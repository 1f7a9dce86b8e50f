// Provide the command palette. Ctrl K (⌘K) or the Search link opens a dialog in which the user types a query. The
// dialog shows the response to GET <data-palette>?q=. Without scripts, the link leads to the search page.
"use strict";
(() => {
  const opener = document.querySelector("[data-palette]");
  const RECENT = "opsportal:recent"; // sessionStorage keeps this entry until the tab is closed.
  const MAX_RECENT = 8;
  const make = (tag, properties = {}, attributes = {}) => {
    const made = Object.assign(document.createElement(tag), properties);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  };
  const readRecent = () => {
    try { return JSON.parse(sessionStorage.getItem(RECENT)) || []; } catch { return []; }
  };
  const remember = (item) => {
    const others = readRecent().filter((one) => one.url !== item.url);
    const items = JSON.stringify([item, ...others].slice(0, MAX_RECENT));
    try { sessionStorage.setItem(RECENT, items); } catch { /* Without storage, there are no recent items. */ }
  };
  if (!opener) {
    sessionStorage.removeItem(RECENT); // No user is signed in.
    return;
  }
  const isOfOneThing = /\/(?:\d+|[0-9a-f]{8}-[0-9a-f-]{27})\//.test(location.pathname);
  const heading = document.querySelector("main h1")?.textContent.trim().replace(/\s+/g, " ");
  if (isOfOneThing && heading) remember({ title: heading.slice(0, 120), detail: "", url: location.pathname });

  let dialog = null;
  function build() {
    dialog = make("dialog", { className: "palette" }, { "aria-label": "Search everything" });
    const placeholder = "Search apps, errors, orders, settings …";
    const input = make("input", { className: "input palette__input", type: "search", placeholder }, {
      role: "combobox", "aria-label": "Search everything", "aria-autocomplete": "list", "aria-expanded": "false",
      "aria-controls": "palette-list", autocomplete: "off", spellcheck: "false", maxlength: "200",
    });
    const listbox = { role: "listbox", "aria-label": "Results" };
    const list = make("div", { className: "palette__list", id: "palette-list" }, listbox);
    const status = make("p", { className: "palette__status small quiet" }, { role: "status" });
    dialog.append(input, list, status);
    document.body.append(dialog);

    let latest = 0; // The number of the latest request. Responses to earlier ones are ignored.
    let timer = 0; // Runs between a change of the query and its request.
    let waitingEnter = null; // The Enter key that was pressed while the results of the current query were loading.
    const options = () => [...list.querySelectorAll("[role=option]")];
    const select = (option) => {
      for (const one of options()) one.setAttribute("aria-selected", String(one === option));
      if (option) input.setAttribute("aria-activedescendant", option.id);
      else input.removeAttribute("aria-activedescendant");
      option?.scrollIntoView({ block: "nearest" });
    };
    const show = (groups, text) => {
      let number = 0;
      list.replaceChildren(...groups.map(({ title, hits }, at) => {
        const id = `palette-group-${at}`;
        const group = make("div", { className: "palette__group" }, { role: "group", "aria-labelledby": id });
        group.append(make("div", { className: "palette__title", id, textContent: title }));
        for (const hit of hits) {
          const attributes = { role: "option", "aria-selected": "false" };
          const option = make("div", { className: "palette__option", id: `palette-option-${number++}` }, attributes);
          const address = new URL(hit.url, location.href);
          option.hit = { ...hit, url: address.pathname + address.search };
          option.append(make("span", { className: "palette__name", textContent: hit.title }));
          const detail = { className: "palette__detail small quiet", textContent: hit.detail };
          if (hit.detail) option.append(make("span", detail));
          group.append(option);
        }
        return group;
      }));
      list.setAttribute("aria-busy", "false");
      input.setAttribute("aria-expanded", String(number > 0));
      select(options()[0] || null);
      status.textContent = number ? `${number} ${number === 1 ? "result" : "results"}` : text;
      const enter = waitingEnter;
      waitingEnter = null;
      if (enter && number) open(options()[0], enter.isForNewTab);
    };
    const request = async () => {
      clearTimeout(timer);
      timer = 0;
      const number = ++latest;
      const text = input.value.trim();
      if (!text) {
        const hits = readRecent().filter((one) => one.url !== location.pathname);
        show(hits.length ? [{ title: "Recent", hits }] : [], "Type a name, an id or an action.");
        return;
      }
      try {
        const response = await fetch(`${opener.dataset.palette}?q=${encodeURIComponent(text)}`);
        if (number !== latest) return;
        if (!response.ok) throw new Error(String(response.status));
        show((await response.json()).groups, `No results for “${text}”.`);
      } catch {
        if (number === latest) show([], "The search is unavailable right now. Please try again.");
      }
    };
    const open = (option, isNewTab) => {
      remember(option.hit);
      dialog.close();
      if (isNewTab) window.open(option.hit.url, "_blank", "noopener");
      else location.href = option.hit.url;
    };
    input.addEventListener("input", () => {
      list.setAttribute("aria-busy", "true"); // Until the results of the new query are shown.
      waitingEnter = null;
      clearTimeout(timer);
      timer = setTimeout(request, 120);
    });
    input.addEventListener("keydown", (event) => {
      const all = options();
      const at = all.findIndex((one) => one.getAttribute("aria-selected") === "true");
      if (event.key === "ArrowDown" || event.key === "ArrowUp") {
        event.preventDefault();
        const step = event.key === "ArrowDown" ? 1 : -1;
        if (all.length) select(all[(at + step + all.length) % all.length]);
      } else if (event.key === "Enter") {
        event.preventDefault();
        const isForNewTab = event.ctrlKey || event.metaKey;
        if (list.getAttribute("aria-busy") === "true") {
          waitingEnter = { isForNewTab }; // The list still shows the results of an earlier query.
          if (timer) request();
        } else if (at >= 0) open(all[at], isForNewTab);
      } else if (event.key === "Escape") {
        event.preventDefault();
        dialog.close();
      }
    });
    list.addEventListener("mousedown", (event) => event.preventDefault()); // The input must keep the focus.
    list.addEventListener("click", (event) => {
      const option = event.target.closest("[role=option]");
      if (option) open(option, event.ctrlKey || event.metaKey);
    });
    dialog.addEventListener("click", (event) => { if (event.target === dialog) dialog.close(); });
    dialog.addEventListener("close", () => { waitingEnter = null; });
    dialog.restart = () => { input.value = ""; request(); input.focus(); };
  }

  function toggle() {
    if (!dialog) build();
    if (dialog.open) { dialog.close(); return; }
    dialog.showModal();
    dialog.restart();
  }
  document.addEventListener("keydown", (event) => {
    const isShortcut = event.key.toLowerCase() === "k" && (event.ctrlKey || event.metaKey);
    if (!isShortcut || event.altKey || event.shiftKey) return;
    event.preventDefault();
    toggle();
  });
  opener.addEventListener("click", (event) => {
    if (event.ctrlKey || event.metaKey || event.shiftKey) return;
    event.preventDefault();
    toggle();
  });
  if (/Mac|iPhone|iPad/.test(navigator.platform)) {
    for (const key of document.querySelectorAll("[data-palette-key]")) key.textContent = "⌘K";
  }
})();
