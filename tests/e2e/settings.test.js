// The pages of a person's own account: where they are signed in, what was done, and the account's end.
import { ageSessions } from './support/database.js';
import { expect, test } from './support/fixtures.js';
import { tabTo } from './support/keyboard.js';
import { look } from './support/look.js';
import { mailAbout, show } from './support/mailbox.js';
import { askForLink, heading, openLink, signInByMail } from './support/sign-in.js';

const settings = (page, name) => page.getByRole('navigation', { name: 'Settings' }).getByRole('link', { name, exact: true }).click();

/** Signs in, and is at the settings. */
async function atSettings(page, address) {
  await page.goto('/settings');
  await signInByMail(page, address, { there: true });
  await expect(heading(page, 'Settings')).toBeVisible();
}

/** The session of that browser opens nothing any more. */
async function expectOut(page) {
  await page.goto('/settings');
  await expect(heading(page, 'Sign in')).toBeVisible();
}

async function expectIn(page) {
  await page.goto('/settings');
  await expect(heading(page, 'Settings')).toBeVisible();
}

test('the settings ask to sign in, and are there afterwards', { tag: '@plain' }, async ({ page, address, javaScriptEnabled }) => {
  await atSettings(page, address);
  await expect(page).toHaveURL('/settings');
  await expect(page.getByRole('main')).toContainText(address);
  if (javaScriptEnabled) await look(page, 'settings');
});

test('a person ends a session of another browser', { tag: '@plain' }, async ({ page, anotherBrowser, address, javaScriptEnabled }) => {
  const other = await anotherBrowser();
  await atSettings(other, address);
  await atSettings(page, address);
  await settings(page, 'Sessions');
  await expect(heading(page, 'Sessions')).toBeVisible();
  const sessions = page.getByRole('listitem');
  await expect(sessions).toHaveCount(2);
  await expect(sessions.filter({ hasText: 'this browser' })).toHaveCount(1);
  if (javaScriptEnabled) await look(page, 'settings-sessions');

  await sessions.filter({ hasNotText: 'this browser' }).getByRole('button', { name: /^End/ }).click();
  await expect(sessions).toHaveCount(1);
  await expectOut(other);
  await expectIn(page);
});

test('a person signs out everywhere', { tag: '@plain' }, async ({ page, anotherBrowser, address }) => {
  const others = [await anotherBrowser(), await anotherBrowser()];
  for (const other of others) await atSettings(other, address);
  await atSettings(page, address);
  await settings(page, 'Sessions');
  await page.getByRole('button', { name: 'Sign out everywhere' }).click();
  await expect(heading(page, 'You are signed out')).toBeVisible();
  for (const browser of [...others, page]) await expectOut(browser);
});

test('a person ends all sessions but this', { tag: '@plain' }, async ({ page, anotherBrowser, address }) => {
  const other = await anotherBrowser();
  await atSettings(other, address);
  await atSettings(page, address);
  await settings(page, 'Sessions');
  await page.getByRole('button', { name: 'End all others' }).click();
  await expect(page.getByRole('listitem')).toHaveCount(1);
  await expectOut(other);
  await expectIn(page);
});

test('a person reads what was done with their account', { tag: '@plain' }, async ({ page, anotherBrowser, address, javaScriptEnabled }) => {
  const other = await anotherBrowser();
  await atSettings(other, address);
  await other.getByRole('button', { name: 'Sign out', exact: true }).click();
  await expect(heading(other, 'You are signed out')).toBeVisible();
  await atSettings(page, address);
  await settings(page, 'Activity');
  await expect(heading(page, 'Activity')).toBeVisible();
  const events = page.getByRole('row');
  await expect(events.filter({ hasText: 'Your account was made' })).toHaveCount(1);
  await expect(events.filter({ hasText: 'A sign-in from a new device or network' })).toHaveCount(1);
  await expect(events.filter({ hasText: 'A session of yours was ended' })).toHaveCount(1);
  if (javaScriptEnabled) await look(page, 'settings-activity');
});

test('a person deletes their account, and thinks better of it', { tag: '@plain' }, async ({ page, anotherBrowser, address, javaScriptEnabled }) => {
  const other = await anotherBrowser();
  await atSettings(other, address);
  await atSettings(page, address);
  await settings(page, 'Account');
  if (javaScriptEnabled) await look(page, 'settings-account');
  await page.getByRole('checkbox').check();
  await page.getByRole('button', { name: 'Delete my account' }).click();
  await expect(page.getByRole('heading', { name: 'Your account is going to be deleted' })).toBeVisible();
  if (javaScriptEnabled) await look(page, 'settings-account-goes');
  await expectOut(other);

  // The way back: sign in, and keep it.
  const mail = await mailAbout(address, /going to be deleted/);
  expect(mail.text).toMatch(/Deleted on: \d/);
  await atSettings(other, address);
  await settings(other, 'Account');
  await other.getByRole('button', { name: 'Keep my account' }).click();
  await expect(other.getByRole('button', { name: 'Delete my account' })).toBeVisible();
  await mailAbout(address, /account stays/);
  if (javaScriptEnabled) {
    await show(page, mail);
    await look(page, 'mail-deletion', { tags: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'] });
  }
});

test('what matters asks to sign in again after ten minutes', { tag: '@plain' }, async ({ page, address, javaScriptEnabled }) => {
  await atSettings(page, address);
  await ageSessions(address);
  await settings(page, 'Account');
  await page.getByRole('checkbox').check();
  await page.getByRole('button', { name: 'Delete my account' }).click();
  await expect(heading(page, 'Sign in')).toBeVisible();
  await expect(page.getByRole('main')).toContainText('show again who you are');
  if (javaScriptEnabled) await look(page, 'sign-in-again');
  // Reading goes on meanwhile.
  await expectIn(page);

  await page.goBack();
  await askForLink(page, address);
  await openLink(page, address);
  await expect(heading(page, 'Account')).toBeVisible();
  await page.getByRole('checkbox').check();
  await page.getByRole('button', { name: 'Delete my account' }).click();
  await expect(page.getByRole('heading', { name: 'Your account is going to be deleted' })).toBeVisible();
});

test('a keyboard is enough to end a session', { tag: '@plain' }, async ({ page, anotherBrowser, address }) => {
  const other = await anotherBrowser();
  await atSettings(other, address);
  await atSettings(page, address);
  await tabTo(page, page.getByRole('link', { name: 'Sessions' }).first());
  await page.keyboard.press('Enter');
  await expect(heading(page, 'Sessions')).toBeVisible();
  await tabTo(page, page.getByRole('button', { name: 'End all others' }));
  await page.keyboard.press('Enter');
  await expect(page.getByRole('listitem')).toHaveCount(1);
  await expectOut(other);
});
