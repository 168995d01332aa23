// Runs the audits of npm graphql-http (the GraphQL-over-HTTP specification) against a running server.
// CRM_URL is its base address or the address of /graphql, CRM_TOKEN a bearer token. Introspection must be on:
// some audits ask for `__type`.
import { serverAudits } from 'graphql-http';

const EXPECTED = 61;

const { CRM_URL, CRM_TOKEN } = process.env;
if (!CRM_URL || !CRM_TOKEN) {
  console.error('set CRM_URL and CRM_TOKEN (`make up` writes both to .data/dev.env)');
  process.exit(1);
}
const base = CRM_URL.replace(/\/+$/, '');
const url = base.endsWith('/graphql') ? base : `${base}/graphql`;

const fetchFn = (target, init = {}) =>
  fetch(target, { ...init, headers: { ...init.headers, authorization: `Bearer ${CRM_TOKEN}` } });

let passed = 0;
let failed = 0;
const audits = serverAudits({ url, fetchFn });
// One after the other, so that the audits don't spend a rate limit's burst.
for (const audit of audits) {
  let reason;
  try {
    const result = await audit.fn();
    if (result.status !== 'ok') reason = `${result.status}: ${result.reason}`;
  } catch (error) {
    reason = error.cause ? `${error.message}: ${error.cause.message}` : error.message;
  }
  if (reason === undefined) {
    passed += 1;
  } else {
    failed += 1;
    console.log(`${audit.id} ${audit.name}\n    ${reason}`);
  }
}
if (audits.length !== EXPECTED) {
  console.log(`there are ${audits.length} audits, not ${EXPECTED}: look at what changed in graphql-http`);
  failed += 1;
}
console.log(`${passed} passed, ${failed} failed`);
process.exitCode = failed === 0 ? 0 : 1;
