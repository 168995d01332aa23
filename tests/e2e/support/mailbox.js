// What the product mailed, as maildev's web API tells it.
import { expect } from '@playwright/test';
import { secret } from './secrets.js';

const seen = new Set();

/** The next mail to `address` that was not asked for before and that `matches`, once it is there. */
export async function nextMail(address, matches = () => true) {
  let found;
  const arrived = async () => {
    const answer = await fetch(`${process.env.E2E_MAILBOX}/email`);
    const mails = await answer.json();
    found = mails.find(
      (mail) => mail.to.some((to) => to.address === address) && !seen.has(mail.id) && matches(mail),
    );
    return found !== undefined;
  };
  await expect.poll(arrived, { message: `a mail to ${address}`, timeout: 60_000, intervals: [100, 200, 400] }).toBe(true);
  seen.add(found.id);
  return found;
}

/** The next mail with that subject. */
export const mailAbout = (address, subject) => nextMail(address, (mail) => subject.test(mail.subject));

/** Shows a mail's HTML in the page, as a mail program would. */
export async function show(page, mail) {
  const address = 'http://mail.example.test/';
  await page.route(address, (route) => route.fulfill({ contentType: 'text/html; charset=utf-8', body: mail.html }));
  await page.goto(address);
}

/** The address that the next sign-in mail leads to. */
export async function nextLink(address) {
  const link = /https?:\/\/\S+\/sign-in\/link\?\S+/;
  const mail = await nextMail(address, ({ text }) => link.test(text));
  const [url] = mail.text.match(link);
  secret(new URL(url).searchParams.get('token'), 'the token of a link');
  return url;
}
