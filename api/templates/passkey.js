// Passkeys on our pages (W3C Web Authentication, level 3). A section with data-passkey says what its button does:
// sign in, give the second factor, or register. What goes wrong is told in its live region.
(() => {
  'use strict';

  const CALLS = {
    'sign-in': ['/sign-in/passkey/begin', '/sign-in/passkey/finish'],
    'second-factor': ['/sign-in/passkey/begin', '/sign-in/second-factor/passkey'],
    register: ['/settings/passkeys/begin', '/settings/passkeys/finish'],
  };
  // Errors of the browser, by their names. What it says of them itself is not for people.
  const TOLD = {
    AbortError: 'This was cancelled. You can try again.',
    InvalidStateError: 'This device has a passkey for your account already.',
    NotAllowedError: 'No passkey was used: this was cancelled, or took too long. You can try again.',
    NotSupportedError: 'This device can’t make a passkey that we accept.',
    SecurityError: 'Passkeys can’t be used at this address.',
    TypeError: 'We could not be reached. Please try again.',
  };

  const toBytes = (text) => Uint8Array.from(atob(text.replace(/-/g, '+').replace(/_/g, '/')), (one) => one.charCodeAt(0));
  const toText = (buffer) =>
    btoa(String.fromCharCode(...new Uint8Array(buffer))).replace(/\+/g, '-').replace(/\//g, '_').replace(/=+$/, '');
  const withBytes = (list) => (list ?? []).map((one) => ({ ...one, id: toBytes(one.id) }));

  // Where a browser lacks the JSON methods, the bytes are put in and read out by hand.
  const creation = (json) =>
    PublicKeyCredential.parseCreationOptionsFromJSON?.(json) ?? {
      ...json,
      challenge: toBytes(json.challenge),
      user: { ...json.user, id: toBytes(json.user.id) },
      excludeCredentials: withBytes(json.excludeCredentials),
    };
  const request = (json) =>
    PublicKeyCredential.parseRequestOptionsFromJSON?.(json) ?? {
      ...json,
      challenge: toBytes(json.challenge),
      allowCredentials: withBytes(json.allowCredentials),
    };
  const written = (credential) => {
    if (credential.toJSON) return credential.toJSON();
    const response = {};
    for (const part of ['clientDataJSON', 'attestationObject', 'authenticatorData', 'signature', 'userHandle']) {
      if (credential.response[part]) response[part] = toText(credential.response[part]);
    }
    const { id, type } = credential;
    return { id, rawId: toText(credential.rawId), type, response, clientExtensionResults: {} };
  };

  class Refusal extends Error {
    constructor({ message, extensions }) {
      super(message);
      this.name = 'Refusal';
      this.code = extensions.code;
    }
  }

  const call = async (path, body) => {
    const headers = { 'Content-Type': 'application/json' };
    const answer = await fetch(path, { method: 'POST', headers, body: JSON.stringify(body), redirect: 'error' });
    const json = await answer.json();
    if (!answer.ok) throw new Refusal(json.errors[0]);
    return json;
  };

  const run = async (section) => {
    const [begin, finish] = CALLS[section.dataset.passkey];
    const { ceremony, publicKey } = await call(begin, { returnTo: section.dataset.returnTo ?? '' });
    const credential =
      section.dataset.passkey === 'register'
        ? await navigator.credentials.create({ publicKey: creation(publicKey) })
        : await navigator.credentials.get({ publicKey: request(publicKey) });
    const name = section.querySelector('input')?.value ?? '';
    return (await call(finish, { ceremony, credential: written(credential), name })).redirectTo;
  };

  const attach = (section) => {
    const region = section.querySelector('[aria-live]');
    let busy = false;
    section.querySelector('[data-without]')?.remove();
    section.querySelector('[data-with]').hidden = false;
    section.querySelector('button').addEventListener('click', async () => {
      if (busy) return;
      busy = true;
      region.textContent = '';
      try {
        location.assign(await run(section));
      } catch (error) {
        if (['STEP_UP_REQUIRED', 'UNAUTHENTICATED'].includes(error.code)) {
          location.assign(`/sign-in?again=true&return_to=${location.pathname}`);
          return;
        }
        const told = error.name === 'Refusal' ? error.message : TOLD[error.name];
        region.textContent = told ?? 'This did not work. Please try again.';
      } finally {
        busy = false;
      }
    });
  };

  if (window.PublicKeyCredential && navigator.credentials) {
    document.querySelectorAll('[data-passkey]').forEach(attach);
  }
})();
