// The ways to sign in, as a person walks them.
import { expect } from '@playwright/test';
import { nextLink } from './mailbox.js';

export const heading = (page, name) => page.getByRole('heading', { level: 1, name });

/** Asks for a link on the page of the sign-in, which is shown. */
export async function askForLink(page, address) {
  await page.getByLabel('E-mail address').fill(address);
  await page.getByRole('button', { name: 'Mail me a link' }).click();
  await expect(heading(page, 'Check your mail')).toBeVisible();
}

/** Opens the mailed link in the same browser, and presses its button. */
export async function openLink(page, address) {
  await page.goto(await nextLink(address));
  await page.getByRole('button', { name: 'Sign in' }).click();
}

/** Signs in by a mailed link: from `/sign-in`, or from where the page is when `there`. */
export async function signInByMail(page, address, { there = false } = {}) {
  if (!there) await page.goto('/sign-in');
  await askForLink(page, address);
  await openLink(page, address);
}
