// What people find in their mailbox.
import { expect, test } from './support/fixtures.js';
import { look } from './support/look.js';
import { mailAbout, nextMail, show } from './support/mailbox.js';
import { askForLink, heading, signInByMail } from './support/sign-in.js';

// A mail has no landmarks of a page.
const wcag = { tags: ['wcag2a', 'wcag2aa', 'wcag21a', 'wcag21aa', 'wcag22aa'] };

test('the mail with the link looks right', async ({ page, address }) => {
  await page.goto('/sign-in');
  await askForLink(page, address);
  const mail = await nextMail(address);
  await show(page, mail);
  await look(page, 'mail-link', wcag);
});

test('a sign-in from a new device is mailed', async ({ page, anotherBrowser, address }) => {
  await signInByMail(page, address);
  await expect(heading(page, 'You are signed in')).toBeVisible();
  const other = await anotherBrowser();
  await signInByMail(other, address);
  await expect(heading(other, 'You are signed in')).toBeVisible();
  const mail = await mailAbout(address, /new device/);
  expect(mail.text).toContain('198.18.');
  await show(page, mail);
  await expect(page.getByRole('link', { name: 'Open the settings' })).toHaveAttribute('href', `${process.env.E2E_URL}/settings`);
  await look(page, 'mail-new-device', wcag);
});
