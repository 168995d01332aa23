// A web front end as the product's users have one, on an origin that the api knows. The same server under
// its other name, 127.0.0.1, is a site that the api does not know. scripts/e2e runs this file; the tests import it.
import { createServer } from 'node:http';

export const FRONT_END = process.env.E2E_FRONT_END;
export const FOREIGN = FRONT_END.replace('localhost', '127.0.0.1');

const escaped = (text) => text.replace(/[&<>"]/g, (char) => `&#${char.charCodeAt(0)};`);

/** `/form?action=URL&name=value…` shows a form that posts those values; every other path just a page. */
function page(url) {
  const fields = [...url.searchParams].filter(([name]) => name !== 'action');
  const inputs = fields.map(([name, value]) => `<input type="hidden" name="${escaped(name)}" value="${escaped(value)}">`);
  const form = `<form method="post" action="${escaped(url.searchParams.get('action') ?? '')}">${inputs.join('')}<button>Send</button></form>`;
  const body = url.pathname === '/form' ? form : '';
  return `<!doctype html><html lang="en"><head><meta charset="utf-8"><title>Front end</title><link rel="icon" href="data:,"></head>
<body><main><h1>Front end</h1>${body}</main></body></html>`;
}

if (process.argv[1] === import.meta.filename) {
  const server = createServer((request, response) => {
    response.setHeader('content-type', 'text/html; charset=utf-8');
    response.end(page(new URL(request.url, FRONT_END)));
  });
  server.listen(new URL(FRONT_END).port, '127.0.0.1');
}
