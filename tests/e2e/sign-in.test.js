// Signing in by a mailed link, and out again.
import { expect, newAddress, test } from './support/fixtures.js';
import { FOREIGN, FRONT_END } from './support/front-end.js';
import { expectVisibleFocus, tabTo } from './support/keyboard.js';
import { look } from './support/look.js';
import { nextLink } from './support/mailbox.js';
import { askForLink, heading, openLink, signInByMail } from './support/sign-in.js';

const errors = /the server responded with a status of 4/;

test('somebody signs in by a mailed link, and out', { tag: '@plain' }, async ({ page, address }) => {
  await signInByMail(page, address);
  await expect(heading(page, 'You are signed in')).toBeVisible();
  await page.goto('/settings');
  await expect(heading(page, 'Settings')).toBeVisible();

  await page.getByRole('button', { name: 'Sign out', exact: true }).click();
  await expect(heading(page, 'You are signed out')).toBeVisible();
  await page.goto('/settings');
  await expect(heading(page, 'Sign in')).toBeVisible();
});

test('each page of the way looks right', async ({ page, address }) => {
  await page.goto('/sign-in');
  await look(page, 'sign-in');
  await askForLink(page, address);
  await look(page, 'sign-in-sent');
  await page.goto(await nextLink(address));
  await look(page, 'sign-in-confirm');
  await page.getByRole('button', { name: 'Sign in' }).click();
  await expect(heading(page, 'You are signed in')).toBeVisible();
  await look(page, 'signed-in');
  await page.getByRole('button', { name: 'Sign out' }).click();
  await expect(heading(page, 'You are signed out')).toBeVisible();
  await look(page, 'signed-out');
});

test('a keyboard is enough to sign in and out', { tag: '@plain' }, async ({ page, address }) => {
  await page.goto('/sign-in');
  await expect(page.getByLabel('E-mail address')).toBeFocused();
  await expectVisibleFocus(page);
  await page.keyboard.type(address);
  await page.keyboard.press('Enter');
  await expect(heading(page, 'Check your mail')).toBeVisible();
  await tabTo(page, page.getByRole('link', { name: 'try again' }));

  await page.goto(await nextLink(address));
  await expect(page.getByRole('button', { name: 'Sign in' })).toBeFocused();
  await expectVisibleFocus(page);
  await page.keyboard.press('Enter');
  await expect(heading(page, 'You are signed in')).toBeVisible();
  await tabTo(page, page.getByRole('button', { name: 'Sign out' }));
  await page.keyboard.press('Space');
  await expect(heading(page, 'You are signed out')).toBeVisible();
});

test('what is no address is explained next to its field', { tag: '@plain' }, async ({ page, complaints, javaScriptEnabled }) => {
  complaints.allow(errors);
  await page.goto('/sign-in');
  const field = page.getByLabel('E-mail address');
  // The browser lets this through, we don't.
  await field.fill('ada@localhost');
  await page.getByRole('button', { name: 'Mail me a link' }).click();
  await expect(page.getByRole('alert')).toHaveText('This is not an e-mail address.');
  await expect(page).toHaveTitle('Error: Sign in');
  await expect(field).toHaveValue('ada@localhost');
  await expect(field).toHaveAccessibleDescription('This is not an e-mail address.');
  if (javaScriptEnabled) await look(page, 'sign-in-problem');
});

test('a link opens once', { tag: '@plain' }, async ({ page, address, complaints, javaScriptEnabled }) => {
  await page.goto('/sign-in');
  await askForLink(page, address);
  const link = await nextLink(address);
  await page.goto(link);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await expect(heading(page, 'You are signed in')).toBeVisible();

  complaints.allow(errors);
  await page.goto(link);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await expect(heading(page, 'This link is no longer good')).toBeVisible();
  if (javaScriptEnabled) await look(page, 'problem-link');
});

test('a newer link ends the one before', { tag: '@plain' }, async ({ page, address, complaints }) => {
  await page.goto('/sign-in');
  await askForLink(page, address);
  const older = await nextLink(address);
  await page.getByRole('link', { name: 'try again' }).click();
  await askForLink(page, address);
  complaints.allow(errors);
  await page.goto(older);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await expect(heading(page, 'This link is no longer good')).toBeVisible();
  await openLink(page, address);
  await expect(heading(page, 'You are signed in')).toBeVisible();
});

test('a link opens in the browser that asked, and in no other', { tag: '@plain' }, async ({ page, anotherBrowser, address, complaints, javaScriptEnabled }) => {
  await page.goto('/sign-in');
  await askForLink(page, address);
  const link = await nextLink(address);
  const other = await anotherBrowser();
  complaints.allow(errors);
  await other.goto(link);
  await other.getByRole('button', { name: 'Sign in' }).click();
  await expect(heading(other, 'Another browser')).toBeVisible();
  if (javaScriptEnabled) await look(other, 'problem-other-browser');
  await other.goto('/settings');
  await expect(heading(other, 'Sign in')).toBeVisible();

  await page.goto(link);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await expect(heading(page, 'You are signed in')).toBeVisible();
});

test('a form of another site signs nobody in', { tag: '@plain' }, async ({ page, anotherBrowser, address, complaints, javaScriptEnabled }) => {
  complaints.allow(errors);
  // What an attacker has: a good link of their own account, to sign somebody else in to it.
  const attacker = await anotherBrowser();
  await attacker.goto('/sign-in');
  await askForLink(attacker, address);
  const link = new URL(await nextLink(address));

  for (const [origin, path, fields] of [
    [FOREIGN, '/sign-in/link', Object.fromEntries(link.searchParams)],
    [FOREIGN, '/sign-in', { email: newAddress() }],
    [FRONT_END, '/sign-in', { email: newAddress() }],
  ]) {
    const form = new URLSearchParams({ action: `${process.env.E2E_URL}${path}`, ...fields });
    await page.goto(`${origin}/form?${form}`);
    await page.getByRole('button', { name: 'Send' }).click();
    await expect(heading(page, 'Not from here')).toBeVisible();
  }
  if (javaScriptEnabled) await look(page, 'problem-foreign-form');
  expect((await page.context().cookies()).map(({ name }) => name)).not.toContain('__Host-session');
});

test('the browser goes back to the front end that sent it', { tag: '@plain' }, async ({ page, address }) => {
  const wanted = `${FRONT_END}/contacts?page=2`;
  await page.goto(`/sign-in?return_to=${encodeURIComponent(wanted)}`);
  await signInByMail(page, address, { there: true });
  await expect(page).toHaveURL(wanted);
  await expect(heading(page, 'Front end')).toBeVisible();
});

test('the browser goes nowhere else', { tag: '@plain' }, async ({ page, address }) => {
  for (const wanted of [`${FOREIGN}/`, '//127.0.0.1/', '/\\127.0.0.1/', 'javascript:alert(1)', `${FRONT_END}@127.0.0.1/`]) {
    await page.goto(`/sign-in?return_to=${encodeURIComponent(wanted)}`);
    await expect(page.locator('input[name=return_to]').first()).toHaveValue('');
  }
  await signInByMail(page, address, { there: true });
  await expect(page).toHaveURL('/sign-in/done');
});

test('a person who tries too much is told to wait', { tag: '@plain' }, async ({ page, complaints, javaScriptEnabled }) => {
  complaints.allow(errors);
  const link = `/sign-in/link?id=00000000-0000-7000-8000-000000000000&token=${'A'.repeat(43)}`;
  await page.goto(link);
  const form = new URLSearchParams(new URL(link, process.env.E2E_URL).searchParams).toString();
  const post = () =>
    page.request.post('/sign-in/link', {
      data: form,
      headers: { 'content-type': 'application/x-www-form-urlencoded', 'sec-fetch-site': 'same-origin' },
    });
  for (let tries = 0; tries < 60; tries += 1) expect((await post()).status()).toBe(410);
  await page.getByRole('button', { name: 'Sign in' }).click();
  await expect(heading(page, 'Too many attempts')).toBeVisible();
  if (javaScriptEnabled) await look(page, 'problem-too-many');
});
