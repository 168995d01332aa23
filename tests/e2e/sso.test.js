// Signing in at a provider: a certified OpenID provider of our own, which scripts/e2e starts.
import { ageSessions } from './support/database.js';
import { expect, newAddress, test } from './support/fixtures.js';
import { FRONT_END } from './support/front-end.js';
import { look } from './support/look.js';
import { mailAbout, nextMail } from './support/mailbox.js';
import { askForLink, heading, openLink, signInByMail } from './support/sign-in.js';

const errors = /the server responded with a status of [45]/;
const PROVIDER = process.env.E2E_IDENTITY_PROVIDER;

/** Says at the provider who signs in. */
async function answerAtProvider(page, { email, verified = true, subject = '' }) {
  await expect(heading(page, 'Identity provider')).toBeVisible();
  await page.getByLabel('E-mail address').fill(email);
  await page.getByLabel('Subject').fill(subject);
  await page.getByLabel('The address is verified').setChecked(verified);
  await page.getByRole('button', { name: 'Continue' }).click();
}

const viaProvider = (page) => page.getByRole('button', { name: 'Continue with Local' }).click();

test('somebody signs in at a provider', { tag: '@plain' }, async ({ page, address }) => {
  await page.goto('/sign-in');
  await viaProvider(page);
  await answerAtProvider(page, { email: address });
  await expect(heading(page, 'You are signed in')).toBeVisible();
  // Known there and here by now.
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.getByRole('link', { name: 'Sign in again' }).click();
  await viaProvider(page);
  await expect(heading(page, 'You are signed in')).toBeVisible();
});

test('the provider turns its keys, and nobody notices', async ({ page, anotherBrowser, address }) => {
  await page.goto('/sign-in');
  await viaProvider(page);
  await answerAtProvider(page, { email: address });
  await expect(heading(page, 'You are signed in')).toBeVisible();
  await fetch(`${PROVIDER}/test/rotate`, { method: 'POST' });
  const other = await anotherBrowser();
  await other.goto('/sign-in');
  await viaProvider(other);
  await answerAtProvider(other, { email: address });
  await expect(heading(other, 'You are signed in')).toBeVisible();
});

test('a front end gets its user back from the provider', { tag: '@plain' }, async ({ page, address }) => {
  await page.goto(`/sign-in?return_to=${encodeURIComponent(`${FRONT_END}/deals`)}`);
  await viaProvider(page);
  await answerAtProvider(page, { email: address });
  await expect(page).toHaveURL(`${FRONT_END}/deals`);
});

test('who says no at the provider is told so', { tag: '@plain' }, async ({ page, complaints, javaScriptEnabled }) => {
  complaints.allow(errors);
  await page.goto('/sign-in');
  await viaProvider(page);
  await page.getByRole('button', { name: 'Cancel' }).click();
  await expect(heading(page, /You said no/)).toBeVisible();
  if (javaScriptEnabled) await look(page, 'provider-denied');
});

test('an address that the provider does not vouch for opens no account', { tag: '@plain' }, async ({ page, address, complaints, javaScriptEnabled }) => {
  complaints.allow(errors);
  await signInByMail(page, address);
  await expect(heading(page, 'You are signed in')).toBeVisible();
  await page.getByRole('button', { name: 'Sign out' }).click();
  await page.goto('/sign-in');
  await viaProvider(page);
  await answerAtProvider(page, { email: address, verified: false });
  await expect(heading(page, 'Please sign in another way first')).toBeVisible();
  if (javaScriptEnabled) await look(page, 'provider-unproven');
});

test("a provider's answer is no good in another browser, or twice", { tag: '@plain' }, async ({ page, anotherBrowser, address, complaints, javaScriptEnabled }) => {
  complaints.allow(errors);
  // What an attacker has: the answer of a sign-in of their own, not yet used.
  const attacker = await anotherBrowser();
  await attacker.goto('/sign-in');
  await viaProvider(attacker);
  await expect(heading(attacker, 'Identity provider')).toBeVisible();
  const follow = (answer) => new URL(answer.headers().location, PROVIDER).href;
  const form = { email: address, verified: 'true', answer: 'yes' };
  const said = await attacker.request.post(attacker.url(), { form, maxRedirects: 0 });
  const sent = await attacker.request.get(follow(said), { maxRedirects: 0 });
  const answer = follow(sent);
  expect(answer).toContain('/callback?code=');

  await page.goto(answer);
  await expect(heading(page, 'This sign-in is over')).toBeVisible();
  expect((await page.context().cookies()).map(({ name }) => name)).not.toContain('__Host-session');
  if (javaScriptEnabled) await look(page, 'provider-stale');

  await attacker.goto(answer);
  await expect(heading(attacker, 'You are signed in')).toBeVisible();
  await attacker.goto(answer);
  await expect(heading(attacker, 'This sign-in is over')).toBeVisible();
});

test('a provider that is away is told of, and the other ways work', { tag: '@plain' }, async ({ page, address, complaints, javaScriptEnabled }) => {
  complaints.allow(errors);
  await page.goto('/sign-in');
  await page.getByRole('button', { name: 'Continue with Away' }).click();
  await expect(heading(page, 'Away does not answer')).toBeVisible();
  if (javaScriptEnabled) await look(page, 'provider-away');
  await page.getByRole('link', { name: 'Back to signing in' }).click();
  await signInByMail(page, address, { there: true });
  await expect(heading(page, 'You are signed in')).toBeVisible();
});

test('a person adds a provider, signs in by it, and removes it', { tag: '@plain' }, async ({ page, address, javaScriptEnabled }) => {
  const there = newAddress();
  await page.goto('/settings/sign-in');
  await signInByMail(page, address, { there: true });
  await expect(heading(page, 'Ways to sign in')).toBeVisible();
  if (javaScriptEnabled) await look(page, 'settings-sign-in');
  await page.getByRole('button', { name: 'Add Local' }).click();
  await answerAtProvider(page, { email: there });
  await expect(heading(page, 'Ways to sign in')).toBeVisible();
  await expect(page.getByRole('listitem').filter({ hasText: there })).toBeVisible();
  await mailAbout(address, /A way to sign in was added/);
  if (javaScriptEnabled) await look(page, 'settings-sign-in-provider');

  await page.getByRole('button', { name: 'Sign out', exact: true }).click();
  await page.goto('/sign-in');
  await viaProvider(page);
  await page.goto('/settings/sign-in');
  await expect(page.getByRole('main')).toContainText(address);
  await page.getByRole('button', { name: new RegExp(`^Remove .*${there}`) }).click();
  await expect(page.getByRole('listitem').filter({ hasText: there })).toHaveCount(0);
  await mailAbout(address, /A way to sign in was removed/);
});

test('the last way to sign in stays', { tag: '@plain' }, async ({ page, address, complaints }) => {
  complaints.allow(errors);
  await page.goto('/settings/sign-in');
  await signInByMail(page, address, { there: true });
  await page.getByRole('button', { name: `Remove ${address}` }).click();
  await expect(page.getByRole('alert')).toBeVisible();
  await expect(page.getByRole('heading', { name: address })).toBeVisible();
});

test('a person adds an address by its own link', { tag: '@plain' }, async ({ page, anotherBrowser, address, javaScriptEnabled }) => {
  const another = newAddress();
  await page.goto('/settings/sign-in');
  await signInByMail(page, address, { there: true });
  await page.getByLabel('Another address').fill(another);
  await page.getByRole('button', { name: 'Mail a link to it' }).click();
  await expect(page.getByRole('status')).toBeVisible();
  const mail = await nextMail(another);
  await page.goto(mail.text.match(/http\S+token=\S+/)[0]);
  await expect(heading(page, 'Add this address')).toBeVisible();
  if (javaScriptEnabled) await look(page, 'settings-add-address');
  await page.getByRole('button', { name: 'Add the address' }).click();
  await expect(page.getByRole('heading', { name: another })).toBeVisible();
  // It opens the same account.
  const other = await anotherBrowser();
  await other.goto('/settings/sign-in');
  await signInByMail(other, another, { there: true });
  await expect(other.getByRole('heading', { name: address })).toBeVisible();
});

test('changing the ways to sign in asks to sign in again after ten minutes', { tag: '@plain' }, async ({ page, address }) => {
  await page.goto('/settings/sign-in');
  await signInByMail(page, address, { there: true });
  await ageSessions(address);
  await page.getByRole('button', { name: 'Add Local' }).click();
  await expect(heading(page, 'Sign in')).toBeVisible();
  await expect(page.getByRole('main')).toContainText('show again who you are');
  await askForLink(page, address);
  await openLink(page, address);
  await expect(heading(page, 'Ways to sign in')).toBeVisible();
});
