// API keys: made on the page of the settings, shown once, and good for what they were made for.
import { crc32 } from 'node:zlib';
import { ageSessions } from './support/database.js';
import { expect, test } from './support/fixtures.js';
import { look } from './support/look.js';
import { mailAbout } from './support/mailbox.js';
import { secret } from './support/secrets.js';
import { askForLink, heading, openLink, signInByMail } from './support/sign-in.js';

const API = process.env.E2E_URL;

async function atApiKeys(page, address) {
  await page.goto('/settings/api-keys');
  await signInByMail(page, address, { there: true });
  await expect(heading(page, 'API keys')).toBeVisible();
}

/** Makes a key with those scopes; its text. */
async function makeKey(page, name, scopes) {
  await page.getByLabel('What it is for').fill(name);
  for (const scope of scopes) await page.getByRole('checkbox', { name: scope }).check();
  await page.getByRole('button', { name: 'Make the key' }).click();
  await expect(heading(page, 'Your new API key')).toBeVisible();
  return secret(await page.locator('code.secret').innerText(), 'an API key');
}

/** Asks as an integration does; the status and the answer. */
async function ask(key, query) {
  const answer = await fetch(`${API}/graphql`, {
    method: 'POST',
    headers: { authorization: `Bearer ${key}`, 'content-type': 'application/json' },
    body: JSON.stringify({ query }),
  });
  return { status: answer.status, body: await answer.json() };
}

test('a person makes a key for an integration, and revokes it', { tag: '@plain' }, async ({ page, address, javaScriptEnabled }) => {
  await atApiKeys(page, address);
  if (javaScriptEnabled) await look(page, 'settings-api-keys-none');
  const key = await makeKey(page, 'Zapier', ['contacts:read']);
  if (javaScriptEnabled) await look(page, 'settings-api-key');
  expect(key).toMatch(/^crm_dev_[0-9A-Za-z]{36}$/);
  await mailAbout(address, /An API key was made/);

  // Shown once.
  await page.getByRole('link', { name: /I have copied it/ }).click();
  await expect(page.getByRole('listitem')).toContainText(['Zapier']);
  expect(await page.content()).not.toContain(key);
  // Nor does the browser keep it: going back would send the form again, about which it asks.
  await expect(page.goBack()).rejects.toThrow('ERR_CACHE_MISS');

  const read = await ask(key, '{ contacts(first: 1) { totalCount } }');
  expect(read).toEqual({ status: 200, body: { data: { contacts: { totalCount: 0 } } } });
  const write = await ask(key, 'mutation { createContact(input: { givenName: "Ada" }) { contact { id } } }');
  expect(JSON.stringify(write.body)).toContain('FORBIDDEN');
  const own = await ask(key, '{ viewer { email } }');
  expect(JSON.stringify(own.body)).not.toContain(address);

  await page.goto('/settings/api-keys');
  await expect(page.getByRole('listitem')).toContainText(['last used']);
  if (javaScriptEnabled) await look(page, 'settings-api-keys');
  await page.getByRole('button', { name: /^Revoke Zapier/ }).click();
  await expect(page.getByRole('listitem')).toContainText(['Revoked']);
  expect((await ask(key, '{ contacts(first: 1) { totalCount } }')).status).toBe(401);
  await mailAbout(address, /An API key of yours was revoked/);
});

test('a key says what it may, or is not made', { tag: '@plain' }, async ({ page, address, complaints, javaScriptEnabled }) => {
  complaints.allow(/status of 422/);
  await atApiKeys(page, address);
  await page.getByLabel('What it is for').fill('Zapier');
  await page.getByRole('button', { name: 'Make the key' }).click();
  await expect(page.getByRole('alert')).toBeVisible();
  await expect(page.getByLabel('What it is for')).toHaveValue('Zapier');
  if (javaScriptEnabled) await look(page, 'settings-api-keys-problem');
});

test('a key can be told from a look-alike', async ({ page, address }) => {
  await atApiKeys(page, address);
  const key = await makeKey(page, 'A scanner', ['contacts:read']);
  const digits = '0123456789ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz';
  let rest = crc32(key.slice(0, -6));
  let checksum = '';
  for (let place = 0; place < 6; place += 1) {
    checksum = digits[rest % 62] + checksum;
    rest = Math.floor(rest / 62);
  }
  expect(key.slice(-6)).toBe(checksum);
});

test('making a key asks to sign in again after ten minutes', { tag: '@plain' }, async ({ page, address }) => {
  await atApiKeys(page, address);
  await ageSessions(address);
  // The form is open already.
  await page.getByLabel('What it is for').fill('Zapier');
  await page.getByRole('checkbox', { name: 'contacts:read' }).check();
  await page.getByRole('button', { name: 'Make the key' }).click();
  await expect(heading(page, 'Sign in')).toBeVisible();
  await askForLink(page, address);
  await openLink(page, address);
  await expect(heading(page, 'API keys')).toBeVisible();
  await makeKey(page, 'Zapier', ['contacts:read']);
});
