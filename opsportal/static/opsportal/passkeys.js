// Complete forms with a passkey: <form data-passkey="options URL" data-passkey-use="create|get"> with a hidden field
// "credential". The portal returns the options, the device returns the credential, and the form sends the credential.
(() => {
  "use strict";

  const bytes = (text) => {
    const padded = text.replace(/-/g, "+").replace(/_/g, "/").padEnd(Math.ceil(text.length / 4) * 4, "=");
    return Uint8Array.from(atob(padded), (letter) => letter.charCodeAt(0)).buffer;
  };
  const text = (buffer) =>
    btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, "-").replace(/\//g, "_").replace(/=+$/, "");

  const decoded = (options) => {
    const known = (list) => (list || []).map((one) => ({ ...one, id: bytes(one.id) }));
    const result = { ...options, challenge: bytes(options.challenge) };
    if (options.user) result.user = { ...options.user, id: bytes(options.user.id) };
    if (options.excludeCredentials) result.excludeCredentials = known(options.excludeCredentials);
    if (options.allowCredentials) result.allowCredentials = known(options.allowCredentials);
    return result;
  };

  const encoded = (credential) => {
    const response = {};
    for (const name of ["clientDataJSON", "attestationObject", "authenticatorData", "signature", "userHandle"]) {
      if (credential.response[name]) response[name] = text(credential.response[name]);
    }
    return JSON.stringify({
      id: credential.id,
      rawId: text(credential.rawId),
      type: credential.type,
      clientExtensionResults: {},
      response,
    });
  };

  const complete = async (form) => {
    const token = form.querySelector("[name=csrfmiddlewaretoken]").value;
    const answer = await fetch(form.dataset.passkey, { method: "POST", headers: { "X-CSRFToken": token } });
    const options = await answer.json();
    if (!options.publicKey) {
      throw new Error(options.problem || options.detail || "The portal did not respond. Try again.");
    }
    const publicKey = decoded(options.publicKey);
    const credential =
      form.dataset.passkeyUse === "create"
        ? await navigator.credentials.create({ publicKey })
        : await navigator.credentials.get({ publicKey });
    form.querySelector("[name=credential]").value = encoded(credential);
    form.submit();
  };

  for (const form of document.querySelectorAll("form[data-passkey]")) {
    const note = form.querySelector("[data-passkey-note]");
    if (!window.PublicKeyCredential) {
      note.textContent = "Passkeys are unavailable. Use a browser that supports them, and open this page over HTTPS.";
      form.querySelector("button").disabled = true;
      continue;
    }
    form.addEventListener("submit", (event) => {
      event.preventDefault();
      note.textContent = "";
      complete(form).catch((error) => {
        note.textContent =
          error.name === "NotAllowedError"
            ? "No passkey was used, because the request was canceled or took too long. Try again."
            : error.name === "InvalidStateError"
              ? "This device already has a passkey for this account."
              : error.message;
      });
    });
  }
})();
