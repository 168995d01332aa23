// Looks at a page as its readers do: light and dark, on a desk and on a phone. A picture of each is kept, and axe
// (WCAG 2.2 A and AA, and its best practices) must find nothing.
import { readFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { join } from 'node:path';
import { expect } from '@playwright/test';

const axe = readFileSync(createRequire(import.meta.url).resolve('axe-core/axe.min.js'), 'utf8');

const DESK = { width: 1280, height: 800 };
const PHONE = { width: 390, height: 844 };
// WCAG 1.4.10: no scrolling to the side at this width.
const NARROW = { width: 320, height: 640 };
// Each with what axe looks at there: colours change with the scheme, and all else with the width at most.
const COLOURS = { runOnly: ['color-contrast', 'link-in-text-block'] };
const VIEWS = [
  ['desk-light', DESK, 'light', {}],
  ['desk-dark', DESK, 'dark', COLOURS],
  ['phone-light', PHONE, 'light', {}],
  ['phone-dark', PHONE, 'dark', COLOURS],
];

/**
 * Keeps pictures of the page under `name`, and fails on what axe finds or what is wider than a narrow screen.
 * `tags` are those of axe's rules to hold it to; all, if none are named.
 */
export async function look(page, name, { tags } = {}) {
  const before = page.viewportSize();
  const found = [];
  for (const [view, size, colorScheme, rules] of VIEWS) {
    await page.setViewportSize(size);
    await page.emulateMedia({ colorScheme });
    await page.screenshot({ path: join(process.env.E2E_OUTPUT, 'screenshots', `${name}-${view}.png`), fullPage: true });
    found.push(...(await violations(page, { ...(tags && { runOnly: tags }), ...rules })).map((violation) => `${view}: ${violation}`));
  }
  await page.setViewportSize(NARROW);
  const width = await page.evaluate(() => document.documentElement.scrollWidth);
  if (width > NARROW.width) found.push(`narrow: the page is ${width} pixels wide`);
  await page.emulateMedia({ colorScheme: null });
  await page.setViewportSize(before);
  expect(found, `the page "${name}"`).toEqual([]);
}

async function violations(page, rules) {
  if (!(await page.evaluate(() => 'axe' in window))) await page.evaluate(axe);
  const options = { resultTypes: ['violations'], ...rules };
  const results = await page.evaluate((given) => window.axe.run(given), options);
  return results.violations
    .filter(({ impact }) => impact !== 'minor')
    .map(({ id, impact, help, nodes }) => `${impact} ${id}: ${help} (${nodes.map(({ target }) => target.join(' ')).join(', ')})`);
}
