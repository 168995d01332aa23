// How the browser tests run. scripts/e2e starts the product and says in E2E_… where everything is.
import { join } from 'node:path';
import { defineConfig } from '@playwright/test';

const { CI, E2E_CHROMIUM, E2E_OUTPUT, E2E_URL } = process.env;
if (!E2E_URL) throw new Error('run `make e2e` (or scripts/e2e): it starts what these tests need');

export default defineConfig({
  testDir: '.',
  testMatch: '*.test.js',
  globalSetup: './support/around.js',
  outputDir: join(E2E_OUTPUT, 'results'),
  reporter: 'list',
  forbidOnly: Boolean(CI),
  fullyParallel: true,
  workers: 2,
  // A machine that builds something else at the same time may be slow, which is not what the tests are about.
  timeout: 120_000,
  expect: { timeout: 20_000 },
  use: {
    baseURL: E2E_URL,
    browserName: 'chromium',
    viewport: { width: 1280, height: 800 },
    locale: 'en-GB',
    timezoneId: 'UTC',
    // Of each step the page as it was, without a film of it, which costs more than the test.
    trace: { mode: 'retain-on-failure', screenshots: false, snapshots: true, sources: true },
    screenshot: 'only-on-failure',
    launchOptions: {
      executablePath: E2E_CHROMIUM,
      // No container and no root gives the sandbox what it needs; all that is loaded here is our own.
      chromiumSandbox: false,
      args: ['--disable-gpu', '--disable-quic', '--disable-sync', '--no-first-run'],
    },
  },
  projects: [
    { name: 'browser', grepInvert: /@scriptless/ },
    // Everything but passkeys works without a script.
    { name: 'no script', grep: /@plain|@scriptless/, use: { javaScriptEnabled: false } },
  ],
});
