// Starts GraphiQL, and gives its requests the access token of the session in this browser.
'use strict';

(() => {
  let known = null;
  let fetching = null;

  async function fetchToken() {
    const answer = await fetch('/session/token', { method: 'POST', credentials: 'same-origin' });
    if (answer.status === 401) {
      location.assign('/sign-in?return_to=/graphiql');
      return new Promise(() => {}); // The page goes away.
    }
    if (!answer.ok) throw new Error(`There is no access token: ${answer.status}`);
    const { accessToken, expiresIn } = await answer.json();
    known = { token: accessToken, until: Date.now() + (expiresIn - 30) * 1000 };
    return accessToken;
  }

  // Requests that need a new token at the same time share one.
  function accessToken() {
    if (known && Date.now() < known.until) return known.token;
    fetching ??= fetchToken().finally(() => {
      fetching = null;
    });
    return fetching;
  }

  async function authorized(url, init) {
    const send = async () =>
      fetch(url, {
        ...init,
        credentials: 'omit',
        headers: { ...init.headers, authorization: `Bearer ${await accessToken()}` },
      });
    const answer = await send();
    if (answer.status !== 401) return answer;
    known = null; // Its session has ended, or its signing key was retired.
    return send();
  }

  const fetcher = GraphiQL.createFetcher({ url: '/graphql', fetch: authorized });
  const root = ReactDOM.createRoot(document.getElementById('graphiql'));
  root.render(React.createElement(GraphiQL, { fetcher }));
})();
