// Validate the admin's forms while the user fills them in. When the user leaves a changed field, the server checks the
// form without saving it, and the messages of changed fields are shown. While a field has a message, the form is
// checked again after each change. Without scripts, the messages appear after saving.
"use strict";
(() => {
  const form = document.querySelector("body.change-form #content-main > form[method=post]");
  if (!form) return;
  const changed = new Set(); // The names of the fields that the user has changed.
  let latest = 0; // The number of the latest check. Responses to earlier ones are ignored.
  let timer = 0;

  // A field with several inputs, such as a date and a time, has inputs named starts_at_0 and starts_at_1.
  const fieldOf = (input) => input.name.replace(/_\d+$/, "");
  const inputsOf = (field) => [...form.elements].filter((one) => one.name && [one.name, fieldOf(one)].includes(field));
  const placeOf = (input) => input.closest(".flex-container:not(.form-multiline)") ||
    input.closest("td")?.firstElementChild || input;
  const rowOf = (input) => input.closest(".fieldBox") || input.closest(".form-row") || input.parentElement;
  const listOf = (field) => document.getElementById(`id_${field}_error`); // Django's list has the same id.

  const show = (field, texts) => {
    const inputs = inputsOf(field);
    if (!inputs.length) return;
    let list = listOf(field);
    if (!texts.length) {
      list?.replaceChildren();
    } else {
      if (!list) {
        list = document.createElement("ul");
        list.className = "errorlist";
        list.id = `id_${field}_error`;
        list.setAttribute("aria-live", "polite");
        placeOf(inputs[0]).before(list);
      }
      const items = texts.map((text) => Object.assign(document.createElement("li"), { textContent: text }));
      if (list.textContent !== texts.join("")) list.replaceChildren(...items);
    }
    rowOf(inputs[0]).classList.toggle("errors", texts.length > 0);
    for (const input of inputs) {
      const described = new Set((input.getAttribute("aria-describedby") || "").split(" ").filter(Boolean));
      if (texts.length) described.add(`id_${field}_error`); else described.delete(`id_${field}_error`);
      if (described.size) input.setAttribute("aria-describedby", [...described].join(" "));
      else input.removeAttribute("aria-describedby");
      if (texts.length) input.setAttribute("aria-invalid", "true"); else input.removeAttribute("aria-invalid");
    }
  };
  const check = async () => {
    clearTimeout(timer);
    const number = ++latest;
    const fields = [...changed];
    let errors;
    try {
      const headers = { "X-Form-Check": "1" };
      const response = await fetch(form.action, { method: "POST", body: new FormData(form), headers });
      if (!response.ok || response.redirected) return;
      ({ errors } = await response.json());
    } catch {
      return; // The server is unreachable. The form is checked when it is saved.
    }
    if (number !== latest) return;
    for (const field of fields) show(field, errors[field] || []);
    form.dispatchEvent(new CustomEvent("portal:checked", { bubbles: true }));
  };

  form.addEventListener("input", (event) => {
    if (!event.target.name) return;
    changed.add(fieldOf(event.target));
    if (listOf(fieldOf(event.target))?.childElementCount) {
      clearTimeout(timer);
      timer = setTimeout(check, 400);
    }
  });
  form.addEventListener("change", (event) => {
    if (!event.target.name) return;
    changed.add(fieldOf(event.target));
    check();
  });
})();
