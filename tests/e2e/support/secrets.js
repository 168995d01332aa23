// What must never stand in a log. The tests note each address, token and code they come by; at the end the log of
// the whole run must hold none of them.
import { appendFileSync, readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';

// The tests run in several processes, hence a file.
const file = join(process.env.E2E_OUTPUT, 'secrets.jsonl');

/** Notes it, and gives it back. */
export function secret(value, what) {
  appendFileSync(file, `${JSON.stringify({ value, what })}\n`);
  return value;
}

export function forgetSecrets() {
  rmSync(file, { force: true });
  writeFileSync(file, '', { mode: 0o600 });
}

/** Throws when a noted secret stands in the product's log. */
export function expectNoSecretInLog() {
  const noted = readFileSync(file, 'utf8').trimEnd().split('\n').filter(Boolean).map((line) => JSON.parse(line));
  const log = readFileSync(process.env.E2E_LOG, 'utf8');
  rmSync(file);
  const kinds = noted.filter(({ value }) => log.includes(value)).map(({ what }) => what);
  if (kinds.length > 0) throw new Error(`the log holds what it must not: ${[...new Set(kinds)].join(', ')}`);
  if (!log.includes('http.request')) throw new Error('the log holds no request: it was not looked into');
  console.log(`  ${noted.length} addresses, tokens and codes of this run: none is in the log`);
}
