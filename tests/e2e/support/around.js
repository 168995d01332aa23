// Before the first test and after the last.
import { expectNoSecretInLog, forgetSecrets } from './secrets.js';

/** Playwright calls it before the first test, and what it returns after the last. */
export default function around() {
  forgetSecrets();
  return expectNoSecretInLog;
}
