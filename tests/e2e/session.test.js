// What a browser holds of a session, and what a front end of another origin can do with it.
import { expect, test } from './support/fixtures.js';
import { FOREIGN, FRONT_END } from './support/front-end.js';
import { secret } from './support/secrets.js';
import { heading, signInByMail } from './support/sign-in.js';

/** Calls the api from a script of the page. */
const call = (page, path, init) =>
  page.evaluate(
    async ([url, options]) => {
      try {
        const answer = await fetch(url, options);
        const text = await answer.text();
        return { status: answer.status, body: text ? JSON.parse(text) : null };
      } catch (error) {
        return { error: error.name };
      }
    },
    [`${process.env.E2E_URL}${path}`, init],
  );

const token = async (page) => {
  const answer = await call(page, '/session/token', { method: 'POST', credentials: 'include' });
  if (answer.body?.accessToken) secret(answer.body.accessToken, 'an access token');
  return answer;
};
/** From here on the browser sends only what it would send by itself: with more, scripts need a preflight. */
const withoutProxy = (page) => page.context().setExtraHTTPHeaders({});
const me = (page, accessToken) =>
  call(page, '/graphql', {
    method: 'POST',
    headers: { authorization: `Bearer ${accessToken}`, 'content-type': 'application/json' },
    body: JSON.stringify({ query: '{ viewer { email } }' }),
  });

test('the session is a cookie that no script and no other host can touch', { tag: '@plain' }, async ({ page, context, address }) => {
  await signInByMail(page, address);
  await expect(heading(page, 'You are signed in')).toBeVisible();
  const cookies = await context.cookies();
  const names = cookies.map(({ name }) => name);
  expect(names).toContain('__Host-session');
  // What bound the sign-in to the browser is done with.
  expect(names).not.toContain('__Host-browser');
  for (const cookie of cookies) {
    expect(cookie).toMatchObject({ httpOnly: true, secure: true, sameSite: 'Lax', path: '/', domain: 'localhost' });
    expect(cookie.name).toMatch(/^__Host-/);
    expect(cookie.expires).toBeGreaterThan(0);
  }
});

test('each sign-in is a new session, and the one before is dead', async ({ page, context, anotherBrowser, address }) => {
  await signInByMail(page, address);
  await expect(heading(page, 'You are signed in')).toBeVisible();
  const planted = (await context.cookies()).find(({ name }) => name === '__Host-session');
  await signInByMail(page, address);
  await expect(heading(page, 'You are signed in')).toBeVisible();
  const now = (await context.cookies()).find(({ name }) => name === '__Host-session');
  expect(now.value).not.toBe(planted.value);

  const other = await anotherBrowser();
  await other.context().addCookies([planted]);
  await other.goto('/settings');
  await expect(heading(other, 'Sign in')).toBeVisible();
});

test('a front end gets tokens for its user, and can sign them out', async ({ page, address, complaints }) => {
  await page.goto(`/sign-in?return_to=${encodeURIComponent(FRONT_END)}`);
  await signInByMail(page, address, { there: true });
  await expect(heading(page, 'Front end')).toBeVisible();
  await withoutProxy(page);

  const first = await token(page);
  expect(first.status).toBe(200);
  const answer = await me(page, first.body.accessToken);
  expect(answer.body).toEqual({ data: { viewer: { email: address } } });
  // Two tabs at once.
  const both = await Promise.all([token(page), token(page)]);
  expect(both.map(({ status }) => status)).toEqual([200, 200]);

  expect((await call(page, '/session/end', { method: 'POST', credentials: 'include' })).status).toBe(204);
  complaints.allow(/the server responded with a status of 401/);
  expect((await token(page)).status).toBe(401);
  // The token that is left opens nothing either.
  expect((await me(page, first.body.accessToken)).status).toBe(401);
});

test('a page of another site gets nothing', async ({ page, address, complaints }) => {
  await signInByMail(page, address);
  await expect(heading(page, 'You are signed in')).toBeVisible();
  complaints.allow(/blocked by CORS policy|net::ERR_FAILED|net::ERR_BLOCKED_BY_RESPONSE|status of 403/);
  await withoutProxy(page);
  await page.goto(FOREIGN);
  expect(await token(page)).toEqual({ error: 'TypeError' });
  expect(await call(page, '/session/end', { method: 'POST', credentials: 'include', mode: 'no-cors' })).toEqual({ error: 'TypeError' });
  await page.goto('/settings');
  await expect(heading(page, 'Settings')).toBeVisible();
});

test('no other site shows our pages in a frame', async ({ page, complaints }) => {
  complaints.allow(/frame-ancestors|X-Frame-Options|chrome-error/i);
  await page.goto(FOREIGN);
  await page.evaluate((url) => {
    const frame = document.createElement('iframe');
    frame.src = url;
    document.body.append(frame);
    return new Promise((resolve) => (frame.onload = resolve));
  }, `${process.env.E2E_URL}/sign-in`);
  await expect(page.frameLocator('iframe').getByLabel('E-mail address')).toHaveCount(0);
});
