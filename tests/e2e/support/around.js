// Before the first test and after the last.
import { serveFrontEnd } from './front-end.js';
import { expectNoSecretInLog, forgetSecrets } from './secrets.js';

/** Playwright calls it before the first test, and what it returns after the last. */
export default async function around() {
  forgetSecrets();
  const stop = await serveFrontEnd();
  return () => {
    stop();
    expectNoSecretInLog();
  };
}
