// GraphiQL, which is there in development, signed in by the session of the browser.
import { execFile } from 'node:child_process';
import { existsSync, mkdirSync, mkdtempSync, renameSync } from 'node:fs';
import { join } from 'node:path';
import { promisify } from 'node:util';
import { expect, test } from './support/fixtures.js';
import { heading, signInByMail } from './support/sign-in.js';

const run = promisify(execFile);
const CDN = /^https:\/\/cdn\.jsdelivr\.net\/npm\/([^@/]+@[^/]+)\/(.+)$/;

const folders = new Map();

/** The folder with an npm package's files; npm brings it the first time. */
function unpacked(name) {
  if (!folders.has(name)) folders.set(name, unpack(name));
  return folders.get(name);
}

async function unpack(name) {
  const packages = join(process.env.E2E_OUTPUT, 'packages');
  const folder = join(packages, name);
  if (existsSync(folder)) return folder;
  mkdirSync(packages, { recursive: true });
  // Under another name until it is whole.
  const half = mkdtempSync(join(packages, 'half-'));
  const { stdout } = await run('npm', ['pack', '--silent', '--pack-destination', half, name]);
  await run('tar', ['-xzf', join(half, stdout.trim()), '-C', half, '--strip-components=1']);
  renameSync(half, folder);
  return folder;
}

test('GraphiQL asks in the name of who is signed in', async ({ page, address }) => {
  // What the page loads from a CDN comes out of the same packages; the digests on the page are checked all the same.
  await page.route(CDN, async (route) => {
    const [, name, path] = route.request().url().match(CDN);
    const headers = { 'access-control-allow-origin': '*' };
    await route.fulfill({ path: join(await unpacked(name), path), headers });
  });
  await page.goto('/graphiql');
  await signInByMail(page, address, { there: true });
  await expect(page).toHaveURL('/graphiql');
  await page.getByRole('region', { name: 'Query Editor' }).locator('.CodeMirror').click();
  await page.keyboard.press('Control+A');
  await page.keyboard.insertText('{ viewer { email } }');
  await page.getByRole('button', { name: /^Execute query/ }).click();
  await expect(page.getByRole('region', { name: 'Result Window' })).toContainText(address);
  // The schema was read too.
  await page.getByRole('button', { name: 'Show Documentation Explorer' }).click();
  await expect(page.getByText('Root Types')).toBeVisible();
  await page.screenshot({ path: join(process.env.E2E_OUTPUT, 'screenshots', 'graphiql-desk-light.png') });
});

test('GraphiQL is for who is signed in', async ({ page }) => {
  await page.goto('/graphiql');
  await expect(heading(page, 'Sign in')).toBeVisible();
});
