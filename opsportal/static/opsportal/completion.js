// Turn the search field <input data-complete="/url/"> into a combobox with a list of suggestions. The parameter `q` of
// the URL is the text up to the cursor. The response is
// {"start": 5, "suggestions": [{"text": "app:", "hint": "App"}]}.
"use strict";
(() => {
  const element = (tag, properties, attributes = {}) => {
    const made = Object.assign(document.createElement(tag), properties);
    for (const [name, value] of Object.entries(attributes)) made.setAttribute(name, value);
    return made;
  };

  function attach(input) {
    const id = `${input.id}-completions`;
    const listbox = { role: "listbox", "aria-label": "Suggestions" };
    const list = element("ul", { className: "completions", id, hidden: true }, listbox);
    const combobox = { role: "combobox", "aria-autocomplete": "list", "aria-expanded": "false", "aria-controls": id };
    for (const [name, value] of Object.entries(combobox)) input.setAttribute(name, value);
    input.after(list);
    let start = 0; // Suggestions replace the text from this position to the cursor.
    let latest = 0; // The number of the latest request. Responses to earlier ones are ignored.
    let timer = 0;

    const close = () => {
      latest += 1;
      list.hidden = true;
      input.setAttribute("aria-expanded", "false");
      input.removeAttribute("aria-activedescendant");
    };
    const select = (option) => {
      for (const one of list.children) one.setAttribute("aria-selected", String(one === option));
      input.setAttribute("aria-activedescendant", option.id);
      option.scrollIntoView({ block: "nearest" });
    };
    const accept = (option) => {
      input.setRangeText(option.dataset.text, start, input.selectionStart, "end");
      close();
      if (option.dataset.text.endsWith(":")) request();
    };
    const show = (completion) => {
      start = completion.start;
      const options = completion.suggestions.map(({ text, hint }, index) => {
        const attributes = { role: "option", "aria-selected": "false", "data-text": text };
        const option = element("li", { id: `${id}-${index}` }, attributes);
        option.append(element("span", { className: "mono", textContent: text.trim() }));
        if (hint) option.append(element("span", { className: "small quiet", textContent: hint }));
        return option;
      });
      list.replaceChildren(...options);
      list.hidden = !options.length;
      input.setAttribute("aria-expanded", String(!list.hidden));
      input.removeAttribute("aria-activedescendant");
    };
    const request = async () => {
      const number = ++latest;
      const typed = input.value.slice(0, input.selectionStart);
      try {
        const response = await fetch(`${input.dataset.complete}?q=${encodeURIComponent(typed)}`);
        if (response.ok && number === latest) show(await response.json());
      } catch {
        close(); // The search also works without suggestions.
      }
    };

    input.addEventListener("input", () => { clearTimeout(timer); timer = setTimeout(request, 120); });
    input.addEventListener("click", request);
    input.addEventListener("blur", () => { clearTimeout(timer); close(); });
    list.addEventListener("mousedown", (event) => {
      event.preventDefault(); // The input must keep the focus.
      const option = event.target.closest("li");
      if (option) accept(option);
    });
    input.addEventListener("keydown", (event) => {
      const options = [...list.children];
      const at = options.findIndex((one) => one.getAttribute("aria-selected") === "true");
      if (list.hidden) {
        if (event.key === "ArrowDown") { event.preventDefault(); request(); }
      } else if (event.key === "ArrowDown") {
        event.preventDefault();
        select(options[(at + 1) % options.length]);
      } else if (event.key === "ArrowUp") {
        event.preventDefault();
        select(options[at <= 0 ? options.length - 1 : at - 1]);
      } else if (event.key === "Tab" && !event.shiftKey && at >= 0) {
        event.preventDefault();
        accept(options[at]);
      } else if (event.key === "Enter" && at >= 0) {
        event.preventDefault();
        accept(options[at]);
      } else if (event.key === "Escape") {
        event.preventDefault();
        event.stopPropagation();
        close();
      }
    });
  }

  for (const input of document.querySelectorAll("input[data-complete]")) attach(input);
})();
