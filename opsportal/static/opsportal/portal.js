// Enhance the portal's pages. Forms and links also work without this script.
"use strict";
(() => {
  const csrf = () =>
    document.querySelector("[name=csrfmiddlewaretoken]")?.value ||
    document.cookie.match(/(?:^|; )csrftoken=([^;]+)/)?.[1] || "";
  const isTyping = (element) => element.matches?.("input:not([type=checkbox]), textarea, select, [contenteditable]");

  // --- htmx: send the CSRF token, pause polling in hidden tabs, keep focus and scroll position ---------------
  const skipped = new Set(); // The polls of these elements were skipped while the tab was hidden.
  document.addEventListener("htmx:configRequest", (event) => {
    if (event.detail.verb !== "get") event.detail.headers["X-CSRFToken"] = csrf();
  });
  // Ask the user to confirm an action on all matching rows, and a button with data-confirm.
  const isConfirmed = (button, form) => {
    const scope = form?.querySelector("[data-scope]:checked");
    const questions = [button?.dataset.confirm || form?.dataset.confirm, scope?.dataset.question].filter(Boolean);
    return questions.every((question) => window.confirm(question));
  };
  document.addEventListener("htmx:confirm", (event) => {
    const button = event.detail.elt;
    if (button.matches(".bulk button")) {
      if (!isConfirmed(button, button.form)) event.preventDefault();
      return;
    }
    const polls = /(^|,)\s*every\b/.test(event.detail.elt.getAttribute("hx-trigger") || "");
    if (polls && !event.detail.triggeringEvent && document.hidden) {
      skipped.add(event.detail.elt);
      event.preventDefault();
    }
  });
  document.addEventListener("visibilitychange", () => {
    if (document.hidden) return;
    for (const element of skipped) if (element.isConnected) window.htmx.trigger(element, "refresh");
    skipped.clear();
    tick();
  });
  const keyOf = (row) => row?.querySelector("input[data-row]")?.value || row?.querySelector("a")?.getAttribute("href");
  let saved = null; // The state of the target before a swap, which is restored afterwards.
  const pathTo = (element, root) => {
    if (element.id) return `#${CSS.escape(element.id)}`;
    const key = element.getAttribute("data-focus-key");
    if (key) return `[data-focus-key="${CSS.escape(key)}"]`;
    const value = (name) => `[${name}="${CSS.escape(element.getAttribute(name))}"]`;
    if (element.name && element.value && element.hasAttribute("value")) return `[name="${CSS.escape(element.name)}"]${value("value")}`;
    if (element.hasAttribute("href")) return `a${value("href")}`;
    const like = [...root.querySelectorAll(element.tagName)];
    return { tag: element.tagName, index: like.indexOf(element) };
  };
  document.addEventListener("htmx:beforeSwap", (event) => {
    const target = event.detail.target;
    if (!target?.contains) return;
    const focused = document.activeElement;
    saved = {
      focus: target.contains(focused) && focused !== document.body ? pathTo(focused, target) : null,
      scrolls: [...target.querySelectorAll("[id], .table-wrap")]
        .map((element, index) => [element.id, index, element.scrollTop, element.scrollLeft])
        .filter(([, , top, left]) => top || left),
      open: [...target.querySelectorAll("details[open][id], figure[data-chart] details[open]")].map((element) => element.id || element.closest("[id]")?.id),
      checked: new Set([...target.querySelectorAll("input[data-row]:checked")].map((row) => row.value)),
      scope: target.querySelector("[data-scope]")?.checked,
      // Store the row of the keyboard cursor, and its position in case the swap removes the row.
      current: keyOf(target.querySelector("[data-row-item][data-current]")),
      place: [...target.querySelectorAll("[data-row-item]")].findIndex((one) => one.hasAttribute("data-current")),
      target: target.id,
    };
  });
  // Scrollable areas must be reachable by keyboard. Other areas must not be tab stops.
  const updateTabStops = () => {
    for (const area of document.querySelectorAll(".table-wrap, pre.code, div.code")) {
      const scrolls = area.scrollWidth > area.clientWidth || area.scrollHeight > area.clientHeight;
      if (scrolls) area.tabIndex = 0;
      else if (area.getAttribute("role") !== "region") area.removeAttribute("tabindex");
    }
  };
  // On phones, a table that would scroll sideways becomes a list of cards. A card shows each value with the heading of
  // its column.
  const stackTables = () => {
    for (const wrap of document.querySelectorAll(".table-wrap:has(> table > thead)")) {
      const table = wrap.querySelector("table");
      if (table.matches(".table--cards, .uptime")) continue;
      table.classList.remove("table--stacked");
      if (window.innerWidth > 640 || wrap.scrollWidth <= wrap.clientWidth) continue;
      const headings = [...table.tHead.rows[0].cells].map((cell) => cell.textContent.trim());
      for (const row of table.tBodies[0]?.rows || []) {
        [...row.cells].forEach((cell, at) => { cell.dataset.label = headings[at] || ""; });
      }
      table.classList.add("table--stacked");
    }
  };
  window.addEventListener("resize", stackTables);
  window.addEventListener("resize", updateTabStops);
  document.addEventListener("toggle", updateTabStops, true);
  document.addEventListener("htmx:afterSettle", (event) => {
    tick();
    stackTables();
    updateTabStops();
    if (!saved) return;
    const root = (saved.target && document.getElementById(saved.target)) || event.detail.elt;
    if (saved.focus) {
      const again = typeof saved.focus === "string" ? root.querySelector(saved.focus) : root.querySelectorAll(saved.focus.tag)[saved.focus.index];
      (again || root.querySelector("h2, h3, button, a"))?.focus?.({ preventScroll: true });
    }
    const scrollers = [...root.querySelectorAll("[id], .table-wrap")];
    for (const [id, index, top, left] of saved.scrolls) {
      const element = (id && document.getElementById(id)) || scrollers[index];
      if (element) { element.scrollTop = top; element.scrollLeft = left; }
    }
    for (const box of root.querySelectorAll("input[data-row]")) if (saved.checked.has(box.value)) box.checked = true;
    const scope = root.querySelector("[data-scope]");
    if (scope) scope.checked = Boolean(saved.scope);
    if (saved.place >= 0) {
      const items = [...root.querySelectorAll("[data-row-item]")];
      const same = items.find((item) => keyOf(item) === saved.current);
      const next = same || items[Math.min(saved.place, items.length - 1)];
      next?.setAttribute("data-current", "");
      if (document.activeElement === document.body || root.contains(document.activeElement)) focusRow(next);
    }
    for (const form of document.querySelectorAll("form:has(.bulk)")) countSelected(form);
    for (const id of saved.open) document.getElementById(id)?.querySelector("details")?.setAttribute("open", "");
    saved = null;
  });
  document.addEventListener("htmx:responseError", () => toast("The request failed and nothing was changed. Please try again.", "critical"));
  document.addEventListener("htmx:sendError", () => toast("The portal is unreachable. Check your connection and try again.", "warning"));
  document.addEventListener("portal:message", (event) => {
    const { text, value, tone = "ok", undo = "" } = event.detail;
    const boxes = "input[data-row], input[data-scope], input[data-select-all]";
    if (tone === "ok") for (const box of document.querySelectorAll(boxes)) box.checked = false;
    toast(text || value, tone, undo);
  });

  // --- toasts: messages without a page load, by `HX-Trigger: {"portal:message": {"text": …}}` ----------------
  function toast(text, tone = "info", undo = "") {
    let place = document.querySelector(".toasts");
    if (!place) {
      place = Object.assign(document.createElement("div"), { className: "toasts" });
      place.setAttribute("role", "status");
      document.body.append(place);
    }
    if (undo) place.replaceChildren(); // The shortcut undoes only the last action.
    else if ([...place.children].some((one) => one.dataset.text === text)) return;
    const one = Object.assign(document.createElement("div"), { className: `banner banner--${tone}` });
    one.dataset.text = text;
    const words = Object.assign(document.createElement("p"), { textContent: text });
    const close = Object.assign(document.createElement("button"), { className: "btn btn--quiet btn--small", type: "button", textContent: "Close" });
    close.addEventListener("click", () => one.remove());
    one.append(words);
    if (undo) {
      const button = Object.assign(document.createElement("button"), { className: "btn btn--small", type: "button" });
      button.append("Undo ", Object.assign(document.createElement("kbd"), { textContent: "z" }));
      button.dataset.key = "z";
      button.addEventListener("click", () => {
        one.remove();
        window.htmx.ajax("POST", undo, { source: document.body, swap: "none" });
      });
      one.append(button);
    }
    one.append(close);
    place.append(one);
    if (tone === "ok" || tone === "info") setTimeout(() => one.remove(), undo ? 30000 : 8000);
  }

  // --- keep relative times current: <time data-live datetime="…"> --------------------------------------------
  // data-live="next" marks the time of a future event. core/lib/formats.py formats times in the same way.
  const rounded = (seconds) => {
    const [length, unit] = seconds < 60 ? [1, "s"] : seconds < 3600 ? [60, "min"] : seconds < 172800 ? [3600, "h"] : [86400, "d"];
    return `${Math.floor(seconds / length)} ${unit}`;
  };
  const age = (timestamp, isNext) => {
    const seconds = (Date.now() - timestamp) / 1000;
    if (isNext) return seconds > -1 ? "due now" : `in ${rounded(-seconds)}`;
    if (Math.abs(seconds) < 10) return seconds >= 0 ? "just now" : "now";
    return seconds > 0 ? `${rounded(seconds)} ago` : `in ${rounded(-seconds)}`;
  };
  function tick() {
    for (const element of document.querySelectorAll("time[data-live]")) {
      const text = age(Date.parse(element.dateTime), element.dataset.live === "next");
      if (element.textContent !== text) element.textContent = text;
    }
  }
  setInterval(() => document.hidden || tick(), 5000);

  // --- copy, confirm, select all, submit filters automatically -----------------------------------------------
  document.addEventListener("click", async (event) => {
    const button = event.target.closest("[data-copy]");
    if (!button) return;
    const source = button.dataset.copy.startsWith("#") ? document.querySelector(button.dataset.copy)?.textContent : button.dataset.copy;
    try {
      await navigator.clipboard.writeText(source.trim());
      toast("Copied.", "ok");
    } catch {
      toast("Your browser blocked copying. Select the text and copy it manually.", "warning");
    }
  });
  // <button data-pick="#input" data-value="…"> fills an input. <div data-move-after=".row"> is moved below that row.
  document.addEventListener("click", (event) => {
    const button = event.target.closest("[data-pick]");
    const input = button && document.querySelector(button.dataset.pick);
    if (!input) return;
    input.value = button.dataset.value;
    for (const name of ["change", "picked"]) input.dispatchEvent(new Event(name, { bubbles: true }));
    input.focus();
  });
  for (const block of document.querySelectorAll("[data-move-after]")) {
    document.querySelector(block.dataset.moveAfter)?.after(block);
  }
  document.addEventListener("submit", (event) => {
    if (!isConfirmed(event.submitter, event.target)) { event.preventDefault(); event.stopImmediatePropagation(); }
  }, true);
  const countSelected = (form) => {
    if (!form) return;
    const rows = [...form.querySelectorAll("input[data-row]")];
    const checked = rows.filter((row) => row.checked);
    const chosen = checked.length;
    const scope = form.querySelector("[data-scope]");
    const counted = checked.reduce((sum, row) => sum + Number(row.dataset.count || 1), 0);
    const count = scope?.checked ? Number(scope.dataset.scope) : counted;
    const all = form.querySelector("input[data-select-all]");
    if (all) { all.checked = rows.length > 0 && chosen === rows.length; all.indeterminate = chosen > 0 && chosen < rows.length; }
    const counter = form.querySelector("[data-selected-count]");
    if (counter) counter.textContent = count ? `${count} selected` : counter.dataset.selectedCount;
    for (const button of form.querySelectorAll(".bulk button")) button.disabled = !count;
  };
  // Django's lists: the button "Go" runs an action on the selected rows.
  const enableGo = () => {
    const isChosen = document.querySelector("#changelist-form input.action-select:checked") !== null;
    for (const button of document.querySelectorAll("#changelist-form .actions button[name=index]")) {
      button.disabled = !isChosen;
    }
  };
  // A click on the box in the heading changes the boxes of the rows in Django's own listener, which may run later.
  document.addEventListener("click", (event) => {
    if (event.target.closest("#changelist-form")) setTimeout(enableGo);
  });
  document.addEventListener("change", (event) => {
    const element = event.target;
    if (element.matches("input[data-select-all]")) for (const row of element.form.querySelectorAll("input[data-row]")) row.checked = element.checked;
    const scope = element.form?.querySelector("[data-scope]");
    if (element === scope) {
      for (const box of element.form.querySelectorAll("input[data-row], input[data-select-all]")) box.checked = scope.checked;
    } else if (scope && element.matches("input[data-select-all], input[data-row]") && !element.checked) {
      scope.checked = false;
    }
    if (element.matches("input[data-select-all], input[data-row], input[data-scope]")) countSelected(element.form);
    if (element.closest("form[data-autosubmit]") && element.matches("select, input[type=checkbox]:not(.filters__box), input[type=radio]")) {
      element.form.requestSubmit();
    }
  });

  // --- keyboard shortcuts in lists: <… data-keys> with rows [data-row-item]; j/k move, x selects, Enter opens 
  // The letter in data-key presses the button of the current row: <button data-key="d">Dismiss</button>.
  const focusRow = (row) => row?.querySelector("a, button")?.focus({ preventScroll: true });
  const move = (list, step) => {
    const items = [...list.querySelectorAll("[data-row-item]")];
    if (!items.length) return;
    const at = items.findIndex((item) => item.hasAttribute("data-current"));
    items[at]?.removeAttribute("data-current");
    const next = items[at < 0 ? 0 : Math.max(0, Math.min(items.length - 1, at + step))];
    next.setAttribute("data-current", "");
    focusRow(next);
    next.scrollIntoView({ block: "nearest" });
  };
  const closeMenus = (except) => { for (const menu of document.querySelectorAll("details.menu[open]")) if (menu !== except) menu.open = false; };
  document.addEventListener("click", (event) => closeMenus(event.target.closest("details.menu")));
  document.addEventListener("keydown", (event) => {
    if (event.key === "Escape") {
      const menu = document.querySelector("details.menu[open]");
      if (menu) { menu.open = false; menu.querySelector("summary").focus(); }
      return;
    }
    if (event.ctrlKey || event.metaKey || event.altKey || isTyping(event.target)) return;
    if (event.key === "/") {
      const search = document.querySelector("[data-search]");
      if (search) { event.preventDefault(); search.focus(); search.select(); }
      return;
    }
    if (event.key === "?") { event.preventDefault(); showShortcuts(); return; }
    if (!/^[a-z]$/.test(event.key) || document.querySelector("dialog[open]")) return;
    const list = document.querySelector("[data-keys]");
    if (list && (event.key === "j" || event.key === "k")) {
      event.preventDefault();
      move(list, event.key === "j" ? 1 : -1);
      return;
    }
    const current = list?.querySelector("[data-row-item][data-current]") ||
      document.activeElement?.closest?.("[data-row-item]");
    if (list && event.key === "x" && current) { current.querySelector("input[data-row]")?.click(); return; }
    const having = `[data-key="${event.key}"]`;
    const own = current?.querySelector(having) ||
      [...document.querySelectorAll(having)].find((one) => !one.closest("[data-keys]") && isReachable(one));
    if (own) { event.preventDefault(); own.click(); return; }
    const bulk = list?.querySelector(`.bulk [data-key="${event.key}"]`);
    if (!bulk) return;
    if (bulk.disabled && current) current.querySelector("input[data-row]")?.click();
    if (!bulk.disabled) { event.preventDefault(); bulk.click(); }
  });

  // A shortcut also presses a button in a closed menu.
  const isReachable = (element) => element.checkVisibility() || element.closest("details.menu")?.checkVisibility();

  // --- previous and next: a page that was opened from a list links to the rows beside its own -----------------
  // The entry of sessionStorage that contains the rows of the last list, and the row that was opened last.
  const LIST_KEY = "opsportal:list";
  const readList = () => { try { return JSON.parse(sessionStorage.getItem(LIST_KEY)) || {}; } catch { return {}; } };
  const writeList = (list) => {
    try { sessionStorage.setItem(LIST_KEY, JSON.stringify(list)); } catch { /* Without storage, there are no links. */ }
  };
  const rememberList = () => {
    const items = [...document.querySelectorAll("[data-keys] [data-row-item]")];
    if (!items.length) return;
    const pathOf = (item) => new URL(item.querySelector("a.title")?.href || location.href).pathname;
    const { page, last } = readList();
    if (page === location.pathname && last && !items.some((item) => item.hasAttribute("data-current"))) {
      items.find((item) => pathOf(item) === last)?.setAttribute("data-current", "");
    }
    const rows = items.map(pathOf).filter((path) => path !== location.pathname);
    writeList({ page: location.pathname, rows, last });
  };
  const showNeighbors = () => {
    const nav = document.querySelector("[data-neighbors]");
    const list = readList();
    const at = list.rows?.indexOf(location.pathname) ?? -1;
    if (!nav || at < 0) return;
    for (const [rel, url] of [["prev", list.rows[at - 1]], ["next", list.rows[at + 1]]]) {
      const link = nav.querySelector(`[rel="${rel}"]`);
      link.hidden = !url;
      if (url) link.href = url;
    }
    nav.hidden = false;
    writeList({ ...list, last: location.pathname });
  };

  // --- the list of the shortcuts of this page, opened by "?" --------------------------------------------------
  function showShortcuts() {
    const open = document.querySelector("dialog.shortcuts");
    if (open) { open.close(); return; }
    const found = new Map();
    const ownText = (element) => [...element.childNodes].filter((node) => node.nodeType === Node.TEXT_NODE)
      .map((node) => node.textContent.trim()).join(" ").trim();
    for (const element of [...document.querySelectorAll("[data-key]")].filter(isReachable)) {
      if (!found.has(element.dataset.key)) found.set(element.dataset.key, element.dataset.keyName || ownText(element));
    }
    const ofLists = [["j", "Next row"], ["k", "Previous row"], ["x", "Select the row"], ["Enter", "Open the row"]];
    if (document.querySelector("[data-keys]")) for (const [key, name] of ofLists) found.set(key, name);
    if (document.querySelector("[data-search]")) found.set("/", "Search");
    if (document.querySelector("[data-palette]")) found.set("Ctrl K", "Search everything");
    found.set("?", "Show the shortcuts of this page");
    const dialog = Object.assign(document.createElement("dialog"), { className: "shortcuts" });
    const title = document.createElement("h2");
    Object.assign(title, { textContent: "Keyboard shortcuts", id: "shortcuts-title" });
    dialog.setAttribute("aria-labelledby", title.id);
    const table = document.createElement("dl");
    for (const [key, name] of found) {
      const term = document.createElement("dt");
      term.append(Object.assign(document.createElement("kbd"), { textContent: key }));
      table.append(term, Object.assign(document.createElement("dd"), { textContent: name }));
    }
    const close = document.createElement("button");
    Object.assign(close, { className: "btn", type: "button", textContent: "Close" });
    close.addEventListener("click", () => dialog.close());
    dialog.addEventListener("close", () => dialog.remove());
    dialog.append(title, table, close);
    document.body.append(dialog);
    dialog.showModal();
  }

  // --- label the date and the time of a field, because their inputs share one label --------------------------
  for (const input of document.querySelectorAll(".day-and-time input:not([aria-label])")) {
    const column = [...(input.closest("td")?.classList || [])].find((name) => name.startsWith("field-"))?.slice(6);
    const heading = column && input.closest("table").querySelector(`th.column-${CSS.escape(column)}`);
    const label = (heading || input.closest(".form-row, td")?.querySelector("label"))?.textContent.trim() || "";
    input.setAttribute("aria-label", `${label} ${input.type}`.trim());
  }

  // On phones, the rows of the admin's lists are cards, in which each value has the heading of its column.
  const headings = [...document.querySelectorAll("#result_list thead th")].map((cell) => cell.textContent.trim());
  for (const row of document.querySelectorAll("#result_list tbody tr")) {
    [...row.children].forEach((cell, at) => { cell.dataset.label = headings[at] || ""; });
  }

  document.querySelector("[autofocus][data-select]")?.select(); // Typing replaces the proposed value.
  for (const form of document.querySelectorAll("form:has(.bulk)")) countSelected(form);
  enableGo();
  rememberList();
  showNeighbors();
  tick();
  stackTables();
  updateTabStops();
})();
