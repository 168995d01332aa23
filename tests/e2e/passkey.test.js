// Passkeys: made, used, named, removed; and as the second factor.
import { addAuthenticator } from './support/authenticator.js';
import { ageSessions } from './support/database.js';
import { expect, test } from './support/fixtures.js';
import { FRONT_END } from './support/front-end.js';
import { expectVisibleFocus, tabTo } from './support/keyboard.js';
import { look } from './support/look.js';
import { mailAbout } from './support/mailbox.js';
import { secret } from './support/secrets.js';
import { askForLink, heading, openLink, signInByMail } from './support/sign-in.js';

const errors = /the server responded with a status of 4/;

const press = (page, name) => page.getByRole('button', { name, exact: true }).click();

/** Signs in by a mailed link, and is at the page of the passkeys. */
async function atPasskeys(page, address) {
  await page.goto('/settings/passkeys');
  await signInByMail(page, address, { there: true });
  await expect(heading(page, 'Passkeys')).toBeVisible();
}

async function addPasskey(page, name) {
  await page.getByLabel('Name', { exact: true }).fill(name);
  await press(page, 'Add a passkey');
  await expect(page.getByRole('status')).toContainText('The passkey was added.');
  await expect(page.getByRole('heading', { name })).toBeVisible();
}

async function signOut(page) {
  await press(page, 'Sign out');
  await expect(heading(page, 'You are signed out')).toBeVisible();
}

/** Has a passkey asked for at each sign-in; the recovery codes, which are shown. Who wants it shows that it works. */
async function requirePasskey(page) {
  await page.goto('/sign-in?return_to=/settings/passkeys');
  await press(page, 'Sign in with a passkey');
  await expect(heading(page, 'Passkeys')).toBeVisible();
  await press(page, 'Require a passkey');
  await expect(heading(page, 'Recovery codes')).toBeVisible();
  const codes = await page.getByRole('list', { name: 'Recovery codes' }).getByRole('listitem').allInnerTexts();
  for (const code of codes) secret(code, 'a recovery code');
  return codes;
}

test('a person adds a passkey, and signs in by it', async ({ page, address }) => {
  const authenticator = await addAuthenticator(page);
  await atPasskeys(page, address);
  await look(page, 'settings-passkeys-none');
  await addPasskey(page, 'My laptop');
  await look(page, 'settings-passkeys');
  await mailAbout(address, /A passkey was added/);
  // One that the device finds by itself: nobody types who they are.
  const [credential] = await authenticator.credentials();
  expect(credential).toMatchObject({ isResidentCredential: true, rpId: 'localhost' });

  await signOut(page);
  await page.goto('/sign-in');
  await look(page, 'sign-in-passkey');
  await press(page, 'Sign in with a passkey');
  await expect(heading(page, 'You are signed in')).toBeVisible();
  await page.goto('/settings');
  await expect(page.getByRole('main')).toContainText(address);
  await page.goto('/settings/passkeys');
  await expect(page.getByRole('main')).toContainText('last used');
});

test('a passkey is renamed and removed', async ({ page, address, complaints }) => {
  await addAuthenticator(page);
  await atPasskeys(page, address);
  await addPasskey(page, 'My laptop');
  await page.getByText('Rename', { exact: false }).first().click();
  await page.getByLabel('New name').fill('Büro <b>& Küche</b>');
  await press(page, 'Save the name');
  await expect(page.getByRole('heading', { name: 'Büro <b>& Küche</b>' })).toBeVisible();
  await page.getByRole('button', { name: /^Remove/ }).click();
  await expect(page.getByRole('status')).toContainText('The passkey was removed.');
  await expect(page.getByRole('main')).toContainText('You have none yet.');
  await mailAbout(address, /A passkey was removed/);

  // It opens nothing any more.
  complaints.allow(errors);
  await signOut(page);
  await page.goto('/sign-in');
  await press(page, 'Sign in with a passkey');
  await expect(page.locator('[aria-live]')).not.toBeEmpty();
  await look(page, 'sign-in-passkey-problem');
  await page.goto('/settings');
  await expect(heading(page, 'Sign in')).toBeVisible();
});

test('a device has one passkey of an account', async ({ page, address }) => {
  await addAuthenticator(page);
  await atPasskeys(page, address);
  await addPasskey(page, 'My laptop');
  await press(page, 'Add a passkey');
  await expect(page.locator('[aria-live]')).toHaveText('This device has a passkey for your account already.');
});

test('a device that does not verify its user opens nothing', async ({ page, address }) => {
  const authenticator = await addAuthenticator(page);
  await atPasskeys(page, address);
  await addPasskey(page, 'My laptop');
  await signOut(page);
  await authenticator.unlocks(false);
  await page.goto('/sign-in');
  await press(page, 'Sign in with a passkey');
  await expect(page.locator('[aria-live]')).toContainText('No passkey was used');
  await authenticator.unlocks(true);
  await press(page, 'Sign in with a passkey');
  await expect(heading(page, 'You are signed in')).toBeVisible();
});

test('a copy of a passkey is found out by its counter', async ({ page, anotherBrowser, address, complaints }) => {
  const authenticator = await addAuthenticator(page);
  await atPasskeys(page, address);
  await addPasskey(page, 'My laptop');
  const [copied] = await authenticator.credentials();
  for (let times = 0; times < 2; times += 1) {
    await page.goto('/sign-in');
    await press(page, 'Sign in with a passkey');
    await expect(heading(page, 'You are signed in')).toBeVisible();
  }
  const thief = await anotherBrowser();
  await (await addAuthenticator(thief)).add(copied);
  complaints.allow(errors);
  await thief.goto('/sign-in');
  await press(thief, 'Sign in with a passkey');
  await expect(thief.locator('[aria-live]')).not.toBeEmpty();
  await mailAbout(address, /may have been copied/);
  await thief.goto('/settings');
  await expect(heading(thief, 'Sign in')).toBeVisible();
});

test('a front end gets its user back after a passkey', async ({ page, address }) => {
  await addAuthenticator(page);
  await atPasskeys(page, address);
  await addPasskey(page, 'My laptop');
  await signOut(page);
  await page.goto(`/sign-in?return_to=${encodeURIComponent(`${FRONT_END}/deals`)}`);
  await press(page, 'Sign in with a passkey');
  await expect(page).toHaveURL(`${FRONT_END}/deals`);
});

test('a keyboard is enough to add a passkey and to use it', async ({ page, address }) => {
  await addAuthenticator(page);
  await atPasskeys(page, address);
  await tabTo(page, page.getByLabel('Name', { exact: true }));
  await page.keyboard.type('My laptop');
  await tabTo(page, page.getByRole('button', { name: 'Add a passkey' }));
  await page.keyboard.press('Enter');
  await expect(page.getByRole('heading', { name: 'My laptop' })).toBeVisible();
  await signOut(page);
  await page.goto('/sign-in');
  await tabTo(page, page.getByRole('button', { name: 'Sign in with a passkey' }));
  await expectVisibleFocus(page);
  await page.keyboard.press('Space');
  await expect(heading(page, 'You are signed in')).toBeVisible();
});

test('adding a passkey asks to sign in again after ten minutes', async ({ page, address, complaints }) => {
  complaints.allow(/status of 403/);
  await addAuthenticator(page);
  await atPasskeys(page, address);
  await ageSessions(address);
  await press(page, 'Add a passkey');
  await expect(heading(page, 'Sign in')).toBeVisible();
  await expect(page.getByRole('main')).toContainText('show again who you are');
  await askForLink(page, address);
  await openLink(page, address);
  await expect(heading(page, 'Passkeys')).toBeVisible();
  await addPasskey(page, 'My laptop');
});

test('requiring a passkey asks for a sign-in with one', async ({ page, address, complaints }) => {
  complaints.allow(/status of 422/);
  await addAuthenticator(page);
  await atPasskeys(page, address);
  await addPasskey(page, 'My laptop');
  await press(page, 'Require a passkey');
  await look(page, 'settings-passkeys-weak');
  await page.getByRole('alert').getByRole('link', { name: 'Sign in with your passkey' }).click();
  await press(page, 'Sign in with a passkey');
  await press(page, 'Require a passkey');
  await expect(heading(page, 'Recovery codes')).toBeVisible();
});

test('who requires a passkey is asked for it after a mailed link', async ({ page, anotherBrowser, address }) => {
  await addAuthenticator(page);
  await atPasskeys(page, address);
  await addPasskey(page, 'My laptop');
  const before = await anotherBrowser();
  await signInByMail(before, address);
  await expect(heading(before, 'You are signed in')).toBeVisible();
  await requirePasskey(page);
  await look(page, 'settings-recovery-codes');
  await page.getByRole('link', { name: /I have kept them/ }).click();
  await look(page, 'settings-passkeys-required');
  await mailAbout(address, /now wants a passkey/);
  // A session that began without one has ended.
  await before.goto('/settings');
  await expect(heading(before, 'Sign in')).toBeVisible();

  await signOut(page);
  await signInByMail(page, address);
  await expect(heading(page, 'One more step')).toBeVisible();
  await look(page, 'second-factor');
  // What there is so far opens nothing.
  for (const path of ['/settings', '/settings/sessions', '/settings/passkeys']) {
    await page.goto(path);
    await expect(heading(page, 'Sign in')).toBeVisible();
  }
  const token = await page.request.post('/session/token', { headers: { origin: process.env.E2E_URL } });
  expect(token.status()).toBe(401);
  await page.goto('/sign-in/second-factor');
  await press(page, 'Use a passkey');
  await expect(heading(page, 'You are signed in')).toBeVisible();
  expect((await page.context().cookies()).map(({ name }) => name)).not.toContain('__Host-second-factor');
});

test("another's passkey is not the second factor", async ({ page, anotherBrowser, address, complaints }) => {
  complaints.allow(errors);
  await addAuthenticator(page);
  await atPasskeys(page, address);
  await addPasskey(page, 'My laptop');
  await requirePasskey(page);

  const thief = await anotherBrowser();
  await addAuthenticator(thief);
  await atPasskeys(thief, `not.${address}`);
  await addPasskey(thief, 'My own');
  await signOut(thief);
  // They read the victim's mail.
  await signInByMail(thief, address);
  await expect(heading(thief, 'One more step')).toBeVisible();
  await press(thief, 'Use a passkey');
  await expect(thief.locator('[aria-live]')).not.toBeEmpty();
  await look(thief, 'second-factor-problem');
  await thief.goto('/settings');
  await expect(heading(thief, 'Sign in')).toBeVisible();
});

test('a recovery code opens the account once', async ({ page, anotherBrowser, address, complaints }) => {
  complaints.allow(errors);
  await addAuthenticator(page);
  await atPasskeys(page, address);
  await addPasskey(page, 'My laptop');
  const codes = await requirePasskey(page);
  expect(new Set(codes).size).toBe(10);

  const other = await anotherBrowser();
  await signInByMail(other, address);
  await other.getByLabel('Recovery code').fill('nothing like a code');
  await press(other, 'Use a recovery code');
  await expect(other.getByRole('alert')).toBeVisible();
  await look(other, 'second-factor-wrong-code');
  await other.getByLabel('Recovery code').fill(codes[0].toLowerCase());
  await press(other, 'Use a recovery code');
  await expect(heading(other, 'You are signed in')).toBeVisible();
  await mailAbout(address, /recovery code of yours was used/);

  await signInByMail(other, address);
  await other.getByLabel('Recovery code').fill(codes[0]);
  await press(other, 'Use a recovery code');
  await expect(other.getByRole('alert')).toBeVisible();
  await other.getByLabel('Recovery code').fill(codes[1]);
  await press(other, 'Use a recovery code');
  await expect(heading(other, 'You are signed in')).toBeVisible();
});

test('new recovery codes make the old ones void, and the passkey can be let go', async ({ page, address }) => {
  await addAuthenticator(page);
  await atPasskeys(page, address);
  await addPasskey(page, 'My laptop');
  const old = await requirePasskey(page);
  await page.getByRole('link', { name: /I have kept them/ }).click();
  await press(page, 'Make new recovery codes');
  await expect(heading(page, 'Recovery codes')).toBeVisible();
  const codes = await page.getByRole('list', { name: 'Recovery codes' }).getByRole('listitem').allInnerTexts();
  for (const code of codes) secret(code, 'a recovery code');
  expect(codes.some((code) => old.includes(code))).toBe(false);
  await page.getByRole('link', { name: /I have kept them/ }).click();
  await press(page, 'Stop requiring a passkey');
  await expect(page.getByRole('status')).toContainText('A passkey is no longer required.');
  await signOut(page);
  await signInByMail(page, address);
  await expect(heading(page, 'You are signed in')).toBeVisible();
});

test('without a script the pages say what passkeys need', { tag: '@scriptless' }, async ({ page, address }) => {
  await page.goto('/sign-in');
  await expect(page.getByRole('button', { name: 'Sign in with a passkey' })).toBeHidden();
  await atPasskeys(page, address);
  await expect(page.getByRole('main')).toContainText('Adding a passkey needs JavaScript');
  await expect(page.getByRole('button', { name: 'Add a passkey' })).toBeHidden();
});
