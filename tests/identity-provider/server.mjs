// A certified OpenID provider (npm oidc-provider) for the tests and the browser suite.
//
//   npm ci && PORT=9300 REDIRECT_URIS=http://localhost:8080/sign-in/with/local/callback node server.mjs
//
// PORT           where it listens, on 127.0.0.1; that is its issuer too: http://127.0.0.1:PORT. Default 9300.
// REDIRECT_URIS  where it may send browsers back to, comma-separated.
//
// The one client is `personal-crm` with the secret `secret-of-the-tests` (Basic authentication, PKCE S256):
//
//   SSO_PROVIDERS=local
//   SSO_LOCAL_ISSUER=http://127.0.0.1:9300
//   SSO_LOCAL_CLIENT_ID=personal-crm
//   SSO_LOCAL_CLIENT_SECRET=secret-of-the-tests
//
// Its page asks who signs in: a field labelled "E-mail address", a box "The address is verified" (ticked), a field
// "Subject" (made from the address if empty), and the buttons "Continue" and "Cancel". Whoever has signed in
// once is known by a cookie and is sent straight back the next time.
//
// GET  /ready        answers when it can serve.
// POST /test/rotate  new signing keys from now on; the old ones are gone. Answers with their ids.
import { generateKeyPairSync, randomUUID } from 'node:crypto';
import { once } from 'node:events';
import { createServer } from 'node:http';

import Provider from 'oidc-provider';

const port = Number(process.env.PORT ?? 9300);
const redirectUris = (process.env.REDIRECT_URIS ?? 'http://localhost:8080/sign-in/with/local/callback').split(',');
const issuer = `http://127.0.0.1:${port}`;
const accounts = new Map();

function signingKey() {
  const { privateKey } = generateKeyPairSync('rsa', { modulusLength: 2048 });
  return { ...privateKey.export({ format: 'jwk' }), kid: randomUUID(), alg: 'RS256', use: 'sig' };
}

// What is under way (codes, sessions): outlives the provider whose keys are turned.
const stored = new Map();

class Store {
  constructor(model) {
    this.model = model;
  }

  key(id) {
    return `${this.model} ${id}`;
  }

  async upsert(id, payload) {
    stored.set(this.key(id), payload);
  }

  async find(id) {
    return stored.get(this.key(id));
  }

  async findByUid(uid) {
    return [...stored].find(([key, payload]) => key.startsWith(`${this.model} `) && payload.uid === uid)?.[1];
  }

  async findByUserCode() {
    return undefined;
  }

  async consume(id) {
    stored.get(this.key(id)).consumed = Math.floor(Date.now() / 1000);
  }

  async destroy(id) {
    stored.delete(this.key(id));
  }

  async revokeByGrantId(grantId) {
    for (const [key, payload] of stored) if (payload.grantId === grantId) stored.delete(key);
  }
}

function provider(key) {
  return new Provider(issuer, {
    adapter: Store,
    clients: [
      {
        client_id: 'personal-crm',
        client_secret: 'secret-of-the-tests',
        redirect_uris: redirectUris,
        grant_types: ['authorization_code'],
        response_types: ['code'],
      },
    ],
    jwks: { keys: [key] },
    cookies: { keys: ['of-the-tests-alone'] },
    claims: { openid: ['sub'], email: ['email', 'email_verified'] },
    features: { devInteractions: { enabled: false } },
    interactions: { url: (_ctx, interaction) => `/interaction/${interaction.uid}` },
    pkce: { required: () => true },
    findAccount: (_ctx, id) => ({ accountId: id, claims: () => ({ sub: id, ...accounts.get(id) }) }),
  });
}

let key = signingKey();
let current = provider(key);

const form = `<!doctype html>
<html lang="en"><head><meta charset="utf-8"><title>Identity provider</title><link rel="icon" href="data:,"></head><body><main>
<h1>Identity provider</h1>
<form method="post">
<p><label>E-mail address <input name="email" type="email"></label></p>
<p><label>Subject <input name="subject"></label></p>
<p><label><input name="verified" type="checkbox" value="true" checked> The address is verified</label></p>
<p><button name="answer" value="yes">Continue</button> <button name="answer" value="no">Cancel</button></p>
</form></main></body></html>`;

async function fields(request) {
  let body = '';
  for await (const piece of request) body += piece;
  return new URLSearchParams(body);
}

async function interaction(request, response) {
  const { params } = await current.interactionDetails(request, response);
  if (request.method !== 'POST') {
    response.writeHead(200, { 'content-type': 'text/html; charset=utf-8' }).end(form);
    return;
  }
  const said = await fields(request);
  if (said.get('answer') === 'no') {
    await current.interactionFinished(request, response, { error: 'access_denied' });
    return;
  }
  const email = said.get('email') || undefined;
  const accountId = said.get('subject') || `subject of ${email}`;
  accounts.set(accountId, email && { email, email_verified: said.get('verified') === 'true' });
  const grant = new current.Grant({ accountId, clientId: params.client_id });
  grant.addOIDCScope('openid email');
  const grantId = await grant.save();
  await current.interactionFinished(request, response, { login: { accountId }, consent: { grantId } });
}

async function serve(request, response) {
  const { pathname } = new URL(request.url, issuer);
  if (pathname === '/ready') {
    response.writeHead(204).end();
  } else if (pathname === '/test/rotate' && request.method === 'POST') {
    const before = key.kid;
    key = signingKey();
    current = provider(key);
    response.writeHead(200, { 'content-type': 'application/json' }).end(JSON.stringify({ before, after: key.kid }));
  } else if (pathname.startsWith('/interaction/')) {
    await interaction(request, response);
  } else {
    current.callback()(request, response);
  }
}

const server = createServer((request, response) => {
  serve(request, response).catch((error) => {
    console.error(error.message);
    if (!response.headersSent) response.writeHead(400);
    response.end();
  });
});
server.listen(port, '127.0.0.1');
await once(server, 'listening');
console.log(`an identity provider listens on ${issuer}`);
