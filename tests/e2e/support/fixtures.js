// What a test of the pages is given: a browser of its own, a person of its own, and eyes for what goes wrong.
import { randomBytes, randomInt } from 'node:crypto';
import { test as base, expect } from '@playwright/test';
import { secret } from './secrets.js';

export { expect };

/** An e-mail address that nobody has. */
export const newAddress = () => secret(`ada.${randomBytes(6).toString('hex')}@example.test`, 'an address');

export const test = base.extend({
  // The reserved network for tests of networks: an address of its own for each test, as a proxy would say it.
  extraHTTPHeaders: async ({}, use) => {
    await use({ 'X-Forwarded-For': `198.18.${randomInt(1, 255)}.${randomInt(1, 255)}` });
  },

  /** An e-mail address that nobody has. */
  address: async ({}, use) => use(newAddress()),

  /**
   * Whatever a browser complains of fails the test: errors and warnings of the console (a violated policy is
   * one), exceptions of scripts. `complaints.allow(pattern)` is for what the test brings about itself.
   */
  complaints: [
    async ({}, use) => {
      const heard = [];
      const allowed = [];
      const watch = (context) => {
        context.on('console', (message) => {
          if (['error', 'warning'].includes(message.type())) heard.push(`${message.text()} (${message.location().url})`);
        });
        context.on('weberror', (error) => heard.push(String(error.error())));
      };
      await use({ watch, allow: (pattern) => allowed.push(pattern) });
      const left = heard.filter((text) => !allowed.some((pattern) => pattern.test(text)));
      expect(left, 'what the browser complained of').toEqual([]);
    },
    { auto: true },
  ],

  context: async ({ context, complaints }, use) => {
    complaints.watch(context);
    await use(context);
    await noteCookies(context);
  },

  /** Another browser: nothing in common with the first but the person before it. Gives its first page. */
  anotherBrowser: async ({ browser, complaints }, use) => {
    const contexts = [];
    await use(async () => {
      const context = await browser.newContext();
      contexts.push(context);
      complaints.watch(context);
      return context.newPage();
    });
    for (const context of contexts) {
      await noteCookies(context);
      await context.close();
    }
  },
});

async function noteCookies(context) {
  for (const { name, value } of await context.cookies()) secret(value, `the cookie ${name}`);
}
