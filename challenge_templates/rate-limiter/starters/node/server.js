// A rate limiter, to be. README.md is the brief, openapi.yaml the contract; the work begins where this answers 501.

const http = require("node:http");

const routes = [
  // Answers 200 once this replica can take requests.
  ["GET", /^\/healthz$/, (response) => say(response, 200, {})],
  // PUT /v1/limits/{key} {"limit": N, "window_ms": W}
  ["PUT", /^\/v1\/limits\/[^/]+$/, notYet("Keep the limit of this key. Who else has to know it within a second?")],
  // POST /v1/check {"key": k, "cost": c}
  ["POST", /^\/v1\/check$/, notYet("Allow it (200) or refuse it (429). Who counts, and what if two replicas count at the same moment?")],
  // GET /v1/usage/{key}
  ["GET", /^\/v1\/usage\/[^/]+$/, notYet("Say how much of the limit is used in the current window, over all replicas.")],
];

function say(response, status, body) {
  response.writeHead(status, { "Content-Type": "application/json" });
  response.end(JSON.stringify(body));
}

function notYet(hint) {
  return (response) => say(response, 501, { error: "not implemented", hint });
}

http
  .createServer((request, response) => {
    request.resume();
    const path = new URL(request.url, "http://localhost").pathname;
    const found = routes.find(([method, pattern]) => method === request.method && pattern.test(path));
    if (found) found[2](response);
    else say(response, 404, { error: "no such route" });
  })
  .listen(Number(process.env.PORT), "127.0.0.1");
